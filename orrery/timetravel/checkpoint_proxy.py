"""A checkpoint process as its timeline sees it: the near end of the channel.

checkpoint_server.py is at the other end.  A checkpoint process stands still unless it is asked to run, so
its moment is that of its last answer; the timeline's cursor is the one that is asked.
"""

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from orrery.errors import CannotGoOn
from orrery.machine.debugpy_support import unfollowed
from orrery.pool import serialized_exception
from orrery.pool.channel import Channel, Hangup, Value, plain
from orrery.pool.worker import command_line, environment_of
from orrery.timetravel.moment import Moment
from orrery.timetravel.place import Place
from orrery.timetravel.stops import Stopped
from toolchain.paths import ROOT

END_S_MAX: Final = 0.5  # of wall time, which the first process gets to end by itself
PSS: Final = "Pss:"  # memory of a process, pages that it shares divided by how many share them; in KiB


class NoRoom(CannotGoOn):
    """The host has no room for another process."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(f"no process for a copy of the machine: {reason}; end some processes")


class CheckpointProxy:
    """The process `pid` at the other end of `channel`. Close it to let the process go."""

    def __init__(self, channel: Channel, pid: int) -> None:
        self._channel: Final = channel
        self.pid: Final = pid
        self.moment = Moment(0, False, 3, 0)
        self.current = 0
        self.output = bytearray()  # of the console, not taken yet
        self.registers: list[int] | None = None  # the hart's, where they came with the last answer
        self.ran_s = 0.0  # of wall time, since it was a checkpoint or left one
        self.faults = 0  # that it had had when it was forked last
        self.future = 0  # which of the timeline's futures it knows
        self._places: tuple[Place, ...] = ()
        self._kinds: frozenset[str] = frozenset()
        self._greeted = False
        self._left: Channel | None = None  # to the copy that a run is to leave
        self.lost = False  # the process has gone without a word
        self._process: subprocess.Popen[bytes] | None = None  # of the first one, which is the others' parent

    @classmethod
    def start(cls, options: dict[str, Value]) -> tuple["CheckpointProxy", tuple[str, ...]]:
        """A new machine by `options`, which are Machine's, and its warnings. Raises what Machine does."""
        channel, far = Channel.pair()
        with far, unfollowed():
            try:
                process = subprocess.Popen(
                    command_line("orrery.timetravel.checkpoint_server", far),
                    stdin=subprocess.DEVNULL,
                    env=environment_of(ROOT),
                    pass_fds=[far.fileno()],
                )
            except OSError as error:
                raise NoRoom(error.strerror) from error
        checkpoint = cls(channel, process.pid)
        checkpoint._greeted, checkpoint._process = True, process
        channel.send(options)
        return checkpoint, tuple(checkpoint.answer())

    def fork(self) -> "CheckpointProxy":
        """A copy, which stops at no places; raises NoRoom."""
        channel, far = Channel.pair()
        with far:
            self._send(("fork", ()), far)
            self._greet()
            forked = self.answer()
        return self._copy(channel, forked, self.moment, self.current)

    def _copy(self, channel: Channel, forked: Value, moment: Moment, current: int) -> "CheckpointProxy":
        """The copy at the other end of `channel`, by what it was answered that forked it."""
        if isinstance(forked, str):
            channel.close()
            raise NoRoom(forked)
        pid, self.faults = forked
        copy = CheckpointProxy(channel, pid)
        copy.moment, copy.current, copy.future = moment, current, self.future
        return copy

    def ask_run(
        self, limit: Moment | int | None, patience_s: float, due_s: float, *, heeds_end: bool
    ) -> None:
        """Have it run; then there must be an answer_run.  If it runs for `due_s`, it leaves a copy there."""
        if due_s > patience_s:
            self.ask("run", limit, patience_s, heeds_end)
            return
        self._left, far = Channel.pair()
        with far:
            self._send(("run", plain((limit, patience_s, heeds_end, due_s))), far)
        self._greet()

    def answer_run(self) -> tuple[Stopped, Callable[[], "CheckpointProxy"] | None, float]:
        """Wait for the end of the run: why it ended, the copy that was left, and how long that took.

        The copy is to be taken by a call, which raises NoRoom where there could be none.
        """
        channel, self._left = self._left, None
        try:
            stopped, left = self.answer()
        except BaseException:
            if channel is not None:
                channel.close()
            raise
        if channel is None:
            return Stopped.of(stopped), None, 0.0
        if left is None:
            channel.close()
            return Stopped.of(stopped), None, 0.0
        forked, fork_s, moment, current = left
        return Stopped.of(stopped), lambda: self._copy(channel, forked, Moment(*moment), current), fork_s

    def call(self, name: str, *arguments: Value) -> Value:
        """Have the server carry out call `name`; its result."""
        self.ask(name, *arguments)
        return self.answer()

    def ask(self, name: str, *arguments: Value) -> None:
        """Have the server begin with call `name`; then there must be an `answer`."""
        self._send((name, plain(arguments)))
        self._greet()

    def answers(self, patience_s: float) -> bool:
        """Whether the result of what was asked comes within so much wall time."""
        return self._channel.answers(patience_s)

    def answer(self) -> Value:
        """Wait for the result of what was asked."""
        try:
            (done, value, state), _ = self._channel.receive()
        except Hangup:
            raise self._lost() from None
        moment, self.current, output, self.registers = state
        self.moment = Moment(*moment)
        self.output += output
        if not done:
            raise serialized_exception.unwrap(value)
        return value

    def equip(self, places: Iterable[Place], kinds: frozenset[str]) -> None:
        """Set the places and events at which it stops."""
        places = tuple(places)
        if places != self._places:
            self.call("set_places", places)
            self._places = places
        if kinds != self._kinds:
            self.call("catch", tuple(kinds))
            self._kinds = kinds

    @property
    def memory_bytes(self) -> int:
        """How much memory of the host it takes; 0 where the host does not tell."""
        try:
            lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return 0
        return next((int(line.split()[1]) << 10 for line in lines if line.startswith(PSS)), 0)

    def close(self) -> None:
        """Let the process go. Closing twice is harmless."""
        self._channel.close()
        process, self._process = self._process, None
        if process is not None:
            try:
                process.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _greet(self) -> None:
        """Take the greeting of a new process."""
        if not self._greeted:
            self._greeted = True
            self.answer()

    def _send(self, *message: Any) -> None:
        if self.lost:
            raise self._lost()
        try:
            self._channel.send(*message)
        except Hangup:
            raise self._lost() from None

    def _lost(self) -> CannotGoOn:
        self.lost = True
        self.close()
        return CannotGoOn("the process of the machine has ended: it was killed, or has crashed")
