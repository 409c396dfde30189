"""gdb's numbering of the registers, and the target description that announces it.

gdb's own numbers of RISC-V registers are used where it has them, so that a gdb which reads no description
understands the first 65.  `NUMBERS` maps gdb's numbers to those of timetravel/registers.py.
"""

import struct
from collections.abc import Sequence
from typing import Final

from orrery.timetravel.registers import NAMES, PC

SUPERVISOR_CSRS: Final = (
    "sstatus", "sie", "sip", "stvec", "sscratch", "sepc", "scause", "stval", "satp",
)  # fmt: skip
X: Final = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1",
    "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
    "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
)  # fmt: skip
F: Final = (
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1",
    "fa0", "fa1", "fa2", "fa3", "fa4", "fa5", "fa6", "fa7",
    "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
)  # fmt: skip

GENERAL_COUNT: Final = len(X) + 1 + len(F)
"""Registers that `g` gives: x0 to x31, pc, f0 to f31; gdb asks for the others one by one."""

EXPEDITED: Final = (1, 2, 8, 32)
"""ra, sp, fp and pc, which gdb asks for at each stop: told with it, they save it a packet."""

EXPEDITED_FORM: Final = b"".join(b"%x:%%b;" % number for number in EXPEDITED)

NUMBERS: Final[tuple[int, ...]] = (
    *range(GENERAL_COUNT),
    *(NAMES.index(name) for name in (*SUPERVISOR_CSRS, "priv")),
)
"""gdb's register n is number NUMBERS[n] of registers.NAMES."""

assert NAMES[PC] == "pc" and len(X) == PC, "gdb has pc behind the 32 integer registers"

TYPES: Final = {"ra": "code_ptr", "pc": "code_ptr", "sp": "data_ptr", "fp": "data_ptr"}
DOUBLE: Final = (
    '<union id="riscv_double"><field name="float" type="ieee_single"/>'
    '<field name="double" type="ieee_double"/></union>'
)


def words(values: Sequence[int]) -> bytes:
    """Registers as packets have them."""
    return struct.pack(f"<{len(values)}Q", *values).hex().encode()


def expedited(values: Sequence[int]) -> bytes:
    """Those that a stop tells; all are given, and are the first of registers.NAMES."""
    text = words([values[number] for number in EXPEDITED])
    return EXPEDITED_FORM % tuple(text[at : at + 16] for at in range(0, 16 * len(EXPEDITED), 16))


def target_xml() -> bytes:
    """The description, for qXfer:features:read:target.xml."""
    number = iter(range(len(NUMBERS)))

    def registers(names: tuple[str, ...], kind: str) -> str:
        return "".join(
            f'<reg name="{name}" bitsize="64" regnum="{next(number)}" type="{TYPES.get(name, kind)}"/>\n'
            for name in names
        )

    def feature(name: str, content: str) -> str:
        return f'<feature name="org.gnu.gdb.riscv.{name}">\n{content}</feature>\n'

    return (
        '<?xml version="1.0"?>\n<!DOCTYPE target SYSTEM "gdb-target.dtd">\n<target version="1.0">\n'
        "<architecture>riscv:rv64</architecture>\n<osabi>none</osabi>\n"
        + feature("cpu", registers((*X, "pc"), "int"))
        + feature("fpu", DOUBLE + registers(F, "riscv_double"))
        + feature("csr", registers(SUPERVISOR_CSRS, "uint64"))
        + feature("virtual", registers(("priv",), "int"))
        + "</target>\n"
    ).encode()
