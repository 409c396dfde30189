"""The floating-point instructions of RV64FDC for assembler.py: all of them, CSRs apart.

Encodings are those of the unprivileged specification, chapter 24, written without reference to
emu/cpu/decode.py.
"""

from assembler import c_ld

DYNAMIC = 7  # rounding mode: as frm says
OP_FP = 0x53
FUSED = {"fmadd": 0x43, "fmsub": 0x47, "fnmsub": 0x4B, "fnmadd": 0x4F}


def _operations() -> dict[str, tuple[int, int, int | None]]:
    """name -> (funct7, rm, rs2 where that is part of the operation), of opcode OP_FP."""
    of_two = {"fadd": (0, DYNAMIC), "fsub": (1, DYNAMIC), "fmul": (2, DYNAMIC), "fdiv": (3, DYNAMIC)}
    of_two |= {"fsgnj": (4, 0), "fsgnjn": (4, 1), "fsgnjx": (4, 2), "fmin": (5, 0), "fmax": (5, 1)}
    of_two |= {"fle": (20, 0), "flt": (20, 1), "feq": (20, 2)}
    result: dict[str, tuple[int, int, int | None]] = {}
    for fmt, letter in enumerate("sd"):
        for name, (funct5, rm) in of_two.items():
            result[f"{name}.{letter}"] = funct5 << 2 | fmt, rm, None
        for number, integer in enumerate(("w", "wu", "l", "lu")):
            result[f"fcvt.{integer}.{letter}"] = 24 << 2 | fmt, DYNAMIC, number
            result[f"fcvt.{letter}.{integer}"] = 26 << 2 | fmt, DYNAMIC, number
        result[f"fsqrt.{letter}"] = 11 << 2 | fmt, DYNAMIC, 0
        result[f"fclass.{letter}"] = 28 << 2 | fmt, 1, 0
        result[f"fmv.x.{letter}"] = 28 << 2 | fmt, 0, 0
        result[f"fmv.{letter}.x"] = 30 << 2 | fmt, 0, 0
    return result | {"fcvt.s.d": (8 << 2, DYNAMIC, 1), "fcvt.d.s": (8 << 2 | 1, 0, 0)}


OPERATIONS = _operations()
READS_ALONE = ("fclass.s", "fclass.d", "fmv.x.s", "fmv.x.d")
"""These change neither an f register nor a flag."""


def operation(name: str, rd: int, rs1: int, rs2: int) -> int:
    """One of OPERATIONS; rs2 is not used where the operation has none."""
    funct7, rm, fixed = OPERATIONS[name]
    return funct7 << 25 | (rs2 if fixed is None else fixed) << 20 | rs1 << 15 | rm << 12 | rd << 7 | OP_FP


def fused(name: str, double: bool, rd: int, rs1: int, rs2: int, rs3: int) -> int:
    return rs3 << 27 | double << 25 | rs2 << 20 | rs1 << 15 | DYNAMIC << 12 | rd << 7 | FUSED[name]


def fload(funct3: int, rd: int, base: int, offset: int) -> int:
    """funct3: 2 flw, 3 fld."""
    assert -2048 <= offset < 2048
    return (offset & 0xFFF) << 20 | base << 15 | funct3 << 12 | rd << 7 | 0x07


def fstore(funct3: int, rs2: int, base: int, offset: int) -> int:
    """funct3: 2 fsw, 3 fsd."""
    assert -2048 <= offset < 2048
    return (offset >> 5 & 127) << 25 | rs2 << 20 | base << 15 | funct3 << 12 | (offset & 31) << 7 | 0x27


def c_fld(rd: int, base: int, offset: int) -> int:
    """rd in f8-f15, base in x8-x15; offset a multiple of 8 below 256."""
    return c_ld(rd, base, offset) & 0x1FFF | 1 << 13


def c_fsd(rs2: int, base: int, offset: int) -> int:
    return c_ld(rs2, base, offset) & 0x1FFF | 5 << 13


def c_fldsp(rd: int, offset: int) -> int:
    """offset a multiple of 8 below 512."""
    return 1 << 13 | (offset >> 5 & 1) << 12 | rd << 7 | (offset >> 3 & 3) << 5 | (offset >> 6) << 2 | 2


def c_fsdsp(rs2: int, offset: int) -> int:
    return 5 << 13 | (offset >> 3 & 7) << 10 | (offset >> 6) << 7 | rs2 << 2 | 2


INTEGER, FLOAT, OTHER, SP = 10, 9, 8, 2  # a0, and f9 and f8


def every_float() -> dict[str, int]:
    """Each instruction once: integers and addresses in a0 and sp, f8 and f9 otherwise."""
    result = {name: operation(name, _rd(name), _rs1(name), OTHER) for name in OPERATIONS}
    for name in FUSED:
        for letter in "sd":
            result[f"{name}.{letter}"] = fused(name, letter == "d", FLOAT, FLOAT, OTHER, OTHER)
    for funct3, letter in ((2, "w"), (3, "d")):
        result[f"fl{letter}"] = fload(funct3, FLOAT, INTEGER, 0)
        result[f"fs{letter}"] = fstore(funct3, FLOAT, INTEGER, 0)
    result |= {"c.fld": c_fld(FLOAT, INTEGER, 0), "c.fsd": c_fsd(FLOAT, INTEGER, 0)}
    return result | {"c.fldsp": c_fldsp(FLOAT, 0), "c.fsdsp": c_fsdsp(FLOAT, 0)}


def _rd(name: str) -> int:
    to_integer = name.startswith(("fle", "flt", "feq", "fclass", "fmv.x", "fcvt.w", "fcvt.l"))
    return INTEGER if to_integer else FLOAT


def _rs1(name: str) -> int:
    return INTEGER if name.endswith((".x", ".w", ".wu", ".l", ".lu")) else FLOAT
