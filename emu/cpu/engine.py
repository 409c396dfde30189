"""The interface of an engine to the machine loop, and the names of the cells that both share.

An engine runs guest instructions until something needs Python.  There are two (DESIGN rule 7):
emu/cpu/fast.py, which uses the internals of one known build of Unicorn and native hooks, and
emu/cpu/public.py, which uses the public interface alone and is the reference.  Both must stop at the
same instruction boundaries, leave the same registers and count the same time; nothing else in emu/ sees
a difference between them.

An engine has two arrays.  `cells` holds the parameters and results of one run; `regs` is the hart's state, as
the emulator keeps it: x0-x31 first, then f0-f31, then the rest, one 64-bit word each.

No engine takes an interrupt by itself, because the library takes them in the wrong order: it stops
before the block where one is due, and the loop enters the trap.  mip is the board's: emu/cpu/hart.py writes
`regs[MIP]`, the engine only compares it with mie.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

# Cells; native/hart.h declares the same fields in the same order.
NOW: Final = 0
DEADLINE: Final = 1
REASON: Final = 2
BLOCK_END: Final = 3
STEPPING: Final = 4
GATE_LOW: Final = 5
GATE_HIGH: Final = 6
CAUSE: Final = 7
CELLS: Final = 8

STEPPED: Final = -1  # value of cells[STEPPING] once the instruction of a step has been entered

# Reasons why the engine was asked to stop; native/hart.h names the same ones.
RAN: Final = 0  # it was not: an error, or a wfi
AT_DEADLINE: Final = 1  # before a block that reaches over DEADLINE
AT_GATE: Final = 2  # pc is on a gate's ecall
AT_ILLEGAL: Final = 3  # pc is on an instruction that the engine does not know; no trap entered yet
AT_STRADDLE: Final = 4  # the block at pc cannot be run whole: step through it
TRAPPED: Final = 5  # stepping, and a trap was entered
AT_INTERRUPT: Final = 6  # before a block: an interrupt is to be taken
TRAP_LOOP: Final = 7  # a trap was entered whose vector is the instruction that raised it
AT_TRAP: Final = 8  # pc is on an instruction that raised CAUSE; the trap is still to be entered
AT_BREAK: Final = 9  # pc is on a breakpoint; the instruction has not run
AT_WATCH: Final = 10  # pc is on an instruction that is about to touch a watched place

# What is done at a Spot.
LOADS: Final = 1
STORES: Final = 2
FETCHES: Final = 4

TRAP_TICKS: Final = 4
"""What entering a trap for an exception costs: time passes even where a trap follows a trap for ever."""

# Indices of `regs`, in words.
X: Final = 0
F: Final = 32
PC: Final = 64
LOAD_RES: Final = 65
FRM: Final = 67
BADADDR: Final = 68
PRIV: Final = 74
MHARTID: Final = 77
MSTATUS: Final = 78
MIP: Final = 79
MIE: Final = 81
MIDELEG: Final = 82
SATP: Final = 84
STVAL: Final = 85
MTVAL: Final = 86
MEDELEG: Final = 87
STVEC: Final = 88
SEPC: Final = 89
SCAUSE: Final = 90
MTVEC: Final = 91
MEPC: Final = 92
MCAUSE: Final = 93
SCOUNTEREN: Final = 119
MCOUNTEREN: Final = 120
SSCRATCH: Final = 121
MSCRATCH: Final = 122

_X_NAMES: Final = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1",
    "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
    "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
)  # fmt: skip

_F_NAMES: Final = (
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1",
    "fa0", "fa1", "fa2", "fa3", "fa4", "fa5", "fa6", "fa7",
    "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
)  # fmt: skip

NAMES: Final[dict[str, int]] = {
    **{f"x{i}": i for i in range(32)},
    **{f"f{i}": F + i for i in range(32)},
    **{name: index for index, name in enumerate(_X_NAMES)},
    **{name: F + index for index, name in enumerate(_F_NAMES)},
    "fp": 8, "pc": PC, "priv": PRIV, "mhartid": MHARTID, "mstatus": MSTATUS, "mip": MIP, "mie": MIE,
    "mideleg": MIDELEG, "satp": SATP, "stval": STVAL, "mtval": MTVAL, "medeleg": MEDELEG,
    "stvec": STVEC, "sepc": SEPC, "scause": SCAUSE, "mtvec": MTVEC, "mepc": MEPC, "mcause": MCAUSE,
    "sscratch": SSCRATCH, "mscratch": MSCRATCH,
}  # fmt: skip
"""Register names, as gdb and the assembler write them, to indices of `regs`."""

DIGESTED: Final = (
    *range(64), PC, PRIV, MSTATUS, MIP, MIE, MIDELEG, SATP, STVAL, MTVAL, MEDELEG, STVEC, SEPC, SCAUSE,
    MTVEC, MEPC, MCAUSE, SSCRATCH, MSCRATCH,
)  # fmt: skip
"""The registers that a digest covers: all that both engines can show."""

# Results of run() and step(): Unicorn's error numbers.
OK: Final = 0
READ_UNMAPPED: Final = 6
WRITE_UNMAPPED: Final = 7
FETCH_UNMAPPED: Final = 8
INSN_INVALID: Final = 10
EXCEPTION: Final = 21


class Words(Protocol):
    """A writable array of integers: a memoryview, or something that behaves like one."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a debugger wants the hart to stop: at [low, high) of one address space, or of all (satp 0).

    `kinds`: FETCHES before an instruction at `low` runs, LOADS and STORES before one that touches the range.
    """

    low: int
    high: int
    kinds: int
    satp: int = 0


class Engine(Protocol):
    """One hart's instruction interpreter over the board's RAM.

    After run() or step(), `regs[PC]` is exact and `cells[NOW]` counts exactly what retired.
    """

    name: str
    cells: Words
    regs: Words

    def run(self) -> int:
        """Run from `regs[PC]` until a stop (see cells[REASON]), an error, or a wfi; return the error."""

    def step(self, length: int) -> int:
        """Retire the one instruction at pc, `length` bytes long, or meet its trap; else as run()."""

    def flush_tlb(self) -> None:
        """Forget translations of virtual addresses: a PTE or satp changed behind the hart's back."""

    def drop_code(self, low: int, high: int) -> None:
        """Forget code translated from physical addresses [low, high): its bytes changed."""

    def set_spots(self, spots: Sequence[Spot]) -> None:
        """From now on run() stops at these, and at no others. step() does not."""
