"""Page frames as a person reads them: how many are used for what, and who owns one: `frames`.

What frame_owners.py finds, in words; and of RAM that the allocator has not, which part of the kernel it is.
"""

from collections.abc import Iterator

from kernel.abi.disk import BSIZE
from kernel.abi.memlayout import PGMASK, PGSHIFT, PGSIZE
from kernel.dev.virtio_blk import REGION_SIZE
from kernel.kernel import Kernel
from orrery.command import BadCommand, number
from orrery.inspect.frame_owners import FrameOwners
from orrery.inspect.reports.words import counted, not_ram


def frame_lines(k: Kernel, word: str | None) -> Iterator[str]:
    """All frames by their use; with a number of a frame or a physical address, who owns that one."""
    if word is None:
        yield from _counts(k)
        return
    value = number(word, "the number of a page frame, or a physical address")
    is_number = not k.ram.holds(value, 1) and k.ram.holds(value << PGSHIFT, 1)
    address = value << PGSHIFT if is_number else value
    if not k.ram.holds(address, 1):
        where = f"RAM is from {k.ram.base:#x} to {k.ram.end:#x}"
        raise BadCommand(f"{value:#x}: {not_ram(k.board, value)}; {where}")
    if address < k.frames.first_pa:
        yield f"{address:#x} is the kernel's own: {_part(k, address)}"
    else:
        yield from _owners(k, address & ~PGMASK)


def _counts(k: Kernel) -> Iterator[str]:
    yield f"{k.frames.free_frames:>6} free"
    for kind, count in sorted(FrameOwners(k).kinds().items()):
        yield f"{count:>6} {kind}"
    first, end = k.frames.first_pa, k.ram.end
    yield f"{(end - first) // PGSIZE:>6} in all, from {first:#x} to {end:#x}"


def _owners(k: Kernel, pa: int) -> Iterator[str]:
    frame_owners = FrameOwners(k)
    first = frame_owners.whole(pa)
    count, owners = k.frames.owners(first), frame_owners.owners_of(first)
    size = ", a superpage," if first in frame_owners.inside.values() else ""
    yield f"frame {first:#x}{size} counts {counted(count, 'owner')}" + (":" if count else "; it is free")
    for owner in owners:
        yield f"  {owner}"
    if count > len(owners):  # it was allocated, and what goes into it is being read from the disk
        yield "  a system call that is under way, and has not entered it anywhere yet"


def _part(k: Kernel, address: int) -> str:
    """Which part of the kernel's RAM `address` is in; see the picture in kernel/kernel.py."""
    image = k.image
    if address < image.etext:
        is_trampoline = address & ~PGMASK == image.trampoline
        return "text, the trampoline, which every process maps" if is_trampoline else "text"
    if address < image.end:
        return "data"
    buf = next((buf for buf in k.cache.buffers.values() if buf.pa <= address < buf.pa + BSIZE), None)
    if buf is not None:
        return f"the buffer cache, {f'the buffer of {buf}' if buf.valid else 'a buffer without a block'}"
    in_queue = address >= k.frames.first_pa - REGION_SIZE
    return "the disk's queue" if in_queue else "the buffer cache"
