"""The process of a timeline's machine, and its forks: the far end of the channel.

Started by checkpoint_proxy.py as `python -m orrery.timetravel.checkpoint_server FD`.  Each process is a
worker (pool/worker.py has the protocol) that carries out calls on its Target.  The state in each answer is
(moment, current process, console output, registers); the hart's registers come with the answer to calls that
ran the machine, because a stepping caller needs them next.  A process that nobody asks to run is a
checkpoint.
"""

import math
import os
import time
import zlib
from array import array
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from emu.ram import PAGE_SIZE
from orrery.machine.config import MachineConfig
from orrery.machine.machine import Machine
from orrery.pool import serialized_exception
from orrery.pool.channel import Channel, Hangup, Value, plain
from orrery.pool.watchdog import PATIENCE_S, Watchdog
from orrery.pool.worker import Worker, channel_of_process, freeze
from orrery.timetravel.input_log import Change, ChangeKind
from orrery.timetravel.moment import Moment
from orrery.timetravel.pace import Pace
from orrery.timetravel.place import Place
from orrery.timetravel.spacing import faults
from orrery.timetravel.step_history import StepHistory
from orrery.timetravel.stops import KERNEL, StopKind, Stopped
from orrery.timetravel.target import Target
from orrery.timetravel.write_origin import who_writes

COPY: Final = (0, 0)
MOVES: Final = ("run", "step")
LOOKING_S_MAX: Final = 60  # of CPU time, for a call that lets the machine stand still
NOWHERE: Final = ((0, False, 3, 0), 0, b"", None)
"""The state that comes with an answer where there is no machine."""


def main() -> None:
    """Make the machine that is asked for, and serve; a fork never returns from here."""
    channel = channel_of_process()
    with suppress(Hangup):
        options, _ = channel.receive()
        warnings: list[str] = []
        try:
            machine = Machine(MachineConfig(**_overlaid(options)), warnings.append)
        except Exception as error:  # any: it is raised again at the caller
            channel.send((False, serialized_exception.wrap(error), NOWHERE))
            return
        freeze()
        CheckpointServer(channel, machine).serve(warnings)
    os._exit(0)


def _overlaid(options: dict[str, Any]) -> dict[str, Any]:
    """Options with the drive read-only under an overlay: there is more than one future."""
    return {**options, "snapshot": True} if options.get("drive") is not None else options


class CheckpointServer(Worker):
    """Serves `channel` with `machine`, under `target` where it has one."""

    copies_rest = True  # most are never called; until then they share nearly all of their memory

    def __init__(self, channel: Channel, machine: Machine, target: Target | None = None) -> None:
        super().__init__(channel)
        self._machine: Final = machine
        self._target: Final = target or Target(machine)
        target = self._target
        self._pace: Final = Pace(target)
        self._calls: Final[dict[str, Callable[..., Value]]] = {
            "awaits_keys": lambda: target.awaits_keys,
            "catch": target.catch,
            "console_digest": machine.console_digest,
            "change": self._change,
            "digest": target.digest,
            "load": self._load,
            "monitor": target.monitor,
            "page_sums": self._page_sums,
            "output": lambda: None,
            "processes": target.processes,
            "program": target.program,
            "program_named": target.program_named,
            "python_value": target.python_value,
            "read": target.read,
            "read_physical": target.read_physical,
            "registers": target.registers,
            "run": self._run,
            "scan": self._scan,
            "set_places": lambda places: target.set_places(Place(*place) for place in places),
            "step": self._step,
            "trace": target.trace,
            "who_writes": lambda place: who_writes(machine, Place(*place), target.step),
            "walk": lambda goal, ticks: StepHistory(machine, target).walk(Moment(*goal), ticks),
        }

    def call(self, name: str, arguments: tuple[Value, ...]) -> Value:
        with Watchdog(self.channel, self._patience(name), lambda: self._machine.board.clock.now):
            return self._calls[name](*arguments)

    def _patience(self, name: str) -> float:
        """In seconds of CPU time, for a call: one that moves the machine, and others may take long."""
        return PATIENCE_S[self._machine.board.engine.name] if name in (*MOVES, "scan") else LOOKING_S_MAX

    def answer(self, done: bool, value: Value, name: str = "") -> None:
        target = self._target
        registers = target.registers(KERNEL) if done and name in MOVES else None
        state = (tuple(target.moment), target.current, target.take_output(), registers)
        self.channel.send((done, plain(value), state))

    # --- copies ---

    def forked(self, pid: int) -> tuple[int, int]:
        """The process, and how many page faults this one has had; COPY in that process.

        A copy shows nothing that was shown before, and stops nowhere.
        """
        if not pid:
            self._target.take_output()
            self._target.stop_nowhere()
            return COPY
        return pid, faults()

    def not_forked(self, error: OSError) -> str:
        """Why there is none."""
        return error.strerror or str(error)

    def _change(self, name: str, arguments: tuple[Any, ...]) -> tuple[bool, int]:
        """Change the machine; whether that was done, and how many changes have been."""
        return self._target.change(ChangeKind(name), *arguments), self._target.input_log.done

    def _load(self, changes: Iterable[tuple[Any, ...]]) -> None:
        """Let these be all that is done to the machine from its power-on."""
        self._target.input_log.load(
            Change(Moment(*moment), ChangeKind(name), arguments) for moment, name, arguments in changes
        )
        self._target.settle()

    def _page_sums(self) -> bytes:
        """A checksum of each page of RAM, 4 bytes each."""
        data = self._machine.board.ram.bytes
        sums = (zlib.crc32(data[at : at + PAGE_SIZE]) for at in range(0, len(data), PAGE_SIZE))
        return array("I", sums).tobytes()

    # --- running ---

    def _run(
        self, limit: Value, patience_s: float, heeds_end: bool = False, due_s: float = math.inf
    ) -> tuple[Stopped, Value]:
        """Resume, for not much more than `patience_s` of wall time; and leave a copy after `due_s`.

        That is for the attached socket, and not made where something happens before.  What was left is told
        as (what a fork answers, the CPU time that it took, the moment, the process).  No call is made for it,
        as each touches pages that are to be copied then.
        """
        self._target.heeds_end = heeds_end
        stopped = self._resume(limit, min(due_s, patience_s))
        if self.attached is None:
            return stopped, None
        if stopped.why != StopKind.SLICE or self._target.moment.waiting:
            self.attached.close()
            return stopped, None
        here, current, began = self._target.moment, self._target.current, time.process_time()
        forked = self.fork()
        if forked == COPY:
            return stopped, None
        left = (forked, time.process_time() - began, here, current)
        return self._resume(limit, max(patience_s - due_s, 0)), left

    def _resume(self, limit: Value, patience_s: float) -> Stopped:
        self._have_patience(patience_s)
        return _sliced(self._pace.run(Moment(*limit) if isinstance(limit, tuple) else limit, patience_s))

    def _step(self, n: int, pid: int | None, patience_s: float) -> tuple[Stopped, int]:
        """Make steps, and give how many were made."""
        self._have_patience(patience_s)
        return _sliced(self._target.step(n, pid)), self._target.steps_made

    def _have_patience(self, patience_s: float) -> None:
        """Stop what runs now after so much wall time."""
        end = time.monotonic() + patience_s
        target = self._target

        def on_slice() -> None:
            if time.monotonic() > end:
                target.ask_stop()

        target.on_slice = on_slice

    def _scan(
        self, limit: Value, inclusive: bool, stops_max: int, patience_s: float
    ) -> tuple[Stopped | None, int, Stopped]:
        """Resume again and again up to the moment `limit`.

        The last stop that was asked for, how many there were, and why the scan ended.  A stop at `limit`
        counts if that is `inclusive`; and so does a write that only a gate behind it would tell of.
        """
        self._target.heeds_end = False
        end = time.monotonic() + patience_s
        found, count = None, 0
        while True:
            stopped = self._resume(limit, end - time.monotonic())
            if stopped.why not in (StopKind.PLACE, StopKind.EVENT):
                written = self._target.unseen_write() if stopped.why != StopKind.SLICE else None
                return written or found, count + (written is not None), stopped
            at_limit = stopped.moment == limit
            if inclusive or not at_limit or stopped.since is not None:  # the access was before the limit
                found, count = stopped, count + 1
            if at_limit or count == stops_max:
                return found, count, stopped._replace(why=StopKind.LIMIT if at_limit else StopKind.SLICE)


def _sliced(stopped: Stopped) -> Stopped:
    """The only interruption here is the end of the time slice."""
    return stopped._replace(why=StopKind.SLICE) if stopped.why == StopKind.INTERRUPT else stopped


if __name__ == "__main__":
    main()
