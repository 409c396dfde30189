"""The fast engine: one known build of Unicorn, its internals, and native hooks.

Made by orrery/machine/engines.py for each machine, where the platform allows; EngineUnavailable says why not.
The offsets below were read off the library with the build id given here and mean nothing for another one,
so the library is checked for that, and the offsets are proved each time an engine is made: by writing through
the public interface and reading through the private one, and by finding known pointers where they belong.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from emu.cpu import engine as e
from emu.cpu.accesses import LOADS, STORES, Accesses
from emu.cpu.csr import MEPC, SEPC, TAKEN
from emu.cpu.library import library, make_uc, riscv_const, unicorn
from emu.ram import PAGE_SIZE, Ram

VERSION: Final = "2.1.4"
# The linker's hash of all that it put into the library, and the size of the file: hashing its 24 MB anew
# would be a quarter of a start.
BUILD_ID: Final = bytes.fromhex("44285d3e80527122e9e361928189385906ec813e")  # Linux x86-64 wheel
LIBRARY_BYTES: Final = 24_507_432
NOTES_BYTES: Final = 4096  # from the start of the file; the build id is among the notes there
# Where the library keeps things, in bytes: uc_engine.cpu and no_exit_request; within the CPUState behind
# that, its cflags_next_tb, exception_index and CPURISCVState.
CPU_IN_ENGINE: Final = 440
NO_EXIT_REQUEST_IN_ENGINE: Final = 2034
NEXT_BLOCK_FLAGS_IN_CPU: Final = 24
HART_IN_CPU: Final = 33136  # a pointer that the library does not use
EXCEPTION_IN_CPU: Final = 33184
ENGINE_IN_CPU: Final = 33192
ENV_IN_CPU: Final = 36112

# Calls within the library that native/hooks.c takes over: the function, where its address stands in the
# library's table of calls, and ours.
REDIRECTED: Final = (
    ("tlb_protect_code", 0x14C3848, "on_first_block"),
    ("tlb_unprotect_code", 0x14C1188, "on_last_block"),
    ("tb_invalidate_phys_page_fast", 0x14BE498, "on_store"),
    ("tlb_set_dirty", 0x14CA908, "on_set_dirty"),
    ("cpu_watchpoint_address_matches", 0x14C60D0, "on_page"),
    ("cpu_check_watchpoint", 0x14C5D20, "on_access"),
    ("cpu_lduw_code", 0x14C0AE8, "on_fetch"),
)
# The TLB of each mode: the size of its entries as a mask, and where they are.
TLBS_BEFORE_STATE: Final = 80
MODES: Final = 4
TLB_MASK_AT_START: Final = 255 << 6
ORIGIN_SYMBOL: Final = "tlb_protect_code"
ORIGIN_OFFSET: Final = 0xF3F530  # of that function from the start of the library

ENV_WORDS: Final = 160
NONE_32: Final = (1 << 32) - 1  # both of the 32-bit words above, when there is none


class EngineUnavailable(Exception):
    """The fast engine cannot be had here; the text says why."""


class _Native(ctypes.Structure):
    """struct hart of native/hooks.c."""

    _fields_ = [
        ("cells", ctypes.c_int64 * e.CELLS),
        ("block", ctypes.c_uint64),
        ("regs", ctypes.c_void_p),
        ("next_block_size_max", ctypes.c_void_p),
        ("no_exit_request", ctypes.c_void_p),
        ("cause_now", ctypes.c_void_p),
        ("engine", ctypes.c_void_p),
        ("cpu", ctypes.c_void_p),
        ("do_interrupt", ctypes.c_void_p),
        ("code_pages", ctypes.c_void_p),
        ("ram", ctypes.c_uint64),
        ("ram_base", ctypes.c_uint64),
        ("page_stored_to", ctypes.c_uint64),
        ("stop", ctypes.c_void_p),
        ("start", ctypes.c_void_p),
        ("spots", ctypes.c_void_p),
        ("spot_count", ctypes.c_uint64),
        ("leave_block", ctypes.c_void_p),
        ("second_half", ctypes.c_uint64),
    ]


class _Spot(ctypes.Structure):
    """struct spot of native/hooks.c."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("low", "high", "kinds", "satp")]


class _LibraryCalls(ctypes.Structure):
    """struct calls of native/hooks.c."""

    _fields_ = [
        ("load", ctypes.c_void_p * 4),
        ("store", ctypes.c_void_p * 4),
        *((name, ctypes.c_void_p) for name in ("drop_blocks", "set_dirty", "reset_dirty", "fetch_half")),
    ]


class _CsrOperations(ctypes.Structure):
    """riscv_csr_operations: all null means that there is no such CSR."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("predicate", "read", "write", "read_modify_write")]


def check_library() -> None:
    """Raise EngineUnavailable unless the loaded Unicorn is the build whose internals are known."""
    if unicorn.__version__ != VERSION:
        raise EngineUnavailable(f"unicorn {unicorn.__version__} is not {VERSION}")
    path = Path(library()._name)
    with path.open("rb") as file:
        notes = file.read(NOTES_BYTES)
    if BUILD_ID not in notes or path.stat().st_size != LIBRARY_BYTES:
        raise EngineUnavailable(f"the library {path.name} is not the build whose insides are known")


class FastEngine:
    """Engine over the internals of the library; see emu.cpu.engine.Engine."""

    name = "fast"

    def __init__(self, ram: Ram, hooks: Path) -> None:
        """`hooks` is native/hooks.c as a shared library.  Raises EngineUnavailable."""
        check_library()
        self._lib: Any = library()
        self._ram = ram
        self._uc = make_uc(ram)
        # Keep addresses as ctypes objects: converting them at each call would cost more than it does.
        self._handle = ctypes.c_void_p(self._uc._uch.value)
        cpu = ctypes.c_uint64.from_address(self._uc._uch.value + CPU_IN_ENGINE).value
        self._cpu = ctypes.c_void_p(cpu)
        self._env = (ctypes.c_uint64 * ENV_WORDS).from_address(cpu + ENV_IN_CPU)
        self.regs: e.Words = memoryview(self._env).cast("B").cast("Q")
        self._prove_registers()
        self._prove_cpu(cpu)
        self._hooks = ctypes.PyDLL(str(hooks))  # giving up the interpreter's lock would cost 0.1 us a call
        self._code_pages = (ctypes.c_uint8 * (ram.size // PAGE_SIZE))()
        self._native = self._make_native(cpu)
        self.cells: e.Words = memoryview(self._native).cast("B")[: 8 * e.CELLS].cast("q")
        self._install_hooks()
        self._break_hooks: list[ctypes.c_size_t] = []
        self._spots = (_Spot * 0)()
        self._redirect_calls()
        ctypes.c_uint64.from_address(cpu + HART_IN_CPU).value = ctypes.addressof(self._native)
        self._take_csrs()
        # A method would cost a Python call on the hottest path.
        self.run: Callable[[], int] = partial(self._hooks.enter, ctypes.byref(self._native))
        self._tlb_flush = self._private("tlb_flush")
        self._invalidate = self._private("tb_invalidate_phys_range")

    def _private(self, name: str) -> Any:
        try:
            return getattr(self._lib, f"{name}_riscv64")
        except AttributeError:
            raise EngineUnavailable(f"the library does not export {name}") from None

    def _prove_registers(self) -> None:
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

    def _prove_cpu(self, cpu: int) -> None:
        """Check the words of the CPU's object that the native hooks use."""
        for offset in (NEXT_BLOCK_FLAGS_IN_CPU, EXCEPTION_IN_CPU):
            if ctypes.c_uint32.from_address(cpu + offset).value != NONE_32:
                raise EngineUnavailable(f"the CPU's object is not laid out as expected (byte {offset})")
        back = ctypes.c_uint64.from_address(cpu + ENGINE_IN_CPU).value
        if back != self._uc._uch.value or ctypes.c_uint64.from_address(cpu + HART_IN_CPU).value:
            raise EngineUnavailable("the CPU's object is not laid out as expected")
        for mode in range(MODES):
            tlb = cpu + ENV_IN_CPU - TLBS_BEFORE_STATE + 16 * mode
            if ctypes.c_uint64.from_address(tlb).value != TLB_MASK_AT_START:
                raise EngineUnavailable(f"the TLB of mode {mode} is not laid out as expected")
        if ctypes.c_uint8.from_address(self._uc._uch.value + NO_EXIT_REQUEST_IN_ENGINE).value != 0:
            raise EngineUnavailable("the engine's object is not laid out as expected")

    def _make_native(self, cpu: int) -> _Native:
        return _Native(
            regs=cpu + ENV_IN_CPU,
            next_block_size_max=cpu + NEXT_BLOCK_FLAGS_IN_CPU,
            no_exit_request=self._uc._uch.value + NO_EXIT_REQUEST_IN_ENGINE,
            cause_now=cpu + EXCEPTION_IN_CPU,
            engine=self._handle.value,
            cpu=cpu,
            do_interrupt=_address(self._private("riscv_cpu_do_interrupt")),
            code_pages=ctypes.addressof(self._code_pages),
            ram=self._ram.address,
            ram_base=self._ram.base,
            stop=_address(self._lib.uc_emu_stop),
            start=_address(self._lib.uc_emu_start),
            leave_block=_address(self._private("cpu_loop_exit_restore")),
        )

    def _install_hooks(self) -> None:
        for kind, name in ((unicorn.UC_HOOK_BLOCK, "on_block"), (unicorn.UC_HOOK_INTR, "on_trap")):
            self._add_hook(kind, name, 1, 0)  # begin > end: everywhere

    def _add_hook(self, kind: int, name: str, begin: int, end: int) -> ctypes.c_size_t:
        hook = ctypes.c_size_t()
        error = self._lib.uc_hook_add(
            self._handle,
            ctypes.byref(hook),
            ctypes.c_int(kind),
            ctypes.cast(getattr(self._hooks, name), ctypes.c_void_p),
            ctypes.byref(self._native),
            ctypes.c_uint64(begin),
            ctypes.c_uint64(end),
        )
        if error:
            raise EngineUnavailable(f"the library refuses the hook {name}: error {error}")
        return hook

    def _redirect_calls(self) -> None:
        """Have the library call native/hooks.c where its own functions are empty or let too much pass.

        The library has one table of calls in this process; it is written once, and other engines than
        these are served as before.
        """
        calls = _LibraryCalls(
            load=(ctypes.c_void_p * 4)(*(_address(self._private(name)) for name in LOADS)),
            store=(ctypes.c_void_p * 4)(*(_address(self._private(name)) for name in STORES)),
            drop_blocks=_address(self._private("tb_invalidate_phys_page_fast")),
            set_dirty=_address(self._private("tlb_set_dirty")),
            reset_dirty=_address(self._private("tlb_reset_dirty")),
            fetch_half=_address(self._private("cpu_lduw_code")),
        )
        self._hooks.set_library_calls(ctypes.byref(calls))
        origin = _address(self._private(ORIGIN_SYMBOL)) - ORIGIN_OFFSET
        for name, offset, hook in REDIRECTED:
            slot = ctypes.c_uint64.from_address(origin + offset)
            ours = _address(getattr(self._hooks, hook))
            if slot.value not in (_address(self._private(name)), ours):
                raise EngineUnavailable(f"the library's table of calls is not laid out as expected ({name})")
            slot.value = ours
        self._accesses = Accesses(
            origin,
            lambda name: _address(self._private(name)),
            lambda name: _address(getattr(self._hooks, name)),
        )
        if not self._accesses.are_known:
            raise EngineUnavailable("the library's tables of accesses are not laid out as expected")

    def _take_csrs(self) -> None:
        """Make the library not know the CSRs that the board does itself, and write xepc as it should.

        The library has one table of them for all its harts in this process.
        """
        set_operations = self._private("riscv_set_csr_ops")
        none = _CsrOperations()
        for csr in TAKEN:
            set_operations(ctypes.c_int(csr), ctypes.byref(none))
        for csr in (SEPC, MEPC):
            operations = _CsrOperations()
            self._private("riscv_get_csr_ops")(ctypes.c_int(csr), ctypes.byref(operations))
            operations.write = _address(self._hooks.write_epc)
            set_operations(ctypes.c_int(csr), ctypes.byref(operations))

    def step(self, length: int) -> int:
        self.cells[e.STEPPING] = 1
        error = self.run()
        entered = self.cells[e.STEPPING] == e.STEPPED
        self.cells[e.STEPPING] = 0
        return e.OK if entered and error == e.FETCH_UNMAPPED else error  # that of the next instruction

    def flush_tlb(self) -> None:
        self._tlb_flush(self._cpu)

    def set_spots(self, spots: Sequence[e.Spot]) -> None:
        for hook in self._break_hooks:
            self._lib.uc_hook_del(self._handle, hook)
        vas = sorted({spot.low for spot in spots if spot.kinds & e.FETCHES})
        self._break_hooks = [self._add_hook(unicorn.UC_HOOK_CODE, "on_break", va, va) for va in vas]
        self._spots = (_Spot * len(spots))(*(_Spot(s.low, s.high, s.kinds, s.satp) for s in spots))
        self._native.spots = ctypes.addressof(self._spots)
        self._native.spot_count = len(spots)
        self._accesses.switch(watching=any(spot.kinds & (e.LOADS | e.STORES) for spot in spots))
        self.drop_code(self._ram.base, self._ram.end)  # a hook is only seen when code is translated
        self.flush_tlb()

    def drop_code(self, low: int, high: int) -> None:
        # The library numbers the bytes of its RAM from 0; the board's RAM is its only one.
        base = self._ram.base
        self._invalidate(self._handle, ctypes.c_uint64(low - base), ctypes.c_uint64(high - base))


def _address(function: Any) -> int:
    """Where a function of a loaded library lies."""
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None, "a loaded function has an address"
    return address
