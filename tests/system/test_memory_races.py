"""One page and several who use it: what one stores while another sleeps in the kernel is not lost, and code
that the kernel stores by one mapping is run by another.

The kernel sleeps wherever it reads the disk; buffers are thrown away just before, so that it has to.
"""

from random import Random
from typing import Any

import pytest
from boot import ENGINES, System, image_with, program
from trouble import Trouble

from emu.dev.drive import RamDrive
from kernel.errors import SyscallError
from kernel.proc import Process
from orrery import Machine
from orrery.inspect.audit import Audit


class ColdBuffers:
    """An observer that empties the buffer cache before each call of one kind."""

    def __init__(self, machine: Machine, call: str) -> None:
        self.machine = machine
        self.call = call
        machine.kernel.hooks.observer = self

    def syscall_enter(self, p: Process, call: Any) -> None:
        if call.name == self.call:
            for buf in self.machine.kernel.cache.buffers.values():
                if not buf.refcnt:
                    buf.valid = False

    def syscall_exit(self, p: Process, call: Any, result: int, error: SyscallError | None) -> None:
        pass

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        pass

    def switch(self, p: Process) -> None:
        pass


def test_a_store_during_write_back_is_kept() -> None:
    with Machine(RamDrive(image_with({"race": program("race.c")}))) as machine:
        machine.boot()
        ColdBuffers(machine, "msync")
        assert machine.sh("race", timeout_s=100) == "kept\n"
        assert Audit(machine.kernel).findings() == []


@pytest.mark.parametrize("engine", ENGINES)
def test_code_that_the_kernel_stores_is_run(engine: str) -> None:
    with System(engine=engine, modules={"alias": program("alias.c")}) as system:
        assert system.boot().sh("alias") == "first 1\nstored 2\nread 3\nwritten 4\n"


MACHINES: dict[str, dict[str, float]] = {
    "as it is": {},
    "cold": {"cold": 0.3},
    "greedy": {"greedy": 0.5},
    "both": {"cold": 0.5, "greedy": 0.2},
}


def share(kind: str, seeds: range) -> None:
    with System(drive=RamDrive(image_with({"share": program("share.c")}, size=4000))) as system:
        system.boot()
        for seed in seeds:
            trouble = Trouble(system, Random(seed), **MACHINES[kind])
            assert system.sh(f"share {seed}") == "share: kept\n", f"{kind}, seed {seed}"
            trouble.end()
            assert system.audit() == [], f"{kind}, seed {seed}"
        assert system.kernel.counts.pages_written > 100


@pytest.mark.parametrize("kind", MACHINES)
def test_nothing_is_lost_between_processes_that_share_a_file(kind: str) -> None:
    share(kind, range(1, 5))


@pytest.mark.long
@pytest.mark.parametrize("kind", MACHINES)
def test_nothing_is_lost_between_processes_that_share_a_file_long(kind: str) -> None:
    share(kind, range(100, 200))
