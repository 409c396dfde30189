"""Programs of any segments on a whole machine: they run, are refused or are killed, and the books add up.

`segments` writes them and executes them; what each becomes is checked against xv6's rules, without a hart,
in tests/unit/test_kernel_segments.py.
"""

import pytest
from boot import ENGINES, System, image_with, program

from emu.dev.drive import RamDrive
from emu.loop import Stop


def image() -> bytes:
    return image_with({"segments": program("segments.c")})


def run_segments(seeds: range, count: int) -> None:
    with System(drive=RamDrive(image()), mem_mib=32).boot() as system:
        system.sh("segments 0 0")
        before = system.account()
        for seed in seeds:
            printed = system.sh(f"segments {seed} {count}")
            lines = [line for line in printed.splitlines() if line.startswith("segments: ")]
            assert lines == ["segments: done"], printed
            assert system.audit() == []
        assert system.account() == before


def test_programs_of_any_segments() -> None:
    run_segments(range(1, 3), 40)


@pytest.mark.long
def test_programs_of_any_segments_long() -> None:
    run_segments(range(3, 40), 100)


def test_programs_of_any_segments_are_the_same_on_both_engines() -> None:
    digests = set()
    for engine in ENGINES:
        with System(
            engine=engine, drive=RamDrive(image()), mem_mib=32, argv=("/init", "/segments", "5", "8")
        ) as system:
            assert system.run() is Stop.ASKED and system.board.exit_code == 0, system.text
            digests.add(system.digest())
    assert len(digests) == 1
