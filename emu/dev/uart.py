"""The serial port: a 16550A as QEMU's `virt` board has it, on a line without speed.

A byte written is transmitted at once, so the transmitter is always empty; a byte received is there at once,
and the receiver's timeout (which tells of bytes below the FIFO's trigger level) has always run out. There is
no modem, so its status never changes. Registers are one byte wide, at offsets 0 to 7; a wider access reaches
the one register at its offset.

    offset  DLAB  read                     write
    0       0     RBR received byte        THR byte to transmit
    1       0     IER interrupt enable     IER
    0, 1    1     DLL, DLM divisor         DLL, DLM   (kept, without effect)
    2             IIR which interrupt      FCR FIFO control
    3             LCR line control (bit 7 is DLAB)
    4             MCR modem control (bit 4: loop back)
    5             LSR line status
    6             MSR modem status
    7             SCR scratch

Interrupts, by falling priority: line status (cleared by reading LSR), received data (by reading it),
transmitter empty (by reading IIR while it is shown there, or by writing THR). The line is raised again for
each new reason, as emu/dev/plic.py asks.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from emu.dev.device import Device, SetLevel

FIFO_SIZE: Final = 16

# Registers. The kernel's driver (kernel/dev/uart.py) has the numbers of registers and bits from here.
DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)

# Reasons to interrupt, numbered as IER enables them.
IER_RX: Final = 1 << 0
IER_TX_EMPTY: Final = 1 << 1
IER_LINE_STATUS: Final = 1 << 2
_IER_MASK: Final = 0x0F

_IIR_NONE: Final = 0x01
_IIR_TX_EMPTY: Final = 0x02
_IIR_RX: Final = 0x04
_IIR_LINE_STATUS: Final = 0x06
_IIR_RX_TIMEOUT: Final = 0x0C
_IIR_FIFOS_ON: Final = 0xC0

FCR_ENABLE: Final = 1 << 0
FCR_CLEAR_RX: Final = 1 << 1
FCR_CLEAR_TX: Final = 1 << 2  # nothing to clear here: a byte is gone at once
_RX_TRIGGER: Final = (1, 4, 8, 14)  # bytes, by bits 7:6 of FCR

LCR_8_BITS: Final = 0b11  # to a byte; of no effect here, like the divisor
LCR_DLAB: Final = 1 << 7
_MCR_MASK: Final = 0x1F
MCR_LOOP: Final = 1 << 4

LSR_DATA_READY: Final = 1 << 0
_LSR_OVERRUN: Final = 1 << 1
LSR_TX_EMPTY: Final = 1 << 5 | 1 << 6  # holding register, and shift register too

_MSR_CONNECTED: Final = 0xB0  # carrier, data set ready, clear to send


class UartState(NamedTuple):
    """The state of the chip, for reports: reading some of its registers would change it."""

    received: int  # bytes that wait to be read, of `capacity`
    capacity: int
    divisor: int
    ier: int
    lcr: int
    mcr: int
    overrun: bool
    reasons: int  # enabled ones for which it interrupts, in the bits of IER


class Uart(Device):
    """`irq` is its interrupt line, `transmit(byte)` takes what the guest sends, `receive` brings it input."""

    def __init__(self, irq: SetLevel, transmit: Callable[[int], None]) -> None:
        self._irq: Final = irq
        self._transmit: Final = transmit
        self._received: Final[deque[int]] = deque()
        self._divisor = 12  # 9600 baud, as after reset
        self._ier = 0
        self._fcr = 0
        self._lcr = 0
        self._mcr = 0
        self._scr = 0
        self._overrun = False
        self._tx_empty_reason = False  # the transmitter became empty, and that was not acknowledged
        self._reasons = 0  # enabled reasons to interrupt at the last update, in the bits of IER

    @property
    def state(self) -> UartState:
        """The state now."""
        return UartState(
            len(self._received), self._capacity, self._divisor, self._ier, self._lcr, self._mcr,
            self._overrun, self._reasons,
        )  # fmt: skip

    @property
    def room(self) -> int:
        """How many bytes `receive` can take now without losing one."""
        return 0 if self._mcr & MCR_LOOP else self._capacity - len(self._received)

    def receive(self, byte: int) -> None:
        """A byte (0 to 255) comes in. If there is no room it is lost as on the real chip, and LSR tells."""
        assert 0 <= byte <= 0xFF, f"a serial line carries bytes, not {byte}"
        if not self._mcr & MCR_LOOP:  # looped back, the chip does not listen to the line
            self._push(byte)

    def load(self, offset: int, size: int) -> int:
        if offset == DATA:
            return self._divisor & 0xFF if self._lcr & LCR_DLAB else self._read_data()
        if offset == LSR:
            return self._read_lsr()
        if offset == IIR_FCR:
            return self._read_iir()
        if offset == IER:
            return self._divisor >> 8 if self._lcr & LCR_DLAB else self._ier
        if offset == LCR:
            return self._lcr
        if offset == MCR:
            return self._mcr
        if offset == MSR:
            return self._modem_status()
        return self._scr if offset == SCR else 0

    def store(self, offset: int, size: int, value: int) -> None:
        value &= 0xFF
        if offset == DATA:
            if self._lcr & LCR_DLAB:
                self._divisor = self._divisor & 0xFF00 | value
            else:
                self._write_data(value)
        elif offset == IER:
            if self._lcr & LCR_DLAB:
                self._divisor = self._divisor & 0x00FF | value << 8
            else:
                self._write_ier(value & _IER_MASK)
        elif offset == IIR_FCR:
            self._write_fcr(value)
        elif offset == LCR:
            self._lcr = value
        elif offset == MCR:
            self._mcr = value & _MCR_MASK
        elif offset == SCR:
            self._scr = value

    @property
    def _capacity(self) -> int:
        return FIFO_SIZE if self._fcr & FCR_ENABLE else 1

    def _push(self, byte: int) -> None:
        """Put a byte behind the received ones. A full FIFO keeps those, the single register the new one."""
        if len(self._received) >= self._capacity:
            self._overrun = True
            if self._fcr & FCR_ENABLE:
                self._update(IER_LINE_STATUS)
                return
            self._received.clear()
        self._received.append(byte)
        self._update(IER_RX | IER_LINE_STATUS)

    def _read_data(self) -> int:
        if not self._received:
            return 0
        byte = self._received.popleft()
        self._update(IER_RX)  # a driver that takes one byte an interrupt is told of the next
        return byte

    def _write_data(self, byte: int) -> None:
        if self._mcr & MCR_LOOP:
            self._push(byte)
        else:
            self._transmit(byte)
        self._tx_empty_reason = True
        self._update(IER_TX_EMPTY)

    def _write_ier(self, value: int) -> None:
        # Enabling the transmitter's interrupt tells at once of the empty transmitter, acknowledged or not.
        if (self._ier ^ value) & IER_TX_EMPTY:
            self._tx_empty_reason = bool(value & IER_TX_EMPTY)
        self._ier = value
        self._update(0)

    def _write_fcr(self, value: int) -> None:
        if value & FCR_CLEAR_RX or (self._fcr ^ value) & FCR_ENABLE:
            self._received.clear()
        self._fcr = value
        self._update(0)

    def _read_iir(self) -> int:
        shown = self._interrupt_shown()
        if shown == _IIR_TX_EMPTY:
            self._tx_empty_reason = False
            self._update(0)
        return shown | (_IIR_FIFOS_ON if self._fcr & FCR_ENABLE else 0)

    def _interrupt_shown(self) -> int:
        """The low bits of IIR: the most important reason."""
        if self._reasons & IER_LINE_STATUS:
            return _IIR_LINE_STATUS
        if self._reasons & IER_RX:
            below = self._fcr & FCR_ENABLE and len(self._received) < _RX_TRIGGER[self._fcr >> 6]
            return _IIR_RX_TIMEOUT if below else _IIR_RX
        return _IIR_TX_EMPTY if self._reasons & IER_TX_EMPTY else _IIR_NONE

    def _read_lsr(self) -> int:
        status = LSR_TX_EMPTY
        if self._received:
            status |= LSR_DATA_READY
        if self._overrun:
            status |= _LSR_OVERRUN
            self._overrun = False
            self._update(0)
        return status

    def _modem_status(self) -> int:
        """MSR. Looped back, the modem's four lines are the four outputs of MCR."""
        if not self._mcr & MCR_LOOP:
            return _MSR_CONNECTED
        return (self._mcr & 0x0C) << 4 | (self._mcr & 0x02) << 3 | (self._mcr & 0x01) << 5

    def _update(self, renewed: int) -> None:
        """Drive the interrupt line after a change; `renewed`: reasons that count again if they hold."""
        reasons = 0
        if self._received:
            reasons |= IER_RX
        if self._tx_empty_reason:
            reasons |= IER_TX_EMPTY
        if self._overrun:
            reasons |= IER_LINE_STATUS
        reasons &= self._ier
        before = self._reasons
        self._reasons = reasons
        if reasons & (renewed | ~before):
            self._irq(True)
        elif before and not reasons:
            self._irq(False)
