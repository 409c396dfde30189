"""Driver of the 16550 UART: the wire between the console and the person at it.

The console calls `write`, the trap code `intr`.  Output is polled: the caller's bytes are in the transmitter
when `write` returns, so it works with interrupts off, in a panic too.  Input comes by interrupt and goes to
the console's line editor byte by byte.  The registers are drawn in emu/dev/uart.py.
"""

from collections.abc import Callable
from typing import Final

from emu.bus import Bus
from emu.dev import uart
from kernel.abi.memlayout import UART0
from kernel.errors import panic

DATA_PA: Final = UART0 + uart.DATA
LSR_PA: Final = UART0 + uart.LSR
POLLS_MAX: Final = 1 << 16  # a transmitter that is still full then will stay so

# What init() writes: 38400 baud, 8 bits, no parity, FIFOs on, an interrupt for each byte that comes in.
SETUP: Final = (
    (uart.IER, 0),
    (uart.LCR, uart.LCR_DLAB),  # the first two registers are the divisor now
    (uart.DATA, 3),
    (uart.IER, 0),
    (uart.LCR, uart.LCR_8_BITS),
    (uart.IIR_FCR, uart.FCR_ENABLE | uart.FCR_CLEAR_RX | uart.FCR_CLEAR_TX),
    (uart.IER, uart.IER_RX),
)


class UartDriver:
    """The UART. `receive` is called with each byte that comes in."""

    def __init__(self, bus: Bus) -> None:
        self._bus: Final = bus
        self.receive: Callable[[int], None] = lambda byte: None

    def init(self) -> None:
        """Set the device up."""
        for register, value in SETUP:
            self._bus.store(UART0 + register, 1, value)

    def write(self, data: bytes) -> None:
        """Send all of `data`, in order. Never blocks."""
        load, store = self._bus.load, self._bus.store
        for start in range(0, len(data), uart.FIFO_SIZE):  # so much an empty transmitter takes at a time
            for _ in range(POLLS_MAX):
                if load(LSR_PA, 1) & uart.LSR_TX_EMPTY:
                    break
            else:
                panic("uart: the transmitter stays full")
            for byte in data[start : start + uart.FIFO_SIZE]:
                store(DATA_PA, 1, byte)

    def intr(self) -> None:
        """The UART's interrupt: pass on every byte that has come in. Never blocks."""
        load = self._bus.load
        while load(LSR_PA, 1) & uart.LSR_DATA_READY:
            self.receive(load(DATA_PA, 1))
