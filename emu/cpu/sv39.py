"""The page walk of the RISC-V manual, volume II, section 4.4, in Python over Ram.

The engine walks by itself. This walk serves emu/cpu/exits.py, when an access to a device stopped a hart or a
fault has no address yet, and the public engine, to read the code of a block.
It only reads: setting A and D is the engine's part, and a PTE with A or D clear is valid here.

    satp   63   60 59       44 43                        0
           +------+-----------+---------------------------+
           | mode | ASID      | physical page number      |
           +------+-----------+---------------------------+
    va     63                 39 38     30 29     21 20     12 11       0
           +--------------------+---------+---------+---------+----------+
           | copies of bit 38   | VPN[2]  | VPN[1]  | VPN[0]  | offset   |
           +--------------------+---------+---------+---------+----------+
"""

from enum import Enum
from typing import Final

from emu.ram import Ram

PTE_V: Final = 1 << 0
PTE_R: Final = 1 << 1
PTE_W: Final = 1 << 2
PTE_X: Final = 1 << 3
PTE_U: Final = 1 << 4
_PTE_RESERVED: Final = 0x3FF << 54  # must be zero where Svnapot and Svpbmt do not exist
_PPN_MASK: Final = (1 << 44) - 1
_VA_MASK: Final = (1 << 64) - 1

SATP_BARE: Final = 0
_LEVELS: Final = {8: 3, 9: 4, 10: 5}  # satp mode -> page-table levels; the engine has Sv48 and Sv57 too


class Access(Enum):
    """What an access wants: its letter, and the causes of the access fault and the page fault for it."""

    FETCH = ("x", 1, 12)
    LOAD = ("r", 5, 13)
    STORE = ("w", 7, 15)

    def __init__(self, letter: str, access_fault: int, page_fault: int) -> None:
        self.letter: Final = letter
        self.access_fault: Final = access_fault
        self.page_fault: Final = page_fault


class TranslationFault(Exception):
    """`va` cannot be used so. `cause` is the exception code that scause gets; stval gets `va`."""

    def __init__(self, va: int, cause: int) -> None:
        super().__init__(f"virtual address {va:#x} faults with cause {cause}")
        self.va: Final = va
        self.cause: Final = cause


class PageFault(TranslationFault):
    """The page tables forbid it or have no such page."""


class AccessFault(TranslationFault):
    """A page table lies outside RAM."""


def translate(
    ram: Ram, satp: int, va: int, access: Access, *, user: bool, sum_: bool = False, mxr: bool = False
) -> int:
    """The physical address of virtual address `va` (64 bits, unsigned) for one access.

    user: the effective privilege is U, else S (M-mode translates nothing: do not ask). sum_ and mxr are
    the bits of sstatus. Whether something answers at the result is for the bus to say.
    Raises PageFault or AccessFault.
    """
    va &= _VA_MASK
    mode = satp >> 60
    if mode == SATP_BARE:
        return va
    levels = _LEVELS.get(mode)
    if levels is None or not _is_canonical(va, 12 + 9 * levels):
        raise PageFault(va, access.page_fault)
    pte, level = _walk(ram, satp & _PPN_MASK, va, levels, access)
    ppn = pte >> 10 & _PPN_MASK
    page_mask = (1 << 12 + 9 * level) - 1  # of the page or superpage
    misaligned = (ppn << 12) & page_mask
    if misaligned or not _permits(pte, access, user, sum_, mxr):
        raise PageFault(va, access.page_fault)
    return ppn << 12 | va & page_mask


def _is_canonical(va: int, bits: int) -> bool:
    """Whether all bits of `va` from bit `bits - 1` up are equal."""
    top = va >> bits - 1
    return top == 0 or top == (1 << 65 - bits) - 1


def _walk(ram: Ram, table_ppn: int, va: int, levels: int, access: Access) -> tuple[int, int]:
    """Go down to the leaf for `va`: (its PTE, its level), level 0 being a 4 KiB page."""
    for level in reversed(range(levels)):
        pte_pa = (table_ppn << 12) + (va >> 12 + 9 * level & 0x1FF) * 8
        if not ram.holds(pte_pa, 8):
            raise AccessFault(va, access.access_fault)
        pte = ram.u64[pte_pa - ram.base >> 3]
        if not pte & PTE_V or pte & _PTE_RESERVED or pte & (PTE_R | PTE_W) == PTE_W:
            break
        if pte & (PTE_R | PTE_X):
            return pte, level
        table_ppn = pte >> 10 & _PPN_MASK
    raise PageFault(va, access.page_fault)


def _permits(pte: int, access: Access, user: bool, sum_: bool, mxr: bool) -> bool:
    """Whether leaf `pte` lets this privilege do `access`."""
    if user:
        if not pte & PTE_U:
            return False
    elif pte & PTE_U and (access is Access.FETCH or not sum_):
        return False  # the supervisor never runs user pages, and touches them only when it said so
    if access is Access.FETCH:
        return bool(pte & PTE_X)
    if access is Access.STORE:
        return bool(pte & PTE_W)
    return bool(pte & (PTE_R | PTE_X if mxr else PTE_R))
