"""The fast engine: one known build of Unicorn, its internals, and native hooks.

Made by orrery/machine/engines.py for each machine, where the platform allows; EngineUnavailable says why not.
What it needs to know of the library's insides, and the proofs of that, are in emu/cpu/layout.py.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from emu.cpu import accesses, layout
from emu.cpu import engine as e
from emu.cpu.accesses import LOADS, STORES
from emu.cpu.csr import MEPC, SEPC, TAKEN
from emu.cpu.layout import EngineUnavailable
from emu.cpu.library import library, make_uc, unicorn
from emu.ram import PAGE_SIZE, Ram

# Calls within the library that the native hooks take over: the function, and ours.
REDIRECTED: Final = (
    ("tlb_protect_code", "on_first_block"),
    ("tlb_unprotect_code", "on_last_block"),
    ("tb_invalidate_phys_page_fast", "on_store"),
    ("tlb_set_dirty", "on_set_dirty"),
    ("cpu_watchpoint_address_matches", "on_page"),
    ("cpu_check_watchpoint", "on_access"),
    ("cpu_lduw_code", "on_fetch"),
    ("riscv_csrrw", "on_csr"),
    ("tlb_set_page", "on_fill"),
    ("tlb_flush_by_mmuidx", "on_flush"),
    ("tcg_gen_callN", "on_emit_call"),
    ("tcg_gen_code", "on_generate"),
)
# What the native hooks call of the library: the field of struct calls, and the function.
CALLED: Final = (
    ("drop_blocks", "tb_invalidate_phys_page_fast"),
    ("set_dirty", "tlb_set_dirty"),
    ("reset_dirty", "tlb_reset_dirty"),
    ("fetch_half", "cpu_lduw_code"),
    ("exit_if_asked", "helper_check_exit_request"),
    ("access_csr", "riscv_csrrw"),
    ("emit_call", "tcg_gen_callN"),
    ("emit_1", "tcg_gen_op1"),
    ("emit_3", "tcg_gen_op3"),
    ("constant", "tcg_const_i64"),
    ("fill_tlb", "tlb_set_page"),
    ("flush_tlb", "tlb_flush_by_mmuidx"),
    ("generate", "tcg_gen_code"),
)
PROOF: Final = 0x1050_0073  # wfi: an instruction that ends a run


class _Native(ctypes.Structure):
    """struct hart of native/hart.h."""

    _fields_ = [
        ("cells", ctypes.c_int64 * e.CELLS),
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
        ("last_half", ctypes.c_uint64),
        ("held", ctypes.c_int64),
        ("stores_leave", ctypes.c_uint64),
        ("tlb_fills", ctypes.c_uint64 * layout.MODES),
        ("tlb_flushes", ctypes.c_uint64 * layout.MODES),
    ]


class _Spot(ctypes.Structure):
    """struct spot of native/hart.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("low", "high", "kinds", "satp")]


class _LibraryCalls(ctypes.Structure):
    """struct calls of native/hart.h."""

    _fields_ = [
        ("load", ctypes.c_void_p * 4),
        ("store", ctypes.c_void_p * 4),
        *((field, ctypes.c_void_p) for field, _ in CALLED),
    ]


class _CsrOperations(ctypes.Structure):
    """riscv_csr_operations: all null means that there is no such CSR."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("predicate", "read", "write", "read_modify_write")]


class FastEngine:
    """Engine over the internals of the library; see emu.cpu.engine.Engine."""

    name = "fast"

    def __init__(self, ram: Ram, hooks: Path) -> None:
        """`hooks` is native/hooks.c as a shared library.  Raises EngineUnavailable."""
        layout.check_library()
        self._lib: Any = library()
        self._ram = ram
        self._uc = make_uc(ram)
        # Keep addresses as ctypes objects: converting them at each call would cost more than it does.
        self._handle = ctypes.c_void_p(self._uc._uch.value)
        cpu = ctypes.c_uint64.from_address(self._uc._uch.value + layout.CPU_IN_ENGINE).value
        self._cpu = ctypes.c_void_p(cpu)
        self._env = (ctypes.c_uint64 * layout.ENV_WORDS).from_address(cpu + layout.ENV_IN_CPU)
        self.regs: e.Words = memoryview(self._env).cast("B").cast("Q")
        layout.prove_registers(self._uc, self.regs)
        layout.prove_cpu(self._uc._uch.value, cpu)
        layout.prove_translator(self._uc._uch.value)
        self._hooks = ctypes.PyDLL(str(hooks))  # giving up the interpreter's lock would cost 0.1 us a call
        self._code_pages = (ctypes.c_uint8 * (ram.size // PAGE_SIZE))()
        self._native = self._make_native(cpu)
        self.cells: e.Words = memoryview(self._native).cast("B")[: 8 * e.CELLS].cast("q")
        self._install_hooks()
        self._break_hooks: list[ctypes.c_size_t] = []
        self._spots = (_Spot * 0)()
        self._redirect_calls()
        ctypes.c_uint64.from_address(cpu + layout.HART_IN_CPU).value = ctypes.addressof(self._native)
        self._take_csrs()
        # A method would cost a Python call on the hottest path.
        self.run: Callable[[], int] = partial(self._hooks.enter, ctypes.byref(self._native))
        self._tlb_flush = self._private("tlb_flush")
        self._invalidate = self._private("tb_invalidate_phys_range")
        self._prove_clock()

    def _private(self, name: str) -> Any:
        try:
            return getattr(self._lib, f"{name}_riscv64")
        except AttributeError:
            raise EngineUnavailable(f"the library does not export {name}") from None

    def _make_native(self, cpu: int) -> _Native:
        return _Native(
            regs=cpu + layout.ENV_IN_CPU,
            next_block_size_max=cpu + layout.NEXT_BLOCK_FLAGS_IN_CPU,
            no_exit_request=self._uc._uch.value + layout.NO_EXIT_REQUEST_IN_ENGINE,
            cause_now=cpu + layout.EXCEPTION_IN_CPU,
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
        for kind, name in ((unicorn.UC_HOOK_BLOCK, "block_hook"), (unicorn.UC_HOOK_INTR, "on_trap")):
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
            **{field: _address(self._private(name)) for field, name in CALLED},
        )
        self._hooks.set_library_calls(ctypes.byref(calls))
        for name, hook in REDIRECTED:
            slot = ctypes.c_uint64.from_address(self._slot(name, constant=False))
            ours = _address(getattr(self._hooks, hook))
            if slot.value not in (_address(self._private(name)), ours):
                raise EngineUnavailable(f"the library's table of calls is not laid out as expected ({name})")
            slot.value = ours
        names = [(LOADS, "on_load"), (STORES, "on_store")]
        self._native.stores_leave = accesses.take(
            [
                (self._slot(name, constant=True), _address(getattr(self._hooks, f"{hook}_{size}")))
                for functions, hook in names
                for size, name in enumerate(functions)  # of 1, 2, 4 and 8 bytes
            ]
        )

    def _slot(self, name: str, *, constant: bool) -> int:
        """Where the library holds the address of a function of its own; see native/slots.h."""
        slot_of = self._hooks.slot_of
        slot_of.restype = ctypes.c_uint64
        slot = int(slot_of(ctypes.c_void_p(self._lib._handle), f"{name}_riscv64".encode(), constant))
        if not slot:
            raise EngineUnavailable(f"the library has no place of its own for {name}")
        return slot

    def _prove_clock(self) -> None:
        """Run one instruction, to see that the code that is made of it pays for it; leave all as it was.

        Once that has been seen, native/clock.h takes code of another shape for a broken invariant.
        """
        pc, word = self.regs[e.PC], bytes(self._ram.bytes[:4])
        self._ram.bytes[:4] = PROOF.to_bytes(4, "little")
        self.regs[e.PC] = self._ram.base
        self.cells[e.DEADLINE] = PAGE_SIZE  # more than a block has
        error = self.run()
        paid, block = self.cells[e.NOW], self.cells[e.BLOCK_END] - self._ram.base
        has_run = error == e.OK and self.regs[e.PC] == self._ram.base + len(word)
        self._ram.bytes[:4] = word
        self.drop_code(self._ram.base, self._ram.base + PAGE_SIZE)
        self.flush_tlb()
        self.regs[e.PC] = pc
        for cell in range(e.CELLS):
            self.cells[cell] = 0
        if not has_run or paid != block or paid < len(word):
            raise EngineUnavailable("the library does not translate as expected")
        self._hooks.clock_is_proven()

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
