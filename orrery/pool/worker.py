"""A worker: a process that carries out calls for a caller at the other end of a channel, and forks itself.

The base of the two kinds of process that have a machine: those of the machine pool (machine_worker.py) and
those of a timeline (timetravel/checkpoint_server.py).  Both keep to one protocol:

    call      (name, arguments); to fork, with a socket for the copy's own channel
    answer    (whether it went well, result or serialized exception, the state of the machine)

The first answer of a process, and of each copy, comes without a call: it says that the process is there.  A
process ends when its channel is hung up, so when the caller goes, all go.  It has one thread, whatever its
caller has: a fork of a process with threads deadlocks sooner or later.
"""

import faulthandler
import gc
import os
import signal
import socket
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from orrery.pool import serialized_exception
from orrery.pool.channel import Channel, Value, wait_for_call


def command_line(module: str, far: socket.socket, *flags: str) -> list[str]:
    """The command that starts `module` with `far`, which it must inherit, for its channel.

    `flags` are more of Python's.
    """
    # -P: the tree is what PYTHONPATH says, not what lies in the current directory
    return [sys.executable, "-P", *flags, "-m", module, str(far.fileno())]


def environment_of(root: Path) -> dict[str, str]:
    """This process's environment, for one that imports from the source tree at `root`."""
    path = os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}


def channel_of_process() -> Channel:
    """The channel of a process that was started as `python -m MODULE FD`; called at its beginning."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the caller, who hangs up if it means the end
    faulthandler.enable()  # if the engine crashes, it is said where
    return Channel(socket.socket(fileno=int(sys.argv[1])))


def freeze() -> None:
    """Keep a later collection away from what there is: in a fork it would copy every page with an object."""
    gc.collect()
    gc.freeze()


FORK: Final = "fork"


class Worker(ABC):
    """Serves `channel`, which is another one in a copy."""

    copies_rest = False
    """Whether a copy says that it is there, and makes ready, only when it is called."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.attached: socket.socket | None = None  # what came with the last call
        self._copies: list[int] = []  # processes that may have ended

    @abstractmethod
    def call(self, name: str, arguments: tuple[Value, ...]) -> Value:
        """Carry out a call; what it raises is raised again at the caller."""

    @abstractmethod
    def answer(self, done: bool, value: Value, name: str = "") -> None:
        """Answer the call `name`: its result, or a serialized exception."""

    @abstractmethod
    def forked(self, pid: int) -> Value:
        """The answer to who asked for a copy, which is process `pid`; in the copy, with 0, its first one."""

    @abstractmethod
    def not_forked(self, error: OSError) -> Value:
        """The answer where the host gives no process; it may raise."""

    def serve(self, greeting: Value) -> None:
        """Say `greeting` and carry out calls; raises Hangup when the caller has gone, the usual end."""
        self.answer(True, greeting)
        while True:
            (name, arguments), attached = self.channel.receive()
            try:
                self.attached = attached
                result = self.call(name, arguments) if name != FORK else self.fork()
            except Exception as error:  # any: it is raised again at the caller
                self.answer(False, serialized_exception.wrap(error), name)
            else:
                self.answer(True, result, name)

    def fork(self) -> Value:
        """Make a copy of this process, which serves `attached`. Both return, each with its answer."""
        attached, self.attached = self.attached, None
        assert attached is not None, "to fork, there is a socket for the copy"
        self._copies = [copy for copy in self._copies if not os.waitpid(copy, os.WNOHANG)[0]]
        try:
            pid = os.fork()
        except OSError as error:
            attached.close()
            return self.not_forked(error)
        if pid:
            self._copies.append(pid)
            attached.close()
        else:
            self.channel.close()
            if self.copies_rest and not wait_for_call(attached):
                os._exit(0)
            gc.freeze()  # not collected before: that would touch what is still shared
            self._copies = []
            self.channel = Channel(attached)
        return self.forked(pid)
