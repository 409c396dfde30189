"""The library's tables of functions that translated code calls for a load or store which is not plain.

Used by emu/cpu/fast.py.  The tables are one for the process and are read when code is translated, so whoever
switches them drops code.  Either function is right for all harts: ours (native/hooks.c) hands over to the
library's what it does not do itself.
"""

import ctypes
import mmap
from collections.abc import Callable
from typing import Any, Final

LOADS: Final = "helper_ret_ldub_mmu", "helper_le_lduw_mmu", "helper_le_ldul_mmu", "helper_le_ldq_mmu"
STORES: Final = "helper_ret_stb_mmu", "helper_le_stw_mmu", "helper_le_stl_mmu", "helper_le_stq_mmu"
LOADS_OFFSET: Final = 0x1497220  # of the tables from the start of the library, by size: 1, 2, 4 and 8 bytes
STORES_OFFSET: Final = 0x14971A0
WORD_BYTES: Final = 8


class Accesses:
    """Those of the library that begins at `origin`; `theirs` and `ours` give functions by their names."""

    def __init__(self, origin: int, theirs: Callable[[str], int], ours: Callable[[str], int]) -> None:
        self._slots: Final = [
            (origin + offset + WORD_BYTES * size, theirs(name), ours(f"{hook}_{size}"))
            for offset, names, hook in ((LOADS_OFFSET, LOADS, "on_load"), (STORES_OFFSET, STORES, "on_store"))
            for size, name in enumerate(names)
        ]

    def held(self) -> list[int]:
        """The addresses that the tables hold."""
        return [_word(at).value for at, _, _ in self._slots]

    @property
    def are_known(self) -> bool:
        """Whether the tables hold what they should: nothing may be changed otherwise."""
        return all(held in slot[1:] for held, slot in zip(self.held(), self._slots, strict=True))

    def switch(self, *, watching: bool) -> None:
        """Have code that is translated from now on call ours, or the library's.

        Where the system does not let the tables be written, all stays as it is, and is slower.
        """
        for at, theirs, ours in self._slots:
            wanted = ours if watching else theirs
            if _word(at).value != wanted and _can_write(at):
                _word(at).value = wanted


def _word(at: int) -> Any:
    return ctypes.c_uint64.from_address(at)


def _can_write(at: int) -> bool:
    """Make the page of a table writable; the loader has left it so that it can only be read."""
    page = at & -mmap.PAGESIZE
    protect = ctypes.CDLL(None).mprotect
    error: int = protect(
        ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_WRITE
    )
    return error == 0
