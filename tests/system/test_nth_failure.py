"""The n-th failure: an allocation of a frame or a superpage, a process slot, a read or a write of the disk.

For each n of a workload the machine is booted, the failure armed, and the workload run.  Then an error has
reached a program, or nothing went wrong; nothing has leaked (orrery.inspect.audit), and the image is sound.
A write that fails is a panic, as it is in xv6, and so is a read in the middle of a change; nothing else is.
"""

import re
from collections.abc import Callable
from errno import EAGAIN
from typing import Any, NoReturn

import pytest
from boot import program

from emu.dev.drive import DriveError, RamDrive
from kernel.abi.memlayout import PGSIZE
from kernel.errors import SyscallError
from kernel.kernel import KernelPanic
from kernel.proc import Process
from orrery import Machine
from orrery.inspect.audit import Audit, track_allocations
from toolchain import fsimage, image

WORKLOAD = (
    "ls | wc",
    "mkdir d; cd d; echo hello > file; cat file; ln file other; rm file",
    "cat d/other README | grep h | wc",
    "rm d/other d",
    "forktest & echo done",
    "workload memory",
)
SAMPLES = 24  # so many n in CI; with --long all


class FaultyDrive(RamDrive):
    """A drive whose n-th read or write from `arm` on fails, once."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.left: dict[str, int] = {}
        self.count = {"read": 0, "write": 0}

    def arm(self, kind: str, n: int) -> None:
        self.left = {kind: n}

    def read(self, sector: int, count: int) -> bytes:
        self._step("read")
        return super().read(sector, count)

    def write(self, sector: int, data: bytes) -> None:
        self._step("write")
        super().write(sector, data)

    def _step(self, kind: str) -> None:
        self.count[kind] += 1
        if kind in self.left:
            self.left[kind] -= 1
            if self.left[kind] == 0:
                raise DriveError(f"injected: this {kind} fails")


def booted() -> tuple[Machine, FaultyDrive]:
    """A machine at its prompt whose caches are cold, so that the workload reads the disk."""
    drive = FaultyDrive(image.default_image())
    machine = Machine(drive).boot()
    cache = machine.kernel.cache
    for buf in [buf for buf in cache.buffers.values() if not buf.refcnt]:
        buf.valid = False
    while machine.kernel.frames.reclaim():
        pass
    return machine, drive


def run_workload(machine: Machine) -> None:
    for line in WORKLOAD:
        machine.sh(line, timeout_s=100)


def check_books(machine: Machine, sites: dict[int, str], what: str) -> None:
    machine.sh("echo", timeout_s=100)
    assert Audit(machine.kernel, sites).findings() == [], what


def nth(failing: Callable[[int], Any], real: Callable[..., Any], n: int) -> Callable[..., Any]:
    """`real`, but its n-th call gives `failing(n)` instead."""
    calls = 0

    def called(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return failing(n) if calls == n else real(*args)

    return called


def counted(real: Callable[..., Any], counts: list[int]) -> Callable[..., Any]:
    def called(*args: Any) -> Any:
        counts[0] += 1
        return real(*args)

    return called


def sample(total: int, long: bool) -> range:
    assert total > 0, "the workload does not do what is to fail"
    return range(1, total + 1, 1 if long else max(1, total // SAMPLES))


@pytest.fixture
def long_run(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.mark.parametrize("what", ["alloc", "alloc_super"])
def test_the_nth_allocation_fails(what: str, long_run: bool) -> None:
    machine, _ = booted()
    counts = [0]
    frames = machine.kernel.frames
    setattr(frames, what, counted(getattr(frames, what), counts))
    run_workload(machine)
    machine.close()
    for n in sample(counts[0], long_run):
        machine, _ = booted()
        frames = machine.kernel.frames
        setattr(frames, what, nth(lambda n: 0, getattr(frames, what), n))
        sites = track_allocations(machine.kernel)
        run_workload(machine)
        check_books(machine, sites, f"{what} {n}")
        machine.close()


def test_the_nth_process_slot_fails(long_run: bool) -> None:
    def no_slot(n: int) -> NoReturn:
        raise SyscallError(EAGAIN, "no slot is free")

    machine, _ = booted()
    counts = [0]
    procs = machine.kernel.procs
    procs.allocproc = counted(procs.allocproc, counts)  # type: ignore[method-assign]
    run_workload(machine)
    machine.close()
    for n in sample(counts[0], long_run):
        machine, _ = booted()
        procs = machine.kernel.procs
        procs.allocproc = nth(no_slot, procs.allocproc, n)  # type: ignore[method-assign]
        run_workload(machine)
        check_books(machine, {}, f"process slot {n}")
        machine.close()


@pytest.mark.parametrize("kind", ["read", "write"])
def test_the_nth_disk_access_fails(kind: str, long_run: bool) -> None:
    machine, drive = booted()
    before = drive.count[kind]
    run_workload(machine)
    total = drive.count[kind] - before
    machine.close()
    panics = 0
    for n in sample(total, long_run):
        machine, drive = booted()
        drive.arm(kind, n)
        sites = track_allocations(machine.kernel)
        try:
            run_workload(machine)
        except KernelPanic as panic:
            panics += 1
            allowed = "in the middle of a change" if kind == "read" else "failed with status"
            assert allowed in str(panic), f"{kind} {n}: {panic}"
        else:
            assert kind == "read", f"write {n} failed and nobody noticed"
            check_books(machine, sites, f"{kind} {n}")
        machine.close()
        fsimage.check(drive.read(0, drive.capacity), f"the image after {kind} {n} failed")
    if kind == "write":
        assert panics, "every failing write is a panic"
    else:
        assert panics < len(sample(total, long_run)), "a read that fails is an error of the call"


class FailWriteBack:
    """An observer: the buffers are cold at each msync and munmap, whose n-th read fails at the n-th call."""

    def __init__(self, machine: Machine, drive: FaultyDrive) -> None:
        self.machine = machine
        self.drive = drive
        self.calls = 0
        machine.kernel.hooks.observer = self

    def syscall_enter(self, p: Process, call: Any) -> None:
        if call.name in ("msync", "munmap"):
            for buf in self.machine.kernel.cache.buffers.values():
                buf.valid = buf.valid and buf.refcnt > 0
            self.calls += 1
            self.drive.arm("read", self.calls if call.name == "msync" else 1)

    def syscall_exit(self, p: Process, call: Any, result: int, error: SyscallError | None) -> None:
        self.drive.left = {}

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        pass

    def switch(self, p: Process) -> None:
        pass


def test_a_read_fails_in_write_back() -> None:
    """What could not be written stays dirty and is written by the next msync; munmap says what is lost.

    What is to be read is the table with the numbers of the file's blocks, once for each operation of the log.
    """
    drive = FaultyDrive(image.default_image())
    with Machine(drive, modules={b"sync": program("sync.c")}) as machine:
        machine.boot()
        failing = FailWriteBack(machine, drive)
        written = machine.kernel.counts.pages_written
        printed = machine.sh("sync", timeout_s=100)
        assert re.fullmatch(
            r"msync (\d+)\n\d+ sync: stores to a mapped file are lost: EIO.*\nmunmap 0\n", printed
        ), printed
        assert failing.calls >= 3 and int(printed.split()[1]) == failing.calls - 1 >= 2
        assert machine.kernel.counts.pages_written - written >= 3
        machine.kernel.hooks.observer = None
        check_books(machine, {}, "write-back")
        files = fsimage.FsImage(drive.read(0, drive.capacity))
        assert files.read("/file")[:: 5 * PGSIZE] == b"\0mmm"
