"""The past of a session under gdb: a timeline of the same run, and what was done to the machine.

Made by timeline_session.py.  The timeline's checkpoints are copies of the session's own process, made now and
then while the machine runs.  Where there can be none, because the process has threads, the timeline is made
when gdb first goes back: of a machine that is made in the same way, to which the same is done at the same
moments.
"""

import gc
import math
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from orrery.machine.machine import Machine
from orrery.timetravel.checkpoint_process import can_fork, fork
from orrery.timetravel.checkpoint_proxy import CheckpointProxy, NoRoom
from orrery.timetravel.input_log import Change, ChangeKind
from orrery.timetravel.spacing import SPACING_S, Spacing, faults
from orrery.timetravel.target import Target
from orrery.timetravel.timeline import Timeline


class SessionPast:
    """Of `machine`, of which `present` is the target.

    `changes`: all that will be done to it, where that is known; else what is typed is noted.  `on_slice` is
    called now and then while the timeline runs.
    """

    def __init__(
        self,
        machine: Machine,
        present: Target,
        changes: Iterable[Change] | None,
        on_slice: Callable[[], None],
    ) -> None:
        self._machine: Final = machine
        self._present: Final = present
        self._on_slice: Final = on_slice
        self.changes: Final = list(changes or ())
        self.is_replay: Final = changes is not None
        if not self.is_replay:
            machine.keyboard.on_type.append(self._note)
        self.timeline: Timeline | None = None
        self._copies: list[int] = []  # processes that may have ended
        self._grows = False  # checkpoints are added while the machine runs
        self._added_s = 0.0  # when the last was, of wall time
        self._spacing: Final = Spacing(SPACING_S)

    def close(self) -> None:
        """Let it go."""
        if self.timeline is not None:
            self.timeline.close()
            self.timeline = None
        self._grows = False

    def _note(self, keys: bytes) -> None:
        self.changes.append(Change(self._present.moment, ChangeKind.TYPE, (keys,)))

    def begin(self) -> None:
        """The machine is about to make its first step: from now on its past is kept."""
        if not can_fork():
            return
        gc.collect()
        gc.freeze()
        with suppress(NoRoom):
            self.timeline = Timeline(changes=self.changes, first=self._fork())
            self.timeline.on_slice = self._on_slice
            self._grows = True
            self._added_s = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time for another checkpoint."""
        return self.due_in_s <= 0

    @property
    def due_in_s(self) -> float:
        """How much wall time passes until then; for ever where there will be none."""
        if not self._grows or self.timeline is None:
            return math.inf
        return self._added_s + self._spacing.now_s - time.monotonic()

    def add_checkpoint(self) -> None:
        """Keep a copy of the present, but not in the middle of a wait, which is a single step."""
        if self.timeline is None or not self._grows or self._present.moment.waiting:
            return
        if not can_fork():
            self._grows = False
            return
        with suppress(NoRoom):
            began = time.process_time()
            checkpoint = self._fork()
            self._spacing.learn(time.process_time() - began, faults())
            self.timeline.plant(checkpoint)
        self._added_s = time.monotonic()

    def _fork(self) -> CheckpointProxy:
        self._copies = [copy for copy in self._copies if not os.waitpid(copy, os.WNOHANG)[0]]
        done = self.changes if not self.is_replay else self.changes[: self._present.input_log.done]
        checkpoint = fork(self._machine, self._present, done)
        self._copies.append(checkpoint.pid)
        return checkpoint

    def opened(self) -> Timeline:
        """The timeline; made if there is none yet."""
        if self.timeline is None:
            self.timeline = Timeline(changes=self.changes, **self._machine.config.options())
            self._grows = False
            self.timeline.on_slice = self._on_slice
        return self.timeline
