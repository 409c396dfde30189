"""The library's tables of functions that translated code calls for a load or store which is not plain.

Used by emu/cpu/fast.py.  The tables are one for the process and are read when code is translated.  Our
functions (native/spots.h) are right for all harts: they hand over to the library what they do not do.
"""

import ctypes
import mmap
from collections.abc import Sequence
from typing import Any, Final

LOADS: Final = "helper_ret_ldub_mmu", "helper_le_lduw_mmu", "helper_le_ldul_mmu", "helper_le_ldq_mmu"
STORES: Final = "helper_ret_stb_mmu", "helper_le_stw_mmu", "helper_le_stl_mmu", "helper_le_stq_mmu"


def take(places: Sequence[tuple[int, int]]) -> bool:
    """Put functions into the tables, given as the address of a place and that of a function.

    False where the system does not let the tables be written; all stays as it is then, and is slower.
    """
    if any(_word(at).value != ours and not _can_write(at) for at, ours in places):
        return False
    for at, ours in places:
        if _word(at).value != ours:
            _word(at).value = ours
    return True


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
