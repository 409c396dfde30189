"""The input log: what was done to a machine from outside, each change with its moment.

A run is determined by its beginning and by this: the same machine with the same changes at the same moments
makes the same run, to the instruction.  Timelines and replays rely on that.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, NamedTuple

from emu.events import NEVER
from orrery.timetravel.moment import Moment


class ReplayDiverged(Exception):
    """The run does not pass the moment of a change: the log is of another run."""


class ChangeKind(StrEnum):
    """What can be done to a machine from outside; `end` marks where a recording ends, and does nothing."""

    SET_REGISTER = "set_register"
    WRITE = "write"
    WRITE_PHYSICAL = "write_physical"
    KILL = "kill"
    TYPE = "type"
    END = "end"

    __repr__ = str.__repr__  # a user who prints one sees the text


class Change(NamedTuple):
    """Something that was done to a machine: the method of Target by its name, and its arguments.

    The moment is the one before it was done.
    """

    moment: Moment
    name: ChangeKind
    arguments: tuple[Any, ...]


class InputLog:
    """Changes in order, of which the first `done` have been applied to this machine."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self._changes: Final = list(changes)
        self.done = 0
        self.ended = False  # the machine has come to the end of what was recorded

    @property
    def next(self) -> Change | None:
        """The one that is to be done next."""
        return self._changes[self.done] if self.done < len(self._changes) else None

    @property
    def next_ticks(self) -> int:
        """When that is to be done; NEVER if none is left."""
        return self._changes[self.done].moment.ticks if self.done < len(self._changes) else NEVER

    @property
    def last(self) -> Change | None:
        """The one that was done last."""
        return self._changes[self.done - 1] if self.done else None

    def record(self, change: Change) -> None:
        """`change` was applied now: a new future begins, and the changes that were to come are dropped."""
        del self._changes[self.done :]
        self._changes.append(change)
        self.done += 1

    def assume(self, changes: Iterable[Change]) -> None:
        """Let `changes`, all of which have been done, be all that there are."""
        self._changes[:] = changes
        self.done = len(self._changes)

    def load(self, changes: Iterable[Change]) -> None:
        """Let `changes` be all that is done from power-on; those that were done must be their first."""
        self._changes[self.done :] = list(changes)[self.done :]

    def changes(self) -> tuple[Change, ...]:
        """All of them."""
        return tuple(self._changes)
