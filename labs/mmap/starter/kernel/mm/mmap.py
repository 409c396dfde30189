"""Memory mappings: files, and memory that parents and children share, in the address spaces of processes.

    0              sz                             MMAP_TOP
    | program, heap -> |  ...  <- mappings | b | a | guard page | what the kernel maps |

What is promised where is in `AddressSpace.vmas` (vma.py), which changes here only; what is there already is
in the page table.  `Mmap` is called where processes fork, exec and exit, by the pager where a page is touched
that is not there, and by the system calls below.  Much of it is for you to write: what is there keeps the
books.
"""


class Mmap:
    def page_in(self, space: AddressSpace, vma: Vma, va: int, access: int) -> bool:
        """Map the page at `va`, which is in `vma` and not mapped, for `access` (PTE_R, _W, _X); may sleep.

        False where that is not allowed, behind the end of the file, or where memory or the disk fails. This
        is for you to write.
        """
        return False

    def write_back(self, space: AddressSpace, low: int, high: int) -> SyscallError | None:
        """Write to the files what was stored in [low, high); gives the first failure. For you to write."""
        return None

    def replace(self, space: AddressSpace, low: int, high: int, *vmas: Vma) -> None:
        """Put `vmas` in place of what is mapped in [low, high); fails before it has changed anything.

        What was stored there is to be written back, and the pages unmapped: that is for you to write.
        """
        self._set(space, space.vmas.remove(low, high).insert(*vmas))

    def fork(self, parent: AddressSpace, child: AddressSpace, sp: int) -> None:
        """Give `child` the mappings of `parent`; `sp` is as in CopyOnWrite.copy. For you to write."""

    def drop_all(self, space: AddressSpace) -> None:
        """End the mappings of `space`, which exits or begins another program. For you to write."""
