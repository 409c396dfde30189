"""The hatchery: processes in which machines are booted once and forked for each that asks.

Started by machine_pool.py as `python -m orrery.pool.fork_server FD`, so that it has one thread whatever its
caller has: a fork of a process with threads deadlocks sooner or later.  Three generations, each serving one
wire:

    hatchery    has loaded everything      for each recipe    forks a parent
    parent      has a machine, booted      for each request   forks a child
    child       has a copy of it           for each call      answers (worker.py)

A process closes what it has of the wire of the generation above it, and ends when its own hangs up; so when
the caller goes, all go.  What a parent cannot do (a kernel that does not load, an image that is none) it
tells to each who asks it for a child, so that everyone gets the one clear answer.
"""

import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from orrery.errors import CannotBoot, CannotGoOn
from orrery.pool import serialized_exception
from orrery.pool.channel import PROTOCOL, Hangup, Value, Wire
from orrery.pool.recipe import Recipe
from orrery.pool.watchdog import Watchdog
from toolchain.paths import in_tree

if TYPE_CHECKING:
    from orrery.pool.booted_machine import BootedMachine

NO_STATE: Final = (0, 0, b"", (), ())  # of a machine that is not there; see worker.py


def main() -> None:
    """The hatchery: forks a parent for each recipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the caller, who hangs up if it means the end
    faulthandler.enable()  # if the engine crashes, it is said where
    wire = Wire(socket.socket(fileno=int(sys.argv[1])))
    failure = _load(wire)
    _fork_for_each(wire, lambda own, recipe: _parent(own, Recipe.unpacked(recipe), failure))


def _load(wire: Wire) -> Exception | None:
    """Load what machines need; what broke, if something did: somebody works on these files."""
    try:
        with Watchdog(wire):
            import orrery.pool.worker  # noqa: F401
    except (Exception, SystemExit) as error:
        return _cannot_boot("the kernel cannot be loaded", error)
    return None


def _cannot_boot(what: str, error: BaseException) -> CannotBoot:
    """`error` in one line with its place, and the traceback as a note."""
    if isinstance(error, SyntaxError):
        filename, line, reason = error.filename or "?", error.lineno, error.msg
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        filename, line, reason = frame.filename, frame.lineno, str(error)
    failure = CannotBoot(f"{what}: {type(error).__name__}: {reason} ({in_tree(filename)}, line {line})")
    failure.add_note("".join(traceback.format_exception(error)).rstrip())
    return failure


# --- generations ---


def _parent(wire: Wire, recipe: Recipe, failure: Exception | None) -> None:
    """A parent: boots a machine and forks a child for each request, which is the child's limit of time."""
    warnings: list[str] = []
    machine = None
    if failure is None:
        try:
            machine = _boot(recipe, wire, warnings)
        except Exception as error:  # any: it is told to everybody who asks
            failure = error

    def child(own: Wire, limit_s: float | None) -> None:
        if machine is None:
            assert failure is not None, "there is a machine, or a reason why there is none"
            _refuse(own, failure)
            return
        from orrery.pool.worker import Attendant

        machine.limit(limit_s)
        Attendant(own, machine).serve((PROTOCOL, warnings))

    _fork_for_each(wire, child)


def _boot(recipe: Recipe, wire: Wire, warnings: list[str]) -> "BootedMachine":
    """A machine by `recipe`, booted. What it raises has a name that the caller knows."""
    from orrery.pool import worker

    try:
        return worker.boot(recipe, wire, warnings)
    except Exception as error:
        if serialized_exception.name_of(error) is not None:
            raise
        raise _cannot_boot("the machine cannot be made", error) from error


def _fork_for_each(wire: Wire, live: Callable[[Wire, Value], None]) -> None:
    """Fork for each request on `wire`; live(wire of its own, request) is all that the fork does.

    Returns when `wire` has been hung up.
    """
    assert threading.active_count() == 1, "a fork has only one of the threads, and the locks of all"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks: they are to leave no zombies
    gc.collect()
    gc.freeze()  # a collection in a fork would write to every page that holds an object, and so copy it
    while True:
        try:
            request, passenger = wire.receive()
        except Hangup:
            return
        assert passenger is not None, "who asks for a fork sends a socket for it"
        own = Wire(passenger)
        try:
            pid = os.fork()
        except OSError as error:
            _refuse(own, CannotGoOn(f"no process for another machine: {error.strerror}; end some processes"))
        else:
            if pid == 0:
                wire.close()
                _live(live, own, request)
        own.close()


def _live(live: Callable[[Wire, Value], None], own: Wire, request: Value) -> NoReturn:
    """The life of a fork; it must never return into the life of the process that it is a copy of."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the compiler's exit status is wanted
        with suppress(Hangup):
            live(own, request)
        status = 0
    except BaseException:
        traceback.print_exc()  # the caller shows it
    finally:
        os._exit(status)


def _refuse(own: Wire, error: Exception) -> None:
    """Tell who waits for a machine at the other end of `own` why it does not come."""
    with suppress(Hangup):
        own.answer((False, serialized_exception.wrap(error), NO_STATE))


if __name__ == "__main__":
    main()
