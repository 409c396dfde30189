"""A whole machine on a disk that answers in any order: it does what it does on one that answers in turn."""

from functools import partial
from random import Random
from typing import Any

import pytest
from boot import System
from unordered_disk import UnorderedBlk

import emu.board_map
from emu.loop import Stop
from toolchain.fsimage import FsImage


def files_after_workload() -> tuple[dict[str, bytes], Any]:
    """What the disk holds behind a run of `workload`, and the device."""
    with System(argv=("/init", "/workload")) as system:
        assert system.run() is Stop.ASKED and system.board.exit_code == 0, system.text
        assert system.audit() == []
        image = FsImage(system.image)
        files = {entry.path: image.read(entry.path) for entry in image.walk() if entry.type == 2}
        return files, system.board.virtio[0]


def test_files_are_the_same_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = files_after_workload()
    monkeypatch.setattr(emu.board_map, "VirtioBlk", partial(UnorderedBlk, chance=Random(3)))
    files, device = files_after_workload()
    assert files == expected
    assert device.overtaken > 10
