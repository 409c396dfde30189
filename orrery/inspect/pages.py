"""Page tables as a person reads them: what is mapped where, and the walk to one address, level by level.

Used by the monitor's commands about memory.  Unlike kernel/mm/pagetable.py, which knows what its own
tables hold, this reads any Sv39 table (superpages, wrong entries), and unlike emu/cpu/sv39.py it asks for no
access: it shows what is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from emu.ram import Ram
from kernel.abi.memlayout import PGSHIFT, PGSIZE
from kernel.abi.riscv import PTE_A, PTE_COW, PTE_D, PTE_FLAGS, PTE_G, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X

LEVELS: Final = 3
INDEX_BITS: Final = 9
TABLE_ENTRIES: Final = 1 << INDEX_BITS
PTE_SIZE: Final = 8
LEAF: Final = PTE_R | PTE_W | PTE_X
PPN_MASK: Final = (1 << 44) - 1
VA_BITS: Final = 39
_BITS: Final = (PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D, PTE_COW)
_LETTERS: Final = dict(zip("rwxugadc", _BITS, strict=True))


class Mapping(NamedTuple):
    """[va, va+size) is mapped to [pa, pa+size), all with the same `flags`."""

    va: int
    pa: int
    size: int
    flags: int


@dataclass(frozen=True, slots=True)
class Step:
    """One level of a walk: entry `index` of a table, at `pte_pa`."""

    level: int
    index: int
    pte_pa: int
    pte: int


def flags_text(pte: int) -> str:
    """Permissions and history of a leaf, a letter or a dash for each: rwxug, accessed, dirty, COW."""
    letters = "".join(letter if pte & bit else "-" for letter, bit in _LETTERS.items())
    return f"{letters[:5]} {letters[5:]}"


def target(pte: int) -> int:
    """The physical address in an entry."""
    return (pte >> 10 & PPN_MASK) << PGSHIFT


def is_table(step: Step) -> bool:
    """Whether the entry leads on to a table of the next level."""
    return bool(step.pte & PTE_V) and not step.pte & LEAF and step.level > 0


def walk(ram: Ram, root: int, va: int) -> list[Step]:
    """The entries that the MMU reads for `va`, from the root; the last one is a leaf or a dead end."""
    steps: list[Step] = []
    table = root
    for level in reversed(range(LEVELS)):
        index = va >> PGSHIFT + INDEX_BITS * level & TABLE_ENTRIES - 1
        pte_pa = table + PTE_SIZE * index
        if not ram.holds(pte_pa, PTE_SIZE):
            break  # the entry before points outside RAM
        steps.append(Step(level, index, pte_pa, ram.u64[pte_pa - ram.base >> 3]))
        if not is_table(steps[-1]):
            break
        table = target(steps[-1].pte)
    return steps


def find(ram: Ram, root: int, va: int) -> int | None:
    """The physical address of `va`, whoever may use it; None where nothing is mapped."""
    if not 0 <= va < 1 << VA_BITS:
        return None
    last = walk(ram, root, va)[-1]
    if not last.pte & PTE_V or not last.pte & LEAF:
        return None
    return target(last.pte) | va & (PGSIZE << INDEX_BITS * last.level) - 1


def mappings(ram: Ram, root: int) -> Iterator[Mapping]:
    """What is mapped, in order of addresses; neighbours that go on in physical memory too are one."""
    whole: Mapping | None = None
    for one in _leaves(ram, root, LEVELS - 1, 0):
        if (
            whole is not None
            and (whole.va + whole.size, whole.pa + whole.size, whole.flags) == (one.va, one.pa, one.flags)
        ):  # fmt: skip
            whole = whole._replace(size=whole.size + one.size)
            continue
        if whole is not None:
            yield whole
        whole = one
    if whole is not None:
        yield whole


def _leaves(ram: Ram, table: int, level: int, va: int) -> Iterator[Mapping]:
    if not ram.holds(table, PGSIZE):
        return
    first = table - ram.base >> 3
    size = PGSIZE << INDEX_BITS * level
    for index, pte in enumerate(ram.u64[first : first + TABLE_ENTRIES].tolist()):
        if not pte & PTE_V:
            continue
        if pte & LEAF:
            yield Mapping(va + index * size, target(pte), size, pte & PTE_FLAGS)
        elif level:
            yield from _leaves(ram, target(pte), level - 1, va + index * size)


def entry_text(step: Step) -> str:
    """A page-table entry in words."""
    if not step.pte & PTE_V:
        return "not valid"
    pa = target(step.pte)
    if is_table(step):
        return f"table at {pa:#x}"
    if not step.pte & LEAF:
        return "a table below the last level, which is wrong"
    return f"{flags_text(step.pte)}, {'superpage' if step.level else 'page'} at {pa:#x}"
