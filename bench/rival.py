"""The rival: a C xv6-riscv kernel in QEMU, where both are there.

Takes a built tree and changes nothing in it: our bench.c or work.c goes into a copy of its image, and what is
run whole runs on another.  Without it, there are figures that were measured elsewhere, for orientation.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from bench.terminal import BenchError, Terminal
from kernel.abi import disk, fcntl
from toolchain import cc, fsimage, mkfs, paths

QEMU = "qemu-system-riscv64"
SOURCES = {"bench": paths.ROOT / "user" / "tests" / "bench.c", "work": paths.ROOT / "bench" / "work.c"}

REFERENCE_SOURCE = "docs/performance.md"
REFERENCE = {
    "start to prompt": 0.32,
    "getpid": 25.0,
    "fork+exit+wait": 1200.0,
    "fork+exec+wait": 3600.0,
    "pipe 4 KiB": 0.65,
    "ping-pong": 407.0,
    "create+write 100 KB": 0.2,
    "read 100 KB": 1.66,
    "sbrk+touch+free": 20.0,
    "usertests -q": 74.0,
    "ALU loop, 16": 3400.0,
}
"""Values of QEMU 7.2 with xv6-riscv of 2022 on another day, by the row's name and in its unit."""


def find_qemu(path: str | None) -> str | None:
    """QEMU's executable: the one that was asked for, else the one in PATH; None where there is none.

    Raises BenchError where one was asked for that is not there.
    """
    found = shutil.which(path or QEMU)
    if path is not None and found is None:
        raise BenchError(f"{path}: no such program: check --qemu")
    return found


def tree_image(tree: Path) -> Path:
    """The image that was built in `tree`.  Raises BenchError where the tree lacks something."""
    _kernel(tree)
    return _built(tree / "fs.img")


def rival_start(tree: Path, qemu: str, scratch: Path, image: bytes) -> Callable[[], Terminal]:
    """Something that starts the xv6 of `tree` in QEMU on a copy of `image`, made in directory `scratch`.

    Raises BenchError where the tree lacks its kernel.
    """
    kernel = _kernel(tree)

    def start() -> Terminal:
        copy = scratch / "fs.img"
        copy.unlink(missing_ok=True)  # a machine before this one may still have its own
        copy.write_bytes(image)
        return Terminal(_qemu_argv(qemu, kernel, copy))

    return start


def debugged(tree: Path, qemu: str, scratch: Path) -> Callable[[int], list[str]]:
    """What gives the command line of the xv6 of `tree`, waiting for a gdb on a port.

    Raises BenchError where the tree lacks something.
    """
    kernel, image = _kernel(tree), tree_image(tree)

    def argv(port: int) -> list[str]:
        copy = scratch / "gdb-fs.img"
        copy.write_bytes(image.read_bytes())
        return [*_qemu_argv(qemu, kernel, copy), "-S", "-gdb", f"tcp:127.0.0.1:{port}"]

    return argv


def _kernel(tree: Path) -> Path:
    return _built(tree / "kernel" / "kernel")


def _built(path: Path) -> Path:
    if not path.is_file():
        raise BenchError(f"{path}: not there: --xv6 wants an xv6-riscv tree after make kernel/kernel fs.img")
    return path


def program(name: str = "bench") -> bytes:
    """bench.c or work.c as an ELF that runs on any xv6."""
    return cc.compile_user([SOURCES[name]], debug=False)


def image_with(name: str, image: bytes) -> bytes:
    """The image with our program of this name in it."""
    return add_program(image, name, program(name))


def add_program(image: bytes, name: str, program: bytes) -> bytes:
    """A new image with the files of the root directory of `image`, and `program`.

    It has room for what `image` had room for.
    """
    fs = fsimage.FsImage(image, "the rival's fs.img")
    _root, *entries = fs.walk()
    files = {
        entry.path.removeprefix("/"): fs.read(entry.path)
        for entry in entries
        if entry.type == fcntl.T_FILE and entry.path.count("/") == 1
    }
    files[name] = program
    size = fs.superblock.size + -(-len(program) // disk.BSIZE) + 1  # its blocks and an indirect one
    return bytes(mkfs.build(files, size=size, ninodes=fs.superblock.ninodes))


def _qemu_argv(qemu: str, kernel: Path, image: Path) -> list[str]:
    """The command line of xv6's own Makefile, with one hart."""
    return [
        qemu,
        *("-machine", "virt", "-bios", "none", "-m", "128M", "-smp", "1", "-nographic"),
        *("-kernel", str(kernel)),
        *("-global", "virtio-mmio.force-legacy=false"),
        *("-drive", f"file={image},if=none,format=raw,id=x0"),
        *("-device", "virtio-blk-device,drive=x0,bus=virtio-mmio-bus.0"),
    ]
