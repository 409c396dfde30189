"""`orrery gdb`: a program, a machine that runs it, and a stock gdb on that machine, stopped in main.

Called by cli/command_line.py.  The machine is `orrery run` in a process of its own, in a process group of
its own, so that ^C is for gdb; it reads nothing from the terminal, which is gdb's, and ends with it.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from orrery.console.terminal_mode import STDIN, restored_terminal
from orrery.errors import BadInput
from orrery.gdb.owner import GdbOwner
from toolchain import headers
from toolchain.paths import ROOT, TOP

NAMES: Final = (
    "gdb-multiarch", "riscv64-unknown-elf-gdb", "riscv64-linux-gnu-gdb", "riscv64-elf-gdb", "gdb",
)  # fmt: skip
"""What a gdb that knows RISC-V may be called; the last one may not."""

ANNOUNCEMENT: Final = "waiting for gdb: target remote :"
REMEDY: Final = (
    "install gdb-multiarch (Debian, Ubuntu), riscv64-elf-gdb (Arch), or in this Python's environment "
    "`pip install gdb-for-pwndbg`"
)
NONE_FOUND: Final = f"no gdb that knows RISC-V: {REMEDY}"
NOT_THAT: Final = "no gdb that knows RISC-V; name another, or unset the variable to have one looked for"
INCLUDE, ASSEMBLY = "include", ".S"  # where the generated sources are, as DWARF has it
FOLLOW: Final = Path(__file__).with_name("follow.gdb")
HAS_MAIN: Final = "output &main"  # an error where the program has none, though another process's may
PROBE_S_MAX: Final = 20.0
END_S_MAX: Final = 0.9  # of wall time, for the machine to end by itself


def found() -> Iterator[str]:
    """The gdbs that know RISC-V: of the PATH and of this Python's environment, or the one that GDB names."""
    beside = Path(sys.executable).with_name("gdb")
    chosen = os.environ.get("GDB")
    names = (chosen,) if chosen else (*NAMES[:-1], str(beside), NAMES[-1])
    paths = (shutil.which(name) for name in names)
    return (path for path in dict.fromkeys(paths) if path is not None and _knows_riscv(path))


def _knows_riscv(gdb: str) -> bool:
    command = [gdb, "-nx", "-batch", "-ex", "set architecture riscv:rv64"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE_S_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return b"is set to" in done.stdout


def _scripts(port: int, program: str, where: Path) -> list[Path]:
    """What gdb is told at its start, as files in directory `where`, with the sources that are in no tree.

    Of what it says on the way only the end is shown: the program in main, or where it begins, if it has none.
    A script ends at its first error, so what must be done in any case is in one of its own.
    """
    generated = where / INCLUDE
    generated.mkdir()
    for name, text in headers.generate().items():
        if name.endswith(ASSEMBLY):
            (generated / name).write_text(text)
    directories = " ".join(f'"{path}"' for path in (Path(program).absolute().parent, ROOT, TOP, where))
    texts = (
        f"directory {directories}\nset logging file {os.devnull}\nset logging redirect on\n",
        f"set logging enabled on\ntarget remote :{port}\n{HAS_MAIN}\nadvance main\n",
        "set logging enabled off\nset logging redirect off\nset logging file gdb.txt\n",
        "frame\n",
    )
    paths = [where / f"{i}.gdb" for i in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def run(words: Sequence[str], program: str) -> int:
    """Debug `program`; `words` are those of `orrery run` for it. Returns the exit status of gdb, or of the
    machine where that did not start. Raises BadInput where there is no gdb.
    """
    gdb = next(found(), None)
    if gdb is None:
        chosen = os.environ.get("GDB")
        raise BadInput(f"GDB={chosen}: {NOT_THAT}" if chosen else NONE_FOUND)
    owner = GdbOwner.TERMINAL if os.isatty(STDIN) else GdbOwner.SCRIPT
    machine = subprocess.Popen(
        [sys.executable, "-m", "orrery", "run", f"--for-gdb={owner}", "--gdb", "0", "-S", *words],
        stdin=subprocess.PIPE,  # which stays open and empty
        stderr=subprocess.PIPE,
        process_group=0,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))},
    )
    try:
        port = _port(machine)
        return machine.wait() if port is None else _debug(gdb, port, program)
    finally:
        _end(machine)


def _end(machine: "subprocess.Popen[bytes]") -> None:
    """Switch the machine off."""
    machine.terminate()
    try:
        machine.wait(END_S_MAX)
    except subprocess.TimeoutExpired:
        machine.kill()
        machine.wait()


def _debug(gdb: str, port: int, program: str) -> int:
    """Run `gdb` on the machine that waits for it; its exit status."""
    before = signal.signal(signal.SIGINT, lambda *_: None)  # gdb takes ^C
    try:
        with TemporaryDirectory(prefix="orrery-gdb-") as directory, restored_terminal():
            scripts = _scripts(port, program, Path(directory))
            words = [word for path in (*scripts, FOLLOW) for word in ("-x", str(path))]
            # All symbols come from the machine.
            environment = {**os.environ, "DEBUGINFOD_URLS": ""}
            return subprocess.run([gdb, "-q", *words], env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def _port(machine: "subprocess.Popen[bytes]") -> int | None:
    """Where the machine waits for gdb, None if it has ended; what it says besides is passed on."""
    assert machine.stderr is not None, "its stderr is a pipe"
    for line in machine.stderr:
        text = line.decode(errors="replace")
        if ANNOUNCEMENT in text:
            _pass_on(machine)
            return int(text.rpartition(":")[2])
        sys.stderr.write(text)
    return None


def _pass_on(machine: "subprocess.Popen[bytes]") -> None:
    """Show on stderr what the machine says from now on."""
    import threading

    def copy() -> None:
        assert machine.stderr is not None, "its stderr is a pipe"
        for line in machine.stderr:
            sys.stderr.write(line.decode(errors="replace"))

    threading.Thread(target=copy, daemon=True).start()
