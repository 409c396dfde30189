"""The parts of the workbench that need no machine: filters, lines, words of system calls, doctor."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orrery.cli import arguments, doctor, words
from orrery.console.script import Lines
from orrery.console.signals import Signals
from orrery.machine.decode import quote
from orrery.machine.output import CommandOutput, HostOutput
from toolchain.hostfile import LINE_BYTES_MAX

SHELL = 2
OTHER = 3


class OneShell:
    """As much of a Machine as a filter looks at."""

    def is_shell(self, pid: int | None) -> bool:
        return pid == SHELL


def shown(*events: tuple[int | None, bytes] | str) -> bytes:
    """What CommandOutput passes on of outputs and "prompt"s, and of the end."""
    out: list[bytes] = []
    machine: Any = OneShell()
    command = CommandOutput(machine, out.append, booted=True)
    for event in events:
        if isinstance(event, str):
            command.prompted()
        else:
            command.output(*event)
    command.finish()
    return b"".join(out)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([(OTHER, b"a"), (OTHER, b"b\n")], b"ab\n"),
        ([(0, b"echo"), (None, b"kernel\n")], b"kernel\n"),
        ([(SHELL, b"$ "), "prompt", (OTHER, b"$ x\n")], b"$ x\n"),
        ([(SHELL, b"$"), (SHELL, b" "), "prompt"], b""),
        ([(SHELL, b"no file\n$ "), "prompt"], b"no file\n"),
        ([(SHELL, b"no line$ "), "prompt"], b"no line"),
        ([(SHELL, b"user@host> "), "prompt"], b""),
        ([(SHELL, b"$ "), (OTHER, b"late\n"), "prompt"], b"late\n"),
        ([(SHELL, b"unfinished")], b"unfinished"),
        ([(SHELL, b"$")], b""),
    ],
)
def test_command_output_is_without_prompt_and_echo(events: list[Any], expected: bytes) -> None:
    assert shown(*events) == expected


def test_output_before_the_first_prompt_is_kept_for_the_report() -> None:
    out: list[bytes] = []
    machine: Any = OneShell()
    command = CommandOutput(machine, out.append)
    command.output(None, b"booting\n")
    command.output(OTHER, b"starting\n")
    assert command.finish() == b"booting\nstarting\n"
    command.prompted()
    assert command.finish() == b"" and out == []


def test_a_host_that_takes_no_output_fails_once() -> None:
    read, write = os.pipe()
    os.close(read)
    failures: list[int] = []
    host = HostOutput(write, lambda: failures.append(1))
    for _ in range(3):
        host.write(b"text")
    os.close(write)
    assert isinstance(host.error, BrokenPipeError) and failures == [1]


def test_output_to_a_full_pipe_waits_for_its_reader() -> None:
    import threading

    read, write = os.pipe()
    os.set_blocking(write, False)
    data = bytes(range(256)) * 2000
    got = bytearray()

    def drain() -> None:
        while len(got) < len(data):
            got.extend(os.read(read, 1 << 16))

    reader = threading.Thread(target=drain)
    reader.start()
    HostOutput(write, lambda: None).write(data)
    reader.join(20)
    assert got == data
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one\ntwo\n", [b"one\n", b"two\n"]),
        (b"\n\nend", [b"\n", b"\n", b"end"]),
        (b"x" * 200_000 + b"\ny", [b"x" * 200_000 + b"\n", b"y"]),
    ],
)
def test_lines_come_one_by_one(tmp_path: Path, data: bytes, lines: list[bytes]) -> None:
    (tmp_path / "f").write_bytes(data)
    with open(tmp_path / "f", "rb") as file, Signals(None) as signals:
        source = Lines(file.fileno(), signals)
        for line in lines:
            assert not source.at_end()
            assert source.next() == line
        assert source.at_end()
        assert source.next() == b"" == source.next()


def test_a_line_without_an_end_comes_piece_by_piece() -> None:
    with open("/dev/zero", "rb") as file, Signals(None) as signals:
        source = Lines(file.fileno(), signals)
        for _ in range(3):
            assert not source.at_end()
            assert source.next() == bytes(LINE_BYTES_MAX)


def test_a_limit_of_time_interrupts_the_wait_for_a_line() -> None:
    read, write = os.pipe()
    asked: list[int] = []
    with Signals(0.05) as signals:
        signals.attach(lambda: asked.append(1))
        source = Lines(read, signals)
        assert source.next() is None and not source.at_end()
        assert signals.timed_out and not signals.terminated and asked == [1]
    os.close(read)
    os.close(write)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", '"plain"'),
        (b'a"b\\c', r'"a\"b\\c"'),
        (b"\n\t\r\v\f", r'"\n\t\r\v\f"'),
        (b"\0\x1b\xff", r'"\0\33\377"'),
        (b"\x011\x018", r'"\0011\18"'),
    ],
)
def test_bytes_are_quoted_as_strace_does(data: bytes, text: str) -> None:
    assert quote(data) == text
    assert quote(data, more=True) == text + "..."


def test_the_words_behind_run_are_sorted() -> None:
    def split(*behind: str) -> tuple[list[str], list[str], list[str], list[str]]:
        ours, more = words.arrange(["run", *behind])
        return ours[1:], more["sources"], more["args"], more["flags"]

    assert split("p", "a", "-x", "--digest") == (["--", "p"], ["p"], ["a", "-x", "--digest"], [])
    assert split("-m", "8", "p", "-m", "8") == (["-m", "8", "--", "p"], ["p"], ["-m", "8"], [])
    assert split("--drive", "i", "--strace", "p.c") == (
        ["--drive", "i", "--strace=-", "--", "p.c"], ["p.c"], [], [],
    )  # fmt: skip
    assert split("p", "--", "--digest", "--") == (["--", "p"], ["p"], ["--digest", "--"], [])
    assert split("--", "-p.c", "x") == (["--", "-p.c"], ["-p.c"], ["x"], [])
    assert split("-DX", "-I", "inc", "a.c", "b.S", "c.o", "x", "d.c")[1:] == (
        ["a.c", "b.S", "c.o"], ["x", "d.c"], ["-DX", "-Iinc"],
    )  # fmt: skip
    assert split("a.c", "--", "b.c")[1:] == (["a.c"], ["b.c"], [])
    assert split("p", "b.c")[1:] == (["p"], ["b.c"], [])
    assert split("--help") == (["--help"], [], [], [])


def test_the_words_behind_other_commands_are_sorted() -> None:
    for given, put in (
        ("cc a.c -c -D X -o out b.c -- -z.c", "cc -c -o out -- a.c b.c -z.c"),
        ("mkfs img a --size 3 b --default", "mkfs --size 3 --default img a b"),
        ("boot --strace -c ls", "boot --strace=- -c ls"),
        ("doctor", "doctor"),
    ):
        assert words.arrange(given.split())[0] == put.split()
    for given, recorded in (
        ("record -o r boot -m 8", "boot -m 8"),
        ("record -o r -m 8", "boot -m 8"),
        (f"record -or {__file__} -- --x", f"run {__file__} -- --x"),
    ):
        assert words.arrange(given.split())[1]["command"] == recorded.split()


def test_every_machine_option_of_the_parser_is_known_to_the_splitter() -> None:
    import argparse

    parser = argparse.ArgumentParser(add_help=False)
    arguments.add_machine_options(parser)
    takes_value = {
        name: action.nargs != 0 and name != "--strace"
        for action in parser._actions
        for name in action.option_strings
        if name.startswith("--")
    }
    assert takes_value == arguments.MACHINE_OPTIONS


def test_doctor_names_what_is_wrong_and_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from emu.cpu import layout

    monkeypatch.setattr(doctor, "PYTHON_MIN", (99, 0))
    monkeypatch.setattr(layout, "VERSION", "0.0.0")
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    lines: list[str] = []
    assert doctor.main(lines.append) == 1
    bad = [line for line in lines if line.startswith("bad")]
    assert [line.split(":")[0] for line in bad] == ["bad python", "bad platform", "bad fast engine"]
    assert all("; " in line for line in bad) and lines[-1] == "3 to mend"


def test_doctor_tells_of_a_missing_package_and_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata as metadata

    monkeypatch.setattr(
        metadata, "requires", lambda name: ["greenlet==0.0.1", "nothing-such==1", 'x==1; extra == "dev"']
    )
    found = list(doctor._packages())
    assert [finding.what for finding in found] == ["package greenlet", "package nothing-such"]
    assert "0.0.1 is wanted" in found[0].remedy and found[1].found == "missing"


def test_doctor_tells_of_gdb_which_only_one_command_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from orrery.gdb import client

    monkeypatch.setattr(doctor, "check_all", lambda: iter([doctor._gdb()]))
    for found, environment, said in (
        (["/some/gdb"], "", "ok  gdb: /some/gdb"),
        ([], "", "note gdb: none that knows RISC-V; for `orrery gdb` install gdb-multiarch"),
        ([], "/some/gdb", "note gdb: /some/gdb, as GDB says, is none"),
    ):
        monkeypatch.setattr(client, "found", lambda found=found: iter(found))
        monkeypatch.setenv("GDB", environment)
        lines: list[str] = []
        assert doctor.main(lines.append) == 0
        assert lines[0].startswith(said) and lines[1] == "all is well"


def test_doctor_tells_of_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise OSError("no directory for build results")

    monkeypatch.setattr("toolchain.paths.cache_dir", refuse)
    found = doctor._cache()
    assert "XDG_CACHE_HOME" in found.remedy and "no directory" in found.found


def test_a_run_loads_no_debugger() -> None:
    """A boot is short, and what it does not use would be a part of it."""
    said = "import sys, orrery.cli, orrery.cli.session; print(*(name for name in sys.modules))"
    run = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert "orrery.machine.machine" in run.stdout
    for apart in ("timetravel", "debugger", "gdb.server", "machine.events", "grading"):
        assert f"orrery.{apart}" not in run.stdout, apart
