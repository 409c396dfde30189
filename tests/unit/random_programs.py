"""Random programs for the bare machine (bare.py), as hypothesis strategies.

A program is a list of fragments.  A fragment is a few instructions around one thing that an engine can get
wrong; it is drawn as a kind and four numbers, so that hypothesis can shrink it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from assembler import (
    A0,
    A1,
    A2,
    A3,
    A4,
    A5,
    AMO,
    C_EBREAK,
    C_JR_RA,
    C_JUMP_TO_ITSELF,
    C_NOP,
    CSRS,
    EBREAK,
    ECALL,
    FENCE_I,
    GP,
    LR,
    MRET,
    NOP,
    RA,
    S0,
    S1,
    S2,
    S3,
    S4,
    S5,
    S11,
    SC,
    SFENCE_VMA,
    SP,
    SRET,
    T3,
    T4,
    WFI,
    ZERO,
    Code,
    addi,
    alu,
    alu_imm,
    atomic,
    auipc,
    branch,
    c_add,
    c_addi,
    c_bnez,
    c_ld,
    c_li,
    c_mv,
    c_sw,
    csr,
    jal,
    jalr,
    load,
    lui,
    sd,
    slli,
    store,
)  # fmt: skip
from bare import (
    ALIAS,
    CODE,
    CODE_X,
    DATA,
    DEVICE_PAGES,
    DEVICES,
    ISLAND,
    PAGE_SIZE,
    TEXT,
    Island,
    Machine,
    physical,
)  # fmt: skip
from float_assembler import FUSED, OPERATIONS, c_fld, c_fldsp, c_fsd, c_fsdsp, fload, fstore, fused, operation
from hypothesis import strategies as st

from emu.cpu import engine as e

REGISTERS = (A0, A1, A2, A3, A4, A5, S2, S3)
FLOAT_NAMES = sorted(OPERATIONS)
POINTERS = (S0, S1, GP)  # data, its page boundary, and the boundary to what is read-only or missing
ILLEGAL = (0x0000_0000, 0xFFFF_FFFF, 0x0000_707F, 0x0000_300B, 0x8000, 0x0010_0073 | 1 << 7, 0x4002 & 0xE003)
CSR_NAMES = tuple(CSRS)
DEVICE_OFFSETS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 0x34, 0x70, 0x7F8, 0xFF8, 0xFFC, 0xFFD)


@dataclass(frozen=True)
class Fragment:
    kind: str
    a: int
    b: int
    c: int
    n: int


@dataclass(frozen=True)
class Program:
    """What to run, in which mode, and when which interrupt line goes up."""

    fragments: tuple[Fragment, ...]
    privilege: int
    island: Island
    medeleg: int
    enabled: int
    fs: int
    gates: bool
    lines: tuple[tuple[int, int], ...]

    def machine(self, engine: str) -> Machine:
        """A machine that is about to run it."""
        made = Machine(engine, self._text(), self.privilege, self.island)
        regs = made.hart.regs
        if self.gates:  # none is reached, but the fast engine runs code otherwise where there are some
            made.board.engine.cells[e.GATE_LOW] = made.board.engine.cells[e.GATE_HIGH] = NO_GATE
        regs[e.MEDELEG] = self.medeleg
        regs[e.MIE] = self.enabled
        regs[e.MSTATUS] |= 0xA  # SIE, MIE
        regs[e.MSTATUS] = regs[e.MSTATUS] & ~(3 << 13) | self.fs << 13 | (1 << 63 if self.fs == 3 else 0)
        regs[SP] = made.address(DATA) + 0x200
        for number, register in enumerate(REGISTERS):
            regs[register] = (number * 0x9E37_79B9_7F4A_7C15 + 1) % (1 << 64)
        regs[S0] = made.address(DATA) + 0x100
        regs[S1] = made.address(DATA + PAGE_SIZE)
        regs[GP] = made.address(DATA + 2 * PAGE_SIZE)
        for ticks, line in self.lines:
            made.board.events.at(ticks, lambda line=line: made.hart.line(line)(True))
        return made

    def _text(self) -> bytes:
        """Fragments from TEXT on, the island in its place; it returns to ra."""
        base = TEXT if self.privilege < 3 else physical(TEXT)
        code = Code(base)
        for fragment in self.fragments:
            if len(code.bytes) > PAGE_SIZE - 200:
                break
            if not (self.gates and fragment.kind in DEVICE_KINDS):
                KINDS[fragment.kind](code, fragment, self.privilege)
        code.put(C_JUMP_TO_ITSELF)
        first = code.finish()
        second = bytes(PAGE_SIZE - 4) + C_NOP.to_bytes(2, "little") + NOP.to_bytes(4, "little")[:2]
        third = NOP.to_bytes(4, "little")[2:] + C_JR_RA.to_bytes(2, "little")
        return first.ljust(PAGE_SIZE, b"\0") + second + third


def _reg(number: int) -> int:
    return REGISTERS[number % len(REGISTERS)]


def _alu(code: Code, f: Fragment, privilege: int) -> None:
    code.put(alu(f.n, _reg(f.a), _reg(f.b), _reg(f.c)))


def _alu_imm(code: Code, f: Fragment, privilege: int) -> None:
    code.put(alu_imm(f.c, _reg(f.a), _reg(f.b), f.n % 4096 - 2048))


def _upper(code: Code, f: Fragment, privilege: int) -> None:
    code.put((auipc if f.b & 1 else lui)(_reg(f.a), f.n))


def _compressed(code: Code, f: Fragment, privilege: int) -> None:
    small = f.n % 31 + 1
    code.put([c_addi(_reg(f.a), small), c_li(_reg(f.a), small), c_mv(_reg(f.a), _reg(f.b)), C_NOP][f.c % 4])
    if f.c & 8:
        code.put(c_add(_reg(f.b), _reg(f.a)))


def _branch(code: Code, f: Fragment, privilege: int) -> None:
    kind = (0, 1, 4, 5, 6, 7)[f.n % 6]
    skipped = [C_NOP] * (f.c % 3) + [addi(_reg(f.b), _reg(f.b), 1)]
    code.put(branch(kind, _reg(f.a), _reg(f.b), 8 + 2 * (f.c % 3)), *skipped)


def _loop(code: Code, f: Fragment, privilege: int) -> None:
    code.put(addi(S4, ZERO, f.n % 40 + 1))
    if f.c & 1:
        code.put(c_addi(S4, -1))
        code.put(alu(f.b, _reg(f.a), _reg(f.a), _reg(f.b)), branch(1, S4, ZERO, -6))
    else:  # two compressed instructions
        code.put(addi(A0, ZERO, f.n % 40 + 1), c_addi(A0, -1), c_bnez(A0, -2))


def _memory(code: Code, f: Fragment, privilege: int) -> None:
    pointer = POINTERS[f.b % 3]
    offset = f.n % 32 - 16
    size = f.c % 4
    code.put(
        store(size, _reg(f.a), pointer, offset) if f.c & 8 else load(f.c % 7, _reg(f.a), pointer, offset)
    )


def _compressed_memory(code: Code, f: Fragment, privilege: int) -> None:
    base = (S0, S1)[f.b & 1]
    code.put(c_ld(_reg(f.a % 6), base, f.n % 32 * 8) if f.c & 1 else c_sw(_reg(f.a % 6), base, f.n % 32 * 4))


def _float(code: Code, f: Fragment, privilege: int) -> None:
    pointer = POINTERS[f.b % 3]
    match f.c % 8:
        case 0:
            code.put(fload(2 + f.n % 2, f.a, pointer, f.n % 32 - 16))
        case 1:
            code.put(fstore(2 + f.n % 2, f.a, pointer, f.n % 32 - 16))
        case 2:
            code.put((c_fld if f.n & 1 else c_fsd)(f.a, (S0, S1)[f.b & 1], f.n % 32 * 8))
        case 3:
            code.put((c_fldsp if f.n & 1 else c_fsdsp)(f.a, f.n % 64 * 8))
        case 4:
            code.put(fused(sorted(FUSED)[f.n % 4], bool(f.n & 4), f.a, f.b, f.c, f.n >> 3 & 31))
        case _:
            name = FLOAT_NAMES[f.n % len(FLOAT_NAMES)]
            code.put(operation(name, _reg(f.a), _reg(f.b), f.c))  # an integer among them is not lost


def _float_switch(code: Code, f: Fragment, privilege: int) -> None:
    """Another value of FS: bits of it set or cleared, perhaps under a floating-point instruction's feet."""
    name = "mstatus" if privilege == 3 else "sstatus"
    code.put(lui(T3, (f.n & 3) << 1), csr(2 + (f.c & 1), ZERO, CSRS[name], T3))
    if f.c & 2:
        code.put(csr(2, _reg(f.a), CSRS[name], ZERO))


def _atomic(code: Code, f: Fragment, privilege: int) -> None:
    code.put(addi(T3, POINTERS[f.b % 3], f.n % 4 * 4 - 8 + (f.n >> 2 & 1) * 2))
    double = bool(f.c & 1)
    if f.c & 2:
        code.put(atomic(AMO[f.a % 9], double, _reg(f.a), T3, _reg(f.b)))
    else:
        code.put(atomic(LR, double, _reg(f.a), T3, 0))
        if f.n & 8:
            code.put(ECALL)
        code.put(*[NOP] * (f.n >> 4 & 3), atomic(SC, double, _reg(f.b), T3, _reg(f.c)))


def _system(code: Code, f: Fragment, privilege: int) -> None:
    choices = (ECALL, EBREAK, C_EBREAK, FENCE_I, SFENCE_VMA, WFI, SRET, MRET, *ILLEGAL)
    word = choices[f.n % len(choices)]
    if word in (SRET, MRET):
        # Return to the next instruction, where the mode may be another one.
        epc = CSRS["sepc" if word == SRET else "mepc"]
        code.put(auipc(T3, 0), addi(T3, T3, 16 + (f.a & 1)), csr(1, ZERO, epc, T3))
    code.put(word)


def _csr(code: Code, f: Fragment, privilege: int) -> None:
    name = CSR_NAMES[f.n % len(CSR_NAMES)]
    op = (1, 2, 3, 5, 6, 7)[f.c % 6]
    if name in ("satp", "stvec", "mtvec", "mstatus", "misa"):
        op = 2
        code.put(csr(op, _reg(f.a), CSRS[name], ZERO))
        return
    if name == "sstatus":  # SIE, SPIE, FS, SUM alone
        code.put(alu_imm(5, T3, _reg(f.b), 0x22), csr(2 + (f.c & 1), _reg(f.a), CSRS[name], T3))
        return
    code.put(csr(op, _reg(f.a), CSRS[name], f.b % 32 if op & 4 else _reg(f.b)))


def _timer(code: Code, f: Fragment, privilege: int) -> None:
    """Set stimecmp, or the CLINT's mtimecmp, to soon; then perhaps wait."""
    if f.c & 1:
        code.put(csr(2, T3, CSRS["time"], ZERO), addi(T3, T3, f.n % 4), csr(1, ZERO, CSRS["stimecmp"], T3))
    else:
        device = DEVICES + 2 * PAGE_SIZE
        code.li(T4, device if privilege < 3 else physical(device))
        code.put(addi(T3, ZERO, f.n % 8), sd(T3, T4, 0))
    if f.c & 2:
        code.put(WFI)


def _device(code: Code, f: Fragment, privilege: int) -> None:
    page = DEVICES + f.b % len(DEVICE_PAGES) * PAGE_SIZE
    offset = DEVICE_OFFSETS[f.n % len(DEVICE_OFFSETS)]
    code.li(T4, (page if privilege < 3 else physical(page)) + offset)
    match f.c % 8:
        case 0:
            code.put(fload(3, f.a % 32, T4, 0))
        case 1:
            code.put(atomic(AMO[f.a % 9], bool(f.n & 16), _reg(f.a), T4, _reg(f.b)))
        case 2 | 3 | 4:
            code.put(load(f.a % 7, _reg(f.b), T4, 0))
        case _:
            code.put(store(f.a % 4, _reg(f.b), T4, 0))


def _island(code: Code, f: Fragment, privilege: int) -> None:
    """Call the instruction that straddles two pages, or the compressed one before it."""
    code.li(T4, (ISLAND if privilege < 3 else physical(ISLAND)) - 2 * (f.n & 1))
    _risky_jump(code)


def _lost(code: Code, f: Fragment, privilege: int) -> None:
    """Jump to where there is nothing to run."""
    targets = (0, DATA, DATA + 3 * PAGE_SIZE, TEXT + 3 * PAGE_SIZE, DEVICES, 1 << 62, TEXT + PAGE_SIZE, -4)
    target = targets[f.n % len(targets)]
    code.li(T4, target if privilege < 3 else physical(target))
    _risky_jump(code)


def _risky_jump(code: Code) -> None:
    code.put(auipc(S11, 0), addi(S11, S11, 12), jalr(RA, T4))


def _own_code(code: Code, f: Fragment, privilege: int) -> None:
    """Write a function into the page that is writable and executable, and call it."""
    _write_code(code, f, privilege, CODE, CODE)


def _other_code(code: Code, f: Fragment, privilege: int) -> None:
    """Write a function through the page that is writable, and call it in the one that is executable."""
    _write_code(code, f, privilege, ALIAS, CODE_X)


def _write_code(code: Code, f: Fragment, privilege: int, writable: int, executable: int) -> None:
    offset = f.n % 8 * 64
    code.li(T4, addi(_reg(f.a), _reg(f.a), f.n % 1000) | C_JR_RA << 32)
    code.li(T3, (writable if privilege < 3 else physical(writable)) + offset)
    code.put(sd(T4, T3, 0), FENCE_I)
    code.li(T4, (executable if privilege < 3 else physical(executable)) + offset)
    _risky_jump(code)


def _spin(code: Code, f: Fragment, privilege: int) -> None:
    code.put(addi(S5, S5, 1), jal(ZERO, 4), slli(S5, S5, 1))


KINDS: dict[str, Callable[[Code, Fragment, int], None]] = {
    "alu": _alu, "alu_imm": _alu_imm, "upper": _upper, "compressed": _compressed, "branch": _branch,
    "loop": _loop, "memory": _memory, "compressed_memory": _compressed_memory, "float": _float,
    "float_switch": _float_switch, "atomic": _atomic, "system": _system, "csr": _csr, "timer": _timer,
    "device": _device, "island": _island, "lost": _lost, "own_code": _own_code, "other_code": _other_code,
    "spin": _spin,
}  # fmt: skip

DEVICE_KINDS = ("device", "timer")
NO_GATE = 0x7000_0000

NUMBERS = st.integers(0, 31)
FRAGMENTS = st.builds(
    Fragment, st.sampled_from(sorted(KINDS)), NUMBERS, NUMBERS, NUMBERS, st.integers(0, 4095)
)
LINES = st.tuples(st.integers(0, 3000), st.sampled_from((1, 3, 5, 7, 9, 11)))
HOT_KINDS = (
    "memory", "compressed_memory", "float", "float_switch", "atomic", "own_code", "other_code", "island",
)  # fmt: skip
HOT_FRAGMENTS = st.builds(
    Fragment, st.sampled_from(HOT_KINDS), NUMBERS, NUMBERS, NUMBERS, st.integers(0, 4095)
)
REST = (
    st.sampled_from((0, 0, 1, 1, 3)),
    st.sampled_from(Island),
    st.sampled_from((0xB3FF, 0xB3FF, 0, 0xBBFF, 0x1234 & 0xB3FF)),
    st.sampled_from((0xAAA, 0x222, 0x888, 0)),
    st.integers(0, 3),
    st.booleans(),
    st.lists(LINES, max_size=4).map(tuple),
)
PROGRAMS = st.builds(Program, st.lists(FRAGMENTS, min_size=1, max_size=40).map(tuple), *REST)
HOT_PROGRAMS = st.builds(Program, st.lists(HOT_FRAGMENTS, min_size=5, max_size=60).map(tuple), *REST)
"""Those that do little but load and store, in few pages, of which some have code."""
