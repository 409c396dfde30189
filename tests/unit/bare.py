"""A bare machine for tests of the engines: a board with page tables and trap handlers, and no kernel.

A program lies in pages of text and runs in U, S or M mode.  Every trap goes through a handler that mixes
cause, epc and tval into a log in RAM, and goes on: behind the instruction, or where that cannot be fetched,
at the address in s11.  An interrupt's handler clears its bit in sie or mie, so that each comes once.

Virtual memory (in M-mode the same pages are used at their physical addresses):

    TEXT        4 pages, one after another; the third is mapped as the program's `island` says
    DATA        2 pages read-write, 1 read-only, 1 missing: an access can cross into any of them
    CODE        1 page read-write-execute: code that writes itself
    ALIAS       the same page as CODE_X, writable
    CODE_X      1 page execute only
    DEVICES     the pages of DEVICE_PAGES, in their order
    0x8000_0000 the first pages of RAM, for S-mode: handlers, and the log
"""

from collections.abc import Callable
from enum import Enum
from pathlib import Path

from assembler import (
    CSRS,
    MRET,
    S11,
    SRET,
    T0,
    T1,
    T2,
    T6,
    ZERO,
    Code,
    add,
    addi,
    alu,
    alu_imm,
    branch,
    csr,
    csrr,
    csrw,
    jal,
    ld,
    load,
    sd,
    slli,
)  # fmt: skip

from emu import board_map as at
from emu.board import Board
from emu.board_map import virt
from emu.cpu import engine as e
from emu.cpu.engine import Engine
from emu.cpu.fast import FastEngine
from emu.cpu.public import PublicEngine
from emu.ram import PAGE_SIZE, RAM_BASE, Ram
from toolchain import cc

HOOKS = cc.host_library(Path(__file__).resolve().parents[2] / "emu" / "cpu" / "native" / "hooks.c")
ENGINES: dict[str, Callable[[Ram], Engine]] = {
    "fast": lambda ram: FastEngine(ram, HOOKS),
    "public": PublicEngine,
}

V, R, W, X, U = 1, 2, 4, 8, 16
SLL, ANDI = 1, 5  # of assembler.R_TYPE and I_TYPE

HANDLERS_PA = RAM_BASE
LOG_PA = RAM_BASE + 0x1000
TABLES_PA = RAM_BASE + 0x2000  # root, middle tables for both gigabytes, leaf tables
LEAVES_PA = TABLES_PA + 0x3000  # the leaf table of the first 2 MiB
TEXT_PA = (RAM_BASE + 0x10000, RAM_BASE + 0x12000, RAM_BASE + 0x11000, RAM_BASE + 0x14000)
DATA_PA = (RAM_BASE + 0x20000, RAM_BASE + 0x22000, RAM_BASE + 0x21000)
CODE_PA = RAM_BASE + 0x30000
CODE_X_PA = RAM_BASE + 0x31000

TEXT = 0x10000
DATA = 0x20000
CODE = 0x30000
ALIAS = 0x31000
CODE_X = 0x33000
DEVICES = 0x40000
HOLE = 0x3000_0000
DEVICE_PAGES = (
    at.FINISHER, at.CLINT, at.CLINT + 0x4000, at.CLINT + 0xB000, at.PLIC, at.UART0, at.VIRTIO0, HOLE,
)  # fmt: skip
ISLAND = TEXT + 0x2000 - 2  # an instruction here straddles into the third page


class Island(Enum):
    """What the third page of text is."""

    MAPPED = "mapped"
    MISSING = "missing"
    DATA = "not executable"
    HOLE = "no RAM behind it"


class Machine:
    """A board, ready to run `text` in mode `privilege` (0, 1 or 3)."""

    def __init__(self, engine: str, text: bytes, privilege: int, island: Island = Island.MAPPED) -> None:
        self.sent = bytearray()
        self.board = Board(1, ENGINES[engine], virt(None, self.sent.append))
        self.loop, self.hart, self.clock = self.board.loop, self.board.hart, self.board.clock
        self.privilege = privilege
        self._place(text)
        self._map(island)
        self._reset()

    def address(self, va: int) -> int:
        """What the program calls virtual address `va`: itself, or in M-mode where it lies in RAM."""
        if self.privilege < 3:
            return va
        return physical(va)

    def _place(self, text: bytes) -> None:
        assert len(text) <= PAGE_SIZE * len(TEXT_PA)
        for number, pa in enumerate(TEXT_PA):
            part = text[number * PAGE_SIZE : (number + 1) * PAGE_SIZE]
            self.board.ram.view(pa, len(part))[:] = part
        handlers = _handlers()
        self.board.ram.view(HANDLERS_PA, len(handlers))[:] = handlers

    def _map(self, island: Island) -> None:
        own = U if self.privilege == 0 else 0
        for number, pa in enumerate(TEXT_PA):
            flags = R | X | own
            if number == 2 and island is not Island.MAPPED:
                flags = {Island.MISSING: 0, Island.DATA: R | W | own, Island.HOLE: R | X | own}[island]
                pa = 0x7000_0000 if island is Island.HOLE else pa
            self.map_page(TEXT + number * PAGE_SIZE, pa, flags)
        for number, pa in enumerate(DATA_PA):
            self.map_page(DATA + number * PAGE_SIZE, pa, R | own | (W if number < 2 else 0))
        self.map_page(CODE, CODE_PA, R | W | X | own)
        self.map_page(ALIAS, CODE_X_PA, R | W | own)
        self.map_page(CODE_X, CODE_X_PA, X | own)
        for number, pa in enumerate(DEVICE_PAGES):
            self.map_page(DEVICES + number * PAGE_SIZE, pa, R | W | own)
        for page in range(8):
            pa = RAM_BASE + page * PAGE_SIZE
            self.map_page(pa, pa, R | X if page == 0 else R | W)

    def map_page(self, va: int, pa: int, flags: int) -> None:
        """Set the PTE for a page below 2 MiB or in the first 2 MiB of RAM; flags 0 unmaps it."""
        gigabyte = va >> 30
        assert gigabyte in (0, 2) and va & 0x3FFF_FFFF < 0x20_0000
        middle = TABLES_PA + (0x1000 if gigabyte == 0 else 0x2000)
        leaf = middle + 0x2000
        words = self.board.ram.u64
        words[(TABLES_PA + 8 * gigabyte - RAM_BASE) // 8] = middle >> 2 | V
        words[(middle - RAM_BASE) // 8] = leaf >> 2 | V
        pte = pa >> 2 | flags | V if flags else 0
        words[(leaf + 8 * (va >> 12 & 511) - RAM_BASE) // 8] = pte

    def _reset(self) -> None:
        regs = self.hart.regs
        regs[e.SATP] = 8 << 60 | TABLES_PA >> 12
        regs[e.MEDELEG], regs[e.MIDELEG] = 0xB3FF, 0x222
        regs[e.STVEC], regs[e.MTVEC] = HANDLERS_PA, HANDLERS_PA + 0x800
        regs[e.MSTATUS] = 1 << 13 | 1 << 18 | 1 << 19  # FS, SUM, MXR
        regs[e.PC] = self.address(TEXT)
        regs[e.PRIV] = self.privilege
        self.board.engine.flush_tlb()

    def state(self) -> tuple[object, ...]:
        """All that a run leaves behind."""
        regs = [self.hart.regs[index] for index in e.DIGESTED]
        board = self.board
        outside = board.exit_code, bytes(self.sent), bytes(board.ram.bytes)
        return self.clock.now, *regs, self.hart.waiting, *outside


def physical(va: int) -> int:
    """Where a page of the layout above lies; addresses of RAM and others are themselves."""
    page, offset = va & ~(PAGE_SIZE - 1), va & PAGE_SIZE - 1
    for start, pages in ((TEXT, TEXT_PA), (DATA, DATA_PA), (DEVICES, DEVICE_PAGES)):
        number = (page - start) // PAGE_SIZE
        if 0 <= number < len(pages):
            return pages[number] + offset
    return {CODE: CODE_PA, ALIAS: CODE_X_PA, CODE_X: CODE_X_PA}.get(page, page) + offset


def _handlers() -> bytes:
    """The S-mode handler, and the M-mode handler 0x800 behind it."""
    result = bytearray(0x1000)
    for start, letter, ret in ((0, "s", SRET), (0x800, "m", MRET)):
        code = _handler(HANDLERS_PA + start, letter, ret)
        result[start : start + len(code)] = code
    return bytes(result)


def _handler(base: int, letter: str, ret: int) -> bytes:
    """A handler that keeps all registers but t6, which programs do not use."""
    code = Code(base)
    code.put(csrw(f"{letter}scratch", T0))
    code.li(T0, LOG_PA + (0x100 if letter == "m" else 0))
    code.put(sd(T1, T0, 0), sd(T2, T0, 8))
    for name in ("cause", "epc", "tval"):
        code.put(ld(T1, T0, 16), slli(T2, T1, 5), add(T1, T1, T2), csrr(T2, letter + name))
        code.put(add(T1, T1, T2), sd(T1, T0, 16))
    code.put(ld(T1, T0, 24), addi(T1, T1, 1), sd(T1, T0, 24))
    code.put(csrr(T1, f"{letter}cause"))
    code.to("interrupt", lambda offset: branch(4, T1, ZERO, offset))
    code.put(addi(T2, ZERO, 12))
    code.to("lost", lambda offset: branch(0, T1, T2, offset))
    code.put(addi(T2, ZERO, 1))
    code.to("lost", lambda offset: branch(0, T1, T2, offset))
    code.put(csrr(T1, f"{letter}epc"))
    if letter == "m":  # the program may be on virtual addresses: read as it does, by MPRV
        code.put(addi(T6, ZERO, 1), slli(T6, T6, 17), csr(2, ZERO, CSRS["mstatus"], T6))
        code.put(load(5, T2, T1, 0), csr(3, ZERO, CSRS["mstatus"], T6))
    else:
        code.put(load(5, T2, T1, 0))
    code.put(addi(T1, T1, 2))
    code.put(alu_imm(ANDI, T2, T2, 3), addi(T2, T2, -3))
    code.to("done", lambda offset: branch(1, T2, ZERO, offset))
    code.put(addi(T1, T1, 2))
    code.label("done")
    code.put(csrw(f"{letter}epc", T1))
    code.to("leave", lambda offset: jal(ZERO, offset))
    code.label("lost")
    code.put(csrw(f"{letter}epc", S11))
    code.to("leave", lambda offset: jal(ZERO, offset))
    code.label("interrupt")
    code.put(addi(T2, ZERO, 1), alu(SLL, T1, T2, T1), csr(3, ZERO, CSRS[f"{letter}ie"], T1))
    code.label("leave")
    code.put(ld(T1, T0, 0), ld(T2, T0, 8), csrr(T0, f"{letter}scratch"), ret)
    return code.finish()
