"""A model of the file system for property tests: what each call must return, and the tree it must leave.

A file is a `Node` with bytes, a directory one with entries; paths are tuples of names from the root.  `apply`
does one operation on the model and says what the program gets; `perform` does the same in a FakeKernel;
`tree_of` reads the tree back from a disk image.  Nothing here knows how the kernel works.
"""

from dataclasses import dataclass, field
from typing import Any

from fake_kernel import FakeKernel, FakeProc, attempt
from hypothesis import strategies as st

from kernel.abi.disk import BSIZE, MAXFILE
from kernel.abi.fcntl import O_CREATE, O_RDWR, O_TRUNC, T_DIR
from kernel.xv6 import sysfile
from toolchain.fsimage import FsImage, check

Path = tuple[str, ...]
Op = tuple[Any, ...]
Tree = dict[Path, bytes | None]  # None: a directory


@dataclass
class Node:
    """A file (entries is None) or a directory."""

    data: bytearray = field(default_factory=bytearray)
    entries: dict[str, "Node"] | None = None
    nlink: int = 1


names = st.sampled_from(["a", "b", "a-name-of-14-b", "a-name-of-14-bytes-cut"])
paths = st.lists(names, min_size=1, max_size=3).map(tuple)
sizes = st.sampled_from([0, 1, 100, BSIZE - 1, BSIZE, BSIZE + 1, 3 * BSIZE, 13 * BSIZE + 5])
ops = st.one_of(
    st.tuples(st.just("create"), paths),
    st.tuples(st.just("mkdir"), paths),
    st.tuples(st.just("unlink"), paths),
    st.tuples(st.just("link"), paths, paths),
    st.tuples(st.just("truncate"), paths),
    st.tuples(st.just("write"), paths, sizes, sizes, st.integers(0, 255)),
    st.tuples(st.just("read"), paths),
)


class Model:
    """The tree, and the effect of operations on it."""

    def __init__(self) -> None:
        self.root = Node(entries={})

    def apply(self, op: Op) -> int | bytes:
        """Do one operation; gives what it returns (for read, the bytes)."""
        name, path, *rest = op
        parent = self._find(path[:-1])
        if parent is None or parent.entries is None:
            return -1
        found = parent.entries.get(path[-1][:14])
        result: int | bytes = getattr(self, f"_{name}")(parent.entries, path[-1][:14], found, *rest)
        return result

    def _find(self, path: Path) -> Node | None:
        node: Node | None = self.root
        for name in path:
            node = node.entries.get(name[:14]) if node is not None and node.entries is not None else None
        return node

    def _create(self, entries: dict[str, Node], name: str, found: Node | None) -> int:
        if found is None:
            entries[name] = Node()
            return 0
        return -1 if found.entries is not None else 0

    def _mkdir(self, entries: dict[str, Node], name: str, found: Node | None) -> int:
        if found is not None:
            return -1
        entries[name] = Node(entries={})
        return 0

    def _unlink(self, entries: dict[str, Node], name: str, found: Node | None) -> int:
        if found is None or found.entries:
            return -1
        found.nlink -= 1
        del entries[name]
        return 0

    def _link(self, entries: dict[str, Node], name: str, found: Node | None, new: Path) -> int:
        target = self._find(new[:-1])
        if found is None or found.entries is not None or target is None or target.entries is None:
            return -1
        if new[-1][:14] in target.entries:
            return -1
        target.entries[new[-1][:14]] = found
        found.nlink += 1
        return 0

    def _truncate(self, entries: dict[str, Node], name: str, found: Node | None) -> int:
        if found is None or found.entries is not None:
            return -1
        found.data.clear()
        return 0

    def _write(
        self, entries: dict[str, Node], name: str, found: Node | None, off: int, size: int, fill: int
    ) -> int:
        """Write `size` bytes at `off`, or at the end where the file is shorter."""
        if found is None or found.entries is not None:
            return -1
        off = min(off, len(found.data))
        if off + size > MAXFILE * BSIZE:
            return -1
        found.data[off : off + size] = bytes([fill]) * size
        return size

    def _read(self, entries: dict[str, Node], name: str, found: Node | None) -> int | bytes:
        return -1 if found is None or found.entries is not None else bytes(found.data)

    def tree(self) -> Tree:
        """All files and directories by path."""
        tree: Tree = {}
        pending: list[tuple[Path, Node]] = [((), self.root)]
        while pending:
            path, node = pending.pop()
            tree[path] = bytes(node.data) if node.entries is None else None
            pending += [((*path, name), child) for name, child in (node.entries or {}).items()]
        return tree


def perform(k: FakeKernel, p: FakeProc, op: Op) -> int | bytes:
    """Do one operation by system calls; gives the same as Model.apply."""
    name, path, *rest = op
    raw = "/".join(path).encode()
    kernel: Any = k
    if name == "mkdir":
        return attempt(sysfile.sys_mkdir, kernel, p, raw)
    if name == "unlink":
        return attempt(sysfile.sys_unlink, kernel, p, raw)
    if name == "link":
        return attempt(sysfile.sys_link, kernel, p, raw, "/".join(rest[0]).encode())
    mode = {"create": O_RDWR | O_CREATE, "truncate": O_RDWR | O_TRUNC}.get(name, O_RDWR)
    fd = attempt(sysfile.sys_open, kernel, p, raw, mode)
    if fd < 0:
        return -1
    result: int | bytes = 0
    if name == "write":
        result = _write(k, p, fd, *rest)
    elif name == "read":
        result = _read(k, p, fd)
    sysfile.sys_close(kernel, p, fd)
    return result


def _write(k: Any, p: FakeProc, fd: int, off: int, size: int, fill: int) -> int:
    sysfile.sys_read(k, p, fd, 0, off)  # there is no seek
    p.memory[:size] = bytes([fill]) * size
    return attempt(sysfile.sys_write, k, p, fd, 0, size)


def _read(k: Any, p: FakeProc, fd: int) -> bytes:
    parts = []
    while (n := attempt(sysfile.sys_read, k, p, fd, 0, 5000)) > 0:
        parts.append(bytes(p.memory[:n]))
    return b"".join(parts)


def tree_of(image: bytes) -> Tree:
    """All files and directories of a disk image by path, a pending log replayed."""
    fs = FsImage(image)
    return {
        tuple(name for name in entry.path.split("/") if name): (
            None if entry.type == T_DIR else fs.read(entry.path)
        )
        for entry in fs.walk()
    }


def audit(image: bytes, orphans_allowed: bool = False) -> None:
    """Assert that an image is sound and that its blocks, inodes and links are all accounted for."""
    check(image)
    fs = FsImage(image)
    names: dict[int, int] = {}
    subdirectories: dict[str, int] = {}
    for entry in fs.walk():
        names[entry.ino] = names.get(entry.ino, 0) + 1
        if entry.type == T_DIR and entry.path != "/":
            parent = entry.path.rpartition("/")[0] or "/"
            subdirectories[parent] = subdirectories.get(parent, 0) + 1
    for entry in fs.walk():
        links = 1 + subdirectories.get(entry.path, 0) if entry.type == T_DIR else names[entry.ino]
        assert entry.nlink == links, f"{entry.path} has {links} links, its inode says {entry.nlink}"
    inodes = [inode for i in range(1, fs.superblock.ninodes) if (inode := fs.inode(i)).type]
    for inode in inodes:
        named = inode.number in names or (orphans_allowed and not inode.nlink)
        assert named, f"inode {inode.number} is in use and has no name"
    owned = {address for inode in inodes for address in (*inode.addresses, *fs.all_blocks(inode)) if address}
    first_data = max(end for _, _, end in fs.regions())
    lost = [b for b in range(first_data, fs.superblock.size) if fs.in_use(b) and b not in owned]
    assert not lost, f"blocks {lost} are marked in use and belong to nothing"
