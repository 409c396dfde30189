"""Trouble for a kernel: cold buffers, caches that are emptied, and memory that fails, at random moments.

Used by tests of what must hold whatever happens; seeded, so that a failure can be had again.
"""

from dataclasses import dataclass
from random import Random
from typing import Any

from boot import System

from kernel.errors import SyscallError
from kernel.proc import Process


@dataclass
class Trouble:
    """What makes a machine's life hard: chances that a call finds no buffer, that an allocation takes all
    that is cached first, as one does for which there is no free frame, and that it fails.
    """

    system: System
    rng: Random
    cold: float = 0
    greedy: float = 0
    failing: float = 0

    def __post_init__(self) -> None:
        k = self.system.kernel
        k.hooks.observer = self if self.cold else None
        self.real = k.frames.alloc
        k.frames.alloc = self.alloc  # type: ignore[method-assign]

    def end(self) -> None:
        self.system.kernel.hooks.observer = None
        self.system.kernel.frames.alloc = self.real  # type: ignore[method-assign]

    def alloc(self) -> int:
        """It fails for all but the shell, and the process that is to end the others."""
        if self.rng.random() < self.greedy:
            while self.system.kernel.frames.reclaim():
                pass
        p = self.system.kernel.sched.process
        hostile = p is not None and p.name == "hostile_memory" and p.parent and p.parent.name != "sh"
        if hostile and self.rng.random() < self.failing:
            return 0
        return self.real()

    def syscall_enter(self, p: Process, call: Any) -> None:
        if self.rng.random() < self.cold:
            for buf in self.system.kernel.cache.buffers.values():
                buf.valid = buf.valid and buf.refcnt > 0

    def syscall_exit(self, p: Process, call: Any, result: int, error: SyscallError | None) -> None:
        pass

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        pass

    def switch(self, p: Process) -> None:
        pass
