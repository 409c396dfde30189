"""Processes that share memory and files, and do with both whatever they like: the books add up afterwards.

`hostile_memory` makes random calls at all borders and touches what it mapped, in many processes at once.
It runs in a machine as it is, in one that has to read everything from disk all the time (so that the kernel
sleeps wherever it can), in one where any allocation may fail, and in one with little memory.
"""

from random import Random
from typing import Any

import pytest
from boot import System, image_with, program
from trouble import Trouble

from emu.dev.drive import RamDrive
from emu.loop import Stop
from orrery.inspect.audit import Audit, track_allocations
from toolchain import fsimage

BLOCKS = 4000
CHILDREN = 10


def image() -> bytes:
    return image_with({"hostile_memory": program("hostile_memory.c")}, size=BLOCKS)


ALL: dict[str, float] = {"cold": 0.2, "greedy": 0.3, "failing": 0.02}
MACHINES: dict[str, tuple[dict[str, float], dict[str, Any]]] = {
    "as it is": ({}, {}),
    "cold": ({"cold": 0.2}, {"usyscall": True}),
    "greedy": ({"greedy": 0.3}, {}),
    "failing": ({"failing": 0.02}, {}),
    "small": ({}, {"mem_mib": 6, "lab": 2021}),
    "all of it": (ALL, {"mem_mib": 6, "lab": 2021, "usyscall": True}),
}


def run_attacks(kind: str, seeds: range) -> None:
    trouble_is, options = MACHINES[kind]
    with System(drive=RamDrive(image()), **options) as system:
        sites = track_allocations(system.kernel)
        system.boot()
        system.sh("ls | cat")
        system.sh("hostile_memory 0 0")
        before = system.account()
        for seed in seeds:
            trouble = Trouble(system, Random(seed), **trouble_is)
            printed = system.sh(f"hostile_memory {seed} {CHILDREN}")
            assert printed.endswith("hostile_memory: done\n"), printed[-500:]
            assert system.sh("cat README | grep -v x | wc; ls nosuch").endswith("cannot open nosuch\n")
            assert Audit(system.kernel, sites).findings() == [], f"{kind}, seed {seed}"
            trouble.end()
        assert system.account() == before
        assert system.sh("echo still here | cat") == "still here\n"
        counts = vars(system.kernel.counts)
        assert all(counts[name] > 0 for name in ("zero_filled", "cow_copied", "paged_in", "pages_written"))
        fsimage.check(system.image)


@pytest.mark.parametrize("kind", MACHINES)
def test_hostile_memory(kind: str) -> None:
    run_attacks(kind, range(1, 5))


@pytest.mark.long
@pytest.mark.parametrize("first", range(100, 700, 100))
@pytest.mark.parametrize("kind", MACHINES)
def test_hostile_memory_long(kind: str, first: int) -> None:
    run_attacks(kind, range(first, first + 100))


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_memory_is_the_same_on_both_engines(seed: int) -> None:
    digests = set()
    for engine in ("fast", "public"):
        argv = ("/init", "/hostile_memory", str(seed), "5")
        with System(engine=engine, drive=RamDrive(image()), argv=argv) as system:
            assert system.run() is Stop.ASKED and system.board.exit_code == 0
            digests.add(system.digest())
    assert len(digests) == 1
