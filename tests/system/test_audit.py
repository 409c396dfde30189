"""The audit finds what it is there for: each mistake that a kernel might make, made, is found and named.

`holder` has memory of every kind and waits.  First the books are right; then one thing is broken, in the
kernel's code while it runs, or in what it keeps, and the audit must say so, in a line that names the thing.
"""

import os
import re
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any, Final

import pytest
from boot import System, image_with, program

from emu.dev.drive import RamDrive
from kernel.abi.fcntl import T_DIR
from kernel.abi.memlayout import PGSIZE, SUPERPGSIZE, USYSCALL
from kernel.abi.riscv import PTE_COW, PTE_D, PTE_SUPER, PTE_U, PTE_W
from kernel.fs.inodes import InodeTable
from kernel.fs.vfs import Inode
from kernel.fs.xv6fs.filesystem import FileSystem
from kernel.mm.cow import CopyOnWrite
from kernel.mm.kalloc import FrameAllocator
from kernel.mm.mmap import Mmap
from kernel.mm.pagecache import PageCache
from kernel.mm.pagetable import PageTable
from kernel.mm.text import TextCache
from kernel.mm.vma import Vma
from kernel.proc import Process
from orrery.inspect.frame_owners import FrameOwners, Leaf
from orrery.inspect.pages import target as target_of


@pytest.fixture(scope="module")
def booted() -> Iterator[System]:
    """A machine at the shell's prompt; tests go on from here in forked copies."""
    with System(drive=RamDrive(image_with({"holder": program("holder.c")}))).boot() as system:
        yield system


@pytest.fixture(scope="module")
def held() -> Iterator[System]:
    """A machine in which `holder` and its child wait, and the shell for a line."""
    with System(drive=RamDrive(image_with({"holder": program("holder.c")}))).boot() as system:
        assert system.sh("holder &") == "held\n"
        yield system


def aside(act: Callable[[], list[str]]) -> list[str]:
    """What `act` gives in a forked copy of this process: what it breaks stays broken there only."""
    inlet, outlet = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            lines = act()
        except BaseException as error:
            lines = [f"raised {error!r}"]
        with open(outlet, "wb") as answer:
            answer.write("\n".join(lines).encode())
        os._exit(0)
    os.close(outlet)
    with open(inlet, "rb") as answer:
        lines = answer.read().decode().splitlines()
    os.waitpid(pid, 0)
    return lines


class Broken:
    """The parts of a machine that a test breaks."""

    def __init__(self, system: System) -> None:
        self.k = system.kernel
        holders = [p for p in self.k.procs if p.name == "holder"]
        self.parent, self.child = sorted(holders, key=lambda p: p.pid)
        self.leaves = FrameOwners(self.k).leaves

    def vma(self, wanted: Callable[[Vma], bool]) -> Vma:
        return next(vma for vma in self.parent.space.vmas if wanted(vma))

    def leaf(self, wanted: Callable[[Leaf], bool]) -> Leaf:
        return next(leaf for leaf in self.leaves if leaf.p is self.parent and wanted(leaf))

    def of(self, vma: Vma) -> Leaf:
        """The first page of a mapping that is there."""
        return self.leaf(lambda leaf: vma.start <= leaf.va < vma.end)

    def poke(self, leaf: Leaf, pte: int) -> None:
        """Set the entry of a leaf."""
        index = leaf.table_pa - self.k.ram.base >> 3
        self.k.ram.u64[index + (leaf.va >> 12 + 9 * leaf.level & 511)] = pte

    @property
    def shared_file(self) -> Vma:
        return self.vma(lambda vma: vma.ip is not None and vma.shared)

    @property
    def private_file(self) -> Vma:
        return self.vma(lambda vma: vma.ip is not None and not vma.shared and bool(vma.prot & 2))

    @property
    def superpage(self) -> Leaf:
        return self.leaf(lambda leaf: leaf.level == 1)


# --- what is kept is changed behind the kernel's back ---


def frame_loses_an_owner(b: Broken) -> str:
    leaf = b.of(b.shared_file)
    b.k.frames.free(leaf.pa)
    return rf"frame {leaf.pa:#x} counts 2 owners, but belongs to the page cache, as page 0 .*; .*holder"


def a_frame_leaks(b: Broken) -> str:
    return rf"frame {b.k.frames.alloc():#x} counts 1 owners, but belongs to nobody"


def a_frame_is_twice_free(b: Broken) -> str:
    b.k.frames._free.append(b.k.frames._free[0])
    return rf"frame {b.k.frames._free[0]:#x} is 2 times in the free lists"


def a_superpage_is_twice_free(b: Broken) -> str:
    first = b.k.frames._supers[0]
    b.k.frames._free.append(first + 7 * PGSIZE)
    return rf"frame {first + 7 * PGSIZE:#x} is 2 times in the free lists"


def a_free_frame_is_lost(b: Broken) -> str:
    return rf"frame {b.k.frames._free.pop():#x} has no owner, but is not in the free lists"


def a_frame_in_use_is_free(b: Broken) -> str:
    pa = b.of(b.shared_file).pa
    b.k.frames._free.append(pa)
    return rf"frame {pa:#x} is in the free lists, but counts 3 owners"


def a_frame_inside_a_superpage_is_counted(b: Broken) -> str:
    pa = b.superpage.pa + PGSIZE
    b.k.frames._owners[pa - b.k.ram.base >> 12] = 1
    return rf"frame {pa:#x} inside the superpage {b.superpage.pa:#x} counts 1 owners, not 0"


def a_superpage_loses_an_owner(b: Broken) -> str:
    b.k.frames.free_super(b.superpage.pa)
    return rf"frame {b.superpage.pa:#x} counts 1 owners, but belongs to .*by a superpage; .*by a superpage"


def writable_and_cow(b: Broken) -> str:
    leaf = b.leaf(lambda leaf: bool(leaf.pte & PTE_COW))
    b.poke(leaf, leaf.pte | PTE_W)
    return rf"{leaf} is writable, and copied on write as well".replace("(", r"\(").replace(")", r"\)")


def writable_in_a_shared_table(b: Broken) -> str:
    leaf = next(x for x in b.leaves if len(FrameOwners(b.k).sharers[x.table_pa]) > 1)
    b.poke(leaf, leaf.pte & ~PTE_COW | PTE_W)
    return rf"is writable in the page table {leaf.table_pa:#x}, which is shared by .*holder\), .*holder\)"


def writable_by_two(b: Broken) -> str:
    leaf = b.leaf(lambda leaf: bool(leaf.pte & PTE_COW) and leaf.va > b.parent.space.sz)
    b.poke(leaf, leaf.pte ^ PTE_COW | PTE_W)
    return rf"is writable, but its frame {leaf.pa:#x} counts \d owners, not 1"


def superpage_not_marked(b: Broken) -> str:
    b.poke(b.superpage, b.superpage.pte & ~PTE_SUPER)
    return r"holder\), at .* is an entry of level 1, but not marked as a superpage"


def page_marked_as_superpage(b: Broken) -> str:
    leaf = b.leaf(lambda leaf: leaf.level == 0)
    b.poke(leaf, leaf.pte | PTE_SUPER)
    return r"holder\), at .* is an entry of level 0, but marked as a superpage"


def superpage_misaligned(b: Broken) -> str:
    b.poke(b.superpage, b.superpage.pte + (1 << 10))
    return r"is a superpage at 0x\w+, which is not aligned"


def superpage_beyond_the_heap(b: Broken) -> str:
    b.parent.space.sz = b.superpage.va + 5
    return r"is a superpage that goes beyond the heap's end"


def nowhere(b: Broken) -> str:
    leaf = b.of(b.shared_file)
    b.poke(leaf, 0x1000 >> 2 | leaf.pte & 0x3FF)
    return r"maps 0x1000, where there is no RAM"


def memory_without_a_promise(b: Broken) -> str:
    b.parent.space.vmas = b.parent.space.vmas.remove(b.shared_file.start, b.shared_file.end)
    return r"holder\), at 0x\w+ maps a page, but has no memory there"


def rights_that_are_not_the_mappings(b: Broken) -> str:
    leaf = b.of(b.shared_file)
    b.poke(leaf, leaf.pte & ~PTE_U)
    return r"has the rights 0x2, but those of its mapping are 0x12"


def writable_unlike_the_mapping(b: Broken) -> str:
    leaf = b.of(b.shared_file)
    b.poke(leaf, leaf.pte & ~PTE_W)
    return r"may not be written, unlike its mapping"


def shared_copied_on_write(b: Broken) -> str:
    leaf = b.of(b.shared_file)
    b.poke(leaf, leaf.pte ^ PTE_W | PTE_COW)
    return r"is copied on write, but the mapping is shared"


def another_frame_than_the_files(b: Broken) -> str:
    leaf, other = b.of(b.shared_file), b.k.frames.alloc()
    b.poke(leaf, other >> 2 | leaf.pte & 0x3FF)
    return rf"maps frame {other:#x}, but frame {leaf.pa:#x} is behind it"


def another_page_of_the_file(b: Broken) -> str:
    vma = b.private_file
    leaf = b.leaf(lambda leaf: leaf.va == vma.start + PGSIZE)
    b.poke(leaf, vma.pages[2] >> 2 | leaf.pte & 0x3FF)
    return r"a cached page that is not the one behind it"


def shared_memory_loses_a_page(b: Broken) -> str:
    memory = b.vma(lambda vma: vma.memory is not None).memory
    assert memory is not None
    del memory.pages[0]
    return r"maps frame 0x\w+, but frame 0x0 is behind it"


def mapping_count(b: Broken) -> str:
    ip = b.shared_file.ip
    assert ip is not None
    ip.mappings -= 1
    return rf"inode {ip.inum} counts 5 mappings, but 6 are there"


def writable_mapping_count(b: Broken) -> str:
    ip = b.shared_file.ip
    assert ip is not None
    ip.writable_mappings += 1
    return rf"inode {ip.inum} counts 3 writable mappings, but 2 are there"


def shared_memory_count(b: Broken) -> str:
    memory = b.vma(lambda vma: vma.memory is not None).memory
    assert memory is not None
    memory.mappings = 1
    return r"shared memory counts 1 mappings, but 2 are there"


def inode_reference(b: Broken) -> str:
    ip = b.shared_file.ip
    assert ip is not None
    ip.ref -= 1
    return rf"inode {ip.inum} counts \d references, but \d are there"


def mapping_in_the_heap(b: Broken) -> str:
    b.parent.space.sz = USYSCALL - PGSIZE
    return r"has a mapping at 0x\w+-0x\w+, but 0x3fffffc000 bytes of heap"


def text_cache(b: Broken) -> str:
    ip = next(iter(b.k.text.inodes))
    ip.text = None
    return rf"inode {ip.inum} and the text cache do not agree"


def page_cache_home(b: Broken) -> str:
    ip = b.shared_file.ip
    assert ip is not None
    pa = ip.pages[1]
    b.k.pages._homes[pa] = ip, 2
    return rf"the page cache has frame {pa:#x} for page 2 of inode {ip.inum}, which does not know it"


def page_without_a_home(b: Broken) -> str:
    ip = b.shared_file.ip
    assert ip is not None
    del b.k.pages._homes[ip.pages[3]]
    return rf"inode {ip.inum} has frame 0x\w+ for page 3, but the page cache does not"


def page_behind_the_end(b: Broken) -> str:
    ip = b.shared_file.ip
    assert ip is not None
    ip.size = 3 * PGSIZE
    return rf"inode {ip.inum} of 12288 bytes and type 2 has a cached page 3"


def bytes_that_differ(b: Broken) -> str:
    ip = b.shared_file.ip
    assert ip is not None
    b.k.ram.view(ip.pages[2], PGSIZE)[77] ^= 1
    return rf"page 2 of inode {ip.inum} is cached, but differs from the disk from byte 77 on"


def dirty_bit_lost(b: Broken) -> str:
    leaf = b.of(b.shared_file)
    b.poke(leaf, leaf.pte & ~PTE_D)
    return r"page 0 of inode \d+ is cached, but differs from the disk from byte 10 on"


def table_shared_that_has_tables(b: Broken) -> str:
    def root(p: Process) -> int:
        return p.space.root - b.k.ram.base >> 3

    b.k.ram.u64[root(b.child)] = b.k.ram.u64[root(b.parent)]
    return r"is shared by .*holder\), .*holder\), but does not map only pages"


STATES = (
    frame_loses_an_owner, a_frame_leaks, a_frame_is_twice_free, a_superpage_is_twice_free,
    a_free_frame_is_lost, a_frame_in_use_is_free, a_frame_inside_a_superpage_is_counted,
    a_superpage_loses_an_owner, writable_and_cow, writable_in_a_shared_table, writable_by_two,
    superpage_not_marked, page_marked_as_superpage, superpage_misaligned, superpage_beyond_the_heap, nowhere,
    memory_without_a_promise, rights_that_are_not_the_mappings, writable_unlike_the_mapping,
    shared_copied_on_write, another_frame_than_the_files, another_page_of_the_file,
    shared_memory_loses_a_page, mapping_count, writable_mapping_count, shared_memory_count, inode_reference,
    mapping_in_the_heap, text_cache, page_cache_home, page_without_a_home, page_behind_the_end,
    bytes_that_differ, dirty_bit_lost, table_shared_that_has_tables,
)  # fmt: skip


def test_the_books_are_right_while_memory_of_every_kind_is_held(held: System) -> None:
    assert held.audit() == []
    assert {leaf.level for leaf in FrameOwners(held.kernel).leaves} == {0, 1}
    kinds = FrameOwners(held.kernel).kinds()
    expected = {"cached files", "shared memory", "page tables, shared", "user memory in superpages"}
    assert expected <= set(kinds) and kinds["user memory in superpages"] == 2 * SUPERPGSIZE // PGSIZE


@pytest.mark.parametrize("spoil", STATES, ids=lambda spoil: spoil.__name__)
def test_what_is_wrong_is_found(held: System, spoil: Callable[[Broken], str]) -> None:
    pattern, *found = aside(lambda: [spoil(Broken(held)), *held.audit()])
    assert any(re.search(pattern, line) for line in found), (pattern, found)


# --- the kernel's code has a mistake ---


def nothing(*_: object, **__: object) -> bool:
    """In the place of what should be done, as if it were."""
    return True


def wrong_reference(_: InodeTable, ip: Inode) -> Inode:
    """idup, but of files it counts two."""
    ip.ref += 1 if ip.type == T_DIR else 2
    return ip


def keep_text(text: TextCache, ip: Inode) -> None:
    """TextCache.drop, but the next program still gets the old text."""
    text.inodes[ip] = text.inodes.pop(ip, {})


def take_what_others_have(cow: CopyOnWrite, pagetable: PageTable, va: int) -> None:
    """break_cow, but it does not copy."""
    index = cow._vm.walk(pagetable, va, own=True)
    cow._vm.write(index, cow._u64[index] ^ (PTE_COW | PTE_W))


def share_table_writable(
    cow: CopyOnWrite, source: PageTable, target: PageTable, va: int, entry: int
) -> None:
    """_share_table, but what could be written still can."""
    cow._vm.write(cow._vm.entry(target, va), entry)
    cow._frames.share(target_of(entry))


def forget_the_pages_but_not_the_mappings(pages: PageCache, ip: Inode) -> None:
    """PageCache.truncated, but it unmaps nothing."""
    for pa in ip.pages.values():
        del pages._homes[pa]
        pages._frames.free(pa)
    ip.pages.clear()


def reclaim_half(pages: PageCache) -> bool:
    """PageCache.reclaim, but the inode does not hear of it."""
    pa = next(iter(pages._homes))
    pages._frames.free(pa)
    del pages._homes[pa]
    return False


def free_twice(frames: FrameAllocator, pa: int) -> None:
    """free, but the frame is free twice when its last owner goes."""
    index = pa - frames._base >> 12
    frames._owners[index] -= 1
    if not frames._owners[index]:
        frames._free += [pa, pa]


HOLD = "holder &"
MISTAKES: Final[dict[str, tuple[type, str, Callable[..., Any], tuple[str, ...], str]]] = {
    "not copied": (
        CopyOnWrite, "break_cow", take_what_others_have, (HOLD,),
        r"is writable, but its frame 0x\w+ counts \d owners, not 1",
    ),
    "table shared as it is": (
        CopyOnWrite, "_share_table", share_table_writable, (HOLD,),
        r"is writable in the page table 0x\w+, which is shared by",
    ),
    "rights stay": (Mmap, "protect_pages", nothing, (HOLD,), r"has the rights 0x12, but .* are 0x2"),
    "file referred to twice": (
        InodeTable, "dup", wrong_reference, (HOLD,), r"inode \d+ counts \d+ references, but \d are there",
    ),
    "mappings not counted": (Mmap, "_count", nothing, (HOLD,), r"counts 0 writable mappings, but 2 are"),
    "write beside the cache": (PageCache, "patch", nothing, (HOLD,), r"page 1 .* from byte 0 on"),
    "not written back": (FileSystem, "write_page", nothing, (HOLD, "KILL"), r"page 0 .* from byte 10 on"),
    "truncated but mapped": (
        PageCache, "truncated", forget_the_pages_but_not_the_mappings, (HOLD, "echo x > held"),
        r"maps frame 0x\w+, but frame 0x0 is behind it",
    ),
    "half reclaimed": (
        PageCache, "reclaim", reclaim_half, (HOLD, "RECLAIM"), r"inode \d+ has frame 0x\w+ for page \d",
    ),
    "freed twice": (FrameAllocator, "free", free_twice, ("ls",), r"frame 0x\w+ is 2 times in the free lists"),
    "text stays": (
        TextCache, "drop", keep_text, ("echo", "echo x > echo"),
        r"the cached text of inode \d+ at 0x\w+ differs from the disk",
    ),
}  # fmt: skip


def carry_out(system: System, lines: tuple[str, ...]) -> list[str]:
    for line in lines:
        if line == "KILL":
            for p in [p for p in system.kernel.procs if p.name == "holder"]:
                system.kernel.procs.kill(p.pid)
            system.sh("sleep 1")
        elif line == "RECLAIM":
            system.kernel.frames.reclaim()
        else:
            system.sh(line)
    return system.audit()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_kernels_code_is_found(booted: System, name: str) -> None:
    cls, method, wrong, lines, pattern = MISTAKES[name]

    def with_mistake() -> list[str]:
        real = getattr(cls, method)
        setattr(cls, method, wrong)
        for holder in (booted.kernel, booted.kernel.fs):  # who has some methods at hand
            for name, bound in list(vars(holder).items()):
                if getattr(bound, "__func__", None) is real:
                    setattr(holder, name, MethodType(wrong, bound.__self__))
        return carry_out(booted, lines)

    assert aside(lambda: carry_out(booted, lines)) == []
    found = aside(with_mistake)
    assert any(re.search(pattern, line) for line in found), found
