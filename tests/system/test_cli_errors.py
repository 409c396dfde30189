"""Bad input: one clear line on stderr, exit status 2, no traceback, and the image on disk untouched."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from orrery_cli import ORRERY, Done, compile_text, orrery

from emu.dev.drive import FileDrive
from kernel.abi import disk
from orrery.cli import command_line
from toolchain import fsimage

ENTRY_AT, PHOFF_AT, PHENTSIZE_AT, PHNUM_AT = 24, 32, 54, 56


def refused(done: Done, *words: str) -> None:
    """Assert that `done` ended as bad input does, with `words` in its line."""
    assert done.status == 2, done
    assert len(done.lines) == 1 and done.err.startswith("orrery: ") and done.out == "", done
    for word in words:
        assert word in done.err, done
    assert "; " in done.err or ": check " in done.err, f"the line names no remedy: {done.err}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "required"),
        (["fly"], "fly"),
        (["boot", "--fly"], "--fly"),
        (["boot", "extra"], "extra"),
        (["boot", "--dri", "a"], "--dri"),
        (["boot", "--drive", "a", "--drive", "b"], "--drive: given twice, as a and as b"),
        (["boot", "-m", "16", "--mem", "32"], "-m/--mem: given twice, as 16 and as 32"),
        (["boot", "-s", "--gdb", "5"], "given twice, as 1234 and as 5"),
        (["mkfs", "--size", "9", "fs.img", "--size", "10"], "--size: given twice"),
        (["cc", "-o", "a", "-o", "b", "p.c"], "-o: given twice"),
        (["cc", "-o", "a", "-flto", "p.c"], "-flto: makes no program"),
        (["cc", "-o", "a", "-I"], "-I: nothing follows it"),
        (["cc", "-o", "a", "-lm", "p.c"], "-lm; `orrery cc --help`"),
        (["cc", "-c", "-S", "p.c"], "given twice, as -c and as -S"),
        (["cc", "-o", "a"], "no source"),
        (["run", "-DX", "/bin/sh"], "compiler's flags"),
        (["debug", "-s"], "-s; `orrery debug --help`"),
        (["gdb", "--gdb", "1234", "prog.c"], "--gdb; `orrery gdb --help`"),
        (["record", "-o", "run.orr", "boot", "--fly"], "--fly; `orrery boot --help`"),
        (["run"], "required: FILE;"),
        (["boot", "--engine", "warp"], "warp"),
        (["boot", "-m", "many"], "many"),
        (["boot", "-m", "1"], "1 MiB"),
        (["boot", "-m", "1000000"], "1000000 MiB"),
        (["boot", "--seed", "x"], "x"),
        (["boot", "--lab", "1999"], "lab 1999"),
        (["boot", "--lab", "now"], "now"),
        (["run", "--lab"], "--lab"),
        (["boot", "--max-time", "0"], "--max-time 0"),
        (["boot", "--max-time", "nan"], "--max-time nan"),
        (["boot", "--timeout", "soon"], "--timeout soon"),
        (["boot", "--timeout=-1"], "--timeout -1"),
        (["boot", "--snapshot"], "--snapshot"),
        (["boot", "--strace=/nodir/trace"], "/nodir/trace"),
        (["boot", "--drive", "noimage"], "noimage"),
        (["boot", "--drive", "."], "directory"),
        (["run", "nofile.c"], "nofile.c"),
        (["run", "nofile"], "nofile"),
        (["run", "/"], "directory"),
        (["run", "/bin/sh"], "x86-64"),
        (["cc", "nofile.c"], "-o"),
        (["cc", "-o", "/nodir/out", str(Path(__file__).parents[2] / "user/bin/echo.c")], "/nodir/out"),
        (["cc", "-o", "out", "file.txt"], "file.txt"),
        (["mkfs", "out.img", "nofile"], "nofile"),
        (["mkfs", "/nodir/out.img"], "/nodir/out.img"),
        (["lsfs", "noimage"], "noimage"),
        (["lsfs", "/"], "/"),
    ],
)
def test_what_is_missing_or_nonsense(words: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    # In this process: `main` is all that the command does, and starting Python is most of the time.
    status = command_line.main(words)
    out, err = capfd.readouterr()
    refused(Done(status, out, err), said)


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/full", "/dev/null", "fifo", "fifo.c", "large.c", "."])
@pytest.mark.parametrize(
    "words",
    [
        ["run", "NAME"],
        ["record", "-o", "run.orr", "run", "NAME"],
        ["debug", "NAME"],
        ["replay", "NAME"],
        ["cc", "-o", "out", "NAME"],
        ["mkfs", "out.img", "NAME"],
        ["lsfs", "NAME"],
        ["boot", "--drive", "NAME"],
    ],
)
def test_what_has_no_end_is_not_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for pipe in ("fifo", "fifo.c"):
        os.mkfifo(pipe)
    with open("large.c", "wb") as file:
        file.truncate(1 << 40)
    status = command_line.main([name if word == "NAME" else word for word in words])
    out, err = capfd.readouterr()
    refused(Done(status, out, err), name)
    assert sorted(os.listdir()) == ["fifo", "fifo.c", "large.c"]


def test_a_port_in_use_is_told_in_words(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        status = command_line.main(["boot", "--gdb", str(port), "-c", "ls"])
    out, err = capfd.readouterr()
    refused(Done(status, out, err), f"no gdb server on 127.0.0.1:{port}: Address already in use; give")
    assert "(" not in err


def test_the_real_command_ends_so_too() -> None:
    refused(orrery("boot", "--drive", "noimage"), "noimage", "mkfs")
    refused(orrery("boot", "--fly"), "--fly")


# --- programs ---


def _word(at: int, form: str, value: int) -> Callable[[bytearray], None]:
    return lambda elf: struct.pack_into(form, elf, at, value)


def _segment(field_at: int, value: int) -> Callable[[bytearray], None]:
    """Change a 64-bit field of the first segment's header."""

    def change(elf: bytearray) -> None:
        (phoff,) = struct.unpack_from("<Q", elf, PHOFF_AT)
        struct.pack_into("<Q", elf, phoff + field_at, value)

    return change


def _cut(size: int) -> Callable[[bytearray], None]:
    def change(elf: bytearray) -> None:
        del elf[size:]

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_cut(0), "not an ELF"),
        (_word(0, "<I", 0x12345678), "not an ELF"),
        (_cut(20), "truncated"),
        (_cut(70), "truncated"),
        (_cut(4096), "truncated"),
        (_word(18, "<H", 183), "Arm 64"),
        (_word(4, "B", 1), "64-bit"),
        (_word(16, "<H", 3), "not an executable"),
        (_word(PHNUM_AT, "<H", 0), "nothing to load"),
        (_word(PHNUM_AT, "<H", 65), "65 program headers"),
        (_word(PHENTSIZE_AT, "<H", 7), "program headers of 7 bytes"),
        (_word(ENTRY_AT, "<Q", 0x123456), "0x123456"),
        (_segment(16, 0x3FFFFFE000), "overlaps the kernel"),
        (_segment(16, (1 << 64) - 4096), "overlaps the kernel"),
        (_segment(16, 8), "page boundary"),
        (_segment(40, 1), "1 bytes in memory"),
        (_segment(8, 1 << 40), "truncated"),
    ],
)
def test_a_bad_elf_is_refused(
    tmp_path: Path, change: Callable[[bytearray], None], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    elf = bytearray(
        compile_text(tmp_path, "good", "char data[9999] = {1}; int main(void) { return data[1]; }")
    )
    change(elf)
    bad = tmp_path / "bad"
    bad.write_bytes(elf)
    status = command_line.main(["run", str(bad)])
    out, err = capfd.readouterr()
    refused(Done(status, out, err), str(bad), said)


def test_too_many_arguments_are_refused(tmp_path: Path) -> None:
    program = tmp_path / "prog"
    program.write_bytes(compile_text(tmp_path, "prog", "int main(int argc, char **argv) { return argc; }"))
    assert orrery("run", program, *["x"] * 30).status == 31
    refused(orrery("run", program, *["x"] * 31), "31 arguments")
    assert orrery("run", program, "x" * 2000).status == 2000 // 1000
    refused(orrery("run", program, "x" * 3000), "bytes of arguments")


def test_a_source_that_does_not_compile(tmp_path: Path) -> None:
    source = tmp_path / "bad.c"
    source.write_text("int main(void) { return nothing; }\nint f(void) { return nobody; }\n")
    out = tmp_path / "out"
    out.write_text("old")
    for done in (orrery("run", source), orrery("cc", "-o", out, source)):
        first, second, last = done.lines
        assert first.startswith(f"orrery: {source}:1:25: error: ") and "nothing" in first
        assert second.startswith(f"orrery: {source}:2:22: error: ") and "nobody" in second
        assert (done.status, last) == (2, "orrery: 2 errors; correct the source and try again")
    assert out.read_text() == "old"
    verbose = orrery("cc", "-v", "-o", out, source)
    assert "nobody" in verbose.err and verbose.status == 2
    source.write_text("int main(void) { return missing(); }\nint missing(void);\n")
    refused(orrery("run", source), "missing")


# --- images ---


def _superblock(field: int, value: int) -> Callable[[bytearray], None]:
    return lambda image: struct.pack_into("<I", image, disk.BSIZE + 4 * field, value)


def _inode(number: int, at: int, form: str, value: int) -> Callable[[bytearray], None]:
    def change(image: bytearray) -> None:
        start = fsimage.FsImage(image).superblock.inodestart * disk.BSIZE
        struct.pack_into(form, image, start + number * disk.DINODE_SIZE + at, value)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_superblock(0, 0xBAD), "super block"),
        (_superblock(1, 1 << 20), "truncated"),
        (_inode(2, 12, "<I", 1 << 20), "out of range"),
        (_inode(2, 0, "<h", 77), "type"),
        (lambda image: image.__delitem__(slice(1000, None)), "512"),
        (lambda image: image.__delitem__(slice(1024, None)), "few"),
    ],
)
def test_a_bad_image_is_refused_and_left_alone(
    drive: Path, change: Callable[[bytearray], None], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    image = bytearray(drive.read_bytes())
    change(image)
    drive.write_bytes(image)
    stamp = drive.stat().st_mtime_ns
    for words in (["boot", "--drive", str(drive)], ["boot", "--snapshot", "--drive", str(drive)]):
        status = command_line.main([*words, "-c", "ls"])
        out, err = capfd.readouterr()
        refused(Done(status, out, err), str(drive), said)
    assert drive.read_bytes() == image and drive.stat().st_mtime_ns == stamp


def test_a_cycle_of_directories_is_refused(drive: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert orrery("boot", "--drive", drive, "-c", "mkdir a; mkdir a/b; echo x > a/b/c").status == 0
    image = bytearray(drive.read_bytes())
    fs = fsimage.FsImage(image)
    inodes = {entry.path: entry.ino for entry in fs.walk()}
    block = fs.inode(inodes["/a/b"]).addresses[0] * disk.BSIZE
    at = image.index(disk.DIRENT.pack(inodes["/a/b/c"], b"c"), block)
    struct.pack_into("<H", image, at, inodes["/a"])
    drive.write_bytes(image)
    status = command_line.main(["boot", "--drive", str(drive)])
    out, err = capfd.readouterr()
    refused(Done(status, out, err), "cycle", "/a/b/c")
    assert drive.read_bytes() == image


def test_a_drive_in_use_is_refused(drive: Path, tmp_path: Path) -> None:
    held = FileDrive(drive)
    refused(orrery("boot", "--drive", drive, "-c", "ls"), str(drive), "in use")
    refused(orrery("boot", "--drive", drive, "--snapshot", "-c", "ls"), "in use")
    (tmp_path / "f").write_text("x")
    refused(orrery("mkfs", drive, tmp_path / "f"), "in use")
    assert orrery("lsfs", drive).status == 0
    held.close()
    assert orrery("boot", "--drive", drive, "-c", "ls").status == 0


# --- what is only worth a warning ---


def test_without_the_fast_engine_there_is_one_warning(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from emu.cpu import layout

    monkeypatch.setattr(layout, "VERSION", "0.0.0")
    with open("/dev/null") as null:
        monkeypatch.setattr(sys, "stdin", null)
        assert command_line.main(["boot", "-c", "echo up"]) == 0
    out, err = capfd.readouterr()
    assert out == "up\n"
    assert len(err.splitlines()) == 1
    assert err.startswith("orrery: warning: the fast engine is not available (unicorn ")


# --- an emulator that is killed ---

KILLED_AT_WRITE = """
import os, signal, sys
from emu.dev.drive import FileDrive
from orrery import Machine

class Killed(FileDrive):
    left = int(sys.argv[2])
    def write(self, sector, data):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(sector, data)

with Machine(Killed(sys.argv[1])) as machine:
    machine.sh("mkdir d; echo one > d/f; cat d/f d/f > d/g; rm d/f; echo two > d/h")
"""


@pytest.mark.parametrize("write", [2, 7, 13, 20, 26, 31, 36])
def test_the_image_of_a_killed_emulator_mounts_again(drive: Path, write: int) -> None:
    """Killed between two sectors' writes: what the log holds is replayed, and the tree is whole."""
    command = [sys.executable, "-c", KILLED_AT_WRITE, str(drive), str(write)]
    killed = subprocess.run(command, check=False, timeout=60, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    fsimage.check(drive.read_bytes())
    done = orrery("boot", "--drive", drive, "-c", "ls; echo again > again; cat again")
    assert (done.status, done.err) == (0, "") and done.out.endswith("again\n")
    image = drive.read_bytes()
    fsimage.check(image)
    (pending,) = disk.LOG_N.unpack_from(image, fsimage.FsImage(image).superblock.logstart * disk.BSIZE)
    assert pending == 0


def test_a_kill_from_outside_in_mid_write(drive: Path) -> None:
    command = [ORRERY, "boot", "--drive", str(drive), "-c", "echo go; stressfs; stressfs; stressfs"]
    run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert run.stdout is not None and run.stdout.readline() == b"go\n"
    time.sleep(0.02)
    run.kill()
    run.communicate()
    assert orrery("boot", "--drive", drive, "-c", "echo whole").out == "whole\n"
    fsimage.check(drive.read_bytes())
