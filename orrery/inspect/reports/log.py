"""The log of the file system as it stands: `log`.

Which operations are under way, what the transaction holds that they share, how far a commit is, what the
header on the disk says (so what a crash now would leave), and which buffers are kept for it.
"""

from collections.abc import Iterator
from typing import Final

from emu.dev.drive import SECTOR_SIZE, DriveError
from kernel.abi.disk import BSIZE, IPB, SuperBlock
from kernel.block.bio import Buf
from kernel.fs.xv6fs.log import Log
from kernel.kernel import Kernel
from orrery.inspect.reports.words import counted

HEADING: Final = "  block  buffer at   users  locked by            what it is"


def log_lines(k: Kernel) -> Iterator[str]:
    """All of it."""
    log = k.fs.log
    if not log.capacity:
        yield "no file system is mounted yet: there is no log"
        return
    last = log.start + log.capacity
    yield f"the log: header in block {log.start}, copies in blocks {log.start + 1} to {last}"
    yield f"room: {log.capacity} blocks, of which {log.spare} are neither used nor promised"
    yield from _operations(k)
    yield from _transaction(k)
    yield f"commit: {_commit(k)}"
    yield f"header on disk: {_on_disk(k)}"
    yield from _buffers(k)


def _operations(k: Kernel) -> Iterator[str]:
    log = k.fs.log
    yield f"operations under way: {log.outstanding or 'none'}"
    for p, room in log.room.items():
        done = "has changed something" if log.has_changed_something(p) else "has changed nothing"
        yield f"  {p} {done}, and may write {counted(room, 'block')} more"
    waiting = [str(p) for p in k.procs if log in p.thread.waits_for]
    if waiting:
        yield f"  waiting to begin: {', '.join(waiting)}"


def _transaction(k: Kernel) -> Iterator[str]:
    changed = k.fs.log.changed
    yield f"changed and not committed: {counted(len(changed), 'block') if changed else 'nothing'}"
    yield from _table(k, list(changed.values()))


def _commit(k: Kernel) -> str:
    log = k.fs.log
    names = _header(k)
    if log.committing:
        if log.clearing is not None and not log.clearing.done:
            return "begun; the header of the last one is being cleared"
        return "runs: its blocks go home" if names else "runs: the log is written, then the header"
    if log.clearing is not None and not log.clearing.done:
        return "done; the header is being cleared"
    return "none"


def _on_disk(k: Kernel) -> str:
    names = _header(k)
    if names is None:
        return "cannot be read"
    if not names:
        return "names no blocks; after a crash now there would be nothing to recover"
    return f"names blocks {', '.join(map(str, names))}; after a crash now they would be recovered"


def _header(k: Kernel) -> list[int] | None:
    """The blocks that the header on the disk names; None where the host cannot read it."""
    drive, sectors = k.board.drive, BSIZE // SECTOR_SIZE
    assert drive is not None, "what is mounted is on a drive"
    try:
        words = memoryview(drive.read(k.fs.log.start * sectors, sectors)).cast("I")
    except DriveError:
        return None
    return words[1 : 1 + min(words[0], k.fs.log.capacity)].tolist()


def _buffers(k: Kernel) -> Iterator[str]:
    bufs = list(k.cache.buffers.values())
    valid = sum(buf.valid for buf in bufs)
    used = [buf for buf in bufs if buf.refcnt and buf.blockno not in k.fs.log.changed]
    yield f"buffer cache: {len(bufs)} buffers, {valid} with a block; in use, besides those above: {len(used)}"
    yield from _table(k, used)


def _table(k: Kernel, bufs: list[Buf]) -> Iterator[str]:
    if bufs:
        yield HEADING
    for buf in bufs:
        holder = str(buf.lock.holder or "-")
        what = _what(k.fs.sb, k.fs.log, buf.blockno)
        yield f"  {buf.blockno:>5}  {buf.pa:#x}  {buf.refcnt:>5}  {holder:<19}  {what}"


def _what(sb: SuperBlock, log: Log, blockno: int) -> str:
    """Which region of the disk a block is in; see the picture in kernel/abi/disk.py."""
    inode_blocks = -(-sb.ninodes // IPB)
    map_blocks = -(-sb.size // (8 * BSIZE))
    if blockno == log.start:
        return "the log's header"
    if log.start < blockno < log.start + sb.nlog:
        return "the log"
    if sb.inodestart <= blockno < sb.inodestart + inode_blocks:
        first = (blockno - sb.inodestart) * IPB
        return f"inodes {first} to {first + IPB - 1}"
    if sb.bmapstart <= blockno < sb.bmapstart + map_blocks:
        return "the map of free blocks"
    return {0: "boot", 1: "the super block"}.get(blockno, "data")
