"""A sampling profiler for a machine in this process: which Python function runs, and who called it.

Used by bench/profiling.py; depends on the standard library alone, so it can be laid beside an older tree.
The host's timer interrupts this process every millisecond of processor time, or as often as the host's clock
allows, and the stack at that moment is counted with the processor time since the sample before.  Python
looks at such an interrupt only between its own instructions: what native code took counts for the Python
function that called it.  The stack is that of the running greenlet, as threads of the kernel have their own.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time_ns
from types import CodeType, FrameType
from typing import Final

PERIOD_S: Final = 0.001
NS_PER_S: Final = 1e9
TOP: Final = 15  # functions in a summary
COLUMN: Final = 9

Stack = tuple[str, ...]
"""Names of functions, the outermost first."""


class Profile:
    """Processor time by stack, in nanoseconds, and how many samples that rests on."""

    def __init__(self, by_stack: dict[Stack, int], samples: int) -> None:
        self.by_stack: Final = by_stack
        self.samples: Final = samples
        self.total_ns: Final = sum(by_stack.values())

    def self_ns(self) -> Counter[str]:
        """Time of each function without that of the Python functions it called."""
        found: Counter[str] = Counter()
        for stack, ns in self.by_stack.items():
            found[stack[-1]] += ns
        return found

    def cumulative_ns(self) -> Counter[str]:
        """Time of each function with all it called; one that calls itself counts once a stack."""
        found: Counter[str] = Counter()
        for stack, ns in self.by_stack.items():
            for name in set(stack):
                found[name] += ns
        return found

    def summary(self, top: int = TOP) -> str:
        """The functions with the most time, in two lists."""
        lines = [f"{self.total_ns / NS_PER_S:.2f} s of processor time, {self.samples} samples"]
        for title, found in (("self", self.self_ns()), ("cumulative", self.cumulative_ns())):
            lines.append(f"{title:>{COLUMN}}")
            ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
            lines += [f"{ns / self.total_ns:{COLUMN}.1%}  {name}" for name, ns in ranked[:top]]
        return "\n".join(lines)


class Sampler:
    """Takes samples while `running`; `root` is the source tree, whose functions are named by module."""

    def __init__(self, root: Path) -> None:
        self._root: Final = root
        self._by_stack: Final[Counter[tuple[CodeType, ...]]] = Counter()
        self._samples = 0
        self._last_ns = 0
        self._base: FrameType | None = None

    @contextmanager
    def running(self, base: FrameType | None = None) -> Iterator[None]:
        """Sample what is done inside; `base` and what called it are left out of the stacks.

        Only on Python's main thread, and one at a time: there is one such timer in a process.
        """
        self._base, self._last_ns = base, process_time_ns()
        before = signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, PERIOD_S, PERIOD_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
            self._base = None

    def profile(self) -> Profile:
        """What was sampled so far, with names."""
        named: Counter[Stack] = Counter()
        for codes, ns in self._by_stack.items():
            named[tuple(self._name(code) for code in codes)] += ns
        return Profile(dict(named), self._samples)

    def _sample(self, _signal: int, frame: FrameType | None) -> None:
        now_ns = process_time_ns()
        codes = []
        while frame is not None and frame is not self._base:
            codes.append(frame.f_code)
            frame = frame.f_back
        if codes:
            self._by_stack[tuple(reversed(codes))] += now_ns - self._last_ns
            self._samples += 1
        self._last_ns = process_time_ns()  # a sample's own cost is nobody's

    def _name(self, code: CodeType) -> str:
        path = Path(code.co_filename)
        if path.is_relative_to(self._root):
            module = ".".join(path.relative_to(self._root).with_suffix("").parts)
        else:
            module = path.stem
        return f"{module}:{code.co_qualname}"
