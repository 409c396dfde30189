"""Time commands: they take a machine to another moment of its run, behind `monitor`.

    goto TIME          next EVENT         checkpoint       when
    goto start, end    last EVENT         checkpoints      restart N

Used by the built-in debugger and by the gdb server, over a ReversibleTarget.  Each answers in a line or two:
what happened, and where the machine is now.  Other lines are the console monitor's.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from emu.clock import TICKS_PER_S
from emu.ram import RAM_BASE
from kernel.abi.memlayout import MAXVA, PGMASK, PGSHIFT, PGSIZE
from orrery.command import BadCommand, Command, named, number
from orrery.errors import CannotGoOn
from orrery.machine import events
from orrery.machine.events import EventKind
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import ALL, Place
from orrery.timetravel.stops import StopKind, Stopped
from orrery.timetravel.target import ProcessInfo

TIME: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>s|ms|us|ns|)$")
UNITS_PER_S: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
TICKS_MAX: Final = 1 << 62
WRITE: Final = "write"
WATCHED_BYTES_MAX: Final = 1 << 16
POKED_BYTES_MAX: Final = 256
NONE: Final = {
    StopKind.BEGIN: "none behind this: the machine is where it was switched on",
    StopKind.ASLEEP: "none ahead: all processes wait, and nothing will happen by itself",
    StopKind.EXIT: "none ahead: the machine is switched off, with status {0.status}",
    StopKind.PANIC: "none ahead: the kernel has panicked: {0.detail}",
    StopKind.END: "none ahead: the recording ends here",
    StopKind.LIMIT: "none ahead: the time of this run is over",
    StopKind.INTERRUPT: "interrupted, before one was found",
}
ENDS: Final = {
    StopKind.ASLEEP: "there is no more: all processes wait, and nothing will happen by itself",
    StopKind.EXIT: "there is no more: the machine is switched off, with status {0.status}",
    StopKind.PANIC: "there is no more: the kernel has panicked: {0.detail}",
    StopKind.END: "there is no more: the recording ends here",
    StopKind.INTERRUPT: "interrupted, on the way",
}


class ReversibleTarget(Protocol):
    """A machine with a past: a Timeline, or gdb's TimelineSession; it stands still while this is called."""

    @property
    def moment(self) -> Moment: ...

    @property
    def newest(self) -> Moment: ...

    def processes(self) -> tuple[ProcessInfo, ...]: ...

    def monitor(self, line: str) -> str: ...

    def read_physical(self, pa: int, n: int) -> bytes: ...

    def write_physical(self, pa: int, data: bytes) -> bool: ...

    def goto(self, goal: Moment | int) -> Stopped: ...

    def run_until(self, event: str | Place, *, backwards: bool = False) -> Stopped: ...


TimeCommand: TypeAlias = Callable[["TimeCommands", list[str]], str]
"""Carries out a command with its arguments, and gives the answer."""


class TimeCommands:
    """On `target`. `moments` are those with a number; `moved` is the stop to which the last line has led, if
    it moved the machine.
    """

    def __init__(self, target: ReversibleTarget, moments: list[Moment]) -> None:
        self._target: Final = target
        self._moments: Final = moments
        self.moved: Stopped | None = None

    def execute(self, line: str) -> str | None:
        """Carry out `line`; the answer, or None where it is not of these."""
        self.moved = None
        name, *words = line.split() or [""]
        command = named(TIME_COMMANDS, name)
        if command is None:
            return None
        try:
            return command.run(self, words)
        except (BadCommand, CannotGoOn) as error:
            return f"{error}\n"

    # --- going ---

    def goto(self, words: list[str]) -> str:
        return self._arrive(self._target.goto(goal_of(self._target, " ".join(words))))

    def _arrive(self, stopped: Stopped) -> str:
        self.moved = stopped
        said = f"{ENDS[stopped.why].format(stopped)}\n" if stopped.why in ENDS else ""
        return said + self._target.monitor("where")

    def next(self, words: list[str]) -> str:
        return self._search(words, backwards=False)

    def last(self, words: list[str]) -> str:
        return self._search(words, backwards=True)

    def _search(self, words: list[str], *, backwards: bool) -> str:
        event = self._event(words, backwards)
        stopped = self._target.run_until(event, backwards=backwards)
        self.moved = stopped
        what = " ".join(words)
        said = NONE[stopped.why].format(stopped) if stopped.why in NONE else _happened(stopped)
        return f"{what}: {said}\n{self._target.monitor('where')}"

    def _event(self, words: list[str], backwards: bool) -> str | Place:
        if words[:1] == [WRITE]:
            return self._place(words[1:], backwards)
        try:
            found = events.named(words)
        except ValueError as error:
            raise BadCommand(f"{error}, {WRITE}") from None
        if len(found) != 1:
            raise BadCommand(f"give one event: {', '.join(events.KINDS)}, {WRITE}")
        kind, _, frame = found[0].partition(":")
        if kind == EventKind.FREE and frame and not self._target.read_physical(int(frame, 16) << PGSHIFT, 1):
            raise BadCommand(f"{words[1]}: no such page frame: there is no RAM")
        return found[0]

    def _place(self, words: list[str], backwards: bool) -> Place:
        place = place_of(words)
        lives = any(one.pid == place.pid for one in self._target.processes())
        if place.pid != ALL and not lives and not backwards:
            raise BadCommand(f"{place.pid}: no such process at this moment; `ps` lists them")
        return place

    # --- moments ---

    def when(self, words: list[str]) -> str:
        _none(words, "when")
        return f"{time_text(self._target.moment)}\n"

    def checkpoint(self, words: list[str]) -> str:
        _none(words, "checkpoint")
        return f"checkpoint {mark(self._moments, self._target.moment)}\n"

    def checkpoints(self, words: list[str]) -> str:
        _none(words, "checkpoints")
        return marks_text(self._moments) or "no checkpoints; `checkpoint` makes one\n"

    def restart(self, words: list[str]) -> str:
        goal = marked(self._moments, words[0]) if len(words) == 1 else None
        if goal is None:
            named = f"no checkpoint {words[0]}" if words else "restart which checkpoint?"
            raise BadCommand(f"{named}; `checkpoints` lists them")
        stopped = self._target.goto(goal)
        if stopped.why != StopKind.INTERRUPT and self._target.moment != goal:
            return (
                f"what was done to the machine has made it another: it is near there\n{self._arrive(stopped)}"
            )
        return self._arrive(stopped)

    # --- changing ---

    def poke(self, words: list[str]) -> str:
        if len(words) != 2:
            raise BadCommand("write poke ADDR HEX, as in poke 0x87000000 00ff")
        pa = number(words[0], "a physical address")
        try:
            data = bytes.fromhex(words[1])
        except ValueError:
            raise BadCommand(f"{words[1]}: give the bytes as pairs of hexadecimal digits") from None
        if not 0 < len(data) <= POKED_BYTES_MAX:
            raise BadCommand(f"{len(data)} bytes: give from 1 to {POKED_BYTES_MAX}")
        if not self._target.write_physical(pa, data):
            raise BadCommand(
                f"{pa:#x}: nothing was stored: no RAM is there, or the session has gone on from this moment"
            )
        return f"{len(data)} bytes stored at {pa:#x}\n"


TIME_COMMANDS: Final[tuple[Command[TimeCommand], ...]] = (
    Command(
        "goto", "TIME", "to a time: ticks, or as in 1.5s, 20ms; start; end, which is the newest moment",
        TimeCommands.goto,
    ),
    Command(
        "next", "EVENT", "to where it happens next: EVENT is fork, exec, exit, fault, crash, switch, end,",
        TimeCommands.next,
    ),
    Command(
        "last", "EVENT", "to where it happened last: syscall [NAME], free [FRAME], write PID ADDR [SIZE]",
        TimeCommands.last,
    ),
    Command("when", "", "the time of this moment", TimeCommands.when),
    Command("checkpoint", "", "give this moment a number", TimeCommands.checkpoint),
    Command("checkpoints", "", "the moments that have one", TimeCommands.checkpoints),
    Command("restart", "N", "to one of them", TimeCommands.restart),
    Command(
        "poke", "ADDR HEX", "store bytes at a physical address: another future begins", TimeCommands.poke
    ),
)  # fmt: skip


def help_text(console: str, more: Sequence[Command[Any]] = ()) -> str:
    """All commands, a line for each: these, `more`, and what else `console` has, the console's help."""
    rows = [(one.usage, one.about) for one in (*TIME_COMMANDS, *more)]
    names = {usage.split()[0] for usage, _ in rows}
    for line in console.splitlines()[:-1]:  # the last one is about the terminal
        usage, about = re.split(" {2,}", line, maxsplit=1)
        if usage.split()[0] not in names:
            rows.append((usage, about))
    width = max(len(usage) for usage, _ in rows)
    return "".join(f"{usage:<{width}}  {about}\n" for usage, about in rows)


def goal_of(target: ReversibleTarget, text: str) -> Moment | int:
    """Where `goto` is to go: a time, or the newest moment; raises BadCommand."""
    return target.newest if text == "end" else ticks_of(text)


def mark(moments: list[Moment], moment: Moment) -> str:
    """Give `moment` the next number; that number and its time."""
    moments.append(moment)
    return f"{len(moments)} at {time_text(moment)}"


def marked(moments: Sequence[Moment], word: str) -> Moment | None:
    """The moment of this number, or None; raises BadCommand for what is no number."""
    index = number(word, "the number of a checkpoint")
    return moments[index - 1] if 0 < index <= len(moments) else None


def marks_text(moments: Sequence[Moment]) -> str:
    """The moments that have a number, a line for each."""
    return "".join(f"{i:<4} {time_text(one)}, pc {one.pc:#x}\n" for i, one in enumerate(moments, 1))


def ticks_of(text: str) -> int:
    """The time that a user means; raises BadCommand."""
    if text == "start":
        return 0
    if not text:
        raise BadCommand("goto where? Give ticks, a time as 1.5s or 20ms, start or end")
    found = TIME.match(text)
    if found is None:
        raise BadCommand(f"{text!r} is no time; give ticks, as `when` does, or a unit: goto 1.5s")
    digits, unit = found["number"], found["unit"]
    if not unit and "." in digits:
        raise BadCommand(f"{text!r}: ticks are whole; or give a unit: goto {digits}s")
    whole, _, rest = digits.partition(".")
    ticks = int(whole + rest) * TICKS_PER_S // 10 ** len(rest) // UNITS_PER_S[unit] if unit else int(whole)
    if ticks > TICKS_MAX:
        raise BadCommand(f"{text}: no machine runs so long")
    return ticks


def place_of(words: list[str]) -> Place:
    """The place that a user wants to see written, by `PID ADDR [SIZE]`; raises BadCommand."""
    if not 2 <= len(words) <= 3:
        raise BadCommand(f"{WRITE} takes PID ADDR [SIZE]; without SIZE it is the page of that address")
    pid, va = number(words[0], "the number of a process"), number(words[1], "an address")
    size = number(words[2], "a number of bytes") if len(words) == 3 else PGSIZE
    if len(words) == 2:
        va &= ~PGMASK
    if not 0 < size <= WATCHED_BYTES_MAX:
        raise BadCommand(f"{size} bytes: give from 1 to {WATCHED_BYTES_MAX}")
    if va + size > MAXVA:
        raise BadCommand(f"{va:#x}: no virtual address; they are below {MAXVA:#x}")
    if pid == ALL and va < RAM_BASE:
        raise BadCommand(f"{va:#x}: no address of the kernel's; give the number of a process for its own")
    return Place(pid, va, size, "w")


def time_text(moment: Moment) -> str:
    """Seconds and ticks."""
    return f"{moment.ticks / TICKS_PER_S:.9f} s, tick {moment.ticks}"


def _happened(stopped: Stopped) -> str:
    """What was looked for, in words."""
    if stopped.why == StopKind.EVENT:
        return stopped.detail.partition(" ")[2]
    at = f"the instruction at {stopped.since.pc:#x}" if stopped.since is not None else "an instruction"
    return f"{stopped.va:#x} is written by {stopped.detail or at}"


def _none(words: list[str], name: str) -> None:
    if words:
        raise BadCommand(f"{name} takes no arguments")
