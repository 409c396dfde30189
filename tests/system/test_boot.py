"""Power on to the prompt, and every way in which a machine ends: power-off, all asleep, a panic, a cut."""

from random import Random

import pytest
from boot import ENGINES, System, default_files, program

from emu.dev.drive import RamDrive
from emu.loop import Stop
from kernel.abi import disk
from kernel.kernel import KernelPanic
from toolchain import fsimage, mkfs
from toolchain.image import default_image

PROMPT_S_MAX = 0.5  # virtual


@pytest.mark.quick
@pytest.mark.parametrize("engine", ENGINES)
def test_to_the_prompt(engine: str) -> None:
    with System(engine=engine) as system:
        system.boot()
        assert system.text.endswith("init: starting sh\n$ ")
        assert system.board.clock.time_ps < PROMPT_S_MAX * 1e12
        assert [p.name for p in system.kernel.procs] == ["init", "sh"]
        assert system.audit() == []


@pytest.mark.quick
@pytest.mark.parametrize("status", [0, 1, 7, 255])
def test_init_switches_off_with_its_programs_status(status: int) -> None:
    with System(argv=("/init", "/workload", "exit", str(status))) as system:
        assert system.run() is Stop.ASKED
        assert system.board.exit_code == status


def test_any_program_can_be_process_1() -> None:
    with System(argv=("/calls",), modules={"/calls": program("calls.S")}) as system:
        assert system.run(limit_s=0.01) is Stop.LIMIT
        assert [p.name for p in system.kernel.procs] == ["calls"]


def test_all_asleep_for_ever_is_told_with_the_sleepers() -> None:
    with System(argv=("/init", "/forever"), modules={"/forever": program("forever.c")}) as system:
        assert system.run() is Stop.ASLEEP
        report = system.kernel.procs.sleepers_report()
        assert "process 1 (init) waits for a child of process 1 (init)" in report
        assert "process 2 (forever) waits for bytes in a pipe" in report


@pytest.mark.parametrize("mem_mib", [8, 16, 64, 256])
def test_memory_of_any_size(mem_mib: int) -> None:
    with System(mem_mib=mem_mib).boot() as system:
        assert system.sh("echo hello | wc") == "1 1 6 \n"
        assert system.kernel.frames.free_frames < mem_mib * 256


# --- what cannot go on ---


def damaged(what: str) -> bytes:
    """An image that the kernel cannot use (checking it first is the workbench's part)."""
    image = bytearray(default_image())
    if what == "superblock":
        image[disk.BSIZE : disk.BSIZE + 4] = b"nope"
    elif what == "no init":
        return bytes(mkfs.build({"sh": default_files()["sh"]}))
    elif what == "init is no program":
        return bytes(mkfs.build({"init": b"#!/bin/sh\n"}))
    return bytes(image)


@pytest.mark.parametrize(
    "what, says",
    [
        ("superblock", "magic"),
        ("no init", "the first program, /init, cannot be run: ENOENT"),
        ("init is no program", "the first program, /init, cannot be run: ENOEXEC"),
    ],
)
def test_panic_at_the_start(what: str, says: str) -> None:
    with System(drive=RamDrive(damaged(what))) as system, pytest.raises(KernelPanic, match=says):
        system.run()


def test_a_panic_leaves_the_machine_to_be_looked_at() -> None:
    with System(drive=RamDrive(damaged("no init"))) as system:
        with pytest.raises(KernelPanic):
            system.run()
        assert system.kernel.procs.init.pid == 1 and "booting" in system.text
    assert not system.kernel.sched.threads


# --- power-off in the middle ---


def test_power_off_at_any_moment_ends_every_thread() -> None:
    """Threads wait for the disk, a child, a pipe, their turn: none is left, and nothing is raised."""
    rng, seen = Random(5), set()
    for i in range(30):
        with System(argv=("/init", "/workload")) as system:
            system.run(limit_s=rng.uniform(0, 0.22 if i % 2 else 0.013))  # the disk is busy at the start
            seen |= {type(what).__name__ for p in system.kernel.procs for what in p.thread.waits_for}
            greenlets = [p.thread.greenlet for p in system.kernel.procs if p.thread.greenlet is not None]
        assert not system.kernel.sched.threads
        assert all(thread.dead for thread in greenlets)
    assert {"Process", "Request"} <= seen, "some waited for a child, some for the disk"


def test_power_off_in_mid_write_leaves_a_sound_image() -> None:
    rng = Random(6)
    for _ in range(8):
        with System(argv=("/init", "/usertests", "four_writers", "many_operations")) as system:
            system.run(limit_s=rng.uniform(0.05, 0.6))
            fsimage.check(system.image)


def test_machines_in_one_process_are_independent() -> None:
    with System().boot() as one, System(mem_mib=64).boot() as other:
        assert one.sh("echo one > f") == "" and other.sh("cat f") == "cat: cannot open f\n"
        assert one.sh("cat f") == "one\n"
        assert one.kernel.procs.init is not other.kernel.procs.init
