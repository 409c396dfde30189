"""Decoding of loads, stores and atomics. Clang 22 made the words in the table from the text beside them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.cpu.decode import Kind, MemoryAccess, amo_result, decode, length, lengths


def load(register: str, base: int, offset: int, size: int, length: int, signed: bool = True) -> MemoryAccess:
    is_float = register[0] == "f"
    rd = int(register[1:])
    return MemoryAccess(Kind.LOAD, rd, 0, base, offset, size, signed and not is_float, is_float, length)


def store(register: str, base: int, offset: int, size: int, length: int) -> MemoryAccess:
    rs2 = int(register[1:])
    return MemoryAccess(Kind.STORE, 0, rs2, base, offset, size, False, register[0] == "f", length)


def atomic(kind: Kind, rd: int, rs2: int, base: int, size: int, op: str = "") -> MemoryAccess:
    return MemoryAccess(kind, rd, rs2, base, 0, size, True, False, 4, op)


ACCESSES = [
    (0xFFF58503, "lb a0,-1(a1)", load("x10", 11, -1, 1, 4)),
    (0x00259503, "lh a0,2(a1)", load("x10", 11, 2, 2, 4)),
    (0x7FF42F83, "lw t6,2047(s0)", load("x31", 8, 2047, 4, 4)),
    (0x80013503, "ld a0,-2048(sp)", load("x10", 2, -2048, 8, 4)),
    (0x0006C603, "lbu a2,0(a3)", load("x12", 13, 0, 1, 4, signed=False)),
    (0x0066D603, "lhu a2,6(a3)", load("x12", 13, 6, 2, 4, signed=False)),
    (0x0086E603, "lwu a2,8(a3)", load("x12", 13, 8, 4, 4, signed=False)),
    (0x0045A507, "flw fa0,4(a1)", load("f10", 11, 4, 4, 4)),
    (0xFF85B487, "fld fs1,-8(a1)", load("f9", 11, -8, 8, 4)),
    (0xFEA58FA3, "sb a0,-1(a1)", store("x10", 11, -1, 1, 4)),
    (0x00A59123, "sh a0,2(a1)", store("x10", 11, 2, 2, 4)),
    (0x7FF42FA3, "sw t6,2047(s0)", store("x31", 8, 2047, 4, 4)),
    (0x80A13023, "sd a0,-2048(sp)", store("x10", 2, -2048, 8, 4)),
    (0x00A5A227, "fsw fa0,4(a1)", store("f10", 11, 4, 4, 4)),
    (0xFE95BC27, "fsd fs1,-8(a1)", store("f9", 11, -8, 8, 4)),
    (0x1005A52F, "lr.w a0,(a1)", atomic(Kind.LR, 10, 0, 11, 4)),
    (0x1405B52F, "lr.d.aq a0,(a1)", atomic(Kind.LR, 10, 0, 11, 8)),
    (0x18C5A52F, "sc.w a0,a2,(a1)", atomic(Kind.SC, 10, 12, 11, 4)),
    (0x1AC5B52F, "sc.d.rl a0,a2,(a1)", atomic(Kind.SC, 10, 12, 11, 8)),
    (0x08C5A52F, "amoswap.w a0,a2,(a1)", atomic(Kind.AMO, 10, 12, 11, 4, "swap")),
    (0x00C5B52F, "amoadd.d a0,a2,(a1)", atomic(Kind.AMO, 10, 12, 11, 8, "add")),
    (0x20C5A52F, "amoxor.w a0,a2,(a1)", atomic(Kind.AMO, 10, 12, 11, 4, "xor")),
    (0x60C5B52F, "amoand.d a0,a2,(a1)", atomic(Kind.AMO, 10, 12, 11, 8, "and")),
    (0x46C5A52F, "amoor.w.aqrl a0,a2,(a1)", atomic(Kind.AMO, 10, 12, 11, 4, "or")),
    (0x80C5B52F, "amomin.d a0,a2,(a1)", atomic(Kind.AMO, 10, 12, 11, 8, "min")),
    (0xA0C5A52F, "amomax.w a0,a2,(a1)", atomic(Kind.AMO, 10, 12, 11, 4, "max")),
    (0xC0C5B52F, "amominu.d a0,a2,(a1)", atomic(Kind.AMO, 10, 12, 11, 8, "minu")),
    (0xE0C5A52F, "amomaxu.w a0,a2,(a1)", atomic(Kind.AMO, 10, 12, 11, 4, "maxu")),
    (0x41C8, "c.lw a0,4(a1)", load("x10", 11, 4, 4, 2)),
    (0x40A0, "c.lw s0,64(s1)", load("x8", 9, 64, 4, 2)),
    (0x5FFC, "c.lw a5,124(a5)", load("x15", 15, 124, 4, 2)),
    (0x6588, "c.ld a0,8(a1)", load("x10", 11, 8, 8, 2)),
    (0x60E0, "c.ld s0,192(s1)", load("x8", 9, 192, 8, 2)),
    (0x3DE8, "c.fld fa0,248(a1)", load("f10", 11, 248, 8, 2)),
    (0x23A0, "c.fld fs0,64(a5)", load("f8", 15, 64, 8, 2)),
    (0xC1C8, "c.sw a0,4(a1)", store("x10", 11, 4, 4, 2)),
    (0xCDA8, "c.sw a0,88(a1)", store("x10", 11, 88, 4, 2)),
    (0xE588, "c.sd a0,8(a1)", store("x10", 11, 8, 8, 2)),
    (0xF75C, "c.sd a5,168(a4)", store("x15", 14, 168, 8, 2)),
    (0xB9E8, "c.fsd fa0,240(a1)", store("f10", 11, 240, 8, 2)),
    (0x4092, "c.lwsp ra,4(sp)", load("x1", 2, 4, 4, 2)),
    (0x5FFE, "c.lwsp t6,252(sp)", load("x31", 2, 252, 4, 2)),
    (0x552A, "c.lwsp a0,168(sp)", load("x10", 2, 168, 4, 2)),
    (0x60A2, "c.ldsp ra,8(sp)", load("x1", 2, 8, 8, 2)),
    (0x757E, "c.ldsp a0,504(sp)", load("x10", 2, 504, 8, 2)),
    (0x7532, "c.ldsp a0,296(sp)", load("x10", 2, 296, 8, 2)),
    (0x2532, "c.fldsp fa0,264(sp)", load("f10", 2, 264, 8, 2)),
    (0xC206, "c.swsp ra,4(sp)", store("x1", 2, 4, 4, 2)),
    (0xC5FE, "c.swsp t6,200(sp)", store("x31", 2, 200, 4, 2)),
    (0xDF2A, "c.swsp a0,188(sp)", store("x10", 2, 188, 4, 2)),
    (0xE406, "c.sdsp ra,8(sp)", store("x1", 2, 8, 8, 2)),
    (0xFF82, "c.sdsp zero,504(sp)", store("x0", 2, 504, 8, 2)),
    (0xE6AA, "c.sdsp a0,328(sp)", store("x10", 2, 328, 8, 2)),
    (0xA26E, "c.fsdsp fs11,256(sp)", store("f27", 2, 256, 8, 2)),
]

OTHERS = [
    (0x00458513, "addi a0,a1,4"),
    (0x0505, "c.addi a0,1"),
    (0x0808, "c.addi4spn a0,sp,16"),
    (0x000000EF, "jal 0"),
    (0x18002573, "csrr a0,satp"),
    (0x0000100F, "fence.i"),
    (0x10200073, "sret"),
    (0x8082, "c.jr ra"),
    (0x852E, "c.mv a0,a1"),
    (0x0000, "the illegal instruction of all zeros"),
    (0xFFFFFFFF, "the illegal instruction of all ones"),
    (0x00007003, "load, width 7 is reserved"),
    (0x00004023, "store, width 4 is reserved"),
    (0x00001007, "load-fp, half precision is not there"),
    (0x00004007, "load-fp, quad precision is not there"),
    (0x10C5A52F, "lr.w with rs2 not 0 is reserved"),
    (0x2800202F, "atomic, funct5 5 is reserved"),
    (0x00C5952F, "atomic on 2 bytes is not there"),
    (0x4012, "c.lwsp to x0 is reserved"),
    (0x6022, "c.ldsp to x0 is reserved"),
]


@pytest.mark.parametrize(("word", "text", "access"), ACCESSES, ids=[text for _, text, _ in ACCESSES])
def test_memory_accesses(word: int, text: str, access: MemoryAccess) -> None:
    assert decode(word) == access
    assert length(word) == access.length == (2 if text.startswith("c.") else 4)
    if access.length == 2:
        assert decode(0xABCD0000 | word) == access, "what follows a compressed instruction does not count"


@pytest.mark.parametrize(("word", "text"), OTHERS, ids=[text for _, text in OTHERS])
def test_all_else_is_none(word: int, text: str) -> None:
    assert decode(word) is None


def test_lengths_of_a_sequence() -> None:
    code = b"".join(word.to_bytes(access.length, "little") for word, _, access in ACCESSES)
    assert lengths(code) == [access.length for _, _, access in ACCESSES]
    assert sum(lengths(memoryview(code))) == len(code)


@pytest.mark.parametrize(
    ("code", "expected"), [("", []), ("01", []), ("0100", [2]), ("0100 13", [2]), ("0100 1300", [2])]
)
def test_an_instruction_that_is_cut_off_does_not_count(code: str, expected: list[int]) -> None:
    assert lengths(bytes.fromhex(code)) == expected


@pytest.mark.parametrize(
    ("register", "size", "signed", "raw", "value"),
    [
        ("x1", 1, True, 0x80, 0xFFFFFFFFFFFFFF80),
        ("x1", 1, True, 0x7F, 0x7F),
        ("x1", 1, False, 0x80, 0x80),
        ("x1", 2, True, 0x8000, 0xFFFFFFFFFFFF8000),
        ("x1", 4, True, 0x80000000, 0xFFFFFFFF80000000),
        ("x1", 4, False, 0x80000000, 0x80000000),
        ("x1", 8, True, 0x8000000000000000, 0x8000000000000000),
        ("f1", 4, True, 0x3F800000, 0xFFFFFFFF3F800000),
        ("f1", 8, True, 0x3FF0000000000000, 0x3FF0000000000000),
    ],
)
def test_register_value(register: str, size: int, signed: bool, raw: int, value: int) -> None:
    assert load(register, 2, 0, size, 4, signed).register_value(raw) == value


@pytest.mark.parametrize(
    ("op", "old", "operand", "size", "result"),
    [
        ("swap", 1, 2, 4, 2),
        ("add", 0xFFFFFFFF, 2, 4, 1),
        ("add", 0xFFFFFFFF, 2, 8, 0x100000001),
        ("xor", 0b1100, 0b1010, 4, 0b0110),
        ("and", 0b1100, 0b1010, 4, 0b1000),
        ("or", 0b1100, 0b1010, 4, 0b1110),
        ("min", 0xFFFFFFFF, 1, 4, 0xFFFFFFFF),
        ("max", 0xFFFFFFFF, 1, 4, 1),
        ("minu", 0xFFFFFFFF, 1, 4, 1),
        ("maxu", 0xFFFFFFFF, 1, 4, 0xFFFFFFFF),
        ("min", 0xFFFFFFFF, 1, 8, 1),
        ("swap", 0, 0xFFFFFFFF_00000005, 4, 5),  # the operand is a whole register
    ],
)
def test_amo_result(op: str, old: int, operand: int, size: int, result: int) -> None:
    assert amo_result(op, old, operand, size) == result


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.integers(0, (1 << 32) - 1))
def test_any_word_is_decoded_or_none(word: int) -> None:
    access = decode(word)
    if access is not None:
        assert access.length == length(word)
        assert access.size in (1, 2, 4, 8)
        assert all(0 <= register < 32 for register in (access.rd, access.rs2, access.base))
        assert -2048 <= access.offset < 2048
        assert (access.op != "") == (access.kind is Kind.AMO)
