"""Inside: the process of a machine under a timeline, and its copies, which are forks of it.

Started by checkpoint_proxy.py as `python -m orrery.timetravel.checkpoint_server FD`, so that it has one
thread whatever its caller has.  Each copy serves a wire of its own, and carries out one call after the other
on its Target:

    call      (name, arguments), for "fork" with a socket for the new copy's wire
    answer    (whether it went well, result or parcel, (moment, current process, console output, registers))

The hart's registers come with the answer to what ran, because who steps wants them next.

A copy that nobody asks to run is a checkpoint.  It ends when its wire is hung up; so when the caller goes,
all go.
"""

import faulthandler
import gc
import os
import signal
import socket
import sys
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
from orrery.pool.channel import Hangup, Value, Wire, plain
from orrery.pool.watchdog import PATIENCE_S, Watchdog
from orrery.timetravel.input_log import Change
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import Place
from orrery.timetravel.step_history import StepHistory
from orrery.timetravel.stops import KERNEL, Stopped
from orrery.timetravel.target import Target
from orrery.timetravel.write_origin import who_writes

MOVES: Final = ("run", "step")
LOOKING_S_MAX: Final = 60  # of CPU time, for a call that lets the machine stand still
NOWHERE: Final = ((0, False, 3, 0), 0, b"", None)
"""The state that comes with an answer where there is no machine."""


def main() -> None:
    """Make the machine that is asked for, and serve; a fork never returns from here."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the front end
    faulthandler.enable()
    wire = Wire(socket.socket(fileno=int(sys.argv[1])))
    with suppress(Hangup):
        options, _ = wire.receive()
        warnings: list[str] = []
        try:
            machine = Machine(MachineConfig(**_overlaid(options)), warnings.append)
        except Exception as error:  # any: it is raised again at the caller
            wire.send((False, serialized_exception.wrap(error), NOWHERE))
            return
        gc.collect()
        gc.freeze()
        CheckpointServer(wire, machine).serve(warnings)
    os._exit(0)


def _overlaid(options: dict[str, Any]) -> dict[str, Any]:
    """Options with which the drive stays as it is: there is more than one future."""
    return {**options, "snapshot": True} if options.get("drive") is not None else options


class CheckpointServer:
    """Serves `wire` with `machine`, under `target` where it has one."""

    def __init__(self, wire: Wire, machine: Machine, target: Target | None = None) -> None:
        self._wire = wire
        self._machine: Final = machine
        self._copies: list[int] = []  # processes that may have ended
        self._target: Final = target or Target(machine)
        target = self._target
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

    def serve(self, greeting: Value) -> None:
        """Say `greeting` and answer calls. Raises Hangup, which is the usual end, when the caller lets go."""
        self._answer(True, greeting)
        while True:
            (name, arguments), passenger = self._wire.receive()
            try:
                if passenger is not None:
                    result: Value = self._fork(passenger)
                else:
                    with Watchdog(self._wire, self._patience(name), lambda: self._machine.board.clock.now):
                        result = self._calls[name](*arguments)
            except Exception as error:  # any: it is raised again at the caller
                self._answer(False, serialized_exception.wrap(error))
            else:
                self._answer(True, result, moved=name in MOVES)

    def _patience(self, name: str) -> float:
        """In seconds of CPU time, for a call: one that moves the machine, and others may take long."""
        return PATIENCE_S[self._machine.board.engine.name] if name in (*MOVES, "scan") else LOOKING_S_MAX

    def _answer(self, done: bool, value: Value, *, moved: bool = False) -> None:
        target = self._target
        registers = target.registers(KERNEL) if moved else None
        state = (tuple(target.moment), target.current, target.take_output(), registers)
        self._wire.send((done, plain(value), state))

    # --- copies ---

    def _fork(self, passenger: socket.socket) -> int | str:
        """Make a copy; the parent returns its pid or why there is none, the copy 0, each to its own wire."""
        self._copies = [copy for copy in self._copies if not os.waitpid(copy, os.WNOHANG)[0]]
        try:
            pid = os.fork()
        except OSError as error:
            passenger.close()
            return error.strerror or str(error)
        if pid:
            self._copies.append(pid)
            passenger.close()
            return pid
        self._copies = []
        gc.freeze()  # a collection would write to every page that holds an object, and so copy it
        self._wire.close()
        self._wire = Wire(passenger)
        self._target.take_output()
        self._target.set_places(())
        self._target.catch(())
        return 0

    def _change(self, name: str, arguments: tuple[Any, ...]) -> tuple[bool, int]:
        """Change the machine; whether that was done, and how many changes have been."""
        return self._target.change(name, *arguments), self._target.input_log.done

    def _load(self, changes: Iterable[tuple[Any, ...]]) -> None:
        """Let these be all that is done to the machine from its power-on."""
        self._target.input_log.load(Change(Moment(*moment), *more) for moment, *more in changes)
        self._target.settle()

    def _page_sums(self) -> bytes:
        """A checksum of each page of RAM, 4 bytes each."""
        data = self._machine.board.ram.bytes
        sums = (zlib.crc32(data[at : at + PAGE_SIZE]) for at in range(0, len(data), PAGE_SIZE))
        return array("I", sums).tobytes()

    # --- running ---

    def _run(self, limit: Value, patience_s: float, heeds_end: bool = False) -> Stopped:
        """Resume, for not much more than `patience_s` of wall time."""
        self._have_patience(patience_s)
        self._target.heeds_end = heeds_end
        return _sliced(self._target.resume(Moment(*limit) if isinstance(limit, tuple) else limit))

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
        counts if that is `inclusive`.
        """
        end = time.monotonic() + patience_s
        found, count = None, 0
        while True:
            stopped = self._run(limit, end - time.monotonic())
            if stopped.why not in ("place", "event"):
                return found, count, stopped
            at_limit = stopped.moment == limit
            if inclusive or not at_limit or stopped.since is not None:  # the access was before the limit
                found, count = stopped, count + 1
            if at_limit or count == stops_max:
                return found, count, stopped._replace(why="limit" if at_limit else "slice")


def _sliced(stopped: Stopped) -> Stopped:
    """In here nobody asks for a stop but patience."""
    return stopped._replace(why="slice") if stopped.why == "interrupt" else stopped


if __name__ == "__main__":
    main()
