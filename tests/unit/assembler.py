"""A small RISC-V assembler in Python, for tests that make programs by the hundred.

Functions give one instruction as an integer; Code puts them one after another, with labels.  Encodings are
those of the unprivileged specification, chapter 24, written without reference to emu/cpu/decode.py.
"""

from collections.abc import Callable

ZERO, RA, SP, GP, TP, T0, T1, T2, S0, S1, A0, A1, A2, A3, A4, A5, A6, A7 = range(18)
S2, S3, S4, S5, S6, S7, S8, S9, S10, S11, T3, T4, T5, T6 = range(18, 32)

CSRS = {
    "fflags": 0x001, "frm": 0x002, "fcsr": 0x003,
    "cycle": 0xC00, "time": 0xC01, "instret": 0xC02, "hpmcounter3": 0xC03,
    "sstatus": 0x100, "sie": 0x104, "stvec": 0x105, "scounteren": 0x106, "sscratch": 0x140, "sepc": 0x141,
    "scause": 0x142, "stval": 0x143, "sip": 0x144, "stimecmp": 0x14D, "satp": 0x180,
    "mstatus": 0x300, "misa": 0x301, "medeleg": 0x302, "mideleg": 0x303, "mie": 0x304, "mtvec": 0x305,
    "mcounteren": 0x306, "menvcfg": 0x30A, "mscratch": 0x340, "mepc": 0x341, "mcause": 0x342,
    "mtval": 0x343, "mip": 0x344, "pmpcfg0": 0x3A0, "pmpaddr0": 0x3B0, "mcycle": 0xB00, "minstret": 0xB02,
    "mhartid": 0xF14,
}  # fmt: skip

ECALL = 0x0000_0073
EBREAK = 0x0010_0073
SRET = 0x1020_0073
MRET = 0x3020_0073
WFI = 0x1050_0073
SFENCE_VMA = 0x1200_0073
FENCE_I = 0x0000_100F
C_NOP = 0x0001
C_EBREAK = 0x9002
C_JUMP_TO_ITSELF = 0xA001
C_JR_RA = 0x8082
NOP = 0x0000_0013


def _r(opcode: int, funct3: int, funct7: int, rd: int, rs1: int, rs2: int) -> int:
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def _i(opcode: int, funct3: int, rd: int, rs1: int, imm: int) -> int:
    assert -2048 <= imm < 2048
    return (imm & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


R_TYPE = [
    (0x33, funct3, funct7)
    for funct3, funct7 in [(f, 0) for f in range(8)] + [(0, 32), (5, 32)] + [(f, 1) for f in range(8)]
] + [
    (0x3B, funct3, funct7)
    for funct3, funct7 in [(0, 0), (1, 0), (5, 0), (0, 32), (5, 32), (0, 1), (4, 1), (5, 1), (6, 1), (7, 1)]
]
"""(opcode, funct3, funct7) of the register operations of RV64IM."""

I_TYPE = [(0x13, funct3) for funct3 in (0, 2, 3, 4, 6, 7)] + [(0x1B, 0)]
"""(opcode, funct3) of the immediate operations, shifts apart."""


def alu(which: int, rd: int, rs1: int, rs2: int) -> int:
    """The register operation R_TYPE[which]."""
    return _r(*R_TYPE[which % len(R_TYPE)], rd, rs1, rs2)


def alu_imm(which: int, rd: int, rs1: int, imm: int) -> int:
    """The immediate operation I_TYPE[which]."""
    return _i(*I_TYPE[which % len(I_TYPE)], rd, rs1, imm)


def addi(rd: int, rs1: int, imm: int) -> int:
    return _i(0x13, 0, rd, rs1, imm)


def slli(rd: int, rs1: int, shift: int) -> int:
    return shift << 20 | rs1 << 15 | 1 << 12 | rd << 7 | 0x13


def srli(rd: int, rs1: int, shift: int) -> int:
    return shift << 20 | rs1 << 15 | 5 << 12 | rd << 7 | 0x13


def lui(rd: int, imm20: int) -> int:
    return (imm20 & 0xFFFFF) << 12 | rd << 7 | 0x37


def add(rd: int, rs1: int, rs2: int) -> int:
    return _r(0x33, 0, 0, rd, rs1, rs2)


def load(funct3: int, rd: int, base: int, offset: int) -> int:
    """funct3: 0 lb, 1 lh, 2 lw, 3 ld, 4 lbu, 5 lhu, 6 lwu."""
    return _i(0x03, funct3, rd, base, offset)


def store(funct3: int, rs2: int, base: int, offset: int) -> int:
    """funct3: 0 sb, 1 sh, 2 sw, 3 sd."""
    return _s(0x23, funct3, rs2, base, offset)


def _s(opcode: int, funct3: int, rs2: int, base: int, offset: int) -> int:
    assert -2048 <= offset < 2048
    low, high = offset & 31, offset >> 5 & 127
    return high << 25 | rs2 << 20 | base << 15 | funct3 << 12 | low << 7 | opcode


def ld(rd: int, base: int, offset: int) -> int:
    return load(3, rd, base, offset)


def sd(rs2: int, base: int, offset: int) -> int:
    return store(3, rs2, base, offset)


AMO = [0x00, 0x01, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C]
LR, SC = 0x02, 0x03


def atomic(funct5: int, double: bool, rd: int, base: int, rs2: int) -> int:
    return _r(0x2F, 3 if double else 2, funct5 << 2, rd, base, 0 if funct5 == LR else rs2)


def csr(op: int, rd: int, number: int, rs1: int) -> int:
    """op: 1 csrrw, 2 csrrs, 3 csrrc, 5 to 7 the same with rs1 as an immediate."""
    return number << 20 | rs1 << 15 | op << 12 | rd << 7 | 0x73


def csrw(name: str, rs1: int) -> int:
    return csr(1, ZERO, CSRS[name], rs1)


def csrr(rd: int, name: str) -> int:
    return csr(2, rd, CSRS[name], ZERO)


def branch(funct3: int, rs1: int, rs2: int, offset: int) -> int:
    """funct3: 0 beq, 1 bne, 4 blt, 5 bge, 6 bltu, 7 bgeu."""
    assert -4096 <= offset < 4096 and not offset & 1
    high = (offset >> 12 & 1) << 6 | offset >> 5 & 63
    low = (offset >> 1 & 15) << 1 | offset >> 11 & 1
    return high << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | low << 7 | 0x63


def jal(rd: int, offset: int) -> int:
    assert -(1 << 20) <= offset < 1 << 20 and not offset & 1
    high = (offset >> 20 & 1) << 10 | offset >> 1 & 0x3FF
    bits = high << 9 | (offset >> 11 & 1) << 8 | offset >> 12 & 0xFF
    return bits << 12 | rd << 7 | 0x6F


def jalr(rd: int, base: int, offset: int = 0) -> int:
    return _i(0x67, 0, rd, base, offset)


def auipc(rd: int, imm20: int) -> int:
    return (imm20 & 0xFFFFF) << 12 | rd << 7 | 0x17


def c_addi(rd: int, imm: int) -> int:
    assert rd and imm and -32 <= imm < 32
    return (imm >> 5 & 1) << 12 | rd << 7 | (imm & 31) << 2 | 1


def c_li(rd: int, imm: int) -> int:
    assert rd and -32 <= imm < 32
    return 0x4001 | (imm >> 5 & 1) << 12 | rd << 7 | (imm & 31) << 2


def c_mv(rd: int, rs2: int) -> int:
    assert rd and rs2
    return 0x8002 | rd << 7 | rs2 << 2


def c_add(rd: int, rs2: int) -> int:
    assert rd and rs2
    return 0x9002 | rd << 7 | rs2 << 2


def c_ld(rd: int, base: int, offset: int) -> int:
    """rd and base in x8-x15; offset a multiple of 8 below 256."""
    return 0x6000 | (offset >> 3 & 7) << 10 | (base & 7) << 7 | (offset >> 6 & 3) << 5 | (rd & 7) << 2


def c_sw(rs2: int, base: int, offset: int) -> int:
    """rs2 and base in x8-x15; offset a multiple of 4 below 128."""
    bits = (offset >> 3 & 7) << 10 | (offset >> 2 & 1) << 6 | (offset >> 6 & 1) << 5
    return 0xC000 | bits | (base & 7) << 7 | (rs2 & 7) << 2


def c_bnez(rs1: int, offset: int) -> int:
    """rs1 in x8-x15."""
    assert -256 <= offset < 256
    bits = (offset >> 8 & 1) << 12 | (offset >> 3 & 3) << 10 | (offset >> 6 & 3) << 5
    return 0xE001 | bits | (rs1 & 7) << 7 | (offset >> 1 & 3) << 3 | (offset >> 5 & 1) << 2


class Code:
    """Instructions from address `base` on."""

    def __init__(self, base: int) -> None:
        self.base = base
        self.bytes = bytearray()
        self._labels: dict[str, int] = {}
        self._later: list[tuple[int, str, Callable[[int], int]]] = []

    @property
    def pc(self) -> int:
        """Where the next instruction comes to lie."""
        return self.base + len(self.bytes)

    def put(self, *words: int) -> None:
        """Append instructions; one whose low bits are not 3 takes 2 bytes."""
        for word in words:
            self.bytes += word.to_bytes(4 if word & 3 == 3 else 2, "little")

    def label(self, name: str) -> None:
        assert name not in self._labels
        self._labels[name] = self.pc

    def to(self, name: str, make: Callable[[int], int]) -> None:
        """Append the 4-byte instruction make(offset), offset being the distance to label `name`."""
        self._later.append((len(self.bytes), name, make))
        self.bytes += bytes(4)

    def li(self, rd: int, value: int) -> None:
        """Load a 64-bit constant, which takes 64 bytes whatever it is.  Uses t6, so rd is another one."""
        value &= (1 << 64) - 1
        assert rd != T6
        self.put(addi(rd, ZERO, value >> 55))
        for shift in (44, 33, 22, 11, 0):
            self.put(slli(rd, rd, 11), addi(T6, ZERO, value >> shift & 0x7FF), add(rd, rd, T6))

    def finish(self) -> bytes:
        """The bytes, with every label resolved."""
        for at, name, make in self._later:
            word = make(self._labels[name] - (self.base + at))
            self.bytes[at : at + 4] = word.to_bytes(4, "little")
        self._later.clear()
        return bytes(self.bytes)
