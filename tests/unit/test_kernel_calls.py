"""The dispatcher and the calls on processes and memory, without a hart: registers in, registers out."""

from errno import EBADF, ECHILD, ESRCH
from typing import Any

import pytest

from emu.board import Board
from emu.board_map import virt
from emu.cpu.csr import MTIME_TICKS
from emu.cpu.public import PublicEngine
from emu.dev.drive import RamDrive
from kernel.abi import kinds
from kernel.abi.memlayout import MAXVA, PGSIZE, SUPERPGSIZE, TRAPFRAME, USYSCALL
from kernel.abi.param import MAXPATH, PGACCESS_MAX
from kernel.abi.ps import PSINFO, SYSINFO
from kernel.abi.riscv import PTE_COW, PTE_R, PTE_SUPER, PTE_U, PTE_V, PTE_W
from kernel.abi.syscalls import BY_NAME, Arg, Syscall
from kernel.errors import SyscallError
from kernel.fs.vfs import Inode
from kernel.kernel import Kernel
from kernel.mm.mmap import MMAP_TOP
from kernel.personality import Entry
from kernel.proc import Process
from kernel.thread import TF_A0, TF_A7, TF_EPC, TF_SP
from kernel.timer import MTIME_PER_TICK
from kernel.xv6.lab import sys_pgaccess, sys_sigalarm, sys_sigreturn, sys_sysinfo
from kernel.xv6.personality import Xv6
from kernel.xv6.sysmem import SMALL_STEP_MAX
from orrery.machine import hooks
from orrery.machine.decode import SHOW_AFTER, SHOW_BEFORE
from toolchain import image

U64 = (1 << 64) - 1
WORD = 1 << 63 | 5 << 32 | 9
RW = PTE_R | PTE_W
EAGER, LAZY = 1, 2


def kernel(**options: Any) -> Kernel:
    """A kernel that has started, with process 1 running."""
    board = Board(16, PublicEngine, virt(RamDrive(bytes(1 << 20)), lambda byte: None))
    k = Kernel(board, image.kernel_elf(), Xv6, **options)
    k.start()
    p = k.procs.init
    k.sched.ready.remove(p.thread)
    k.sched.current = p.thread
    p.files.cwd = Inode(k.fs, 1, k, k.inodes)
    p.files.cwd.ref = 1
    return k


@pytest.fixture
def k() -> Kernel:
    return kernel()


def printed(k: Kernel) -> list[str]:
    """What the kernel prints from now on, one string a call."""
    lines: list[str] = []
    k.printf = lines.append  # type: ignore[misc]
    return lines


def call(k: Kernel, number: int | str, *args: int, p: Process | None = None) -> int:
    """What a program finds in a0."""
    p = p or k.procs.init
    p.thread.tf[TF_A7] = BY_NAME[number].number if isinstance(number, str) else number
    for i, arg in enumerate(args):
        p.thread.tf[TF_A0 + i] = arg & U64
    k.syscalls.dispatch(p.thread)
    return int(p.thread.tf[TF_A0])


def child(k: Kernel) -> Process:
    found = k.procs.find(call(k, "fork"))
    assert found is not None
    return found


# --- the dispatcher ---


def test_the_number_is_the_low_half_of_a7_and_the_result_a_whole_word(k: Kernel) -> None:
    assert call(k, (0xDEAD << 32) + BY_NAME["getpid"].number) == 1
    k.procs.init.space.sz = 5 << 32  # more than an int holds
    assert call(k, "sbrk", 0, LAZY) == 5 << 32
    k.procs.init.space.sz = 0
    assert call(k, "kill", 99) == U64


@pytest.mark.parametrize(("number", "shown"), [(0, "0"), (69, "69"), (U64, "-1"), (1 << 31, "-2147483648")])
def test_an_unknown_call_is_told_and_fails(k: Kernel, number: int, shown: str) -> None:
    lines = printed(k)
    assert call(k, number) == U64
    assert lines == [f"1 init: unknown sys call {shown}\n"]


@pytest.mark.parametrize(("lab", "told"), [(2025, True), (2024, False)])
def test_a_call_that_is_missing_is_explained_in_its_year(lab: int, told: bool) -> None:
    k = kernel(lab=lab)
    lines = printed(k)
    assert call(k, 35) == U64
    assert len(lines) == 1 and ("spinlocks" in lines[0]) == told


def test_ints_and_descriptors_are_the_low_half_of_their_words(k: Kernel) -> None:
    assert call(k, "sbrk", (7 << 32) + 10, LAZY) == 0 and k.procs.init.space.sz == 10
    assert call(k, "pipe", 0) == call(k, "close", 1 << 32) == 0 and call(k, "close", 0) == U64
    assert call(k, "sbrk", -4, LAZY) == 10 and k.procs.init.space.sz == 6
    other = child(k)
    assert call(k, "kill", (1 << 32) + other.pid) == 0 and other.killed


@pytest.mark.parametrize(("length", "fits"), [(MAXPATH - 1, True), (MAXPATH, False)])
def test_a_path_has_its_limit_with_the_nul(k: Kernel, length: int, fits: bool) -> None:
    call(k, "sbrk", PGSIZE, EAGER)
    k.copyout(k.procs.init.space, 0, b"x" * length + b"\0")
    assert call(k, "interpose", 0, 0) == (0 if fits else U64)


def test_who_watches_sees_each_call_begin_and_end_with_its_result(k: Kernel) -> None:
    seen: list[tuple[str, str, int | None]] = []

    class Watcher:
        def syscall_enter(self, p: Process, call: Any) -> None:
            seen.append(("enter", call.name, None))

        def syscall_exit(self, p: Process, call: Any, result: int, error: SyscallError | None) -> None:
            seen.append(("exit", call.name, result))

    k.hooks.observer = Watcher()  # type: ignore[assignment]
    call(k, "getpid")
    call(k, "close", 5)
    call(k, 0)
    names = [("getpid", 1), ("close", -1)]
    assert seen == [
        entry for name, result in names for entry in (("enter", name, None), ("exit", name, result))
    ]


def test_a_traced_call_is_printed_and_the_call_that_asks_for_it_is_too(k: Kernel) -> None:
    lines = printed(k)
    call(k, "trace", 1 << BY_NAME["trace"].number | 1 << BY_NAME["sbrk"].number)
    k.procs.init.space.sz = 0xFFFF_FFFE
    call(k, "sbrk", 0, LAZY)
    call(k, "getpid")
    assert lines == ["1: syscall trace -> 0\n", "1: syscall sbrk -> -2\n"]


def test_a_refused_call_fails_and_is_printed_where_it_is_traced(k: Kernel) -> None:
    call(k, "sbrk", PGSIZE, EAGER)
    k.copyout(k.procs.init.space, 0, b"/ok\0")
    call(k, "trace", 1 << BY_NAME["sbrk"].number)
    call(k, "interpose", 1 << BY_NAME["sbrk"].number | 1 << BY_NAME["chdir"].number, 0)
    lines = printed(k)
    assert call(k, "sbrk", 0, LAZY) == U64
    assert call(k, "getpid") == 1
    assert call(k, "chdir", 0) == U64, "the path that is allowed is for open and exec"
    assert lines == ["1: syscall sbrk -> -1\n"], "what was traced before still is"
    call(k, "trace", 0)
    assert call(k, "sbrk", 0, LAZY) == U64, "and what was refused"


# --- memory ---


def test_sbrk_goes_up_to_what_is_mapped_and_down_to_zero(k: Kernel) -> None:
    p = k.procs.init
    p.space.sz = TRAPFRAME - 10
    assert call(k, "sbrk", 11, LAZY) == U64 and p.space.sz == TRAPFRAME - 10
    assert call(k, "sbrk", 10, LAZY) == TRAPFRAME - 10 and p.space.sz == TRAPFRAME
    p.space.sz = 10
    assert call(k, "sbrk", -11, LAZY) == 10 and p.space.sz == 10, "a shrink below 0 does nothing"
    assert call(k, "sbrk", -10, LAZY) == 10 and p.space.sz == 0
    assert kernel(usyscall=True).procs.init.space.heap_max == USYSCALL


def test_sbrk_ends_below_the_lowest_mapping(k: Kernel) -> None:
    p = k.procs.init
    low = MMAP_TOP - 3 * PGSIZE
    for at in (MMAP_TOP - PGSIZE, low):
        assert call(k, "mmap", at, PGSIZE, 3, 0x22, -1 & U64, 0) == at
    p.space.sz = low - 5
    assert call(k, "sbrk", 6, LAZY) == U64
    assert call(k, "sbrk", 5, LAZY) == low - 5


def test_a_shrink_gives_back_exactly_the_pages_that_are_not_needed_any_more(k: Kernel) -> None:
    p = k.procs.init
    free = k.frames.free_frames
    call(k, "sbrk", 3 * PGSIZE + 1, EAGER)
    four = k.frames.free_frames
    call(k, "sbrk", -1, LAZY)
    assert k.frames.free_frames == four + 1
    call(k, "sbrk", -PGSIZE + 1, LAZY)
    assert k.frames.free_frames == four + 1 and k.vm.pte(p.space, 2 * PGSIZE), "a byte of it is left"
    call(k, "sbrk", -1, LAZY)
    assert k.frames.free_frames == four + 2
    call(k, "sbrk", -2 * PGSIZE, LAZY)
    assert free - k.frames.free_frames == 2, "the tables stay"


def test_a_shrink_by_all_needs_no_memory(k: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it ends within the last page of a superpage, nothing is to be split."""
    free = k.frames.free_frames
    call(k, "sbrk", SUPERPGSIZE - 5, EAGER)
    assert k.vm.pte(k.procs.init.space, 0) & PTE_SUPER
    monkeypatch.setattr(k.frames, "alloc", lambda: 0)
    assert call(k, "sbrk", 5 - SUPERPGSIZE, LAZY) == SUPERPGSIZE - 5
    assert free - k.frames.free_frames == 1, "a table"


@pytest.mark.parametrize(
    ("year", "mode", "size", "at_once"),
    [
        (2025, EAGER, PGSIZE, True),
        (2025, LAZY, PGSIZE, False),
        (2025, 0, PGSIZE, False),
        (2024, LAZY, PGSIZE, True),
        (2021, LAZY, 2 * SMALL_STEP_MAX, True),
        (2020, LAZY, SMALL_STEP_MAX, True),
        (2020, EAGER, SMALL_STEP_MAX + 1, False),
        (2019, LAZY, SMALL_STEP_MAX, True),
    ],
)
def test_memory_comes_at_once_or_at_the_first_touch(year: int, mode: int, size: int, at_once: bool) -> None:
    k = kernel(lab=year)
    assert call(k, "sbrk", size, mode) == 0
    assert bool(k.vm.pte(k.procs.init.space, size - 1)) == at_once


# --- page faults ---


def test_a_promised_page_comes_at_the_first_load_or_store_and_cannot_be_executed(k: Kernel) -> None:
    p = k.procs.init
    p.space.sz = PGSIZE + 1
    for va, access, there in (
        (0, 8, False),
        (p.space.sz, PTE_R, False),
        (2 * PGSIZE, PTE_R, False),
        (1 << 38, PTE_R, False),
        (U64, PTE_R, False),
        (5, PTE_R, True),
        (PGSIZE, PTE_W, True),
    ):
        before = k.counts.zero_filled
        assert k.pager.fault(p.space, va, access) == there
        assert k.counts.zero_filled - before == there
    assert k.vm.pte(p.space, 0) & 0x3FF == RW | PTE_U | PTE_V
    for access in (PTE_R, PTE_W, 8):
        assert not k.pager.fault(p.space, 5, access), "it is there, and nothing else was promised"


def test_a_fault_without_memory_is_the_programs_end(k: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    p = k.procs.init
    p.space.sz = 4 * SUPERPGSIZE
    monkeypatch.setattr(k.frames, "alloc", lambda: 0)
    monkeypatch.setattr(k.frames, "alloc_super", lambda: 0)
    assert not k.pager.fault(p.space, 0, PTE_W)
    assert k.pager.touch(p.space, 0) == 0 and k.pager.touch(p.space, SUPERPGSIZE) == 0


@pytest.mark.parametrize("last", [0, 1, PGSIZE])
def test_pgpte_gives_a_superpage_where_a_whole_piece_is_promised(k: Kernel, last: int) -> None:
    p = k.procs.init
    p.space.sz = 2 * SUPERPGSIZE - last
    assert call(k, "pgpte", SUPERPGSIZE - 1) & PTE_SUPER
    second = call(k, "pgpte", SUPERPGSIZE)
    assert second & PTE_U and bool(second & PTE_SUPER) == (last < PGSIZE)
    for va in (p.space.sz + PGSIZE, 1 << 38, U64):
        assert call(k, "pgpte", va) == 0


def test_pgpte_copies_a_superpage_that_is_shared_and_no_single_page(k: Kernel) -> None:
    p = k.procs.init
    call(k, "sbrk", SUPERPGSIZE + PGSIZE, EAGER)
    child(k)
    assert k.vm.pte(p.space, 0) & PTE_COW
    assert call(k, "pgpte", 0) & (PTE_SUPER | PTE_COW) == PTE_SUPER
    single = k.vm.pte(p.space, SUPERPGSIZE)
    assert single & PTE_COW and call(k, "pgpte", SUPERPGSIZE) == single


# --- pgaccess ---


def pgaccess(k: Kernel, p: Process, va: int, n: int, mask_va: int) -> int:
    """The bits that are stored; no byte more than they take is."""
    size = 4 if n <= 32 else 8
    k.copyout(p.space, mask_va, b"\xa5" * 16)
    assert sys_pgaccess(k, p, va, n, mask_va) == 0
    assert k.copyin(p.space, mask_va + size, 8) == b"\xa5" * 8
    return int.from_bytes(k.copyin(p.space, mask_va, size), "little")


def test_pgaccess_tells_each_touch_once(k: Kernel) -> None:
    p = k.procs.init
    p.space.sz = 70 * PGSIZE
    mask = 69 * PGSIZE
    for page in (0, 2, 31, 32, 63):
        k.copyout(p.space, page * PGSIZE, b"x")
    generation = p.space.generation
    assert pgaccess(k, p, PGSIZE, 2, mask) == 0b10
    generation = p.space.generation
    assert pgaccess(k, p, 0, 32, mask) == 1 | 1 << 31
    assert p.space.generation > generation, "or the hart would not set the bits again"
    assert pgaccess(k, p, 0, 64, mask) == 1 << 32 | 1 << 63
    assert pgaccess(k, p, 0, 64, mask) == 0
    assert pgaccess(k, p, 0, 0, mask) == 0


def test_pgaccess_takes_as_many_pages_as_it_has_bits_and_none_beyond_the_end(k: Kernel) -> None:
    p = k.procs.init
    p.space.sz = PGSIZE
    for va, n, result in (
        (MAXVA - 3 * PGSIZE, 3, 0),
        (MAXVA - 3 * PGSIZE, 4, None),
        (0, PGACCESS_MAX, 0),
        (0, PGACCESS_MAX + 1, None),
        (0, -1, None),
    ):
        if result is None:
            with pytest.raises(SyscallError):
                sys_pgaccess(k, p, va, n, 0)
        else:
            assert sys_pgaccess(k, p, va, n, 0) == result


def test_pgaccess_of_one_process_takes_nothing_from_another(k: Kernel) -> None:
    """They share the table after fork: who clears a bit in it has a copy made first."""
    p = k.procs.init
    p.space.sz = 2 * SUPERPGSIZE
    for va in range(0, SUPERPGSIZE, PGSIZE):
        k.vm.map_new(p.space, va, RW)
    k.copyout(p.space, 3 * PGSIZE, b"x")
    p.thread.tf[TF_SP] = SUPERPGSIZE + 8
    other = child(k)
    mask = SUPERPGSIZE
    assert pgaccess(k, p, 0, 8, mask) == pgaccess(k, other, 0, 8, mask) == 1 << 3
    assert pgaccess(k, p, 0, 8, mask) == pgaccess(k, other, 0, 8, mask) == 0


# --- the rest ---


def test_sysinfo_counts_what_could_be_had(k: Kernel) -> None:
    """Pages that nobody maps are free memory, though a cache keeps them for the time being."""
    p = k.procs.init
    call(k, "sbrk", PGSIZE, EAGER)
    kept = k.frames.alloc()
    k.text.inodes[Inode(k.fs, 7, k, k.inodes)] = {(0, 0): kept}
    sys_sysinfo(k, p, 0)
    assert SYSINFO.unpack(k.copyin(p.space, 0, SYSINFO.size)) == ((k.frames.free_frames + 1) * PGSIZE, 1)


@pytest.mark.parametrize("room", [-1, 0, 1, 2, 9])
def test_ps_stores_as_many_as_there_is_room_for_and_says_how_many_there_are(k: Kernel, room: int) -> None:
    p = k.procs.init
    call(k, "sbrk", PGSIZE, EAGER)
    k.copyout(p.space, 0, b"\xa5" * PGSIZE)
    other = child(k)
    assert call(k, "ps", 0, room) == 2
    stored = max(0, min(room, 2)) * PSINFO.size
    assert k.copyin(p.space, stored, 8) == b"\xa5" * 8
    entries = list(PSINFO.iter_unpack(k.copyin(p.space, 0, stored)))
    assert [entry[:2] for entry in entries] == [(1, 0), (other.pid, 1)][: max(0, room)]


def test_only_process_1_ends_the_run_and_only_when_the_disk_is_at_rest(k: Kernel) -> None:
    done: list[object] = []
    k.mounts.mounted.append(k.fs)
    k.fs.sync = lambda: done.append("drained")  # type: ignore[method-assign]
    k.poweroff = done.append  # type: ignore[method-assign]
    assert call(k, "poweroff", 3, p=child(k)) == U64 and done == []
    assert call(k, "poweroff", 3) == 0 and done == ["drained", 3]


def test_uptime_is_an_int_of_ticks(k: Kernel) -> None:
    for ticks in (0, 7, (1 << 32) - 1, 1 << 32, (1 << 32) + 5):
        k.clock.advance_to(ticks * MTIME_PER_TICK * MTIME_TICKS)
        assert call(k, "uptime") == ticks & 0xFFFF_FFFF


def test_a_kill_is_told_with_who_did_it_to_whom(k: Kernel) -> None:
    told: list[tuple[int, int]] = []
    k.hooks.on_kill = lambda victim, killer: told.append((victim.pid, killer.pid))
    other = child(k)
    assert call(k, "kill", other.pid) == 0 and call(k, "kill", 99) == U64
    assert told == [(other.pid, 1)]
    call(k, "kill", 1, p=other)
    assert told == [(other.pid, 1)], "process 1 cannot be killed"


# --- alarms ---


def test_an_alarm_comes_after_each_period_and_not_while_its_handler_runs(k: Kernel) -> None:
    p = k.procs.init
    p.thread.tf[TF_EPC], p.thread.tf[TF_A0] = 0x100, 0xABC
    assert sys_sigalarm(k, p, 2, 0x401) == 0
    assert p.traits.alarm is not None
    for _ in range(2):
        p.traits.alarm.tick(p.thread.tf)
        assert p.thread.tf[TF_EPC] == 0x100
        p.traits.alarm.tick(p.thread.tf)
        assert p.thread.tf[TF_EPC] == 0x400, "bit 0 of a pc does not count"
        p.thread.tf[TF_A0] = 5
        for _ in range(5):
            p.traits.alarm.tick(p.thread.tf)
        assert p.thread.tf[TF_EPC] == 0x400
        assert sys_sigreturn(k, p) == 0xABC and p.thread.tf[TF_EPC] == 0x100
        with pytest.raises(SyscallError):
            sys_sigreturn(k, p)
    sys_sigalarm(k, p, 1, 0x400)
    p.traits.alarm.tick(p.thread.tf)
    sys_sigreturn(k, p)
    sys_sigalarm(k, p, 0, 0)
    for _ in range(3):
        p.traits.alarm.tick(p.thread.tf)
    assert p.thread.tf[TF_EPC] == 0x100, "no period, no alarm"


def test_what_is_no_alarm(k: Kernel) -> None:
    p = k.procs.init
    with pytest.raises(SyscallError):
        sys_sigreturn(k, p)
    with pytest.raises(SyscallError):
        sys_sigalarm(k, p, -1, 0x400)
    assert p.traits.alarm is None
    assert sys_sigalarm(k, p, 0, 0) == 0, "0 ticks: no more"


def test_an_alarm_that_is_set_in_its_handler_begins_when_that_returns(k: Kernel) -> None:
    p = k.procs.init
    p.thread.tf[TF_EPC] = 0x100
    sys_sigalarm(k, p, 1, 0x400)
    assert p.traits.alarm is not None
    p.traits.alarm.tick(p.thread.tf)
    sys_sigalarm(k, p, 1, 0x500)
    assert p.traits.alarm is not None
    p.traits.alarm.tick(p.thread.tf)
    assert p.thread.tf[TF_EPC] == 0x400
    sys_sigreturn(k, p)
    p.traits.alarm.tick(p.thread.tf)
    assert (p.thread.tf[TF_EPC], p.traits.alarm.handler) == (0x500, 0x500)


def test_a_child_has_no_alarm_but_can_return_from_the_handler_it_was_born_in(k: Kernel) -> None:
    p = k.procs.init
    p.thread.tf[TF_EPC] = 0x100
    sys_sigalarm(k, p, 1, 0x400)
    assert p.traits.alarm is not None
    p.traits.alarm.tick(p.thread.tf)
    other = child(k)
    assert other.traits.alarm is not None
    sys_sigreturn(k, other)
    assert other.thread.tf[TF_EPC] == 0x100
    for _ in range(3):
        other.traits.alarm.tick(other.thread.tf)
    assert other.thread.tf[TF_EPC] == 0x100


# --- the tables ---


def test_every_kind_of_argument_can_be_shown() -> None:
    used = {type(arg.kind) for call in BY_NAME.values() for arg in call.args}
    known = {kind for kind in vars(kinds).values() if isinstance(kind, type) and issubclass(kind, kinds.Kind)}
    known.discard(kinds.Kind)
    outs = {kind for kind in known if issubclass(kind, kinds.Out)}
    assert used <= known and set(SHOW_AFTER) == outs and set(SHOW_BEFORE) == known - outs


@pytest.mark.parametrize(("kind", "held"), [(kinds.Word(), (WORD, U64)), (kinds.Fd(), (9, -1))])
def test_a_handler_gets_of_a_register_what_the_kind_asks_for(
    k: Kernel, kind: kinds.Kind, held: tuple[int, int]
) -> None:
    got: list[int] = []

    def sys_note(k: Kernel, p: Process, *args: int) -> int:
        got.extend(args)
        return 7

    k.personality.table[99] = Entry(Syscall(99, "note", (Arg("x", kind, ""),) * 6), sys_note)
    assert call(k, 99, WORD, U64, WORD, U64, WORD, U64, WORD) == 7
    assert got == [*held] * 3


def test_whoever_watches_learns_why_a_call_failed(k: Kernel) -> None:
    class Watcher(hooks.Watcher):
        def syscall_exit(self, p: Process, call: Any, result: int, error: SyscallError | None) -> None:
            seen.append((call.name, result, error.code if error is not None else None))

    seen: list[tuple[str, int, int | None]] = []
    k.hooks.observer = Watcher()
    assert call(k, "getpid") == 1
    assert call(k, "kill", 99) == call(k, "close", 5) == call(k, "wait", 0) == U64
    assert seen == [("getpid", 1, None), ("kill", -1, ESRCH), ("close", -1, EBADF), ("wait", -1, ECHILD)]
