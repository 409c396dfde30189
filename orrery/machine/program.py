"""The program of `orrery run`: sources to compile or an ELF file, checked before a machine is made for it.

What the kernel's exec would refuse, or what would only fail on the way, is told here in one line that names
the file and the remedy.
"""

import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from kernel.abi import elf
from kernel.abi.memlayout import KERNBASE, PGSIZE
from kernel.abi.param import MAXARG, SEGMENTS_MAX
from orrery.errors import BadInput
from orrery.machine.config import MachineConfig
from toolchain import hostfile
from toolchain.flags import LINKED, Flags
from toolchain.names import shown

INIT: Final = b"/init"
ARGUMENT_BYTES_MAX: Final = 2048  # half a page: init and the program need the rest of their stacks
CLASS_64, LITTLE_ENDIAN, ET_EXEC = 2, 1, 2
PHENTSIZE_AT: Final = 54
MACHINES: Final = {3: "32-bit x86", 40: "Arm", 62: "x86-64", 183: "Arm 64", 243: "RISC-V", 247: "BPF"}


@dataclass(frozen=True)
class Program:
    """A program to run: its argv, argv[0] being its name, its ELF file, and the files that it was made
    from.
    """

    argv: tuple[bytes, ...]
    elf: bytes
    inputs: tuple[Path, ...] = ()

    @property
    def name(self) -> bytes:
        """Under which exec finds it."""
        return self.argv[0]


def load(
    path: str,
    args: Sequence[str],
    warn: Callable[[str], None],
    *,
    optimize: bool = True,
    more: Sequence[str] = (),
    flags: Flags | None = None,
    within: Path | None = None,
    lab: int | None = None,
    ustack: int | None = None,
) -> Program:
    """The program in file `path`, or of that source and `more`, with arguments, for a machine of year `lab`.

    `warn` gets the compiler's warnings; without `optimize` it is compiled for a debugger; `within` is
    compile_user's.  Raises BadInput or CompileError.
    """
    file = Path(path)
    if file.suffix in LINKED:
        from toolchain import cc
        from toolchain.stack import flags_for

        flags = flags_for(lab, ustack, flags)
        built = cc.build_user([path, *more], warn=warn, optimize=optimize, flags=flags, within=within)
        name, program, inputs = file.stem, built.elf, built.inputs
    else:
        if flags:
            raise BadInput(
                f"{shown(path)}: no source, so the compiler's flags are for nothing; leave them out"
            )
        program = _read(path)
        check(program, shown(path))
        name, inputs = file.name, (file,)
    argv = tuple(os.fsencode(arg) for arg in (name, *args))
    check_argv(argv)
    return Program(argv, program, inputs)


def config_for(config: MachineConfig, program: Program) -> MachineConfig:
    """`config` for a machine that runs `program` and nothing else: init starts it, in place of a shell."""
    modules = {INIT: init_program(), program.name: program.elf}
    return replace(config, init_argv=(INIT, *program.argv), modules=modules)


def init_program() -> bytes:
    """The init that runs one program, whatever the drive has."""
    from toolchain import fsimage, image

    return fsimage.FsImage(image.default_image()).read("/init")


def candidates(sources: Sequence[str], flags: Flags) -> list[Path]:
    """The files that a program of `sources` is made from, and those that would be if they were there."""
    files = [Path(source).absolute() for source in sources]
    if not sources[0].endswith(LINKED):
        return files[:1]
    from toolchain import cc

    return [*files, *cc.candidates(sources, flags)]


def _read(path: str) -> bytes:
    try:
        return hostfile.read(path, hostfile.PROGRAM_BYTES_MAX)
    except IsADirectoryError as error:
        raise BadInput(f"{shown(path)}: is a directory; name a program or a source") from error
    except OSError as error:
        raise BadInput(f"{shown(path)}: {error.strerror}; check the name of the program") from error


def check_argv(argv: Sequence[bytes]) -> None:
    """Raise BadInput for more arguments than a program takes."""
    if len(argv) > MAXARG - 1:  # exec needs a NULL behind them
        raise BadInput(f"{len(argv) - 1} arguments: a program takes {MAXARG - 2}; give fewer")
    size = sum(len(arg) + 1 for arg in argv)
    if size > ARGUMENT_BYTES_MAX:
        raise BadInput(f"{size} bytes of arguments: a program takes {ARGUMENT_BYTES_MAX}; put them in a file")


def check(program: bytes, name: str) -> None:
    """Raise BadInput unless the kernel can load `program`."""
    header = _check_header(program, name)
    loads = []
    for i in range(header.phnum):
        at = header.phoff + i * elf.PROGRAM_SIZE
        segment = elf.Segment.unpack(program[at : at + elf.PROGRAM_SIZE])
        if segment.type == elf.PT_LOAD:
            _check_segment(segment, program, f"{name}: segment {i} at {segment.vaddr:#x}")
            loads.append(segment)
    if not loads:
        raise BadInput(f"{name}: an ELF file with nothing to load; link it, as `orrery cc` does")
    if not any(one.vaddr <= header.entry < one.vaddr + one.memsz for one in loads):
        raise BadInput(
            f"{name}: its entry point {header.entry:#x} is in no segment; link it again, as `orrery cc` does"
        )


def _check_header(program: bytes, name: str) -> elf.Header:
    if not program.startswith(elf.MAGIC):
        raise BadInput(
            f"{name}: not an ELF file; give a RISC-V program, or a source whose name ends in .c or .S"
        )
    header = elf.Header.unpack(program)
    if header is None:
        raise BadInput(f"{name}: truncated: {len(program)} bytes are no ELF header; copy or build it again")
    if header.machine != elf.EM_RISCV:
        machine = MACHINES.get(header.machine, f"machine {header.machine}")
        raise BadInput(f"{name}: a program for {machine}, not for RISC-V; build it with `orrery cc`")
    if program[4] != CLASS_64 or program[5] != LITTLE_ENDIAN:
        raise BadInput(f"{name}: not 64-bit little-endian; build it for riscv64, as `orrery cc` does")
    (kind,) = struct.unpack_from("<H", program, 16)
    if kind != ET_EXEC:
        raise BadInput(
            f"{name}: not an executable (ELF type {kind}); link it, without -pie, as `orrery cc` does"
        )
    (entry_size,) = struct.unpack_from("<H", program, PHENTSIZE_AT)
    if header.phnum and entry_size != elf.PROGRAM_SIZE:
        raise BadInput(f"{name}: damaged: program headers of {entry_size} bytes; build it again")
    if header.phnum > SEGMENTS_MAX:
        raise BadInput(
            f"{name}: {header.phnum} program headers: exec takes {SEGMENTS_MAX}; link it with fewer segments"
        )
    if header.phoff + header.phnum * elf.PROGRAM_SIZE > len(program):
        raise BadInput(f"{name}: truncated: its program headers are missing; copy or build it again")
    return header


def _check_segment(segment: elf.Segment, program: bytes, what: str) -> None:
    if segment.offset + segment.filesz > len(program):
        raise BadInput(f"{what}: truncated: the file ends before it; copy or build it again")
    if segment.memsz < segment.filesz:
        raise BadInput(
            f"{what}: {segment.memsz} bytes in memory, but {segment.filesz} in the file; build it again"
        )
    # A process's memory begins at 0 and has no holes, so it cannot reach up to where RAM is, which has the
    # kernel at its start, let alone to the trapframe.
    if segment.vaddr + segment.memsz > KERNBASE:
        raise BadInput(f"{what}: overlaps the kernel, which has {KERNBASE:#x} and up; link it at address 0")
    if segment.vaddr % PGSIZE:
        raise BadInput(f"{what}: not at a page boundary; link it with -z max-page-size={PGSIZE}")
