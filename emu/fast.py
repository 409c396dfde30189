"""The fast engine: one known build of Unicorn, its internals, and native hooks.

Made by orrery/ for each machine, where the platform allows; `FastEngine.probe` says why not.  The
offsets below were read off the library with the hash given here and mean nothing for another one, so
the library is checked by hash and the offsets are proved by writing through the public interface and
reading through the private one, each time an engine is made.
"""

import ctypes
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import unicorn
from unicorn import riscv_const
from unicorn.unicorn_py3 import unicorn as binding

from emu import engine as e
from emu.csr import HOST_COUNTERS
from emu.hart import Hart
from emu.ram import Ram
from emu.sv39 import TranslationFault

VERSION: Final = "2.1.4"
LIBRARY_SHA256: Final = frozenset(
    {"ddb196ec82b52e502c18e4a34478bf7b9f61c83c2ebaa95c74d8ded45a95da9c"}  # Linux x86-64 wheel
)

# Where the library keeps things: uc_engine.cpu, CPUState within it, CPURISCVState behind that.
CPU_IN_ENGINE: Final = 440
ENV_IN_CPU: Final = 36112
ENV_WORDS: Final = 160

TCG_BUFFER_BYTES: Final = 32 << 20
UC_CTL_TLB_FLUSH: Final = 11 | 1 << 30


class EngineUnavailable(Exception):
    """The fast engine cannot be had here; the text says why."""


class _Native(ctypes.Structure):
    """struct hart of native/hooks.c."""

    _fields_ = [
        ("cells", ctypes.c_int64 * e.CELLS),
        ("block", ctypes.c_uint64),
        ("engine", ctypes.c_void_p),
        ("cpu", ctypes.c_void_p),
        ("pc", ctypes.c_void_p),
        ("priv", ctypes.c_void_p),
        ("badaddr", ctypes.c_void_p),
        ("do_interrupt", ctypes.c_void_p),
        ("stop", ctypes.c_void_p),
        ("start", ctypes.c_void_p),
    ]


def check_library() -> None:
    """Raise EngineUnavailable unless the loaded Unicorn is the build whose internals are known."""
    if unicorn.__version__ != VERSION:
        raise EngineUnavailable(f"unicorn {unicorn.__version__} is not {VERSION}")
    path = Path(binding.uclib._name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest not in LIBRARY_SHA256:
        raise EngineUnavailable(f"the library {path.name} is not the build whose insides are known")


class FastEngine:
    """Engine over the internals of the library; see emu.engine.Engine."""

    name = "fast"

    def __init__(self, ram: Ram, hooks: Path) -> None:
        """`hooks` is native/hooks.c as a shared library.  Raises EngineUnavailable."""
        check_library()
        self._lib: Any = binding.uclib
        self._uc = make_uc(ram)
        # Keep addresses as ctypes objects: converting them at each call would cost more than it does.
        self._handle = ctypes.c_void_p(self._uc._uch.value)
        self._cpu = ctypes.c_void_p(
            ctypes.c_uint64.from_address(self._handle.value + CPU_IN_ENGINE).value  # type: ignore[operator]
        )
        env = self._cpu.value + ENV_IN_CPU  # type: ignore[operator]
        self._env: Any = (ctypes.c_uint64 * ENV_WORDS).from_address(env)
        self.regs: e.Words = memoryview(self._env).cast("B").cast("Q")
        self._prove_layout()
        self._native = _Native()
        self.cells: e.Words = memoryview(self._native).cast("B")[: 8 * e.CELLS].cast("q")
        self._install_hooks(ctypes.CDLL(str(hooks)), env)
        self._remove_host_counters()

        self._enter = self._hooks.enter
        self._hart_arg = ctypes.byref(self._native)
        self._one = ctypes.c_uint64(1)
        # A method would cost a Python call on the hottest path.
        self.run: Callable[[], int] = partial(self._enter, self._hart_arg, ctypes.c_uint64(0))
        self._tlb_flush = self._private("tlb_flush")
        self._update_mip = self._private("riscv_cpu_update_mip")
        self._invalidate = self._private("tb_invalidate_phys_range")
        self._ram = ram
        self._hart = Hart(self, ram)  # to find pc in physical memory

    def _private(self, name: str) -> Any:
        try:
            return getattr(self._lib, f"{name}_riscv64")
        except AttributeError:
            raise EngineUnavailable(f"the library does not export {name}") from None

    def _prove_layout(self) -> None:
        """Check that what the public interface writes is found at the offsets that we use."""
        probes = {
            e.X + 10: riscv_const.UC_RISCV_REG_A0,
            e.X + 31: riscv_const.UC_RISCV_REG_X31,
            e.F + 7: riscv_const.UC_RISCV_REG_F7,
            e.PC: riscv_const.UC_RISCV_REG_PC,
            e.STVEC: riscv_const.UC_RISCV_REG_STVEC,
            e.SEPC: riscv_const.UC_RISCV_REG_SEPC,
            e.SCAUSE: riscv_const.UC_RISCV_REG_SCAUSE,
            e.STVAL: riscv_const.UC_RISCV_REG_STVAL,
            e.MTVEC: riscv_const.UC_RISCV_REG_MTVEC,
            e.MEPC: riscv_const.UC_RISCV_REG_MEPC,
            e.SSCRATCH: riscv_const.UC_RISCV_REG_SSCRATCH,
        }
        for index, register in probes.items():
            magic = 0x5EED_0000_0000_0000 + index * 0x1_0001_0004
            self._uc.reg_write(register, magic)
            if self.regs[index] != magic:
                raise EngineUnavailable(f"the hart's state is not laid out as expected (word {index})")
            self.regs[index] = 0
            if self._uc.reg_read(register) != 0:
                raise EngineUnavailable(f"the hart's state does not follow word {index}")
        if self.regs[e.PRIV] != 3:
            raise EngineUnavailable("the hart does not start in M-mode")

    def _install_hooks(self, hooks: ctypes.CDLL, env: int) -> None:
        native = self._native
        native.engine = self._handle.value
        native.cpu = self._cpu.value
        native.pc, native.priv, native.badaddr = (env + 8 * i for i in (e.PC, e.PRIV, e.BADADDR))
        native.do_interrupt = ctypes.cast(self._private("riscv_cpu_do_interrupt"), ctypes.c_void_p).value
        native.stop = ctypes.cast(self._lib.uc_emu_stop, ctypes.c_void_p).value
        native.start = ctypes.cast(self._lib.uc_emu_start, ctypes.c_void_p).value
        self._hooks = hooks
        for kind, name in ((unicorn.UC_HOOK_BLOCK, "on_block"), (unicorn.UC_HOOK_INTR, "on_trap")):
            hook = ctypes.c_size_t()
            error = self._lib.uc_hook_add(
                self._handle,
                ctypes.byref(hook),
                ctypes.c_int(kind),
                ctypes.cast(getattr(hooks, name), ctypes.c_void_p),
                ctypes.byref(native),
                ctypes.c_uint64(1),  # begin > end: everywhere
                ctypes.c_uint64(0),
            )
            if error:
                raise EngineUnavailable(f"the library refuses the hook {name}: error {error}")

    def _remove_host_counters(self) -> None:
        """Make them CSRs that do not exist.  The library's table is one for all engines of the process."""
        set_operations = self._private("riscv_set_csr_ops")
        nothing = (ctypes.c_void_p * 4)()  # may it be accessed, read, write, read and write
        for csr in HOST_COUNTERS:
            set_operations(ctypes.c_int(csr), ctypes.byref(nothing))

    def step(self, length: int) -> int:
        cells = self.cells
        # A block translated for run() ignores the count, and a block of one instruction must not be
        # found by run(): forget what is translated here, before and after.
        code_pa = self._code_pa()
        self.drop_code(code_pa, code_pa + 4)
        cells[e.STEPPING] = length
        error: int = self._enter(self._hart_arg, self._one)
        cells[e.STEPPING] = 0
        self.drop_code(code_pa, code_pa + 4)
        return error

    def _code_pa(self) -> int:
        """Where the instruction at pc lies in RAM; any address will do if no block can be entered."""
        try:
            pa = self._hart.fetch_pa(self.regs[e.PC])
        except TranslationFault:
            return self._ram.base
        return pa if self._ram.holds(pa, 4) else self._ram.base

    def set_pending(self, mask: int, bits: int) -> None:
        self._update_mip(self._cpu, ctypes.c_uint32(mask), ctypes.c_uint32(bits))

    def flush_tlb(self) -> None:
        self._tlb_flush(self._cpu)

    def drop_code(self, low: int, high: int) -> None:
        # The library numbers the bytes of its RAM from 0; the board's RAM is its only one.
        base = self._ram.base
        self._invalidate(self._handle, ctypes.c_uint64(low - base), ctypes.c_uint64(high - base))


def make_uc(ram: Ram) -> unicorn.Uc:
    """A RISC-V engine in M-mode that walks page tables itself, over `ram`, without exit addresses."""
    uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
    uc.ctl_set_tlb_mode(unicorn.UC_TLB_CPU)
    uc.ctl_exits_enabled(True)
    uc.ctl_set_tcg_buffer_size(TCG_BUFFER_BYTES)
    uc.mem_map_ptr(ram.base, len(ram.bytes), unicorn.UC_PROT_ALL, ram.address)
    return uc
