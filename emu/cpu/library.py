"""The only place that imports the unicorn package, which has no type annotations: all of it is Any.

Used by emu/cpu/fast.py and emu/cpu/public.py.
"""

import importlib
from typing import Any, Final

from emu.ram import Ram

unicorn: Final[Any] = importlib.import_module("unicorn")
riscv_const: Final[Any] = importlib.import_module("unicorn.riscv_const")

TCG_BUFFER_BYTES: Final = 32 << 20
CTL_TLB_FLUSH: Final = 11  # of uc_ctl; the package has no method for it


def make_uc(ram: Ram) -> Any:
    """A unicorn.Uc over `ram`: a RISC-V hart in M-mode that walks page tables itself and has no exits."""
    uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    uc.ctl_set_tlb_mode(unicorn.UC_TLB_CPU)
    uc.ctl_exits_enabled(True)
    uc.ctl_set_tcg_buffer_size(TCG_BUFFER_BYTES)
    uc.mem_map_ptr(ram.base, len(ram.bytes), unicorn.UC_PROT_ALL, ram.address)
    return uc


def library() -> Any:
    """The loaded shared library, as ctypes has it; `_name` is its path."""
    return importlib.import_module("unicorn.unicorn_py3.unicorn").uclib
