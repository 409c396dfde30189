"""Names of files are bytes of any kind: they get through, and are shown on one line without control
characters.
"""

import os
import re
import sys
from pathlib import Path

import pytest
from orrery_cli import INCLUDES, orrery

from orrery.cli import command_line
from toolchain import fsimage, image, mkfs
from toolchain.names import shown, shown_lines

NAMES = (b"caf\xe9", "é".encode(), b"esc\x1b[31m", b"new\nline", b"tab\tq'\"", b"\xff\xfe")
SOURCE = INCLUDES + 'int main(int argc, char **argv) { printf("%s\\n", argv[0]); return argc; }\n'


def test_how_names_are_shown() -> None:
    assert [shown(name) for name in NAMES] == [
        r"caf\xe9", "é", r"esc\x1b[31m", r"new\nline", "tab\\tq'\"", r"\xff\xfe",
    ]  # fmt: skip
    assert shown_lines("a\tb\n\x1b\udce9\u2028\n") == "a\tb\n\\x1b\\xe9\\u2028\n"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_command_takes_them(
    tmp_path: Path, name: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = os.fsdecode(name)
    monkeypatch.chdir(tmp_path)
    os.mkdir(text)
    source, program = f"{text}/{text}.c", f"{text}/{text}"
    Path(source).write_text(SOURCE)
    assert command_line.main(["cc", "-o", program, source]) == 0
    assert command_line.main(["mkfs", f"{text}.img", program, source]) == 0
    assert capfd.readouterr().err == ""
    assert command_line.main(["lsfs", f"{text}.img"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split(" ", 4)[4] for line in lines] == ["/", f"/{shown(name)}", f"/{shown(name)}.c"]
    assert os.fsencode(next(iter(mkfs.collect([Path(source)])))) == name + b".c"
    for words in (
        ["run", "none/" + text],
        ["lsfs", text],
        ["cc", "-o", "x", f"{text}.c"],
        ["mkfs", text, text],
    ):
        assert command_line.main(words) == 2
        said = capfd.readouterr().err
        assert len(said.splitlines()) == 1 and shown(name) in said and said[:-1].isprintable()
    Path(source).write_text("int main(void) { return x; }\n")
    assert command_line.main(["cc", "-o", program, source]) == 2
    assert f"{shown(name)}/{shown(name)}.c:1:25: error: " in capfd.readouterr().err


def test_an_image_is_made_again_with_the_same_names() -> None:
    files = {os.fsdecode(name): name for name in (*NAMES, b"back\\xff")}
    again = image.rebuilt(mkfs.build(files), {"more": b""})
    fs = fsimage.FsImage(again)
    assert {os.fsencode(entry.path[1:]) for entry in fs.walk()} == {b"", b"more", *files.values()}
    assert all(fs.read(f"/{path}") == content for path, content in files.items())


def test_a_run_and_its_strace_where_there_is_only_ascii(tmp_path: Path) -> None:
    source = tmp_path / "caf\udce9\x1b.c"
    source.write_text(SOURCE)
    environment = {
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii:strict",
    }
    trace, recording = tmp_path / "trace", tmp_path / "é.orr"
    done = orrery(
        "record", "-o", recording, "run", f"--strace={trace}", os.fsencode(source), "x", env=environment,
        errors="surrogateescape",
    )  # fmt: skip
    assert (done.status, os.fsencode(done.out), done.err) == (2, b"caf\xe9\x1b\n", "")
    calls = trace.read_text()
    assert not re.search(r"[^\n -~]", calls)
    assert r'exec("caf\351\33", ["caf\351\33", "x"])' in calls and "\n2 caf\\xe9\\x1b: write(" in calls
    again = orrery("replay", recording, env=environment, errors="surrogateescape")
    assert again.lines[-1].startswith("orrery: the same run")
    assert os.fsencode(again.out) == b"caf\xe9\x1b\n"


def test_what_stdout_cannot_show_is_an_escape(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with open(tmp_path / "out", "w", encoding="ascii", errors="strict") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        (tmp_path / "fs.img").write_bytes(mkfs.build({"é": b""}))
        assert command_line.main(["lsfs", str(tmp_path / "fs.img")]) == 0
    assert (tmp_path / "out").read_text().splitlines()[-1].endswith(r" /\xe9")
