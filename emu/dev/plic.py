"""The platform-level interrupt controller: brings the devices' lines to the harts' external interrupts.

    0x000000 + 4*source       priority of the source, 0 (never) to 7
    0x001000 + 4*word         pending bits, read only; source n is bit n % 32 of word n / 32
    0x002000 + 0x80*context   enable bits of the context, in words as above
    0x200000 + 0x1000*context threshold: only priorities above it interrupt
    0x200004 + 0x1000*context read: claim the best source; write: complete a source

A context is a hart in a mode: 2*hart is its M-mode, 2*hart + 1 its S-mode. Registers take 4-byte accesses.

How a line becomes pending. Each call that raises a line sets its pending bit, even if the line was high;
a call that lowers it clears the bit; a claim clears it; completion never sets it. So a line that merely
stays high interrupts once. A textbook gateway would look at the line again on completion, and then a device
whose interrupt is never acknowledged would interrupt for ever: xv6 enables the UART's transmitter-empty
interrupt and never reads the register that acknowledges it. QEMU's controller has the same rule, and systems
for its `virt` board rely on it. In return a device must raise its line again for each new reason (a byte
received, a request done), whether or not the reason before was acknowledged; then none is lost. What comes
while the source is being served (claimed, not completed) stays pending and is delivered after completion.
"""

from collections.abc import Sequence
from typing import Final

from emu.dev.device import Device, SetLevel

SOURCE_COUNT: Final = 96  # sources 1 to 95; source 0 means "none"
PRIORITY_MAX: Final = 7

# Offsets, as drawn above; the kernel's driver (kernel/dev/plic.py) has them from here.
PENDING: Final = 0x1000
ENABLE: Final = 0x2000
ENABLE_STRIDE: Final = 0x80
CONTEXT: Final = 0x20_0000
CONTEXT_STRIDE: Final = 0x1000
_WORDS: Final = SOURCE_COUNT // 32


class Plic(Device):
    """`outputs[c]` is the external interrupt input that context c drives; called when its level changes."""

    def __init__(self, outputs: Sequence[SetLevel]) -> None:
        contexts = len(outputs)
        self._outputs: Final = tuple(outputs)
        self._levels: Final = [False] * contexts
        self._priority: Final = [0] * SOURCE_COUNT
        self._enabled: Final = [0] * contexts  # a bit for each source, as the two below
        self._threshold: Final = [0] * contexts
        self._pending = 0
        self._claimed = 0

    def line(self, source: int) -> SetLevel:
        """The interrupt input `source` (1 to 95), to be handed to one device."""
        assert 0 < source < SOURCE_COUNT, f"interrupt sources are 1 to {SOURCE_COUNT - 1}, not {source}"
        bit = 1 << source

        def set_level(level: bool) -> None:
            pending = self._pending | bit if level else self._pending & ~bit
            if pending != self._pending:
                self._pending = pending
                self._update_outputs()

        return set_level

    @property
    def claimed(self) -> int:
        """A bit for each source that is being served: claimed, and not completed. No register shows it."""
        return self._claimed

    def load(self, offset: int, size: int) -> int:
        if size != 4 or offset & 3:
            return 0
        if offset < PENDING:
            source = offset // 4
            return self._priority[source] if source < SOURCE_COUNT else 0
        if offset < ENABLE:
            return _word(self._pending, (offset - PENDING) // 4)
        if offset < CONTEXT:
            context, rest = divmod(offset - ENABLE, ENABLE_STRIDE)
            return _word(self._enabled[context], rest // 4) if context < len(self._enabled) else 0
        context, register = divmod(offset - CONTEXT, CONTEXT_STRIDE)
        if context >= len(self._outputs):
            return 0
        if register == 0:
            return self._threshold[context]
        return self._claim(context) if register == 4 else 0

    def store(self, offset: int, size: int, value: int) -> None:
        if size != 4 or offset & 3:
            return
        if offset < PENDING:
            self._set_priority(offset // 4, value & PRIORITY_MAX)
        elif ENABLE <= offset < CONTEXT:
            context, rest = divmod(offset - ENABLE, ENABLE_STRIDE)
            self._set_enabled(context, rest // 4, value)
        elif offset >= CONTEXT:
            context, register = divmod(offset - CONTEXT, CONTEXT_STRIDE)
            if context >= len(self._outputs):
                return
            if register == 0:
                self._threshold[context] = value & PRIORITY_MAX
            elif register == 4 and value < SOURCE_COUNT:
                self._claimed &= ~(1 << value)
        self._update_outputs()

    def _set_priority(self, source: int, priority: int) -> None:
        if 0 < source < SOURCE_COUNT:
            self._priority[source] = priority

    def _set_enabled(self, context: int, word: int, bits: int) -> None:
        if context < len(self._enabled) and word < _WORDS:
            shift = word * 32
            others = self._enabled[context] & ~(0xFFFF_FFFF << shift)
            self._enabled[context] = (others | bits << shift) & ~1  # there is no source 0

    def _best(self, context: int) -> int:
        """What `context` is to serve next: the highest priority, then the lowest source; 0 for none."""
        waiting = self._pending & self._enabled[context] & ~self._claimed
        best = 0
        best_priority = self._threshold[context]
        while waiting:
            lowest_bit = waiting & -waiting
            source = lowest_bit.bit_length() - 1
            if self._priority[source] > best_priority:
                best, best_priority = source, self._priority[source]
            waiting ^= lowest_bit
        return best

    def _claim(self, context: int) -> int:
        source = self._best(context)
        if source:
            self._pending &= ~(1 << source)
            self._claimed |= 1 << source
            self._update_outputs()
        return source

    def _update_outputs(self) -> None:
        for context, output in enumerate(self._outputs):
            level = self._best(context) != 0
            if level != self._levels[context]:
                self._levels[context] = level
                output(level)


def _word(bits: int, word: int) -> int:
    """32-bit word number `word` of the mask `bits`; 0 for words that are not there."""
    return bits >> word * 32 & 0xFFFF_FFFF if word < _WORDS else 0
