"""The table in kernel/README.md: one getpid(), stepped through, with the kernel's functions on its way.

Run as a program it puts the table into the README: do that where the kernel has changed.
"""

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "system")]

from boot import System, program  # noqa: E402

from emu.cpu import engine as e  # noqa: E402
from kernel.abi.memlayout import TRAMPOLINE  # noqa: E402

TICKS_PER_NS = 4
KERNEL = str(ROOT / "kernel")
README = ROOT / "kernel" / "README.md"
TABLE = re.compile(r"(<!-- made by tests/docs/life.py -->\n```text\n)(.*?)(```)", re.DOTALL)


class Life:
    """Steps one system call of tests/system/programs/calls.S and notes where it comes by."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._entered: list[str] = []
        with System(argv=("/calls",), modules={"/calls": program("calls.S")}) as system:
            self._system = system
            self._regs = system.board.hart.regs
            image = system.kernel.image
            self._places = {
                TRAMPOLINE + image.uservec - image.trampoline: "uservec",
                image.usertrap: "usertrap, a gate",
                TRAMPOLINE + image.userret - image.trampoline: "userret",
            }
            self._run_to_the_first_call()
            self._follow()

    def _run_to_the_first_call(self) -> None:
        loop = self._system.loop
        on_gate = loop.on_gate

        def stop_when_loaded(hart: Any) -> None:
            on_gate(hart)
            if any(p.space.sz for p in self._system.kernel.procs):
                loop.ask_stop()

        loop.on_gate = stop_when_loaded
        self._system.run()
        loop.on_gate = on_gate
        while self._regs[e.PRIV] or self._system.board.hart.instruction() != 0x73:
            loop.step()

    def _follow(self) -> None:
        """Step from the ecall to the instruction behind it."""
        clock, regs = self._system.board.clock, self._regs
        start = clock.now
        number = regs[e.NAMES["a7"]]
        self._note(0, f"user program: ecall, a7 = {number}")
        while True:
            self._system.loop.step() if regs[e.PRIV] == 0 else self._step_in_the_kernel()
            here = self._places.get(regs[e.PC], "")
            if regs[e.PRIV] == 0:
                self._note(clock.now - start, f"user program: a0 = {regs[e.NAMES['a0']]}")
                return
            if here:
                self._note(clock.now - start, here)

    def _step_in_the_kernel(self) -> None:
        self._entered.clear()
        sys.setprofile(self._on_call)
        self._system.loop.step()
        sys.setprofile(None)
        for function in self._entered:
            self.lines.append(" " * 26 + function)

    def _on_call(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(KERNEL):
            self._entered.append(f"{code.co_qualname:<26} {Path(code.co_filename).name}")

    def _note(self, ticks: int, what: str) -> None:
        self.lines.append(f"{ticks // TICKS_PER_NS:>7} {self._regs[e.PC]:#14x}   {what}")


def main() -> None:
    """Renew the table."""
    body = "".join(f"{line}\n" for line in Life().lines)
    README.write_text(TABLE.sub(lambda found: found[1] + body + found[3], README.read_text()))


if __name__ == "__main__":
    main()
