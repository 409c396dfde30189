"""Processes as gdb knows them: inferiors with one thread each, and the kernel as one more.

An inferior has its process's number, and so has its thread: p5.5.  The kernel without a process (the
scheduler, the idle loop) is an inferior once gdb has seen the hart there; its number is one that no process
reaches. gdb is not told again of what it has detached.

A gdb that finds a new inferior in the list of threads takes it for the one that has stopped.  So the list
has only those that gdb was told of; the others are reported by an event each (stop_replies.py).
"""

import re
from functools import lru_cache
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from kernel.abi.ps import STATE_NAMES, ZOMBIE
from orrery.gdb.errors import EINVAL, ESRCH, Refused, number
from orrery.gdb.timeline_session import TimelineSession
from orrery.timetravel.target import KERNEL
from toolchain.names import shown

KERNEL_ID: Final = 1_000_000_000
ALL: Final = -1
ANY: Final = 0
NO_CHARACTERS: Final = re.compile("[\ufffe\uffff]")  # of XML, besides those that have an escape anyway


class Inferiors:
    """The processes of `session`, for one client. `multi`: that knows of several inferiors."""

    def __init__(self, session: TimelineSession) -> None:
        self._session: Final = session
        self.multi = False
        self.known: Final[set[int]] = set()  # pids that the client was told of
        self.half_known: Final[set[int]] = set()  # told of when it came
        self.detached: Final[set[int]] = set()
        self.chosen: int | None = None  # what packets without a thread are about; None: the current process

    # --- names ---

    def current(self) -> int:
        """The process that the hart works for, or KERNEL."""
        return self._session.current

    def subject(self) -> int:
        """The process that packets which name none are about."""
        return self.current() if self.chosen is None else self.chosen

    def meet_all(self, first: int) -> None:
        """The client has come, and learns of all that there are; all about `first` only."""
        strangers = [pid for pid in self._strangers() if pid != first]
        self.known.update(strangers)
        self.half_known.update(strangers)

    def to_introduce(self) -> list[int]:
        """Processes that the client does not know of, or only half."""
        return [*self._strangers(), *sorted(self.half_known - self.detached)]

    def _strangers(self) -> list[int]:
        told = self.known | self.detached
        strangers = [pid for pid in self._session.pids() if pid not in told]
        if strangers:
            zombie = STATE_NAMES[ZOMBIE]  # gdb knows of its end, or will not hear of it
            processes = self._session.processes()
            ended = {one.pid for one in processes if one.state == zombie and not one.current}
            strangers = [pid for pid in strangers if pid not in ended]
        if self.current() == KERNEL and KERNEL not in told:
            strangers.append(KERNEL)
        return strangers

    def listed(self) -> list[int]:
        """All pids that the client knows of, those of processes that have ended meanwhile among them."""
        return sorted(self.known - self.detached)

    def name(self, pid: int) -> str:
        """What a user calls it; raises Refused."""
        if pid == KERNEL:
            return "kernel"
        return next((_printable(one.name) for one in self._session.processes() if one.pid == pid), "ended")

    def state(self, pid: int) -> str:
        """In words."""
        if pid == KERNEL:
            return "the scheduler"
        one = next((one for one in self._session.processes() if one.pid == pid), None)
        if one is None:
            return "ended"
        return f"{one.state}, the hart works for it" if one.current else one.state

    # --- thread-ids, as packets have them ---

    def thread(self, pid: int) -> str:
        """The thread-id of a process."""
        shown = self.shown(pid)
        return f"p{shown:x}.{shown:x}" if self.multi else f"{shown:x}"

    def shown(self, pid: int) -> int:
        """The number of a process's inferior."""
        return KERNEL_ID if pid == KERNEL else pid

    def pid(self, thread: bytes) -> int:
        """The process of a thread-id; ALL or the current one for those that name none; raises Refused."""
        pid = _told(thread)
        return self.current() if pid is None else pid

    def inferior(self, text: bytes) -> int:
        """The process of a number alone."""
        shown = number(text)
        if shown == ANY:
            raise Refused(EINVAL)
        return KERNEL if shown == KERNEL_ID else shown

    def has(self, pid: int) -> bool:
        """Whether there is this process."""
        return pid == KERNEL or pid in self._session.pids()

    # --- the list ---

    def threads_xml(self) -> bytes:
        """All threads, for qXfer:threads:read."""
        lines = (
            f'<thread id="{self.thread(pid)}" core="0" name={quoteattr(self.name(pid))}>'
            f"{escape(self.state(pid))}</thread>\n"
            for pid in self.listed()
        )
        return f'<?xml version="1.0"?>\n<threads>\n{"".join(lines)}</threads>\n'.encode()


def _printable(name: str) -> str:
    """A name that a guest has chosen, with escapes for what no line and no XML can have."""
    return NO_CHARACTERS.sub(lambda found: f"\\u{ord(found[0]):04x}", shown(name))


@lru_cache(maxsize=32)  # each step names one
def _told(thread: bytes) -> int | None:
    """The process of a thread-id, ALL, or None for any; raises Refused."""
    process, _, part = thread[1:].partition(b".") if thread[:1] == b"p" else (thread, b"", b"")
    if process == b"-1":
        return ALL
    shown = number(process)
    if part not in (b"", b"-1") and number(part) not in (ANY, shown):
        raise Refused(ESRCH)
    if shown == ANY:
        return None
    return KERNEL if shown == KERNEL_ID else shown
