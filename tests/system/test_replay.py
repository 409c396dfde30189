"""orrery record and replay: the same run, or a refusal that says why."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest
from orrery_cli import ORRERY, Done, image_with, orrery

from orrery.cli import command_line
from orrery.cli.replay import tape_of
from orrery.errors import BadInput
from orrery.timetravel.recording import Seal, load
from orrery.timetravel.timeline import Timeline

READER = """
int main(void) {
    char line[64]; int n, sum = 0;
    while ((n = read(0, line, sizeof line)) > 0) { write(1, line, n); sum += n; }
    return sum;
}
"""


def check_replay(recorded: Done, path: Path, *more: str | Path) -> None:
    """The replay prints what the run printed, and comes to the same end."""
    replayed = orrery("replay", path, *more)
    assert (replayed.out, replayed.status) == (recorded.out, recorded.status)
    assert replayed.lines[-1].startswith("orrery: the same run, up to ")


def test_a_booted_machine_with_commands(tmp_path: Path) -> None:
    path = tmp_path / "run.orr"
    recorded = orrery("record", "-o", path, "boot", "-c", "ls | wc\necho hi > x", "-c", "cat x; cat nothing")
    assert recorded.out.splitlines()[1] == "hi"
    check_replay(recorded, path)


def test_a_program_that_reads_is_in_the_recording(tmp_path: Path) -> None:
    path, source = tmp_path / "run.orr", tmp_path / "reader.c"
    source.write_text('#include "user/user.h"\n' + READER)
    recorded = orrery("record", "-o", path, "run", "--mem=16", source, stdin="one\ntwo\n")
    assert (recorded.out, recorded.status) == ("one\ntwo\n", 8)
    source.unlink()
    check_replay(recorded, path)
    check_replay(recorded, path, "--engine=public")


def test_a_recorded_run_leaves_the_drive_as_it_was(tmp_path: Path) -> None:
    drive, path = tmp_path / "fs.img", tmp_path / "run.orr"
    before = image_with(tmp_path, {})
    drive.write_bytes(before)
    recorded = orrery("record", "-o", path, "--drive", drive, "-c", "echo new > file; cat file")
    assert recorded.out == "new\n" and drive.read_bytes() == before
    moved = drive.rename(tmp_path / "moved.img")
    check_replay(recorded, path, "--drive", moved)
    moved.write_bytes(before[:-1] + b"\1")
    refused = orrery("replay", path, "--drive", moved)
    assert refused.status == 2 and "made with another disk" in refused.err


def test_a_panic_a_deadlock_and_a_limit_come_again(tmp_path: Path) -> None:
    source = tmp_path / "stuck.c"
    source.write_text('#include "user/user.h"\nint main(void) { int f[2]; pipe(f); read(f[0], f, 1); }\n')
    for options, status in ((), 126), (("--max-time=0.001",), 124):
        recorded = orrery("record", "-o", tmp_path / "run.orr", "run", *options, source)
        assert recorded.status == status
        check_replay(recorded, tmp_path / "run.orr")


@pytest.mark.parametrize(
    "options",
    [("--lab=2020", "--usyscall", "--seed=5", "--ustack=3"), ("--layout=lab",), ("--engine=public",)],
)
def test_what_a_machine_is_made_by_is_in_the_recording(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = tmp_path / "run.orr"
    recorded = orrery("record", "-o", path, "boot", "-m24", *options, "-c", "echo hi > x; cat x; ls | wc")
    assert recorded.out.startswith("hi\n")
    check_replay(recorded, path)


def test_a_person_at_a_terminal(tmp_path: Path) -> None:
    """Time passes as on the wall there, and keys come when they come."""
    path = tmp_path / "run.orr"
    child = pexpect.spawn(ORRERY, ["record", "-o", str(path), "boot", "-m16"], timeout=30)
    child.expect_exact("$ ")
    child.send("echo a")
    time.sleep(0.2)
    child.send("b\x7fc\r")
    child.expect("ac\r\n")
    child.expect_exact("$ ")
    child.send("sleep 2; echo d\r")
    time.sleep(0.1)
    child.send("ls | wc\r")
    child.expect("d\r\n")
    child.expect_exact("$ ")
    child.send("\x01x")
    child.expect(pexpect.EOF)
    replayed = orrery("replay", path)
    assert replayed.lines[-1].startswith("orrery: the same run, up to "), replayed.err
    assert "\nac\n" in replayed.out and "\nd\n" in replayed.out


def test_a_timeline_goes_through_a_recording(tmp_path: Path) -> None:
    path = tmp_path / "run.orr"
    assert orrery("record", "-o", path, "boot", "-m16", "-c", "echo hi | cat").status == 0
    recording = load(str(path))
    assert recording.end is not None
    with Timeline(**recording.machine.options(), changes=tape_of(recording)) as it:
        stopped = it.resume()
        assert (stopped.why, stopped.moment) == ("end", recording.end.moment)
        assert it.digest() == recording.end.digest
        behind = it.resume()
        assert (behind.why, it.take_output()[-5:]) == ("asleep", b"hi\n$ ")
        it.reverse_step(5)
        assert it.step(5).moment == behind.moment
        it.goto(0)
        assert it.goto(behind.moment).moment == behind.moment, "past the end"
        assert it.run_until("exec", backwards=True).detail == "exec process 5 runs cat"
        it.goto(recording.end.moment)
        assert it.digest() == recording.end.digest


@pytest.fixture
def lines(tmp_path: Path) -> list[dict[str, Any]]:
    """Of a recording."""
    assert orrery("record", "-o", tmp_path / "good.orr", "boot", "-m16", "-c", "echo hi").status == 0
    return [json.loads(line) for line in (tmp_path / "good.orr").read_text().splitlines()]


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != name}


def test_another_versions_recording_is_refused(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    header, keys, end = lines
    moment = keys["at"]
    for damaged, why in (
        ([{**header, "version": "0.0.7"}, keys, end], "made by version 0.0.7"),
        ([{**header, "code": "0" * 64}, keys, end], "made with another state of emu/ and kernel/"),
        ([{**header, "image": "0" * 64}, keys, end], "made with another disk"),
        ([{**header, "recording": 9}, keys, end], "is no recording of a run"),
        ([{**header, "machine": {**header["machine"], "mem_mib": 1}}, keys, end], "1 MiB of memory"),
        ([{**header, "machine": {**header["machine"], "unknown": 1}}, keys, end], "a damaged recording"),
        ([header, {**keys, "at": [moment[0] + 2, *moment[1:]]}, end], "elsewhere"),
        ([header, {**keys, "at": ["x"]}, end], "a damaged recording"),
        ([header, {**keys, "type": 7}, end], "a damaged recording"),
        ([header, {**keys, "type": "echo ho\n"}, end], "the run ended in another state"),
        ([header, keys, {**end, "digest": "0" * 64}], "the run ended in another state"),
        ([{**header, "shown": "all"}, keys, end], "a damaged recording"),
        ([{**header, "machine": without(header["machine"], "drive")}, keys, end], "a damaged recording"),
        ([{**header, "machine": {**header["machine"], "seed": "0"}}, keys, end], "a damaged recording"),
        ([header, {**keys, "at": [*moment[:2], 3, moment[3]]}, end], "elsewhere"),
        ([header, keys, {**end, "at": [*end["at"][:3], 0]}], "elsewhere"),
        ([header, keys, {**end, "end": "0"}], "a damaged recording"),
    ):
        path = tmp_path / "bad.orr"
        path.write_text("".join(json.dumps(line) + "\n" for line in damaged))
        refused = orrery("replay", path)
        assert (refused.status, len(refused.lines)) == (2, 1), refused.err
        assert why in refused.err


BAD_VALUES = (None, True, 0, -1, 5, 1 << 70, 0.5, "", "x", "0" * 64, [], [1], ["x"], {}, {"x": 1})


def test_every_field_of_a_recording_is_checked(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    """Each is replaced by what it was not: that is refused at once, or known to be another recording."""
    path = tmp_path / "bad.orr"

    def is_told(damaged: list[dict[str, Any]]) -> bool:
        path.write_text("".join(json.dumps(line) + "\n" for line in damaged))
        try:
            return load(str(path)).doubt != ""
        except BadInput as error:
            return "\n" not in str(error)

    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert load(str(path)).doubt == "" and len(lines) == 3
    places: list[tuple[Any, ...]] = [(i, name) for i, line in enumerate(lines) for name in line]
    places += [(0, "machine", name) for name in lines[0]["machine"]]
    places += [(i, "at", j) for i in (1, 2) for j in range(4)]
    for *above, name in places:
        for bad in BAD_VALUES:
            damaged = json.loads(json.dumps(lines))
            holder = damaged
            for one in above:
                holder = holder[one]
            if holder[name] != bad or type(holder[name]) is not type(bad):
                holder[name] = bad
                assert is_told(damaged), (above, name, bad)
        del holder[name]
        assert is_told(damaged), (above, name)


def test_every_byte_of_a_recording_is_checked(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    path = tmp_path / "bad.orr"
    good = "".join(json.dumps(line) + "\n" for line in lines).encode()
    for at in range(len(good) + 1):
        flipped = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] if at < len(good) else good + b"{"
        damaged = (flipped, good[:at] + b" " + good[at:], good[:at])[at % 3]
        path.write_bytes(damaged)
        try:
            run = load(str(path))
        except BadInput as error:
            assert "\n" not in str(error)
        else:
            assert damaged == good or run.doubt or run.end is None, at


def test_what_was_changed_in_a_recording_is_told_when_the_run_is_over(
    tmp_path: Path, lines: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.orr"
    header, keys, end = lines
    for damaged, why in (
        ([header, keys, {**end, "end": 5}], "line 3 is not as it was recorded; record it anew"),
        ([header, {**keys, "more": 5}, end], "line 2 is not as it was recorded; record it anew"),
        ([{**header, "machine": {**header["machine"], "init_argv": []}}, keys, end], "init_argv is []"),
        ([{**header, "machine": {**header["machine"], "init_argv": [7]}}, keys, end], "a damaged recording"),
        ([header, keys, {**end, "at": [end["at"][0] * 10**6, *end["at"][1:]]}], "line 3 is not as it was"),
        ([header, keys, end, end], "something behind the end"),
        ([header, keys, keys, end], "elsewhere"),
    ):
        path.write_text("".join(json.dumps(line) + "\n" for line in damaged))
        assert command_line.main(["replay", str(path)]) == 2
        said = capfd.readouterr().err
        assert why in said and len(said.splitlines()) == 1 and "the same run" not in said
        assert command_line.main(["debug", str(path)]) == 2 or why == "elsewhere"
        capfd.readouterr()


def test_a_status_that_is_not_the_guests_is_seen_even_under_a_seal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, source = tmp_path / "run.orr", tmp_path / "seven.c"
    source.write_text("int main(void) { return 7; }\n")
    assert orrery("record", "-o", path, "run", "-m16", source).status == 7
    written = [without(json.loads(line), "seal") for line in path.read_text().splitlines()]
    written[-1]["end"] = 5
    seal = Seal()
    path.write_bytes(b"".join(seal.put_on(json.dumps(line).encode()) + b"\n" for line in written))
    assert command_line.main(["replay", str(path)]) == 2
    assert "the guest's status is 7, and not 5" in capfd.readouterr().err


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.orr"
    for content in (b"", b"\xff\xfe\0", b"[]\n", b"{}\n", b"[" * 100_000 + b"\n", b'{"recording": 1}\n'):
        bad.write_bytes(content)
        refused = orrery("replay", bad)
        assert (refused.status, len(refused.lines)) == (2, 1), refused.err
    assert (
        "cannot be written to the end" in orrery("record", "-o", "/dev/full", "boot", "-m16", "-c", "ls").err
    )
    assert "check the name" in orrery("replay", tmp_path / "none.orr").err
    assert "is a directory" in orrery("replay", tmp_path).err
    assert "cannot be written" in orrery("record", "-o", tmp_path / "no" / "run.orr", "-c", "ls").err
    assert "is no run" in orrery("record", "-o", bad, "lunch").err
    assert "-o" in orrery("record", "boot").err


def test_a_recording_that_was_broken_off_is_replayed_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "run.orr"
    with subprocess.Popen(
        [ORRERY, "record", "-o", str(path), "boot", "-m16", "-c", "echo hi", "-c", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"hi\n"
        while path.read_text().count("\n") < 3:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    with path.open("a") as file:
        file.write('{"at": [1')
    replayed = orrery("replay", path)
    assert (replayed.out, replayed.status) == ("hi\n", 0)
    assert "was broken off" in replayed.err
