"""The commands about files: programs that are compiled, and disk images that are made and listed.

Called by commands.py.  A file that is written has its old content or the new; what cannot be is a
BadInput or its like.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from emu.dev.drive import SECTOR_SIZE, DriveError, FileDrive
from orrery.cli import outfile
from orrery.cli.options import is_served
from orrery.errors import BadInput
from toolchain import cc, flags, fsimage, hostfile, image, mkfs
from toolchain.flags import Flags
from toolchain.names import shown


def compile_sources(options: argparse.Namespace, say: Callable[[str], None]) -> int:
    """cc: compile and link a program, or with -c, -S and -E make what is on the way there."""
    given = compiler_flags(options.flags)
    if options.print_flags:
        print(_for_editor(cc.user_flags(given), options.print_flags))
        return 0
    _check_cc(options)

    def warn(text: str) -> None:
        say(text.rstrip("\n"))

    try:
        if options.mode is None:
            built = [cc.build_user(options.sources, warn=warn, flags=given)]
        else:
            built = cc.compile_objects(options.sources, warn=warn, flags=given, mode=options.mode)
    except cc.CompileError as error:
        if options.verbose:
            say(error.details.rstrip("\n"))
        raise
    for source, one in zip(options.sources, built, strict=False):
        out = options.out or _made_of(source, options.mode)
        inputs = [path for each in built for path in each.inputs]
        outfile.check({"-o": out}, inputs, makes_sources=options.mode in ("-S", "-E"))
        if out is None:
            outfile.to_stdout(one.elf)
        else:
            outfile.write_file(out, one.elf, mode=0o666 if options.mode else 0o755)
    return 0


def _for_editor(words: Sequence[str], editor: str) -> str:
    """The compiler's flags as clangd has them, a line each, or the C/C++ extension of VS Code."""
    if editor == "clangd":
        return "\n".join(words)
    import json

    directories = [path for word, path in pairwise(words) if word in ("-I", "-isystem")]
    defined = [word[2:] for word in words if word.startswith("-D")]
    configuration = {
        "name": "Orrery",
        "includePath": directories,
        "defines": ["__riscv", "__riscv_xlen=64", *defined],
        "compilerPath": "",
        "cStandard": "gnu17",
        "intelliSenseMode": "linux-clang-x64",
    }
    return json.dumps({"configurations": [configuration], "version": 4}, indent=4)


def compiler_flags(words: Sequence[str]) -> Flags:
    """The flags of a command line; raises BadInput."""
    try:
        return flags.understand(words)
    except flags.BadFlag as error:
        raise BadInput(str(error)) from error


def _check_cc(options: argparse.Namespace) -> None:
    if not options.sources:
        raise BadInput("no source; `orrery cc --help` tells what there is")
    if options.out is None and options.mode is None:
        raise BadInput("no name for the program; give one with -o OUT")
    if options.out is not None and options.mode and len(options.sources) > 1:
        raise BadInput(f"-o {shown(options.out)}: one file, and {options.mode} makes several; leave out -o")


def _made_of(source: str, mode: str) -> str | None:
    """What -c and -S call what they make of a source: it is put here, as by any cc. -E: stdout."""
    return None if mode == "-E" else Path(source).stem + {"-c": ".o", "-S": ".s"}[mode]


def make_image(options: argparse.Namespace) -> int:
    """mkfs: make a disk image."""
    target = Path(options.image)
    outfile.check({"": target}, options.files)
    files = mkfs.collect([Path(name) for name in options.files])
    if options.default:
        content = image.larger(files, options.size, options.layout)
    else:
        content = mkfs.build(files, options.size, layout=options.layout)
    if target.exists():
        _refuse_used(target)
    outfile.write_file(target, content, mode=0o644)
    return 0


def keep_image(options: argparse.Namespace) -> None:
    """boot --keep: have `--drive` name the image, which is made if it is not there."""
    name: str = options.keep
    why = None
    if options.drive is not None:
        why = f"--drive {options.drive} is another disk"
    elif options.snapshot:
        why = "--snapshot keeps nothing"
    elif options.record is not None:
        why = "a run that is recorded leaves its disk as it was"
    elif is_served(options):
        why = "a gdb may go back in time, which leaves the disk as it was"
    if why is not None:
        raise BadInput(f"--keep {name}: {why}; leave one of them out")
    if not os.path.lexists(name):
        outfile.write_file(name, image.larger({}, None, options.layout or "stock"), mode=0o644)
    options.drive = name


def _refuse_used(target: Path) -> None:
    """Raise DriveError where a machine has the image `target` open."""
    if target.stat().st_size and target.stat().st_size % SECTOR_SIZE == 0:
        FileDrive(target).close()


def list_image(options: argparse.Namespace) -> int:
    """lsfs: print what is in a disk image."""
    try:
        with hostfile.mapped(options.image, hostfile.IMAGE_BYTES_MAX) as content:
            fs = fsimage.check(content, options.image, options.layout)
    except OSError as error:
        raise DriveError(f"{options.image}: {error.strerror}; check the name of the image") from error
    try:
        for entry in fs.walk():
            print(entry)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0
