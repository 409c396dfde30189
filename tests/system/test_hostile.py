"""Programs that mean harm, and memory that runs out: the kernel never raises, and its books add up then.

`hostile` runs random instructions and random system calls in hundreds of children; what it leaves behind is
compared with what was there before.  Injected failures make each allocation fail once.
"""

import re
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from boot import System, image_with, program
from shell_model import ROOT, Session

from emu.dev.drive import RamDrive
from emu.loop import Stop
from kernel.abi import elf
from kernel.abi.param import NFILE, NOFILE, NPROC
from kernel.errors import SyscallError
from kernel.mm.kalloc import FrameAllocator
from kernel.proc import INIT_PID, Process
from toolchain import fsimage

CHILDREN = 48
BLOCKS = 6000
KINDS = ("code", "calls", "both")
LEFTOVERS = "rm hostile.d/d/f hostile.d/f hostile.d/g hostile.d/h hostile.d/nosuch hostile.d/d"


def hostile() -> bytes:
    """The program, its text writable, so that it can fill a page with code."""
    changed = bytearray(program("hostile.c"))
    header = elf.Header.unpack(bytes(changed))
    assert header is not None
    changed[header.phoff + 4] |= elf.PF_W
    return bytes(changed)


def image() -> bytes:
    return image_with({"hostile": hostile(), "short": program("short.c")}, size=BLOCKS)


def attack(system: System, kind: str, seed: int) -> str:
    printed = system.sh(f"hostile {kind} {seed} {CHILDREN}")
    assert printed.endswith("hostile: done\n"), printed[-500:]
    assert system.audit() == []
    return printed


def run_attacks(seeds: range) -> None:
    with System(drive=RamDrive(image())).boot() as system:
        system.sh("ls | cat")
        before = system.account()
        faults = unknown = 0
        for seed in seeds:
            for kind in KINDS:
                printed = attack(system, kind, seed)
                faults += printed.count("usertrap(): unexpected scause")
                unknown += printed.count("unknown sys call")
            system.sh(LEFTOVERS)
        assert faults > CHILDREN and unknown > CHILDREN, "they did try"
        assert system.account() == before
        assert system.sh("echo still here | cat") == "still here\n"
        fsimage.check(system.image)


def test_random_instructions_and_random_calls() -> None:
    run_attacks(range(1, 9))


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 2000, 50))
def test_random_instructions_and_random_calls_long(first: int) -> None:
    run_attacks(range(first, first + 50))


# Seeds of which no child runs into a long loop, which would take the public engine minutes.
@pytest.mark.parametrize("kind, seed", [("code", 3), ("code", 5), ("code", 6), ("calls", 1), ("both", 1)])
def test_hostile_programs_do_the_same_on_both_engines(kind: str, seed: int) -> None:
    digests = set()
    for engine in ("fast", "public"):
        argv = ("/init", "/hostile", kind, str(seed), "24")
        with System(engine=engine, drive=RamDrive(image()), argv=argv) as system:
            assert system.run() is Stop.ASKED and system.board.exit_code == 0
            digests.add(system.digest())
    assert len(digests) == 1


# --- memory runs out ---


class FailEach:
    """An observer: in each call of one kind that fails, one allocation more succeeds before one fails."""

    def __init__(self, system: System, calls: set[str]) -> None:
        self.system = system
        self.calls = calls
        self.attempts: dict[str, int] = {}
        self.free_before = 0
        system.kernel.hooks.observer = self

    def syscall_enter(self, p: Process, call: Any) -> None:
        if p.name == "short" and call.name in self.calls:
            self.attempts[call.name] = self.attempts.get(call.name, 0) + 1
            self.drop_caches()
            self.free_before = self.system.kernel.frames.free_frames
            fail_at(self.system, self.attempts[call.name])

    def drop_caches(self) -> None:
        while self.system.kernel.frames.reclaim():
            pass

    def syscall_exit(self, p: Process, call: Any, result: int, error: SyscallError | None) -> None:
        frames = self.system.kernel.frames
        if "alloc" not in vars(frames):
            return
        del frames.alloc
        if result >= 0:
            self.calls.discard(call.name)
        elif call.name not in ("read", "munmap"):  # a page that was promised stays, so does a table's copy
            self.drop_caches()
            assert frames.free_frames == self.free_before, f"{call.name} lost a frame"

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        pass

    def switch(self, p: Process) -> None:
        pass


def fail_at(system: System, n: int) -> None:
    """The n-th allocation of a frame from now on fails, and those after it."""
    frames, left = system.kernel.frames, n

    def limited() -> int:
        nonlocal left
        left -= 1
        return FrameAllocator.alloc(frames) if left > 0 else 0

    frames.alloc = limited  # type: ignore[method-assign]


def test_out_of_memory_at_every_allocation_of_a_call() -> None:
    with System(drive=RamDrive(image())).boot() as system:
        system.sh("short")
        before = system.account()
        failing = FailEach(system, {"fork", "exec", "mprotect", "munmap", "sbrk", "read"})
        printed = system.sh("short")
        system.kernel.hooks.observer = None
        lines = r"fork \d+\nexec\nmprotect \d+\nmunmap \d+\nsbrk \d+\nread \d+\n"
        assert re.fullmatch(lines, printed), printed
        assert failing.attempts["fork"] >= 9, "trapframe, page of the stack, tables for heap and mapping"
        assert failing.attempts["mprotect"] == 2 and failing.attempts["munmap"] == 2, "tables of its own"
        assert failing.attempts["exec"] > 8
        assert failing.attempts["sbrk"] >= 5
        assert failing.attempts["read"] >= 2
        assert system.audit() == [] and system.account() == before


@pytest.mark.parametrize("seed", range(3))
def test_memory_that_fails_now_and_then(seed: int) -> None:
    """Any allocation of any process but init may fail: commands fail or are killed, the kernel goes on."""
    rng = Random(seed)
    with System(drive=RamDrive(image())).boot() as system:
        system.sh(f"mkdir {ROOT}")
        k = system.kernel

        def unreliable() -> int:
            p = k.sched.process
            if p is not None and p.pid != INIT_PID and rng.random() < 0.03:
                return 0
            return FrameAllocator.alloc(k.frames)

        failures = 0
        k.frames.alloc = unreliable  # type: ignore[method-assign]
        for number, line in enumerate(Session(Random(seed)).lines(150)):
            if line.pid_file or line.text.startswith("forever"):
                continue
            system.type(line.text + "\n")
            start = len(system.output)
            system.wait_for_shell()
            failures += b"fail" in system.output[start:] or b"usertrap" in system.output[start:]
            if number % 10 == 0:
                assert system.audit() == []
        del k.frames.alloc
        assert failures > 10 and system.audit() == []
        fsimage.check(system.image)
        assert system.sh("echo alive") == "alive\n"


# --- limits ---


def test_limits_are_reached_and_left_again() -> None:
    """usertests goes to the limit of processes, files and descriptors; the books show that it came back."""
    with System().boot() as system:
        system.sh("usertests fork_limit no_file_left descriptor_limit")
        before = system.account()
        peak: dict[str, int] = {}

        def note(hart: Any) -> None:
            k = system.kernel
            peak["processes"] = max(peak.get("processes", 0), sum(1 for _ in k.procs))
            peak["files"] = max(peak.get("files", 0), k.files.open_count)
            peak["descriptors"] = max(
                [peak.get("descriptors", 0), *(sum(f is not None for f in p.files.ofile) for p in k.procs)]
            )
            on_gate(hart)

        on_gate: Callable[[Any], None] = system.loop.on_gate
        system.loop.on_gate = note
        assert "ALL TESTS PASSED" in system.sh("usertests fork_limit no_file_left descriptor_limit")
        system.loop.on_gate = on_gate
        assert peak["processes"] == NPROC and peak["descriptors"] == NOFILE
        assert NFILE - 1 <= peak["files"] <= NFILE, "pipes take two at a time"
        assert system.audit() == [] and system.account() == before
