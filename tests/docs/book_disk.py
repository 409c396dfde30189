"""The outputs of docs/04-the-disk.md."""

from dataclasses import dataclass, replace
from functools import cache

from book_machine import Lines, output, run_until

from emu.dev.drive import RamDrive
from emu.dev.virtio_blk import HEADER
from emu.dev.virtqueue import DESCRIPTOR, NEXT
from emu.dev.virtqueue import WRITE as DEVICE_WRITES
from kernel.abi.disk import BSIZE, SUPERBLOCK, SuperBlock
from kernel.block.device import WRITE, Request
from kernel.dev.virtio_blk import QUEUE_SIZE, VirtioDisk
from orrery import Machine
from toolchain import fsimage, image, mkfs

# The programs on the chapter's disk: not all, so that a new one in the default image changes nothing here.
FILES = ("cat", "echo", "grep", "init", "ls", "mkdir", "sh", "wc")
SECTORS = BSIZE // 512
COMMAND = "mkdir d"
BEFORE = "mkdir first"  # brings what mkdir needs into memory, so that COMMAND only writes


@cache
def book_image() -> bytes:
    """The chapter's disk."""
    fs = fsimage.FsImage(image.default_image())
    return bytes(mkfs.build({name: fs.read(f"/{name}") for name in FILES}))


@dataclass(frozen=True)
class Access:
    """What the disk did: `count` blocks from `first` on. `content` is what a write left on the disk."""

    verb: str
    first: int
    count: int
    time_ps: int
    content: bytes

    @property
    def blocks(self) -> str:
        last = self.first + self.count - 1
        return f"{self.first}" if self.count == 1 else f"{self.first}-{last}"


class WatchedDrive(RamDrive):
    """A drive that keeps a list of what is done to it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.machine: Machine | None = None  # whose time an access has
        self.accesses: list[Access] = []

    def read(self, sector: int, count: int) -> bytes:
        data = super().read(sector, count)
        self._note("read", sector, len(data), b"")
        return data

    def write(self, sector: int, data: bytes) -> None:
        super().write(sector, data)
        self._note("write", sector, len(data), self.content)

    def _note(self, verb: str, sector: int, size: int, content: bytes) -> None:
        time_ps = self.machine.time_ps if self.machine is not None else 0
        self.accesses.append(Access(verb, sector // SECTORS, size // BSIZE, time_ps, content))

    @property
    def content(self) -> bytes:
        """All that is on the disk."""
        return super().read(0, self.capacity)


def accesses(command: str, before: str) -> list[Access]:
    """Every access to the disk that a command makes, with times from its beginning on.

    In front of them stands one of no blocks, with the disk as it was before.
    """
    drive = WatchedDrive(book_image())
    with Machine(drive=drive).boot() as machine:
        machine.sh(before)
        drive.accesses.clear()
        drive.machine = machine
        start_ps, content = machine.time_ps, drive.content
        machine.sh(command)
    done = [replace(access, time_ps=access.time_ps - start_ps) for access in drive.accesses]
    return [Access("before", 0, 0, 0, content), *done]


def super_block(content: bytes) -> SuperBlock:
    return SuperBlock._make(SUPERBLOCK.unpack_from(content, BSIZE))


def region(sb: SuperBlock, blockno: int) -> str:
    """What a block of the disk is for."""
    starts = [
        (0, "boot block"),
        (1, "super block"),
        (sb.logstart, "log header"),
        (sb.logstart + 1, "log"),
        (sb.inodestart, "inodes"),
        (sb.bmapstart, "free map"),
        (sb.size - sb.nblocks, "data"),
    ]
    return max((start, name) for start, name in starts if start <= blockno)[1]


def named_by_header(content: bytes) -> list[int]:
    """The blocks that the log's header names."""
    words = memoryview(block(content, super_block(content).logstart)).cast("I").tolist()
    return words[1 : 1 + words[0]]


def block(content: bytes, blockno: int) -> bytes:
    return content[blockno * BSIZE : (blockno + 1) * BSIZE]


# --- the image ---


@output("super-block")
def super_block_fields() -> Lines:
    """The super block of the default image, and the regions that it makes."""
    content = book_image()
    sb = super_block(content)
    lines = [
        f"{name:<10} {value:#x}" if name == "magic" else f"{name:<10} {value}"
        for name, value in zip(SuperBlock._fields, sb, strict=True)
    ]
    lines.append("")
    regions = [region(sb, blockno) for blockno in range(sb.size)]
    first = 0
    for blockno in range(1, sb.size + 1):
        if blockno == sb.size or regions[blockno] != regions[first]:
            last = blockno - 1
            where = f"block  {first}" if first == last else f"blocks {first}-{last}"
            lines.append(f"{where:<16}{regions[first]}")
            first = blockno
    return lines


# --- a commit ---


@output("disk-accesses")
def disk_accesses() -> Lines:
    """All that the disk does for one mkdir."""
    return timeline(accesses(COMMAND, BEFORE))


@output("disk-reads")
def disk_reads() -> Lines:
    """All that it does when a program is run for the first time, on a file that was read before."""
    return timeline(accesses("grep zzz wc", before="wc wc"))


def timeline(done: list[Access]) -> Lines:
    sb = super_block(done[0].content)
    lines = []
    for access in done[1:]:
        what = region(sb, access.first)
        if access.first == sb.logstart:
            names = named_by_header(access.content)
            what += f": n = {len(names)}" + (f", blocks {', '.join(map(str, names))}" if names else "")
        lines.append(f"{access.time_ps // 1_000_000:6} us  {access.verb:<5} {access.blocks:<8} {what}")
    return lines


@output("log-on-disk")
def log_on_disk() -> Lines:
    """The header, the log's blocks, and the homes of the blocks, after each write of a commit."""
    done = accesses(COMMAND, BEFORE)
    final = done[-1].content
    changed = max((named_by_header(access.content) for access in done), key=len)
    log = range(super_block(final).logstart + 1, super_block(final).logstart + 1 + len(changed))
    heading = f"{'':<14}header    log {log[0]}-{log[-1]}   " + "".join(f"{blockno:<8}" for blockno in changed)
    lines = [heading.rstrip()]
    for access in done:
        homes = [block(access.content, blockno) == block(final, blockno) for blockno in changed]
        copies = all(block(access.content, i) == block(final, j) for i, j in zip(log, changed, strict=True))
        states = "".join(f"{'new' if home else 'old':<8}" for home in homes).rstrip()
        label = f"{access.verb} {access.blocks}" if access.count else access.verb
        n = len(named_by_header(access.content))
        lines.append(f"{label:<14}n = {n:<6}{'new' if copies else 'older':<10}{states}")
    return lines


@output("power-cuts")
def power_cuts() -> Lines:
    """What a machine finds that boots after the power went off behind each write of a commit."""
    lines = ["power off after   the next boot writes   ls d"]
    for access in accesses(COMMAND, BEFORE):
        drive = WatchedDrive(access.content)
        with Machine(drive=drive).boot() as machine:
            repaired = [done.blocks for done in drive.accesses if done.verb == "write"]
            found = machine.sh("ls d").splitlines()[0]
        label = f"write {access.blocks}" if access.count else "nothing"
        lines.append(f"{label:<16}  {' '.join(repaired) or 'nothing':<21}  {' '.join(found.split())}")
    return lines


# --- one request ---


@output("virtio-request")
def virtio_request() -> Lines:
    """The chain of one request in RAM, and the two rings before and after it is done."""
    with Machine(drive=book_image()).boot() as machine:
        machine.sh(BEFORE)
        disk = machine.kernel.disk
        machine.type(COMMAND + "\n")
        run_until(machine, lambda hart: bool(log_writes(disk)))
        ((head, request),) = log_writes(disk).items()
        lines = [f"{request}, head {head}", "", "desc  address      length  flags       next"]
        lines += [descriptor(disk, index) for index in disk.chains[head]]
        header_pa, *_ = DESCRIPTOR.unpack_from(disk._desc, DESCRIPTOR.size * head)
        kind, _, sector = HEADER.unpack(machine.board.ram.view(header_pa, HEADER.size))
        lines += [f"header: type {kind}, sector {sector} (block {sector // SECTORS})", ""]
        lines.append(f"before: {rings(disk, head)}")
        machine.run(machine.board.events.next_ticks)  # to the completion, and not to the interrupt
        assert head in log_writes(disk), "the driver has not seen it yet"
        lines.append(f"done:   {rings(disk, head)}")
    return lines


def log_writes(disk: VirtioDisk) -> dict[int, Request]:
    """The requests under way that write several blocks."""
    return {head: r for head, r in disk.requests.items() if r.kind == WRITE and len(r.pas) > 1}


def descriptor(disk: VirtioDisk, index: int) -> str:
    pa, size, flags, following = DESCRIPTOR.unpack_from(disk._desc, DESCRIPTOR.size * index)
    kinds = [name for name, bit in (("NEXT", NEXT), ("WRITE", DEVICE_WRITES)) if flags & bit]
    following = str(following) if flags & NEXT else "-"
    return f"{index:4}  {pa:#x}   {size:6}  {'|'.join(kinds):<10}  {following:>4}"


def rings(disk: VirtioDisk, head: int) -> str:
    available, used = disk._avail[1], disk._used_index[1]
    slot = (available - 1) % QUEUE_SIZE
    state = f"available index {available}, ring[{slot}] = {disk._avail[2 + slot]}; used index {used}"
    if used == available:
        state += f", ring[{slot}] = {disk._used[2 * slot]}"
    return f"{state}; status {disk._status[head]:#x}"


# --- the cache ---


@output("cache-reads")
def cache_reads() -> Lines:
    """How often the disk is read when the same thing is done twice."""
    drive = WatchedDrive(book_image())
    lines = []
    with Machine(drive=drive) as machine:
        for what in ("boot", "wc grep", "wc grep", "wc wc"):
            drive.accesses.clear()
            if what == "boot":
                machine.boot()
            else:
                machine.sh(what)
            reads = [access.count for access in drive.accesses if access.verb == "read"]
            lines.append(f"{what + ':':<12} {len(reads)} requests, {sum(reads)} blocks")
    return lines
