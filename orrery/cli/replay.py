"""Replaying: the run of a recording, again, for `orrery replay`.

The machine is made as the recording says, what was typed is typed at its moment, and at the end the digest of
all that the machine is must be the recorded one.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from emu.events import NEVER
from kernel.proc import Process
from orrery.cli.session import STDOUT
from orrery.console.exit_status import BY_SIGNAL
from orrery.console.signals import Signals
from orrery.errors import BadInput
from orrery.inspect.crash_reports import Crashes
from orrery.machine.machine import Machine
from orrery.machine.output import Filter, HostOutput, Shown
from orrery.timetravel.input_log import Change, ChangeKind, InputLog, ReplayDiverged
from orrery.timetravel.recording import Recording, image_digest
from orrery.timetravel.stops import StopKind, Stopped
from orrery.timetravel.target import Target
from toolchain.names import shown

BY_GUEST: Final = (Shown.PROGRAM, Shown.PROGRAM_AND_ECHO, Shown.CONSOLE)
"""What is shown of runs whose exit status is the guest's, where that has switched the machine off."""


class Replay(Target):
    """A target whose console goes through `shown`, as that of the session did."""

    def __init__(self, machine: Machine, input_log: InputLog, shown: Filter) -> None:
        super().__init__(machine, input_log)
        self._shown: Final = shown

    def output(self, pid: int | None, data: bytes) -> None:
        self._shown.output(pid, data)

    def waits(self, p: Process) -> None:
        if self._machine.is_shell(p.pid) and self._machine.at_prompt:
            self._shown.prompted()


def machine_for(recording: Recording, drive: str | None = None) -> Machine:
    """The machine that was recorded, at its power-on; raises BadInput where the drive is another one."""
    recorded = recording.machine
    try:
        machine = Machine(replace(recorded, drive=drive or recorded.drive))
    except TypeError as error:
        raise BadInput(f"{recording.path}: a damaged recording ({error}); record it anew") from error
    if image_digest(machine.board.drive) != recording.image:
        machine.close()
        name = drive or str(recorded.drive or "the default image")
        raise BadInput(
            f"{recording.path}: made with another disk: {name} has another content now; "
            "give the image that it was, with --drive"
        )
    return machine


def tape_of(recording: Recording) -> tuple[Change, ...]:
    """All that is to be done to the machine; a recording that was not broken off says where it ends."""
    end = () if recording.end is None else (Change(recording.end.moment, ChangeKind.END, ()),)
    return (*recording.changes, *end)


def play(
    recording: Recording,
    drive: str | None,
    say: Callable[[str], None],
    gdb: tuple[str, int] | None = None,
) -> int:
    """Make the run again; the exit status of then. Raises BadInput where it becomes another run.

    With an address for a gdb server, that waits for a gdb before it starts.
    """
    if recording.shown not in tuple(Shown):
        raise BadInput(f"{recording.path}: a damaged recording ({recording.shown!r}); record it anew")
    with machine_for(recording, drive) as machine:
        host = HostOutput(STDOUT, machine.ask_stop)
        filtered = Shown(recording.shown).filter(machine, host.write)
        replay = Replay(machine, InputLog(tape_of(recording)), filtered)
        Crashes(machine, lambda text: say(f"orrery: {text}"))
        with Signals(None) as signals:
            signals.attach(replay.ask_stop)
            try:
                if gdb is None:
                    stopped, another = replay.resume(), ""
                else:
                    stopped, another = _debugged(recording, say, machine, replay, signals, gdb)
            except ReplayDiverged as error:
                raise BadInput(f"{recording.path}: {error}") from error
            filtered.finish()
        if signals.terminated:
            return BY_SIGNAL + signals.terminated
        if another:
            say(f"orrery: {another}, and so it ended otherwise, at {stopped.moment.time_ps} ps")
            return stopped.status
        return _verdict(recording, stopped, machine, say)


class _NobodyAtConsole:
    """What a server takes for the console's front: there is nobody, and `replay` is it."""

    def __init__(self, replay: Replay) -> None:
        self.output: Final = replay.output
        self.waits: Final = replay.waits
        self.idle: Final = replay.idle
        self.slice: Final = replay.slice
        self.status: int | None = None


def _debugged(
    recording: Recording,
    say: Callable[[str], None],
    machine: Machine,
    replay: Replay,
    signals: Signals,
    address: tuple[str, int],
) -> tuple[Stopped, str]:
    """Make the run with a gdb server; the second says why it has become another one, if it has."""
    from orrery.gdb.server import Server
    from orrery.gdb.timeline_session import TimelineSession

    session = TimelineSession(machine, replay, tape_of(recording))
    server = Server(machine, session, address, say, wait=True, replays=True)
    console = _NobodyAtConsole(replay)
    try:
        stopped = server.run(NEVER, console, signals, lambda: signals.came or console.status is not None)
    finally:
        server.close()
    if console.status is not None:
        return stopped, "gdb has switched the machine off"
    return stopped, "gdb has changed the run" if replay.input_log.changes() != tape_of(recording) else ""


def _verdict(recording: Recording, stopped: Stopped, machine: Machine, say: Callable[[str], None]) -> int:
    """Whether it was the same run; its exit status."""
    end = recording.end
    if stopped.why == StopKind.PANIC:
        say(f"orrery: panic: {stopped.detail}")
    if end is None and recording.doubt:
        raise BadInput(f"{shown(recording.path)}: {recording.doubt}; record it anew")
    if end is None:
        say(f"orrery: warning: {recording.path} was broken off: nobody knows where the run ended")
        return stopped.status
    digest = machine.digest()
    if (stopped.moment, digest) != (end.moment, end.digest):
        raise BadInput(
            f"{recording.path}: the run ended in another state, at {stopped.moment.time_ps} ps with digest "
            f"{digest}, not at {end.moment.time_ps} ps with {end.digest}"
        )
    if recording.doubt:
        raise BadInput(f"{shown(recording.path)}: {recording.doubt}; record it anew")
    switched_off = machine.board.exit_code
    if recording.shown in BY_GUEST and switched_off is not None and switched_off & 0xFF != end.status:
        raise BadInput(
            f"{shown(recording.path)}: a damaged recording (the guest's status is {switched_off & 0xFF}, "
            f"and not {end.status}); record it anew"
        )
    say(f"orrery: the same run, up to {end.moment.time_ps} ps: digest {digest}")
    return end.status
