"""Copying as far as it goes: for the calls that report how many bytes came through before a bad pointer.

Pipes and the console move a byte at a time as programs see it, so a buffer that is only partly mapped is
used up to its first unmapped page.  Whether an address is good is the same all over a page, so trying page
by page finds that point.
"""

from typing import TYPE_CHECKING

from kernel.abi.memlayout import PGSIZE
from kernel.errors import BadAddress

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.proc import Proc


def copyin_most(k: "Kernel", p: "Proc", va: int, n: int) -> bytes:
    """The `n` bytes at user address `va`, or those before the first page that cannot be read."""
    try:
        return k.copyin(p, va, n)
    except BadAddress:
        return _copyin_pages(k, p, va, n)


def copyout_most(k: "Kernel", p: "Proc", va: int, data: bytes) -> int:
    """Store `data` at user address `va` up to the first page that cannot be written; gives how much."""
    try:
        k.copyout(p, va, data)
    except BadAddress:
        return _copyout_pages(k, p, va, data)
    return len(data)


def _copyin_pages(k: "Kernel", p: "Proc", va: int, n: int) -> bytes:
    pages = []
    done = 0
    while done < n:
        step = min(n - done, PGSIZE - (va + done) % PGSIZE)
        try:
            pages.append(k.copyin(p, va + done, step))
        except BadAddress:
            break
        done += step
    return b"".join(pages)


def _copyout_pages(k: "Kernel", p: "Proc", va: int, data: bytes) -> int:
    done = 0
    while done < len(data):
        step = min(len(data) - done, PGSIZE - (va + done) % PGSIZE)
        try:
            k.copyout(p, va + done, data[done : done + step])
        except BadAddress:
            break
        done += step
    return done
