"""What commands write: never over what they read, and an error loses nothing. All through `main`, in this
process.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orrery.cli import command_line, outfile
from orrery.errors import BadInput
from toolchain import mkfs
from toolchain.paths import ROOT

PROGRAM = '#include "own.h"\nint main(void) { return X; }\n'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which one stands, with something of each kind."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.c").write_text(PROGRAM)
    (tmp_path / "own.h").write_text("#define X 3\n")
    (tmp_path / "other.c").write_text("int other;\n")
    (tmp_path / "fs.img").write_bytes(mkfs.build({"init": b"", "README": b"text"}))
    (tmp_path / "data.bin").write_bytes(b"data")
    (tmp_path / "text").symlink_to("p.c")
    os.link(tmp_path / "p.c", tmp_path / "hard")
    (tmp_path / "sub").mkdir()
    assert command_line.main(["cc", "-o", "prog", "p.c"]) == 0
    return tmp_path


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "line",
    [
        "cc -o p.c p.c",
        "cc -o own.h p.c",
        "cc -o hard p.c",
        "cc -o text p.c",
        "cc -o sub/../p.c p.c",
        "cc -o other.c p.c",
        "cc -c -o own.h p.c",
        "cc -S -o p.c p.c",
        "cc -E -o own.h p.c",
        f"cc -o {ROOT}/user/include/user/user.h p.c",
        f"cc -o {ROOT}/toolchain/user.ld p.c",
        "run --strace=p.c p.c",
        "run --strace=own.h p.c",
        "run --strace=hard p.c",
        "run --strace=prog prog",
        "run --strace=other.c p.c",
        "run --strace=fs.img --drive fs.img p.c",
        "boot --strace=fs.img --drive fs.img --snapshot",
        f"boot --strace={ROOT}/kernel/trap.py",
        "record -o p.c run p.c",
        "record -o own.h run p.c",
        "record -o prog prog",
        "record -o other.c run p.c",
        "record -o fs.img boot --drive fs.img",
        "record -o new run --strace=new p.c",
        "record -o sub/../new run --strace=new p.c",
        "mkfs p.c p.c",
        "mkfs hard p.c",
        "mkfs p.c",
        "mkfs data.bin data.bin",
        "mkfs fs.img fs.img",
    ],
)
def test_no_output_is_an_input(here: Path, line: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = contents(here)
    assert command_line.main(line.split()) == 2
    out, err = capfd.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and err.startswith("orrery: ") and "; name " in err, err
    assert contents(here) == before
    assert (ROOT / "kernel" / "trap.py").stat().st_size > 1000


def test_what_stdin_is_read_from_is_an_input(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    saved = os.dup(0)
    keys = os.open("data.bin", os.O_RDONLY)
    try:
        os.dup2(keys, 0)
        assert command_line.main(["run", "--strace=data.bin", "p.c"]) == 2
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(keys)
    assert "stdin" in capfd.readouterr().err and (here / "data.bin").read_bytes() == b"data"


def assembles(here: Path) -> None:
    (here / "p.c").write_text(
        '__asm__(".section .rodata\\n.incbin \\"data.bin\\"");\nint main(void) { return 0; }\n'
    )


def computes(here: Path) -> None:
    (here / "p.c").write_text('#define H "data.bin"\n#include H\nint main(void) { return 0; }\n')
    (here / "data.bin").write_text("int data;\n")


@pytest.mark.parametrize("change", [assembles, computes])
def test_what_only_the_compiler_reads_is_an_input(here: Path, change: Callable[[Path], None]) -> None:
    change(here)
    before = contents(here)
    assert command_line.main(["cc", "-o", "data.bin", "p.c"]) == 2
    assert contents(here) == before


def test_what_an_error_leaves(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The old file: whether the source is wrong, or the machine cannot be made, or the disk is full."""
    (here / "bad.c").write_text("int main(void) { return nothing; }\n")
    for name in ("trace", "run.orr", "out"):
        (here / name).write_text("old")
    for line in (
        "cc -o out bad.c",
        "run --strace=trace bad.c",
        "run --strace=trace -m 1 p.c",
        "run --strace=trace --drive none p.c",
        "record -o run.orr bad.c",
        "record -o run.orr boot -m 1",
        "record -o run.orr boot --strace=trace --drive other.c",
        "mkfs out none",
        "mkfs --size 3 out p.c",
    ):
        assert command_line.main(line.split()) == 2, line
        assert [(here / name).read_text() for name in ("trace", "run.orr", "out")] == ["old"] * 3, line
    assert not list(here.glob(".*"))


@pytest.mark.parametrize("command", ["cc -o /dev/full p.c", "mkfs /dev/full p.c", "cc -E -o /dev/full p.c"])
def test_a_full_device_is_named(here: Path, command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(command.split()) == 2
    expected = "orrery: /dev/full: cannot be written: No space left on device; write it elsewhere\n"
    assert capfd.readouterr().err == expected


def test_a_disk_that_is_full_in_the_middle_leaves_the_old_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orrery.cli.outfile.os.write", full)
    for write in (
        lambda: outfile.write_file("data.bin", b"new", 0o644),
        lambda: outfile.begin("data.bin", "new"),
    ):
        with pytest.raises(BadInput, match="No space left"):
            write()
    assert (here / "data.bin").read_bytes() == b"data" and not list(here.glob(".*"))


def test_what_is_written_where_a_link_leads_and_with_which_rights(here: Path) -> None:
    (here / "link").symlink_to("sub/real")
    assert command_line.main(["cc", "-o", "link", "p.c"]) == 0
    assert (here / "link").is_symlink() and (here / "sub" / "real").read_bytes() == (
        here / "prog"
    ).read_bytes()
    umask = os.umask(0)
    os.umask(umask)
    assert (here / "prog").stat().st_mode & 0o777 == 0o755 & ~umask
    assert command_line.main(["cc", "-c", "-DY", "p.c"]) == 0 and command_line.main(["cc", "-S", "p.c"]) == 0
    assert (here / "p.o").stat().st_mode & 0o777 == 0o666 & ~umask
    assert "main:" in (here / "p.s").read_text()
    assert command_line.main(["cc", "-S", "p.c"]) == 0, "what it made itself it makes again"


def test_sparse_files(here: Path) -> None:
    """Zeroes become holes, and those at the end are there."""
    content = b"x" + bytes(3 * outfile.CHUNK) + b"y" + bytes(2 * outfile.CHUNK)
    outfile.write_file("data.bin", content, 0o644)
    assert (here / "data.bin").read_bytes() == content
