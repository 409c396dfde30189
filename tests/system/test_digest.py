"""One run is one run: the machine's digest after `workload` is the same on both engines, however the run was
sliced, stepped or watched, and whatever Python's hash seed and garbage collector did meanwhile.
"""

import gc
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from boot import System, workload_digest

from emu.loop import Stop
from kernel.errors import SyscallError
from kernel.proc import Process

HERE = Path(__file__).resolve().parent
WORKLOAD = ("/init", "/workload")
SLICE_TICKS_MAX = 20_000_000


@cache
def expected() -> str:
    return workload_digest("fast")


def run_sliced(seed: int, steps_every: int | None = None) -> str:
    """The digest of a run that stops at random times, and goes some steps by hand there if asked."""
    rng = random.Random(seed)
    slices = 0
    with System(argv=WORKLOAD) as system:
        while (
            system.loop.run(system.board.clock.now + rng.choice([1, 7, 5000, SLICE_TICKS_MAX])) is Stop.LIMIT
        ):
            slices += 1
            if steps_every and slices % steps_every == 0:
                for _ in range(rng.randrange(1, 200)):
                    if system.board.exit_code is None:
                        system.loop.step()
            if slices > 4000:
                system.run()
                break
        assert slices > 20 and system.board.exit_code == 0
        return system.digest()


def test_workload_does_what_it_should() -> None:
    """All that the memory system can do is in it, and superpages and the cache's giving up of pages."""
    with System(argv=WORKLOAD) as system:
        k = system.kernel
        done: Counter[str] = Counter()
        for owner, method in ((k.frames, "alloc_super"), (k.frames, "split_super"), (k.pages, "reclaim")):
            setattr(owner, method, counted(done, method, getattr(owner, method)))
        assert system.run() is Stop.ASKED and system.board.exit_code == 0
        assert "workload: " in system.text
        assert all(vars(k.counts).values()), k.counts
        assert all(done[method] for method in ("alloc_super", "split_super", "reclaim")), done
        assert system.digest() == expected()


def counted(done: Counter[str], name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """`real`, and how often it did something."""

    def called(*args: Any) -> Any:
        result = real(*args)
        done[name] += result is None or bool(result)
        return result

    return called


def test_both_engines() -> None:
    assert workload_digest("public") == expected()


def test_twice_in_one_process() -> None:
    assert workload_digest("fast") == expected()


def test_two_machines_side_by_side() -> None:
    """Turn by turn in one Python process: neither sees the other."""
    with System(argv=WORKLOAD) as one, System(argv=WORKLOAD) as other:
        machines = [one, other]
        while machines:
            for system in list(machines):
                if system.loop.run(system.board.clock.now + SLICE_TICKS_MAX) is Stop.ASKED:
                    machines.remove(system)
        assert one.digest() == other.digest() == expected()


@pytest.mark.parametrize("seed", range(3))
def test_sliced(seed: int) -> None:
    assert run_sliced(seed) == expected()


@pytest.mark.parametrize("seed", range(2))
def test_sliced_and_stepped(seed: int) -> None:
    assert run_sliced(seed, steps_every=5) == expected()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3, 15))
def test_sliced_and_stepped_long(seed: int) -> None:
    assert run_sliced(seed, steps_every=2) == expected()


def test_stepped_through_the_start() -> None:
    """The first thousands of instructions, traps and gates one by one, on both engines."""
    digests = set()
    for engine in ("fast", "public"):
        with System(engine=engine, argv=WORKLOAD) as system:
            for _ in range(3000):
                system.loop.step()
            assert system.kernel.procs.find(1) is not None, "the kernel has started"
            digests.add((system.board.clock.now, system.digest()))
    with System(argv=WORKLOAD) as system:
        (stepped_to, _) = next(iter(digests))
        assert system.loop.run(stepped_to) is Stop.LIMIT
        digests.add((system.board.clock.now, system.digest()))
    assert len(digests) == 1


class Watcher:
    """An observer that looks at everything and reads RAM and registers meanwhile."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.seen: list[Any] = []

    def syscall_enter(self, p: Process, call: Any) -> None:
        self.seen.append((p.pid, call.name, self.system.board.clock.now, p.thread.tf[14:20].tolist()))

    def syscall_exit(self, p: Process, call: Any, result: int, error: SyscallError | None) -> None:
        self.seen.append((p.pid, result, self.system.kernel.vm.peek(p.space, 0, 16)))

    def fault(self, p: Process, scause: int, va: int, mapped: bool) -> None:
        self.seen.append((p.pid, scause, va, mapped))

    def switch(self, p: Process) -> None:
        self.seen.append((p.pid, self.system.board.hart.regs[64], self.system.kernel.procs.dump()))


def test_watched() -> None:
    with System(argv=WORKLOAD) as system:
        watcher = system.kernel.hooks.observer = Watcher(system)
        system.run()
        assert len(watcher.seen) > 500
        assert system.digest() == expected()


def test_the_digest_tells_runs_apart() -> None:
    """Another image (a byte of one file), another key: another digest."""
    digests = set()
    for argv in (WORKLOAD, (*WORKLOAD, "an argument")):
        with System(argv=argv) as system:
            system.run()
            digests.add(system.digest())
    assert len(digests) == 2 and expected() in digests


@pytest.mark.parametrize("hash_seed", ["0", "1", "random"])
def test_hash_seed(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, str(HERE / "boot.py"), "fast"],
        env={**environment, "PYTHONPATH": str(HERE.parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == expected()


@pytest.fixture(params=["off", "often"])
def collector(request: pytest.FixtureRequest) -> Iterator[str]:
    """Python's garbage collector off, or running at every few allocations."""
    before = gc.get_threshold()
    if request.param == "off":
        gc.disable()
    else:
        gc.set_threshold(50, 2, 2)
    yield request.param
    gc.enable()
    gc.set_threshold(*before)


def test_garbage_collector(collector: str) -> None:
    assert workload_digest("fast") == expected()
