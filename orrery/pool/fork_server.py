"""The fork server: processes in which machines are booted once and forked for each that asks.

Started by machine_pool.py as `python -m orrery.pool.fork_server FD`, so that it has one thread whatever its
caller has: a fork of a process with threads deadlocks sooner or later.  Three generations, each serving one
channel:

    fork server    has loaded everything      for each recipe     forks a parent
    parent         has a machine, booted      for each request    forks a child
    child          has a copy of it           for each call       answers (machine_worker.py)

A process closes what it has of the channel of the generation above it, and ends when its own hangs up; so
when the caller goes, all go.  What a parent cannot do (a kernel that does not load, an image that is none) it
tells to each who asks it for a child, so that everyone gets the one clear answer.
"""

import os
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from orrery.errors import CannotBoot, CannotGoOn
from orrery.pool import serialized_exception
from orrery.pool.channel import PROTOCOL, Channel, Hangup, Value
from orrery.pool.recipe import Recipe
from orrery.pool.watchdog import Watchdog
from orrery.pool.worker import channel_of_process, freeze
from toolchain.paths import in_tree

if TYPE_CHECKING:
    from orrery.pool.booted_machine import BootedMachine

NO_STATE: Final = (0, 0, b"", (), ())  # of a machine that is not there; see machine_worker.py


def main() -> None:
    """The fork server: forks a parent for each recipe."""
    channel = channel_of_process()
    failure = _load(channel)
    _fork_for_each(channel, lambda own, recipe: _parent(own, Recipe.unpacked(recipe), failure))


def _load(channel: Channel) -> Exception | None:
    """Load what machines need; what broke, if something did: somebody works on these files."""
    try:
        with Watchdog(channel):
            import orrery.pool.machine_worker  # noqa: F401
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


def _parent(channel: Channel, recipe: Recipe, failure: Exception | None) -> None:
    """A parent: boots a machine and forks a child for each request, which is the child's limit of time."""
    warnings: list[str] = []
    machine = None
    if failure is None:
        try:
            machine = _boot(recipe, channel, warnings)
        except Exception as error:  # any: it is told to everybody who asks
            failure = error

    def child(own: Channel, limit_s: float | None) -> None:
        if machine is None:
            assert failure is not None, "there is a machine, or a reason why there is none"
            _refuse(own, failure)
            return
        from orrery.pool.machine_worker import MachineWorker

        machine.limit(limit_s)
        MachineWorker(own, machine).serve((PROTOCOL, warnings))

    _fork_for_each(channel, child)


def _boot(recipe: Recipe, channel: Channel, warnings: list[str]) -> "BootedMachine":
    """A machine by `recipe`, booted. What it raises has a name that the caller knows."""
    from orrery.pool import machine_worker

    try:
        return machine_worker.boot(recipe, channel, warnings)
    except Exception as error:
        if serialized_exception.name_of(error) is not None:
            raise
        raise _cannot_boot("the machine cannot be made", error) from error


def _fork_for_each(channel: Channel, live: Callable[[Channel, Value], None]) -> None:
    """Fork for each request on `channel`; live(channel of its own, request) is all that the fork does.

    Returns when `channel` has been hung up.
    """
    assert threading.active_count() == 1, "a fork has only one of the threads, and the locks of all"
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks: they are to leave no zombies
    freeze()
    while True:
        try:
            request, attached = channel.receive()
        except Hangup:
            return
        assert attached is not None, "who asks for a fork sends a socket for it"
        own = Channel(attached)
        try:
            pid = os.fork()
        except OSError as error:
            _refuse(own, CannotGoOn(f"no process for another machine: {error.strerror}; end some processes"))
        else:
            if pid == 0:
                channel.close()
                _live(live, own, request)
        own.close()


def _live(live: Callable[[Channel, Value], None], own: Channel, request: Value) -> NoReturn:
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


def _refuse(own: Channel, error: Exception) -> None:
    """Tell who waits for a machine at the other end of `own` why it does not come."""
    with suppress(Hangup):
        own.answer((False, serialized_exception.wrap(error), NO_STATE))


if __name__ == "__main__":
    main()
