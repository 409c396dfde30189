"""A guardian: a process that outlives its command by a moment, and sees to it that it ends.

Forked by shutdown.py before anything is loaded.  What a handler in Python can do, it does (signals.py), but
none runs while Python itself is in a long call: a kernel that somebody works on may sum up a range without
end.  The interpreter notes each signal even then, in a pipe, whose other end is here:

    command -> guardian     the number of each signal, at once        guardian -> command   the same, to
                            ANSWER: Python has handled one                                  end its waiting
                            GOING: this command ends now
                            BYE: it has ended in good order

A command that does not end in time after a signal, or that does not answer its own ticks, is killed.  One
that has ended without a word, however it came to that, has its terminal set as it was.
"""

import array
import fcntl
import os
import select
import signal
import termios
import time
from contextlib import suppress
from typing import Any, Final

ANSWER: Final = 0x80
GOING: Final = 0x81
BYE: Final = 0x82
END_S_MAX: Final = 0.9  # of wall time, from a signal to the end
DEAF_TICKS: Final = 4  # ticks without an answer, after which the terminal is looked at here
DEAD_TICKS: Final = 40  # and after which nobody waits any longer: 10 s
INTERRUPTS: Final = 2  # C-c without an answer
IGNORED: Final = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTTOU,
)  # fmt: skip
QUIT: Final = (b"\x03\x03", b"\x01x", b"\x01X")  # keys that end a machine which does not take keys
TERMINAL: Final = 0

_current: "Guardian | None" = None


class Guardian:
    """The guardian of this process: `fd` is for the numbers of signals, and at `wake_fd` they come back."""

    def __init__(self, pid: int, fd: int, wake_fd: int) -> None:
        self._pid: Final = pid
        self._owner: Final = os.getpid()
        self.fd: Final = fd
        self.wake_fd: Final = wake_fd

    def tell(self, word: int) -> None:
        """Send a word; a guardian that somebody has killed is no reason to fail."""
        if os.getpid() == self._owner:  # and not a copy, a checkpoint say
            with suppress(OSError):
                os.write(self.fd, bytes((word,)))

    def dismiss(self) -> None:
        """This command has ended in good order."""
        global _current
        if os.getpid() != self._owner:
            return
        _current = None
        self.tell(BYE)
        for fd in (self.fd, self.wake_fd):
            os.close(fd)
        with suppress(OSError):
            os.waitpid(self._pid, 0)


def current() -> Guardian | None:
    """That of this process, if it has one."""
    return _current


def start() -> Guardian | None:
    """Have one from now on; None where the host has no process for it, and the command does without."""
    global _current
    told_r, told_w = os.pipe()
    wake_r, wake_w = os.pipe()
    for fd in (told_w, wake_r, wake_w):
        os.set_blocking(fd, False)
    owner = os.getpid()
    try:
        pid = os.fork()
    except OSError:
        for fd in (told_r, told_w, wake_r, wake_w):
            os.close(fd)
        return None
    if not pid:
        try:
            _keep(told_r, wake_w)
            _Watch(owner, told_r, wake_w).run()
        finally:
            os._exit(0)
    os.close(told_r)
    os.close(wake_w)
    _current = Guardian(pid, told_w, wake_r)
    return _current


# --- in the guardian's process ---


def _keep(*fds: int) -> None:
    """Let go of signals and of all files but these and the terminal: others wait for the files' ends."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    kept = sorted({TERMINAL, *fds} if os.isatty(TERMINAL) else fds)
    low = 0
    for fd in kept:
        if low < fd:  # closerange(0, 0) closes all that there is
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX") if low > 1 << 16 else 1 << 16)


class _Watch:
    """Over process `pid`, which tells of itself at `told`; what comes at `wake` ends its waiting."""

    def __init__(self, pid: int, told: int, wake: int) -> None:
        self._pid: Final = pid
        self._told: Final = told
        self._wake: Final = wake
        self._terminal: list[Any] | None = None
        with suppress(termios.error):
            self._terminal = termios.tcgetattr(TERMINAL)
        self._end_s: float | None = None
        self._ticks = 0  # without an answer
        self._interrupts = 0

    def run(self) -> None:
        """Watch until the process has ended."""
        while True:
            seconds = None if self._end_s is None else max(0.0, self._end_s - time.monotonic())
            if not select.select([self._told], [], [], seconds)[0] or self._is_dead():
                self._kill()
            data = os.read(self._told, 256)
            if BYE in data:
                return
            if not data:
                self._restore()
                return
            for word in data:
                self._take(word)

    def _take(self, word: int) -> None:
        if word == ANSWER:
            self._ticks = self._interrupts = 0
            return
        if word == signal.SIGALRM:
            self._ticks += 1
        elif word == signal.SIGINT:
            self._interrupts += 1
        if word in (GOING, signal.SIGTERM, signal.SIGHUP) or self._interrupts == INTERRUPTS:
            self._end_s = self._end_s or time.monotonic() + END_S_MAX
        if word != GOING:
            with suppress(OSError):
                os.write(self._wake, bytes((word,)))

    def _is_dead(self) -> bool:
        """Whether Python does not come back in the process, and nobody waits for it."""
        if self._ticks >= DEAD_TICKS:
            return True
        return self._ticks >= DEAF_TICKS and self._terminal is not None and self._is_asked()

    def _is_asked(self) -> bool:
        """Whether the person at the terminal has had enough."""
        count = array.array("i", [0])
        try:
            fcntl.ioctl(TERMINAL, termios.FIONREAD, count)
            keys = os.read(TERMINAL, count[0]) if count[0] >= min(map(len, QUIT)) else b""
        except OSError:
            return False
        return any(one in keys for one in QUIT)

    def _kill(self) -> None:
        """End the process; how its terminal was is known now, and not when its session has gone with it."""
        self._restore()
        if os.getppid() == self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._end_s, self._ticks = None, 0

    def _restore(self) -> None:
        """Set the terminal as it was, unless it is somebody else's by now."""
        with suppress(OSError, termios.error):
            if self._terminal is not None and os.tcgetpgrp(TERMINAL) == os.getpgrp():
                termios.tcsetattr(TERMINAL, termios.TCSANOW, self._terminal)
