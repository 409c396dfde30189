"""Engines: the fast one where it can be had, else the public one (DESIGN rule 7).

Called by Machine.  Whoever asked for the fast engine is told once, in one line, when it is not available;
`why_not_fast` gives doctor the reason.
"""

from collections.abc import Callable

from emu.cpu.engine import Engine
from emu.ram import Ram
from orrery.machine.config import ENGINES
from toolchain.paths import tree_file


def engine_maker(kind: str, warn: Callable[[str], None]) -> Callable[[Ram], Engine]:
    """A function that makes an engine of `kind` over a board's RAM; `warn` gets the one line."""
    assert kind in ENGINES, f"an engine is one of {', '.join(ENGINES)}, not {kind}"

    def make_fast(ram: Ram) -> Engine:
        try:
            return _fast(ram)
        except _unavailable() as error:
            warn(f"the fast engine is not available ({error}): using the public one, which is slower")
            return _public(ram)

    return make_fast if kind == "fast" else _public


def why_not_fast() -> str | None:
    """Why the fast engine cannot be had here, or None when it can."""
    try:
        _fast(Ram(1 << 20))
    except _unavailable() as error:
        return str(error)
    return None


def _fast(ram: Ram) -> Engine:
    from emu.cpu.fast import FastEngine
    from toolchain.hostlib import host_library

    return FastEngine(ram, host_library(tree_file("emu/cpu/native/hooks.c")))


def _public(ram: Ram) -> Engine:
    from emu.cpu.public import PublicEngine

    return PublicEngine(ram)


def _unavailable() -> tuple[type[Exception], ...]:
    """What making the fast engine raises where it cannot be had."""
    from emu.cpu.layout import EngineUnavailable
    from toolchain.diagnostics import CompileError

    return (EngineUnavailable, CompileError, OSError)
