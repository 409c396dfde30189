"""Memory mappings seen from outside: what is in the page tables and in the page cache, what reaches the disk.

A guest program does one step at a time; between the steps the page tables are looked at, and changed, in RAM.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import orrery_cli
import pytest

from emu.dev.drive import RamDrive
from kernel.abi import disk
from kernel.abi.fcntl import (
    MAP_ANONYMOUS,
    MAP_PRIVATE,
    MAP_SHARED,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
)
from kernel.abi.memlayout import PGSIZE
from kernel.abi.riscv import PTE_COW, PTE_D, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X
from kernel.fs.vfs import Inode
from kernel.mm.mmap import MMAP_TOP
from kernel.mm.vma import Vma
from kernel.proc import Process
from orrery import Machine
from orrery.inspect.audit import Audit
from toolchain import cc, fsimage, mkfs

PROGRAMS = Path(__file__).with_name("programs")
PAGES = 40
DATA = bytes(ord("a") + i // PGSIZE % 26 for i in range(PAGES * PGSIZE - 100))  # a letter a page
RW = PROT_READ | PROT_WRITE
RIGHTS = PTE_R | PTE_W | PTE_X | PTE_U | PTE_COW
SAYS = 'const char text[] = "FIRST"; int main(void) { printf("%s\\n", text); return 0; }'


@cache
def image() -> bytes:
    """An image with few programs, `maps` among them, and a file of PAGES pages, the last one not full."""
    files = {name: orrery_cli.default_files()[name] for name in ("init", "sh", "echo", "cat")}
    files |= {"maps": cc.compile_user([PROGRAMS / "maps.c"], debug=False), "data": DATA}
    return bytes(mkfs.build(files, size=2000, ninodes=50))


class Guest:
    """A machine on which `maps` runs."""

    def __init__(self, machine: Machine, drive: RamDrive) -> None:
        self.machine = machine
        self.drive = drive
        self.hidden: list[int] = []  # pages whose D was cleared by hand: the audit sees that they differ
        self.k = machine.kernel
        machine.boot()
        machine.type("maps\n")
        machine.expect(r"= 0\n")

    def do(self, command: str) -> int:
        """What the program answers."""
        self.machine.type(command + "\n")
        return int(self.machine.expect(r"= (-?\d+)\n")[1])

    def end(self, command: str = "x 0") -> None:
        """A command after which the shell is there again."""
        self.machine.type(command + "\n")
        self.machine.expect(r"\$ $")

    def killed_by(self, command: str) -> None:
        """A command that must kill; a child of `maps` does it."""
        assert self.do("f") == 0
        self.machine.type(command + "\n")
        assert self.machine.expect(r"usertrap\(\).*\n.*\n= (-?\d+)\n")[1] == "-1"

    def map_data(self, prot: int = RW, flags: int = MAP_SHARED, pages: int = PAGES, first: int = 0) -> int:
        """Map the file and forget the descriptor; gives the slot."""
        fd = self.do(f"o data {O_RDWR}")
        return self.do(f"m {fd} {pages} {prot} {flags} {first}")

    def processes(self) -> list[Process]:
        """Those that run `maps`, the oldest first."""
        return sorted((p for p in self.k.procs if p.name == "maps"), key=lambda p: p.pid)

    def vma(self, which: int = 0) -> Vma:
        """A mapping of the youngest process, the one made last having number 0."""
        return self.processes()[-1].space.vmas[which]

    def entries(self, process: int = -1, vma: Vma | None = None) -> dict[int, int]:
        """The PTEs of the pages of a mapping that a process has, by page."""
        vma = vma or self.vma()
        p = self.processes()[process]
        return {
            (va - vma.start) // PGSIZE: pte for va, _, pte in self.k.vm.leaves(p.space, vma.start, vma.end)
        }

    def dirty(self, process: int = -1) -> list[int]:
        return [page for page, pte in self.entries(process).items() if pte & PTE_D]

    def set_dirty(self, page: int, dirty: bool) -> None:
        """Change D of a page that is mapped, in RAM."""
        p = self.processes()[-1]
        index = self.k.vm.walk(p.space, self.vma().start + page * PGSIZE)
        pte = self.k.ram.u64[index]
        assert pte & PTE_V
        self.k.ram.u64[index] = pte | PTE_D if dirty else pte & ~PTE_D
        if not dirty:
            self.hidden.append(page)

    @property
    def inode(self) -> Inode:
        """Of the file."""
        number = next(entry.ino for entry in self.on_disk().walk() if entry.path == "/data")
        return self.k.inodes.inodes[1, number]

    def on_disk(self) -> fsimage.FsImage:
        return fsimage.FsImage(self.drive.read(0, self.drive.capacity))

    def letters(self) -> str:
        """The first byte of each page of the file on disk."""
        return self.on_disk().read("/data")[::PGSIZE].decode()

    def written(self, command: str) -> int:
        """How many pages a command writes back."""
        before = self.k.counts.pages_written
        assert self.do(command) == 0
        return self.k.counts.pages_written - before


@pytest.fixture(params=["fast", "public"])
def guest(request: pytest.FixtureRequest) -> Iterator[Guest]:
    drive = RamDrive(image())
    with Machine(drive, engine=request.param) as machine:
        guest = Guest(machine, drive)
        yield guest
        if guest.processes():
            guest.end()
        found = Audit(machine.kernel).findings()
        assert all("is cached, but differs from the disk" in line for line in found), found
        assert [int(line.split()[1]) for line in found] == guest.hidden


LETTERS = DATA[::PGSIZE].decode()


def letters(**changes: str) -> str:
    """LETTERS but for some: p3="x"."""
    changed = {int(page[1:]): letter for page, letter in changes.items()}
    return "".join(changed.get(i, letter) for i, letter in enumerate(LETTERS))


# --- what is mapped when ---


def test_nothing_is_read_or_mapped_before_it_is_touched(guest: Guest) -> None:
    guest.map_data()
    assert guest.inode.pages == {} and guest.entries() == {} and guest.k.counts.paged_in == 0
    assert guest.do("l 0 30") == DATA[30 * PGSIZE]
    assert list(guest.entries()) == list(guest.inode.pages) == [30]
    assert guest.k.counts.paged_in == 1 and guest.k.counts.mapped_around == 0


def test_a_fault_maps_those_around_it_that_are_in_memory(guest: Guest) -> None:
    fd = guest.do(f"o data {O_RDONLY}")
    assert guest.do(f"r {fd} 16") == guest.do(f"r {fd} 16") == 16 * PGSIZE
    guest.map_data(PROT_READ)
    cached = set(guest.inode.pages)
    assert cached >= set(range(32))
    first = guest.vma().start // PGSIZE
    around = {page for page in range(PAGES) if (first + page) // 16 == (first + 20) // 16}
    assert len(around) == 16, "the window is aligned, and within the mapping"
    assert guest.do("l 0 20") == DATA[20 * PGSIZE]
    assert set(guest.entries()) == around & cached
    assert guest.k.counts.paged_in == 1 and guest.k.counts.mapped_around == len(around & cached) - 1
    for page, pte in guest.entries().items():
        assert pte & RIGHTS == PTE_R | PTE_U and pte >> 10 << 12 == guest.inode.pages[page]
    # the window ends where the mapping ends
    assert guest.do(f"l 0 {PAGES - 1}") == DATA[-1] and guest.do("l 0 0") == DATA[0]
    assert set(guest.entries()) <= set(range(PAGES))


@pytest.mark.parametrize(
    ("prot", "flags", "expected"),
    [
        (PROT_READ, MAP_SHARED, PTE_R),
        (RW, MAP_SHARED, PTE_R | PTE_W),
        (PROT_WRITE, MAP_SHARED, PTE_R | PTE_W),
        (PROT_READ, MAP_PRIVATE, PTE_R),
        (RW, MAP_PRIVATE, PTE_R | PTE_COW),
        (PROT_READ | PROT_EXEC, MAP_PRIVATE, PTE_R | PTE_X),
    ],
)
def test_entries_have_the_rights_of_the_mapping(prot: int, flags: int, expected: int) -> None:
    with Machine(image()) as machine:
        guest = Guest(machine, RamDrive(image()))
        guest.map_data(prot, flags)
        assert guest.do("l 0 3") == DATA[3 * PGSIZE]
        assert guest.entries()[3] & (RIGHTS | PTE_D) == expected | PTE_U


def test_a_private_page_is_copied_by_the_first_store(guest: Guest) -> None:
    guest.map_data(flags=MAP_PRIVATE)
    guest.do("l 0 1")
    assert guest.entries()[1] >> 10 << 12 == guest.inode.pages[1]
    for page in (1, 2):  # after a load, and at once
        assert guest.do(f"s 0 {page} 90") == 90
        assert guest.entries()[page] & (PTE_W | PTE_COW) == PTE_W
        assert guest.entries()[page] >> 10 << 12 != guest.inode.pages[page]
    assert guest.k.counts.cow_copied >= 2
    assert guest.written("u 0 0 40") == 0
    guest.end()
    assert guest.letters() == LETTERS


def test_processes_share_frames_with_each_other_and_with_the_cache(guest: Guest) -> None:
    guest.map_data()
    guest.do("s 0 1 90")
    assert guest.do("f") == 0
    assert [p.space.vmas for p in guest.processes()] == [guest.processes()[0].space.vmas] * 2
    assert guest.do("l 0 1") == 90 and guest.do("s 0 2 91") == 91
    for page, process in ((1, 0), (1, 1), (2, 1)):
        assert guest.entries(process)[page] >> 10 << 12 == guest.inode.pages[page]
    assert guest.dirty(0) == [1] and guest.dirty(1) == [2], "each has its own D"
    assert guest.written("x 0") == 1 and guest.do("l 0 2") == 91
    assert guest.written("u 0 0 40") == 1
    guest.end()
    assert guest.letters() == letters(p1="Z", p2="[")


# --- write-back ---


def test_exactly_the_dirty_pages_are_written(guest: Guest) -> None:
    guest.map_data()
    for page in (1, 3, 6, 7, 39):
        guest.do(f"s 0 {page} 90")
    guest.do("l 0 2")
    assert guest.dirty() == [1, 3, 6, 7, 39]
    assert guest.written("u 0 6 1") == 1 and guest.letters() == letters(p6="Z")
    assert guest.written("u 0 0 40") == 4
    assert guest.letters() == letters(p1="Z", p3="Z", p6="Z", p7="Z", p39="Z")
    assert len(guest.on_disk().read("/data")) == len(DATA)
    guest.end()


def test_what_decides_is_d_in_the_page_table(guest: Guest) -> None:
    guest.map_data()
    for page in (1, 2):
        guest.do(f"s 0 {page} 90")
    guest.do("l 0 3")
    frame = guest.k.ram.view(guest.inode.pages[3], PGSIZE)
    frame[0] = ord("!")  # by nobody
    guest.set_dirty(1, False)
    guest.set_dirty(3, True)
    assert guest.written("u 0 0 40") == 2
    assert guest.letters() == letters(p2="Z", p3="!")
    guest.end()


def test_msync_writes_and_makes_clean(guest: Guest) -> None:
    guest.map_data()
    for page in (0, 20, 21):
        guest.do(f"s 0 {page} 90")
    assert guest.written("y 0 0 20") == 1 and guest.dirty() == [20, 21]
    assert guest.letters() == letters(p0="Z")
    assert guest.written("y 0 0 40") == 2 and guest.written("y 0 0 40") == 0 and guest.dirty() == []
    guest.do("s 0 20 91")  # the hart marks it again
    assert guest.dirty() == [20] and guest.written("y 0 0 40") == 1
    assert guest.letters() == letters(p0="Z", p20="[", p21="Z")
    guest.end()


@pytest.mark.parametrize("command", ["x 0", "e echo", "u 0 0 40"])
def test_however_a_mapping_ends_it_is_written_and_forgotten(guest: Guest, command: str) -> None:
    guest.map_data()
    assert guest.do("f") == 0
    guest.do("s 0 5 90")
    assert guest.inode.mappings == guest.inode.writable_mappings == 2
    assert guest.do(command) == 0
    assert guest.letters() == letters(p5="Z")
    if len(guest.processes()) > 1:
        assert guest.do("x 0") == 0
    guest.end()
    assert guest.inode.mappings == guest.inode.writable_mappings == guest.inode.ref == 0
    assert guest.machine.sh("cat data")[5 * PGSIZE] == "Z"


def test_a_kill_writes_too(guest: Guest) -> None:
    guest.map_data()
    assert guest.do("f") == 0
    guest.do("s 0 5 90")
    guest.k.procs.kill(guest.processes()[-1].pid)
    guest.machine.expect(r"= -1\n")
    assert guest.letters() == letters(p5="Z") and guest.inode.mappings == 1
    guest.end()


def test_nothing_goes_behind_the_end(guest: Guest) -> None:
    guest.map_data(pages=PAGES + 5)
    frame = guest.do(f"s 0 {PAGES - 1} 90") and guest.k.ram.view(guest.inode.pages[PAGES - 1], PGSIZE)
    assert bytes(frame[-100:]) == bytes(100)
    frame[-100:] = b"!" * 100
    guest.killed_by(f"l 0 {PAGES}")
    assert guest.written("y 0 0 45") == 1 and bytes(frame[-100:]) == bytes(100)
    guest.end()
    assert guest.on_disk().read("/data") == DATA[: 39 * PGSIZE] + b"Z" + DATA[39 * PGSIZE + 1 :]


def test_many_pages_in_few_operations() -> None:
    """What is written back fits the log, however much it is."""
    drive = RamDrive(image())
    with Machine(drive) as machine:
        guest = Guest(machine, drive)
        guest.map_data()
        for page in range(PAGES):
            guest.do(f"s 0 {page} 90")
        assert guest.written("u 0 0 40") == PAGES and guest.letters() == "Z" * PAGES
        guest.end()


# --- files that change and go ---


def test_a_truncated_file_is_unmapped_everywhere(guest: Guest) -> None:
    guest.map_data()
    guest.map_data(flags=MAP_PRIVATE)
    for slot in (0, 1):
        guest.do(f"s {slot} 1 90")
    assert guest.do("f") == 0
    for slot in (0, 1):
        guest.do(f"l {slot} 1")
        guest.do(f"s {slot} 2 90")
    assert guest.do(f"o data {O_WRONLY | O_TRUNC}") >= 0
    for process in (0, 1):
        for vma in guest.vma(0), guest.vma(1):
            assert guest.entries(process, vma) == {}
    assert guest.inode.size == 0 and guest.inode.pages == {}
    guest.killed_by("l 0 1")
    guest.killed_by("l 1 2")
    assert guest.written("x 0") == 0
    guest.end()
    assert guest.on_disk().read("/data") == b""


def test_a_file_without_a_name_lives_as_long_as_its_mapping(guest: Guest) -> None:
    guest.map_data()
    assert guest.do("d data") == 0
    inode = guest.k.inodes.inodes[1, guest.vma().ip.inum]  # type: ignore[union-attr]
    assert guest.do("s 0 3 90") == 90 and guest.do("l 0 4") == DATA[4 * PGSIZE]
    free = guest.machine.kernel.frames.free_frames
    guest.end()
    assert not inode.valid and inode.pages == {} and inode.mappings == 0
    assert guest.machine.kernel.frames.free_frames > free
    fsimage.check(bytes(guest.drive.read(0, guest.drive.capacity)))


def test_a_program_is_what_is_stored_in_its_file(tmp_path: Path) -> None:
    """Text that exec kept must not be stale, while its file is mapped for writing or after."""
    says = orrery_cli.compile_text(tmp_path, "says", SAYS)
    page, at = divmod(says.index(b"FIRST"), PGSIZE)
    files = {name: orrery_cli.default_files()[name] for name in ("init", "sh")}
    mapper = f"""
        #include "kernel/riscv.h"
        static void run(void) {{
            char *argv[] = {{"says", 0}};
            if (fork() == 0) exec("says", argv);
            wait(0);
        }}
        int main(void) {{
            int fd = open("says", O_RDWR);
            char *p = mmap(0, PGSIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, {page} * PGSIZE);
            run();
            p[{at}] = 'W';
            run();
            munmap(p, PGSIZE);
            run();
            return 0;
        }}"""
    files |= {"says": says, "mapper": orrery_cli.compile_text(tmp_path, "mapper", mapper)}
    with Machine(bytes(mkfs.build(files, size=1000, ninodes=50))) as machine:
        assert machine.boot().sh("says; mapper; says") == "FIRST\nFIRST\nWIRST\nWIRST\nWIRST\n"
        assert Audit(machine.kernel).findings() == []


# --- limits ---


def sparse_image(full: bool) -> bytes:
    """`data` without some of its blocks, as other image makers leave it; `full`: and none to be had."""
    content = bytearray(image())
    fs = fsimage.FsImage(content)
    inode = next(fs.inode(entry.ino) for entry in fs.walk() if entry.path == "/data")
    at = fs.superblock.inodestart * disk.BSIZE + inode.number * disk.DINODE_SIZE + 12
    for i in range(4, 8):  # the second page
        content[at + 4 * i : at + 4 * i + 4] = bytes(4)
    if full:
        start = fs.superblock.bmapstart * disk.BSIZE
        content[start : start + fs.superblock.size // 8] = b"\xff" * (fs.superblock.size // 8)
    return bytes(content)


def test_a_hole_in_a_file_is_filled() -> None:
    drive = RamDrive(sparse_image(full=False))
    with Machine(drive) as machine:
        guest = Guest(machine, drive)
        guest.map_data()
        assert guest.do("l 0 1") == 0
        for page in (0, 1, 2):
            guest.do(f"s 0 {page} 90")
        assert guest.written("y 0 0 40") == 3
        guest.end()
        assert guest.letters() == letters(p0="Z", p1="Z", p2="Z")


def test_no_room_for_a_hole() -> None:
    """msync says so; where nobody can be told any more, the console tells."""
    drive = RamDrive(sparse_image(full=True))
    with Machine(drive) as machine:
        guest = Guest(machine, drive)
        guest.map_data()
        for page in (0, 1, 2):
            guest.do(f"s 0 {page} 90")
        assert guest.do("y 0 0 40") == -1 and guest.dirty() == [1], "the others were written"
        assert guest.letters() == letters(p0="Z", p1="\0", p2="Z")
        machine.type("u 0 0 40\n")
        machine.expect(r"\d+ maps: stores to a mapped file are lost: ENOSPC.*\n= 0\n")
        guest.end()
        assert Audit(machine.kernel).findings() == []


def test_a_process_that_maps_more_than_there_is_dies_alone() -> None:
    drive = RamDrive(image())
    with Machine(drive, mem_mib=8) as machine:
        guest = Guest(machine, drive)
        assert guest.do(f"m -1 10000 {RW} {MAP_ANONYMOUS | MAP_PRIVATE} 0") == 0
        assert guest.vma().end == MMAP_TOP
        assert guest.do("f") == 0
        machine.type("".join(f"s 0 {page} 90\n" for page in range(1500)))
        machine.expect(r"usertrap\(\)")
        machine.expect(r"= -1\n")
        guest.end()
        assert "a" * 100 in machine.sh("cat data")
        assert Audit(machine.kernel).findings() == []


def test_cached_pages_make_room_for_others() -> None:
    """The cache gives up what nobody maps, and what is mapped stays."""
    drive = RamDrive(image())
    with Machine(drive, mem_mib=8) as machine:
        guest = Guest(machine, drive)
        guest.map_data(PROT_READ, pages=4)
        guest.do("l 0 0")
        fd = guest.do(f"o data {O_RDONLY}")
        for _ in range(3):
            guest.do(f"r {fd} 13")
        assert len(guest.inode.pages) > 30
        mapped = guest.entries()
        taken = []
        while pa := guest.k.frames.alloc():
            taken.append(pa)
        assert set(guest.inode.pages) == set(mapped)
        for pa in taken:
            guest.k.frames.free(pa)
        assert guest.do("l 0 0") == DATA[0] and guest.do("l 0 1") == DATA[PGSIZE]
        guest.end()
        assert Audit(machine.kernel).findings() == []
