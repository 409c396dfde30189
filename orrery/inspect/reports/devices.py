"""The devices of the board as they stand: `devices`.

A line for each in the board's list: address, interrupt, state, which for a device that nothing here knows is
what it says of itself.  Then the disk's queue, where three count the same chains, each as
far as it has come: the driver makes them available, the device takes them, and gives them back as used.  No
register is read that reading changes.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from emu.board import Attached, Board
from emu.board_map import NO_IRQ
from emu.cpu.hart import MASK64
from emu.dev import uart, virtio, virtio_blk
from emu.dev.clint import Clint
from emu.dev.device import Device
from emu.dev.drive import SECTOR_SIZE
from emu.dev.finisher import Finisher
from emu.dev.plic import PENDING, Plic
from emu.dev.uart import Uart
from emu.dev.virtio import QueueSetup, VirtioMmio
from emu.dev.virtio_blk import VirtioBlk
from kernel.abi.disk import BSIZE
from kernel.kernel import Kernel
from orrery.inspect.reports.interrupts import plic_bits
from orrery.inspect.reports.words import MTIME_PS, bits, counted, in_seconds, seconds, source
from orrery.machine.keyboard import Keyboard

HEADING: Final = "address      irq  device    state"
CLINT_MTIMECMP: Final = 0x4000
STATUS: Final = {  # in the order in which a driver comes to it
    virtio.STATUS_ACKNOWLEDGE: "acknowledged", virtio.STATUS_DRIVER: "driver",
    virtio.STATUS_FEATURES_OK: "features ok", virtio.STATUS_DRIVER_OK: "driver ok",
    virtio.STATUS_NEEDS_RESET: "needs a reset",
}  # fmt: skip
INTERRUPTS: Final = {virtio.INTERRUPT_USED: "a used chain", virtio.INTERRUPT_CONFIG: "a new configuration"}
REASONS: Final = {
    uart.IER_RX: "bytes received", uart.IER_TX_EMPTY: "transmitter empty",
    uart.IER_LINE_STATUS: "line status",
}  # fmt: skip
KINDS: Final = {
    virtio_blk.TYPE_IN: "read", virtio_blk.TYPE_OUT: "write", virtio_blk.TYPE_FLUSH: "flush",
    virtio_blk.TYPE_GET_ID: "get id",
}  # fmt: skip


def device_lines(k: Kernel, keyboard: Keyboard) -> Iterator[str]:
    """The board's devices, then the disk's queue and the console behind the UART."""
    board = k.board
    yield HEADING
    for attached in board.devices:
        if not _is_empty(attached.device):
            yield _line(board, attached)
    empty = [str(slot) for slot, device in enumerate(board.virtio) if _is_empty(device)]
    if empty:
        yield f"nothing is plugged into virtio {', '.join(empty)}"
    yield f"timer (stimecmp): {_timer(board)}"
    yield from _console(k, keyboard)
    for slot, device in enumerate(board.virtio):
        for index, setup in enumerate(device.state.queues):
            yield from _queue(k, device, f"virtio {slot}, queue {index}", setup)


def _is_empty(device: Device) -> bool:
    """Whether it is a virtio slot with nothing in it."""
    return isinstance(device, VirtioMmio) and not device.device_id


def _line(board: Board, attached: Attached) -> str:
    node, device = attached
    irq = "-" if node.irq == NO_IRQ else str(node.irq)
    known = (state(board, device) for kind, state in STATES if isinstance(device, kind))
    return f"{node.base:#010x}  {irq:>4}  {node.name:<8}  {next(known, device.status())}".rstrip()


def _finisher(board: Board, _: Finisher) -> str:
    if board.exit_code is None:
        return "the machine is on"
    return f"the guest has switched the machine off, with status {board.exit_code & 0xFF}"


def _clint(_: Board, clint: Clint) -> str:
    compare = clint.load(CLINT_MTIMECMP, 8)
    alarm = "off" if compare == MASK64 else f"{compare}"
    soft = "high" if clint.load(0, 4) else "low"
    return f"mtime {clint.mtime}, mtimecmp {alarm}, software interrupt {soft}"


def _timer(board: Board) -> str:
    compare = board.timer.compare
    if compare == MASK64:
        return "off"
    due = compare * MTIME_PS
    ahead = due - board.clock.time_ps
    when = f"in {seconds(ahead)}" if ahead > 0 else "its interrupt is pending"
    return f"{compare}, at {seconds(due)}, {when}"


def _plic(board: Board, plic: Plic) -> str:
    shown = (
        f"{name} {_sources(board, mask)}"
        for name, mask in (("pending", plic_bits(board, PENDING)), ("claimed", plic.claimed))
    )
    return ", ".join(shown)


def _sources(board: Board, mask: int) -> str:
    return ", ".join(source(board, i) for i in range(mask.bit_length()) if mask >> i & 1) or "none"


def _uart(_: Board, device: Uart) -> str:
    state = device.state
    looped = ", looped back" if state.mcr & uart.MCR_LOOP else ""
    lost = ", bytes were lost" if state.overrun else ""
    return (
        f"{state.received} of {state.capacity} bytes wait to be read{lost}{looped}; "
        f"interrupts for: {bits(state.ier, REASONS)}; now: {bits(state.reasons, REASONS)}"
    )


def _virtio(_: Board, device: VirtioMmio) -> str:
    state = device.state
    if isinstance(device, VirtioBlk):
        capacity = int.from_bytes(device.config()[:8], "little")
        what = f"disk of {capacity} sectors; "
    else:
        what = f"device {device.device_id}; "
    reached = [name for bit, name in STATUS.items() if state.status & bit] or ["reset"]
    broken = f"; broken: {device.broken}" if device.broken else ""
    interrupt = bits(state.interrupt_status, INTERRUPTS)
    return f"{what}status {state.status:#x}: {reached[-1]}; interrupts for: {interrupt}{broken}"


STATES: Final[tuple[tuple[type[Device], Callable[[Board, Any], str]], ...]] = (
    (Finisher, _finisher), (Clint, _clint), (Plic, _plic), (Uart, _uart), (VirtioMmio, _virtio),
)  # fmt: skip
"""How each kind of device stands, in words."""


def _console(k: Kernel, keyboard: Keyboard) -> Iterator[str]:
    readers = ", ".join(str(p) for p in k.console.readers) or "nobody"
    room, waiting = counted(k.console.room, "key"), counted(keyboard.waiting, "key")
    yield f"console: {readers} waits for a line; room for {room}; {waiting} typed and not yet in the UART"


def _queue(k: Kernel, device: VirtioMmio, name: str, setup: QueueSetup) -> Iterator[str]:
    queue = setup.queue
    if queue is None:
        yield f"{name}: not ready"
        return
    descriptors, available, used = setup.tables_pa
    yield f"{name}: {queue.size} entries; descriptors at {descriptors:#x}, rings at {available:#x}, {used:#x}"
    yield f"  available by the driver {queue.offered:>5}"
    yield f"  taken by the device     {queue.taken:>5}, {queue.in_flight} of them in work"
    yield f"  given back as used      {queue.given_back:>5}"
    if isinstance(device, VirtioBlk):
        for request in device.requests:
            if request.queue is queue:
                yield f"    {_request(k, device, request)}"


def _request(k: Kernel, device: VirtioBlk, request: virtio_blk.Request) -> str:
    """A request of the disk, and who waits for it."""
    head = request.chain.head
    kind, sector = device.asked(request.chain)
    what = KINDS.get(kind, f"type {kind}")
    size = request.chain.readable_size + request.chain.writable_size - virtio_blk.HEADER.size - 1
    asked = k.disk.requests.get(head)
    waiting = [str(p) for p in k.procs if asked is not None and asked in p.thread.waits_for]
    who = f"; {', '.join(waiting)} waits" if waiting else ""
    when = in_seconds(max(request.done_ticks - k.clock.now, 0))
    first = sector * SECTOR_SIZE // BSIZE
    return f"head {head}: {what} of {size} bytes from block {first} on, done in {when}{who}"
