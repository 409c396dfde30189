"""Driver of the 16550 UART: the wire between the console and the person at it.

The console calls `write`, the trap code `intr`.  Output is polled: the caller's bytes are in the transmitter
when `write` returns, so it works with interrupts off, in a panic too.  Input comes by interrupt and goes to
the console's line editor byte by byte.  Source: PC16550D data sheet, section 8 (registers).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from kernel.abi.memlayout import UART0

if TYPE_CHECKING:
    from kernel.kernel import Kernel

RHR: Final = 0  # receive holding, read
THR: Final = 0  # transmit holding, written
DIVISOR_LOW: Final = 0  # while LCR_DIVISOR is set
DIVISOR_HIGH: Final = 1
IER: Final = 1
FCR: Final = 2  # FIFO control, written
LCR: Final = 3
LSR: Final = 5

IER_RX: Final = 1 << 0
FCR_ENABLE_AND_CLEAR: Final = 0b111
LCR_8_BITS: Final = 0b11
LCR_DIVISOR: Final = 1 << 7
LSR_RX_READY: Final = 1 << 0
LSR_TX_EMPTY: Final = 1 << 5
DIVISOR_38400: Final = 3

FIFO_SIZE: Final = 16  # bytes that an empty transmitter takes without being asked again
POLLS_MAX: Final = 1 << 16  # a transmitter that is still full then will stay so


class UartDriver:
    """The UART at `base_pa`. `receive` is called with each byte that comes in."""

    def __init__(self, k: "Kernel", base_pa: int = UART0) -> None:
        self._k = k
        self._base_pa: Final = base_pa
        self.receive: Callable[[int], None] = lambda byte: None

    def init(self) -> None:
        """38400 baud, 8 bits, no parity, FIFOs on, an interrupt for each byte that comes in."""
        store = self._store
        store(IER, 0)
        store(LCR, LCR_DIVISOR)
        store(DIVISOR_LOW, DIVISOR_38400)
        store(DIVISOR_HIGH, 0)
        store(LCR, LCR_8_BITS)
        store(FCR, FCR_ENABLE_AND_CLEAR)
        store(IER, IER_RX)

    def write(self, data: bytes) -> None:
        """Send all of `data`, in order. Never blocks."""
        store, base_pa = self._k.bus.store, self._base_pa
        for start in range(0, len(data), FIFO_SIZE):
            self._wait_for_transmitter()
            for byte in data[start : start + FIFO_SIZE]:
                store(base_pa + THR, 1, byte)

    def intr(self) -> None:
        """The UART's interrupt: pass on every byte that has come in. Never blocks."""
        load, base_pa = self._k.bus.load, self._base_pa
        while load(base_pa + LSR, 1) & LSR_RX_READY:
            self.receive(load(base_pa + RHR, 1))

    def _wait_for_transmitter(self) -> None:
        for _ in range(POLLS_MAX):
            if self._k.bus.load(self._base_pa + LSR, 1) & LSR_TX_EMPTY:
                return
        self._k.panic("uart: the transmitter stays full")

    def _store(self, register: int, value: int) -> None:
        self._k.bus.store(self._base_pa + register, 1, value)
