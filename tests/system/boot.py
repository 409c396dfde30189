"""A whole machine for tests: board, kernel and image put together, with a shell to type at and an account.

`System` boots the default image, or another one.  `sh` types a line and gives what it printed; `account`
lists what the kernel has given out, so that a test can say that nothing was lost.  Run as a program it prints
the digest of one run of `workload`, for tests that want it from another Python process.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from emu.board import Board
from emu.board_map import virt
from emu.cpu.engine import Engine
from emu.cpu.fast import FastEngine
from emu.cpu.public import PublicEngine
from emu.dev.drive import Drive, RamDrive
from emu.events import NEVER
from emu.loop import Stop
from emu.ram import Ram
from kernel.abi.ps import SLEEPING, ZOMBIE
from kernel.abi.syscalls import LAB_YEAR
from kernel.kernel import Kernel
from kernel.proc import Process
from kernel.xv6.personality import Xv6
from orrery.inspect.audit import Audit
from toolchain import cc, fsimage, image, mkfs

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).with_name("programs")
PROMPT = "$ "
ENGINES = ("fast", "public")


def make_engine(kind: str) -> Callable[[Ram], Engine]:
    """What Board wants: a maker of the engine of this name."""
    if kind == "public":
        return PublicEngine
    hooks = cc.host_library(ROOT / "emu" / "cpu" / "native" / "hooks.c")
    return lambda ram: FastEngine(ram, hooks)


@cache
def program(name: str) -> bytes:
    """A program of tests/system/programs, compiled."""
    return cc.compile_user([PROGRAMS / name])


@cache
def default_files() -> dict[str, bytes]:
    """The files of the default image, to make another one from."""
    fs = fsimage.FsImage(image.default_image())
    paths = [entry.path for entry in fs.walk() if entry.type == 2]
    return {path.lstrip("/"): fs.read(path) for path in paths}


def image_with(files: Mapping[str, bytes], **sizes: int) -> bytes:
    """The default image and these files."""
    return bytes(mkfs.build({**default_files(), **files}, **sizes))


class System:
    """A machine under test; `output` is all that its console printed."""

    def __init__(
        self,
        *,
        engine: str = "fast",
        drive: Drive | None = None,
        argv: Sequence[str] = ("/init",),
        modules: Mapping[str, bytes] | None = None,
        mem_mib: int = 128,
        lab: int = LAB_YEAR,
        usyscall: bool = False,
    ) -> None:
        self.output = bytearray()
        self.drive = RamDrive(image.default_image()) if drive is None else drive
        self.board = Board(mem_mib, make_engine(engine), virt(self.drive, self.output.append))
        self.kernel = Kernel(
            self.board,
            image.kernel_elf(),
            Xv6,
            init_argv=[word.encode() for word in argv],
            modules={name.encode(): elf for name, elf in (modules or {}).items()},
            lab=lab,
            usyscall=usyscall,
        )
        self.loop = self.board.loop
        self.loop.on_idle = self._on_idle
        self._keys = bytearray()

    def __enter__(self) -> "System":
        return self

    def __exit__(self, *_: object) -> None:
        self.kernel.sched.unwind()

    # --- running ---

    def run(self, limit_s: float | None = None) -> Stop:
        """Run to power-off, to where all sleep for ever, or for so many virtual seconds from now."""
        limit = NEVER if limit_s is None else self.board.clock.now + round(limit_s * 4e9)
        return self.loop.run(limit)

    def boot(self) -> "System":
        """Run to the shell's prompt."""
        self.wait_for_shell()
        return self

    def wait_for_shell(self) -> None:
        """Run until nothing is to happen before a line is typed."""
        stop = self.run()
        assert stop is Stop.ASLEEP, (
            f"the machine stopped ({stop}, {self.board.exit_code}): {self.text[-500:]}"
        )
        assert self.kernel.console.readers, (
            f"asleep, but not at a prompt: {self.kernel.procs.sleepers_report()}"
        )

    def type(self, text: str) -> None:
        """Keys for the console, handed over as the guest takes them."""
        self._keys += text.encode()

    def sh(self, line: str) -> str:
        """Type a line at the prompt and run until the next prompt; what was printed, without echo and prompt.

        Jobs in the background run to their end too.
        """
        start = len(self.output)
        self.type(line + "\n")
        self.wait_for_shell()
        printed = self.output[start:].decode(errors="replace").replace("\r", "")
        assert printed.startswith(line + "\n"), f"the console did not echo {line!r}: {printed[:200]!r}"
        return printed[len(line) + 1 :].replace(PROMPT, "", 1)

    def _on_idle(self, until_ticks: int) -> bool:
        if until_ticks != NEVER or not self._keys:
            return False
        while self._keys and self.board.uart.room:
            self.board.uart.receive(self._keys.pop(0))
        return True

    # --- looking ---

    @property
    def text(self) -> str:
        """All output, as text."""
        return self.output.decode(errors="replace")

    @property
    def image(self) -> bytes:
        """What is on the disk now."""
        return self.drive.read(0, self.drive.capacity)

    def process(self, name: str) -> Process:
        """The one process of that name."""
        (found,) = [p for p in self.kernel.procs if p.name == name]
        return found

    def account(self) -> dict[str, int]:
        """How much of everything the kernel has given out; what is only cached counts as free."""
        k = self.kernel
        while k.frames.reclaim():
            pass
        return {
            "frames": k.frames.free_frames,
            "processes": len(list(k.procs)),
            "zombies": sum(p.state == ZOMBIE for p in k.procs),
            "sleepers": sum(p.state == SLEEPING for p in k.procs),
            "queued": len(k.sched.ready),
            "threads": len(k.sched.threads),
            "files": k.files.open_count,
            "inodes": sum(ip.ref for ip in k.inodes.inodes.values()),
            "locks": sum(ip.lock.holder is not None for ip in k.inodes.inodes.values()),
            # The log keeps its header block pinned.
            "buffers": sum(buf.refcnt for buf in k.cache.buffers.values()),
            "operations": k.fs.log.outstanding,
            "disk requests": len(k.disk._free) if hasattr(k.disk, "_free") else 0,
            "readers": len(k.console.readers),
        }

    def audit(self) -> list[str]:
        """What in the kernel's books does not add up."""
        return Audit(self.kernel).findings()

    def digest(self) -> str:
        """Of the whole machine and its output."""
        digest = hashlib.sha256()
        self.board.digest_update(digest)
        digest.update(self.output)
        return digest.hexdigest()


def workload_digest(engine: str) -> str:
    """Boot, run `workload`, power off; the digest at the end."""
    with System(engine=engine, argv=("/init", "/workload")) as system:
        stop = system.run()
        assert stop is Stop.ASKED and system.board.exit_code == 0, system.text
        return system.digest()


if __name__ == "__main__":
    print(workload_digest(sys.argv[1]))
