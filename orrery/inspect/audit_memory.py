"""The part of the audit that is about memory: frames, page tables, mappings, and the page cache.

Each generator yields a line for each thing that does not add up: what it is, what it counts, what it should.
Expectations come from the frame owners (what is reachable) and from the rules at the top of pagetable.py,
mmap.py and pagecache.py, never from the counts that are checked.  It reads RAM, the kernel's objects and the
drive, and locks and changes nothing, not even the order in which buffers are replaced.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from kernel.abi.disk import BSIZE
from kernel.abi.fcntl import PROT_WRITE, T_FILE
from kernel.abi.memlayout import PGSHIFT, PGSIZE, SUPERPGMASK, USYSCALL
from kernel.abi.riscv import PTE_COW, PTE_D, PTE_R, PTE_SUPER, PTE_U, PTE_W, PTE_X
from kernel.fs.vfs import Inode
from kernel.fs.xv6fs.inode import Inode as DiskInode
from kernel.kernel import Kernel
from kernel.mm.mmap import MMAP_TOP, rights
from kernel.mm.pagetable import pgroundup
from kernel.mm.vma import SharedMemory, Vma
from orrery.inspect.frame_owners import FrameOwners, Leaf

SECTOR_SIZE: Final = 512
PERMISSION: Final = PTE_R | PTE_X | PTE_U


class MemoryAudit:
    """Of `k`; `sites` may tell where a frame was allocated."""

    def __init__(self, k: Kernel, sites: Mapping[int, str]) -> None:
        self._k = k
        self._sites = sites
        self._owners = FrameOwners(k)
        self._cached = {pa: (ip, index) for pa, ip, index in k.pages.cached()}

    def findings(self) -> Iterator[str]:
        """All that does not add up."""
        yield from self._frames()
        yield from self._free_lists()
        yield from self._tables()
        for leaf in self._owners.leaves:
            yield from self._leaf(leaf)
        yield from self._mappings()
        yield from self._text()
        yield from self._cache()
        yield from self._cached_bytes()

    # --- frames ---

    def _frames(self) -> Iterator[str]:
        """Each frame has the owners that it counts; the frames inside a superpage count none."""
        frames, frame_owners = self._k.frames, self._owners
        for pa in range(frames.first_pa, self._k.ram.end, PGSIZE):
            counted = frames.owners(pa)
            if pa in frame_owners.inside:
                if counted:
                    whole = f"the superpage {frame_owners.inside[pa]:#x}"
                    yield f"frame {pa:#x} inside {whole} counts {counted} owners, not 0"
                continue
            owners = frame_owners.owners_of(pa)
            if counted != len(owners):
                site = f", allocated at {self._sites[pa]}" if pa in self._sites else ""
                found = "; ".join(owners) or "nobody"
                yield f"frame {pa:#x} counts {counted} owners, but belongs to {found}{site}"

    def _free_lists(self) -> Iterator[str]:
        """The free lists have each frame without an owner once."""
        frames = self._k.frames
        free = Counter(frames.free_list())
        for pa, times in free.items():
            if times > 1:
                yield f"frame {pa:#x} is {times} times in the free lists"
        for pa in range(frames.first_pa, self._k.ram.end, PGSIZE):
            owned = frames.owners(pa) > 0 or pa in self._owners.inside
            if owned and pa in free:
                yield f"frame {pa:#x} is in the free lists, but counts {frames.owners(pa)} owners"
            elif not owned and pa not in free:
                yield f"frame {pa:#x} has no owner, but is not in the free lists"

    # --- page tables ---

    def _tables(self) -> Iterator[str]:
        """Only tables of level 0 are shared. (What is in them, `_leaf` looks at.)"""
        last = {leaf.table_pa for leaf in self._owners.leaves if leaf.level == 0}
        for table, owners in self._owners.sharers.items():
            if len(owners) > 1 and table not in last:
                yield f"page table {table:#x} is shared by {', '.join(owners)}, but does not map only pages"

    def _leaf(self, leaf: Leaf) -> Iterator[str]:
        """One entry of a process's page table: what is there, and may the process do that?"""
        p, va = leaf.p, leaf.va
        if not self._k.ram.holds(leaf.pa, leaf.size):
            yield f"{leaf} maps {leaf.pa:#x}, where there is no RAM"
            return
        if va == USYSCALL and leaf.pa == p.space.usyscall_pa:
            return
        yield from self._writing(leaf)
        yield from self._superpage(leaf)
        vma = p.space.vmas.find(va)
        if vma is not None:
            yield from self._mapped_page(leaf, vma)
        elif va >= p.space.sz:
            yield f"{leaf} maps a page, but has no memory there"

    def _writing(self, leaf: Leaf) -> Iterator[str]:
        """Who may write to a page has it alone, where it is not a shared mapping."""
        vma, owners = leaf.p.space.vmas.find(leaf.va), self._k.frames.owners(leaf.pa)
        if leaf.pte & PTE_W and leaf.pte & PTE_COW:
            yield f"{leaf} is writable, and copied on write as well"
        if leaf.pte & PTE_W and len(self._owners.sharers[leaf.table_pa]) > 1:
            sharers = ", ".join(self._owners.sharers[leaf.table_pa])
            yield f"{leaf} is writable in the page table {leaf.table_pa:#x}, which is shared by {sharers}"
        if leaf.pte & PTE_W and not (vma is not None and vma.shared) and owners != 1:
            yield f"{leaf} is writable, but its frame {leaf.pa:#x} counts {owners} owners, not 1"

    def _superpage(self, leaf: Leaf) -> Iterator[str]:
        if bool(leaf.pte & PTE_SUPER) != (leaf.level == 1) or leaf.level > 1:
            marked = "marked" if leaf.pte & PTE_SUPER else "not marked"
            yield f"{leaf} is an entry of level {leaf.level}, but {marked} as a superpage"
        elif leaf.level and leaf.pa & SUPERPGMASK:
            yield f"{leaf} is a superpage at {leaf.pa:#x}, which is not aligned"
        elif leaf.level and leaf.va + leaf.size > pgroundup(leaf.p.space.sz):
            yield f"{leaf} is a superpage that goes beyond the heap's end {leaf.p.space.sz:#x}"

    def _mapped_page(self, leaf: Leaf, vma: Vma) -> Iterator[str]:
        """A page of a mapping has its rights, and is the frame that is behind it, or a private copy."""
        due, has = rights(vma.prot) | PTE_U if vma.prot else PTE_R, leaf.pte & PERMISSION
        if has != due & PERMISSION:
            yield f"{leaf} has the rights {has:#x}, but those of its mapping are {due & PERMISSION:#x}"
        may_write = bool(leaf.pte & (PTE_W | PTE_COW))
        if may_write != bool(vma.prot & PROT_WRITE):
            yield f"{leaf} {'may' if may_write else 'may not'} be written, unlike its mapping"
        behind = vma.pages.get(vma.page_index(leaf.va), 0)
        if vma.shared and leaf.pte & PTE_COW:
            yield f"{leaf} is copied on write, but the mapping is shared"
        elif vma.shared and leaf.pa != behind:
            yield f"{leaf} maps frame {leaf.pa:#x}, but frame {behind:#x} is behind it"
        elif leaf.pa in self._cached and leaf.pa != behind:
            yield f"{leaf} maps frame {leaf.pa:#x}, a cached page that is not the one behind it, {behind:#x}"

    # --- mappings ---

    def _mappings(self) -> Iterator[str]:
        """What is mapped counts its mappings; the mappings of a process are above its heap."""
        files: Counter[Inode] = Counter()
        writable: Counter[Inode] = Counter()
        memories: Counter[SharedMemory] = Counter()
        for p in self._k.procs:
            for vma in p.space.vmas:
                if vma.ip is not None:
                    files[vma.ip] += 1
                    writable[vma.ip] += vma.writes_file
                if vma.memory is not None:
                    memories[vma.memory] += 1
                if not pgroundup(p.space.sz) <= vma.start < vma.end <= MMAP_TOP:
                    where = f"{vma.start:#x}-{vma.end:#x}"
                    yield f"{p} has a mapping at {where}, but {p.space.sz:#x} bytes of heap"
        for ip in self._k.inodes.inodes.values():
            for name, counted, found in (
                ("mappings", ip.mappings, files[ip]),
                ("writable mappings", ip.writable_mappings, writable[ip]),
            ):
                if counted != found:
                    yield f"{ip} counts {counted} {name}, but {found} are there"
        for memory in self._k.mmap.shared_memories():
            if memory.mappings != memories[memory]:
                yield f"shared memory counts {memory.mappings} mappings, but {memories[memory]} are there"

    # --- what is cached ---

    def _text(self) -> Iterator[str]:
        """Inodes and text cache agree on what is cached, and it is what the file has."""
        for ip in self._k.inodes.inodes.values():
            pages = self._k.text.inodes.get(ip)
            if ip.text is not pages:
                yield f"{ip} and the text cache do not agree on what is cached of it"
            for (offset, size), pa in (pages or {}).items() if self._is_on_disk(ip) else ():
                if bytes(self._k.ram.view(pa, size)) != self._bytes(ip, offset, size):
                    yield f"the cached text of {ip} at {offset:#x} differs from the disk"

    def _cache(self) -> Iterator[str]:
        """The page cache and the inodes agree on whose pages there are."""
        for pa, (ip, index) in self._cached.items():
            if ip.pages.get(index) != pa or self._k.inodes.inodes.get((ip.dev, ip.inum)) is not ip:
                yield f"the page cache has frame {pa:#x} for page {index} of {ip}, which does not know it"
        for ip in self._k.inodes.inodes.values():
            for index, pa in ip.pages.items():
                if self._cached.get(pa) != (ip, index):
                    yield f"{ip} has frame {pa:#x} for page {index}, but the page cache does not"
                if not ip.valid or ip.type != T_FILE or index << PGSHIFT >= ip.size:
                    yield f"{ip} of {ip.size} bytes and type {ip.type} has a cached page {index}"

    def _cached_bytes(self) -> Iterator[str]:
        """A cached page that nobody has stored to since it was written back is what the disk will have.

        Behind the file's end it is zero.
        """
        dirty = {leaf.pa for leaf in self._owners.leaves if leaf.pte & PTE_D and leaf.pa in self._cached}
        for ip in self._k.inodes.inodes.values():
            for index, pa in ip.pages.items():
                if pa in dirty or not self._is_on_disk(ip):
                    continue
                size = min(PGSIZE, ip.size - (index << PGSHIFT))
                on_disk = self._bytes(ip, index << PGSHIFT, size)
                due, here = on_disk.ljust(PGSIZE, b"\0"), bytes(self._k.ram.view(pa, PGSIZE))
                if here != due:
                    at = next(i for i in range(PGSIZE) if here[i] != due[i])
                    yield f"page {index} of {ip} is cached, but differs from the disk from byte {at} on"

    def _is_on_disk(self, ip: Inode) -> bool:
        """Whether the disk can be asked what is in a file."""
        return ip.valid and isinstance(ip, DiskInode)

    def _bytes(self, ip: Inode, off: int, n: int) -> bytes:
        """The bytes of a file that the disk has, or will have when the log is through."""
        first, start = divmod(off, BSIZE)
        blocks = range(first, (min(off + n, ip.size) + BSIZE - 1) // BSIZE)
        return b"".join(self._block(ip, index) for index in blocks)[start : start + n]

    def _block(self, ip: Inode, index: int) -> bytes:
        """Block `index` of a file: from its buffer if it has one, else from the drive; zeroes in a hole."""
        assert isinstance(ip, DiskInode), "the cached bytes of a disk's files are compared"
        slot, *places = self._k.fs.layout.path(index)
        blockno = ip.addrs[slot]
        for place in places:
            table = memoryview(self._raw(ip.dev, blockno)).cast("I")
            blockno = table[place]
        return self._raw(ip.dev, blockno)

    def _raw(self, dev: int, blockno: int) -> bytes:
        if not blockno:
            return bytes(BSIZE)
        buf = self._k.cache.buffers.get(dev << 32 | blockno)
        if buf is not None and buf.valid:
            return bytes(buf.data)
        drive = self._k.board.drive
        assert drive is not None, "the kernel has mounted a drive"
        return drive.read(blockno * BSIZE // SECTOR_SIZE, BSIZE // SECTOR_SIZE)
