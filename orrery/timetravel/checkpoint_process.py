"""Forking a checkpoint process off a session's own process.

Under the gdb server the machine runs in the session's process, with its console and its sockets.  Its
checkpoints are forks of that process (gdb/session_past.py), so that the run need not be made again.  A fork
closes all that belongs to the session, and from then on runs checkpoint_server.py.
"""

import gc
import os
import signal
import socket
import stat
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from orrery.pool.channel import Channel, Hangup, wait_for_call
from orrery.timetravel.checkpoint_proxy import CheckpointProxy, NoRoom
from orrery.timetravel.checkpoint_server import CheckpointServer
from orrery.timetravel.input_log import Change
from orrery.timetravel.target import Target

if TYPE_CHECKING:
    from orrery.machine.machine import Machine


def can_fork() -> bool:
    """Whether this process can be forked: it has no threads, of which the fork would have but one."""
    return threading.active_count() == 1


def fork(machine: "Machine", target: Target, done: Iterable[Change]) -> CheckpointProxy:
    """A checkpoint process of `machine`, whose input so far was `done`; raises NoRoom."""
    channel, far = Channel.pair()
    with far:
        try:
            pid = os.fork()
        except OSError as error:
            raise NoRoom(error.strerror) from error
        if not pid:
            _serve(far, machine, target, done)
    checkpoint = CheckpointProxy(channel, pid)
    checkpoint.moment, checkpoint.current = target.moment, target.current
    return checkpoint


def _serve(far: socket.socket, machine: "Machine", target: Target, done: Iterable[Change]) -> None:
    """Serve as a checkpoint process until the caller hangs up; never returns."""
    try:
        _leave_session(far.fileno())
        if not wait_for_call(far):
            return
        gc.freeze()  # a collection would write to every page that holds an object, and so copy it
        target.leave_session()
        machine.keyboard.on_type.clear()
        machine.front = target
        target.input_log.assume(done)
        with suppress(Hangup):
            CheckpointServer(Channel(far), machine, target).serve(0)
    finally:
        os._exit(0)


def _leave_session(kept: int) -> None:
    """Close what is the session's: signals, the terminal, all sockets but one, so that hang-ups are seen."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the session
    for ending in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(ending, signal.SIG_DFL)
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # the one of this list has been closed
            if int(name) != kept and stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                os.close(int(name))
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(null, number)
    os.close(null)
