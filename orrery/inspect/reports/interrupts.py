"""Interrupts as a person reads them, from the hart's down to the PLIC's, and the events to come: `irq`."""

from collections.abc import Iterator
from typing import Final

from emu.board import Board
from emu.cpu import engine as e
from emu.cpu.hart import M_EXTERNAL, M_SOFT, M_TIMER, S_EXTERNAL, S_SOFT, S_TIMER
from emu.dev.plic import CONTEXT, CONTEXT_STRIDE, ENABLE, ENABLE_STRIDE, PENDING, SOURCE_COUNT
from emu.events import Event
from orrery.inspect.reports.words import PRIVILEGES, bits, in_seconds, maker, source

EVENTS_MAX: Final = 8  # shown
INTERRUPTS: Final = {
    S_SOFT: "S software", M_SOFT: "M software", S_TIMER: "S timer", M_TIMER: "M timer",
    S_EXTERNAL: "S external", M_EXTERNAL: "M external",
}  # fmt: skip
NAMES: Final = {1 << number: name for number, name in INTERRUPTS.items()}


def interrupt_lines(board: Board) -> Iterator[str]:
    """Of the hart and the PLIC, and what will come."""
    hart, regs = board.hart, board.hart.regs
    takeable = hart.takeable_interrupt()
    yield f"hart 0: {'waits in a wfi' if hart.waiting else 'runs'}, in {PRIVILEGES[hart.privilege]} mode"
    yield f"  enabled by mie:  {bits(regs[e.MIE], NAMES)}"
    yield f"  pending in mip:  {bits(regs[e.MIP] | hart.lines, NAMES)}"
    yield f"  lines held high: {bits(hart.lines, NAMES)}"
    yield f"  taken next:      {INTERRUPTS[takeable] if takeable is not None else 'none'}"
    yield from _plic(board)
    yield "events to come:"
    yield from _events(board)


def plic_bits(board: Board, offset: int) -> int:
    """A bit for each source, from the words of the PLIC at `offset`."""
    return sum(board.plic.load(offset + 4 * word, 4) << 32 * word for word in range(SOURCE_COUNT // 32))


def _plic(board: Board) -> Iterator[str]:
    plic = board.plic
    thresholds = (plic.load(CONTEXT + context * CONTEXT_STRIDE, 4) for context in range(2))
    yield "PLIC: thresholds {} (M mode), {} (S mode)".format(*thresholds)
    states = (
        ("pending", plic_bits(board, PENDING)),
        ("claimed", plic.claimed),
        ("enabled for M", plic_bits(board, ENABLE)),
        ("enabled for S", plic_bits(board, ENABLE + ENABLE_STRIDE)),
    )
    for number in range(1, SOURCE_COUNT):
        shown = [name for name, mask in states if mask >> number & 1]
        if shown:
            priority = plic.load(4 * number, 4)
            yield f"  {number:>2} {source(board, number):<8} priority {priority}, {', '.join(shown)}"


def _events(board: Board) -> Iterator[str]:
    events = board.events.pending()
    for event in events[:EVENTS_MAX]:
        yield f"  {event_text(board, event)}"
    if len(events) > EVENTS_MAX:
        yield f"  and {len(events) - EVENTS_MAX} more"
    if not events:
        yield "  none"


def event_text(board: Board, event: Event) -> str:
    """When, and whose."""
    return f"in {in_seconds(event.ticks - board.clock.now)}: {maker(event)}"
