"""The benchmark: it divides what it should divide, says pass and miss, and says why when it cannot measure.

The machine on the terminal is a script here, whose speed is known.
"""

import json
import socket
import stat
import sys
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from time import process_time
from xml.etree import ElementTree
from zlib import crc32

import pytest

from bench import __main__ as program
from bench import breakdown, flame, memory, profiling, report, rival, rows
from bench.memory import MemoryResult, Plotted
from bench.remote import Process, Remote
from bench.report import Result
from bench.rows import ROWS, USERTESTS, Measurer, Row
from bench.sampling import Profile, Sampler
from bench.terminal import BenchError, Terminal
from bench.timetravel import Measure
from kernel.abi import disk, fcntl
from orrery import Machine
from orrery.gdb.packet import Kind, Parser, encode
from toolchain import fsimage, mkfs, paths
from toolchain.image import default_image, rebuilt

ROUND_S = 0.0002
FAKE = f"""\
import sys, time
print("boot", end="\\n$ ", flush=True)
for line in sys.stdin:
    row, count = line.split()[1:]
    time.sleep(0.02 + int(count) * {ROUND_S})
    said = f"bench: {{row}} {{count}} done" if row == "getpid" else "bench: fork failed"
    print(said, end="\\n$ ", flush=True)
"""
STOCK = """\
import sys
from dataclasses import replace
result = "ALL TESTS PASSED" if "boot" in sys.argv else "FAILED"
print("boot", end="\\n$ ", flush=True)
for line in sys.stdin:
    print("test one: OK", result, sep="\\n", end="\\n$ ", flush=True)
"""
BY_COMMAND = {row.command: row for row in ROWS}
GETPID, PIPE = BY_COMMAND["getpid"], BY_COMMAND["pipe"]


@pytest.fixture
def fake_machine() -> list[str]:
    """A command that behaves like a machine with a shell that knows `bench`."""
    return [sys.executable, "-c", FAKE]


def test_a_round_is_the_difference_of_two_counts(fake_machine: list[str]) -> None:
    with Terminal(fake_machine) as terminal:
        took_s = Measurer(terminal).round_s(GETPID)
    assert 0.8 * ROUND_S < took_s < 4 * ROUND_S  # a busy machine sleeps longer; 20 ms a run would be far more


def test_what_the_machine_says_is_why_a_row_failed(fake_machine: list[str]) -> None:
    with Terminal(fake_machine) as terminal:
        measurer = Measurer(terminal)
        with pytest.raises(BenchError, match=r"the machine says: .*fork failed"):
            measurer.round_s(BY_COMMAND["fork"])


def test_a_machine_that_ends_or_is_silent_is_no_hang() -> None:
    code = "import sys; print('oops'); sys.exit(7)"
    with (
        Terminal([sys.executable, "-c", code]) as terminal,
        pytest.raises(BenchError, match="status 7: oops"),
    ):
        Measurer(terminal)
    with (
        Terminal([sys.executable, "-c", "input()"]) as terminal,
        pytest.raises(BenchError, match="no answer"),
    ):
        terminal.expect(b"never", timeout_s=0.1)
    with pytest.raises(BenchError, match="does not start"):
        Terminal([str(Path(sys.executable).with_name("no-such-program"))])


def test_rows_are_those_of_the_program() -> None:
    source = rival.SOURCES["bench"].read_text()
    for row in ROWS:
        assert not row.command or f'{{"{row.command}", row_' in source
    assert f"#define CHUNK {rows.CHUNK_BYTES}\n" in source
    assert f"#define FILE_CHUNKS {rows.FILE_CHUNKS} " in source
    assert source.count(", row_") == sum(bool(row.command) for row in ROWS)
    source = rival.SOURCES["work"].read_text()
    assert all(f'{{"{row.command}", {row.command}}}' in source for row in rows.WORK_ROWS)


def random_numbers(count: int) -> list[int]:
    """Those of next_random() in work.c, from 1."""
    numbers, x = [], 1
    for _ in range(count):
        x = (x * 1103515245 + 12345) % 2**32
        numbers.append(x)
    return numbers


def interpreter_result() -> int:
    a, b, at = 1, 2, 0
    for _ in range(200_000):
        step = (0, 1, 2, 3, 4, 5, 1, 2, 3, 6)[at]
        at = 0 if step == 6 else at + 1
        a = (a + (step == 0) * b - 3 * (step == 2)) if step != 4 else a * 5 + 1
        b = b ^ a << 1 if step == 1 else b + (step == 3) * (a >> 3) + (step == 5) * (a & 1)
        a, b = a % 2**64, b % 2**64
    return a ^ b


def tree_depth_sum() -> int:
    """A key comes below the deeper one of its neighbours."""
    keys: list[tuple[int, int]] = []  # with the number of each, which is greater for one that came later
    depths: dict[tuple[int, int], int] = {}
    for key in ((x >> 8, i) for i, x in enumerate(random_numbers(20_000))):
        at = bisect_right(keys, key)
        depth = max((depths[k] + 1 for k in keys[max(at - 1, 0) : at + 1]), default=0)
        keys.insert(at, key)
        depths[key] = depth
    return sum(depths.values())


WORK_RESULTS: dict[str, Callable[[], int]] = {
    "crc": lambda: crc32(bytes(65536)),
    "quicksort": lambda: sorted(x >> 4 for x in random_numbers(20_000))[5],
    "sieve": lambda: sum(all(n % p for p in range(2, int(n**0.5) + 1)) for n in range(2, 65536)),
    "interpreter": interpreter_result,
    "tree": tree_depth_sum,
    "strings": lambda: sum(len(str(i * 7919)) for i in range(3000)),
    "matrix": lambda: sum((3 + k) * k * 5 for k in range(64)),
}


@pytest.mark.parametrize("row", rows.WORK_ROWS, ids=lambda row: row.command)
def test_what_a_small_program_computes_is_right(row: Row) -> None:
    with Machine(drive=bytes(rebuilt(default_image(), {"work": rival.program("work")}))) as machine:
        machine.boot()
        printed = machine.sh(row.line(2))
    assert row.success in printed
    assert (int(printed.split()[-1]) - 2 * WORK_RESULTS[row.command]()) % 2**32 == 0


@pytest.mark.parametrize(
    ("row", "round_s", "value"),
    [
        (GETPID, 5e-6, 5.0),
        (PIPE, 1e-3, 4.096),
        (BY_COMMAND["create"], 0.1, 1.024),
        (BY_COMMAND["alu16"], 8e-9, 2000.0),
    ],
)
def test_values_are_in_the_unit(row: Row, round_s: float, value: float) -> None:
    assert row.value(round_s) == pytest.approx(value)


@pytest.mark.parametrize(
    ("row", "ours", "theirs", "speedup", "verdict"),
    [
        (GETPID, 5.0, 31.0, "6.20", "6.0 pass"),
        (GETPID, 5.0, 29.0, "5.80", "6.0 miss"),
        (PIPE, 15.0, 4.0, "3.75", "3.0 pass"),
        (PIPE, 15.0, 6.0, "2.50", "3.0 miss"),
        (BY_COMMAND["alu16"], 3060.0, 3400.0, "0.90", "0.9 pass"),
        (BY_COMMAND["alu2"], 10.0, 100.0, "0.10", "0.5 miss"),
        (rows.WORK_ROWS[0], 10.0, 9.0, "0.90", "0.85 pass"),
    ],
)
def test_the_goal_is_times_as_fast(row: Row, ours: float, theirs: float, speedup: str, verdict: str) -> None:
    # One outlier on each side: the median decides.
    line = report.line(Result(row, [ours, ours, ours * 9], [theirs, theirs, theirs * 9]), rival=True)
    assert speedup in line.split()
    assert line.endswith(verdict)


def test_without_the_rival_there_is_a_reference_but_no_verdict() -> None:
    line = report.line(Result(GETPID, [5.0]), rival=False)
    assert line.split() == ["getpid", "5.00", "us", "25.0", "us"]
    assert "The rival is not here" in report.footer(rival=False)
    assert "measured elsewhere" in report.footer(rival=False)
    document = (paths.ROOT / rival.REFERENCE_SOURCE).read_text()
    assert rival.REFERENCE.keys() <= {row.name for row in (*ROWS, *USERTESTS.values())}
    for name in rival.REFERENCE:
        assert f"| {name} |" in document


def test_the_program_joins_the_rivals_files_in_a_copy() -> None:
    files = {"sh": bytes(range(256)) * 8, "README": b"read me\n"}
    given = mkfs.build(files, size=400, ninodes=64)
    root_dirents = fsimage.FsImage(given).data_blocks(fsimage.FsImage(given).inode(1))[0] * disk.BSIZE
    device = 4  # an inode that is free; a device named console, as a shell that ran has left it
    inodes = fsimage.FsImage(given).superblock.inodestart * disk.BSIZE
    disk.DINODE.pack_into(given, inodes + device * disk.DINODE_SIZE, fcntl.T_DEVICE, 1, 0, 1, 0, *[0] * 13)
    disk.DIRENT.pack_into(given, root_dirents + 4 * disk.DIRENT_SIZE, device, b"console")
    before = bytes(given)
    made = rival.add_program(given, "bench", b"program" * 30_000)
    assert given == before
    fsimage.check(made)
    fs = fsimage.FsImage(made)
    assert [entry.path for entry in fs.walk()] == ["/", "/sh", "/README", "/bench"]
    assert fs.read("/bench") == b"program" * 30_000
    assert {name: fs.read(f"/{name}") for name in files} == files
    free = fsimage.FsImage(given).superblock.nblocks
    assert fs.superblock.nblocks >= free + len(b"program" * 30_000) // disk.BSIZE


def test_bad_input_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    qemu = _executable(tmp_path / "qemu", "pass")
    assert program.main(["--xv6", str(tmp_path), "--qemu", str(qemu)]) == 2
    assert program.main(["--qemu", str(tmp_path / "missing")]) == 2
    assert program.main(["--usertests"]) == 2
    assert program.main(["--out", str(tmp_path / "out.svg")]) == 2
    assert program.main(["--profile", "usertests", "--stock", str(tmp_path / "missing.img")]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert [line.partition(": ")[0] for line in err.splitlines()] == ["bench"] * 5
    assert str(tmp_path / "kernel" / "kernel") in err


def test_a_row_that_fails_says_why_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orrery = _executable(tmp_path / "orrery", FAKE)
    out = tmp_path / "out.json"
    options = ["--orrery", str(orrery), "--repeat", "1", "--json", str(out)]
    assert program.main([*options, "--rows", "start", "fork", "getpid"]) == 1
    text = capsys.readouterr().out
    assert "failed: ours: the machine says: " in text
    found = {row["name"]: row for row in json.loads(out.read_text())["rows"]}
    assert found["start to prompt"]["ours"][0] > 0
    assert found["getpid"]["ours"][0] > 1e6 * ROUND_S * 0.8
    assert "fork failed" in found["fork+exit+wait"]["failure"]
    assert program.main([*options, "--rows", "start"]) == 0


def test_the_parts_of_a_call_are_taken_from_a_real_machine() -> None:
    try:
        found = breakdown.measure(rounds=3, calls=2000)
    except BenchError as error:
        if "fast engine" not in str(error):
            raise
        pytest.skip(str(error))  # the parts are those of the fast engine, which is not had here
    ns = {part.name.partition(":")[0]: part.ns for part in found.parts}
    assert sum(part.ns for part in found.parts) + found.unexplained_ns == pytest.approx(found.total_ns)
    assert ns["handler"] > 0
    assert ns["engine"] > ns["handler"]
    assert abs(found.unexplained_ns) < found.total_ns / 2
    table = report.parts_table(found)
    assert "unexplained" in table
    assert table.endswith("100%")


def test_memory_rows_are_those_of_the_programs() -> None:
    names = set(memory.PROGRAMS)
    membench = (paths.ROOT / "user" / "tests" / "membench.c").read_text()
    source = rival.SOURCES["bench"].read_text()
    commands = [c for row in memory.ROWS for c in (row.ours, row.theirs)]
    for command in [*commands, *(curve.command for curve in memory.CURVES)]:
        program, name, *_ = command.split()
        assert program in names
        assert f'{{"{name}", row_{name}}}' in (membench if program == "membench" else source)


def test_a_memory_row_says_who_the_rival_is_and_whether_the_goal_is_met() -> None:
    row = memory.ROWS[0]
    result = MemoryResult(row, [0.003, 0.001], [0.021, 0.030], note="5 reads")
    line = report.memory_line(result)
    assert row.goal == 20
    assert line.startswith(row.name) and line.endswith("  20 pass    eager copying; 5 reads")
    assert "1,000 us" in line and "21,000 us" in line and "21.00" in line  # the least of each
    assert "20 miss" in report.memory_line(MemoryResult(row, [0.001], [0.019]))
    assert report.memory_line(MemoryResult(row, failure="it fails")).endswith("failed: it fails")


def test_a_plot_has_bars_as_long_as_the_times() -> None:
    plotted = Plotted(memory.CURVES[0], [(0, 10e-6), (64, 40e-6)])
    first, *lines = report.plot_text(plotted).splitlines()
    assert first == "fork, by memory in pages, us"
    assert [line.count("#") for line in lines] == [report.BAR_WIDTH // 4, report.BAR_WIDTH]
    assert report.plot_csv([plotted]).splitlines()[1:] == [
        '"fork, by memory in pages",MiB,0,10.00',
        '"fork, by memory in pages",MiB,64,40.00',
    ]


@pytest.mark.slow
def test_memory_is_measured_on_real_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LONG_S", 0.001)
    small = replace(memory.ROWS[0], ours="membench fork 2", theirs="membench fork 2")
    kinds = {"forgetting": memory.ROWS[3], "switch": memory.ROWS[-1]}
    assert kinds["forgetting"].change is memory.forgetting and "yield" in kinds["switch"].ours
    monkeypatch.setattr(memory, "ROWS", (small, *kinds.values()))
    fork, exec_, switch = memory.measure(repeat=1)
    assert not (fork.failure or exec_.failure or switch.failure)
    assert fork.theirs[0] > 2 * fork.ours[0], "512 pages are copied there"
    assert exec_.note == "0 disk reads in 100 execs"
    assert int(switch.note.split()[0]) < 30
    curves = [replace(curve, sizes=curve.sizes[:1]) for curve in memory.CURVES]
    monkeypatch.setattr(memory, "CURVES", curves)
    assert [p.curve for p in memory.plot(runs=1)] == curves
    with memory.Sides() as sides, pytest.raises(BenchError, match="the machine says: usage"):
        sides[memory.as_it_is].run_s("membench nothing 1", 1)


def test_usertests_is_timed_whole_on_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    orrery, qemu = _executable(tmp_path / "orrery", STOCK), _executable(tmp_path / "qemu", STOCK)
    tree, out = tmp_path / "xv6", tmp_path / "out.json"
    (tree / "kernel").mkdir(parents=True)
    (tree / "kernel" / "kernel").write_bytes(b"kernel")
    (tree / "fs.img").write_bytes(b"image")
    options = ["--orrery", str(orrery), "--usertests", "--json", str(out)]
    assert program.main([*options, "--stock", str(tree / "fs.img"), "--qemu", str(qemu)]) == 0
    (found,) = json.loads(out.read_text())["rows"]
    assert found["name"] == "usertests -q"
    assert len(found["ours"]) == 1
    assert not found["rival"]
    assert "getpid" not in capsys.readouterr().out
    # The stand-in for the rival is not started with "boot", and says that a test failed.
    assert program.main([*options, "--xv6", str(tree), "--qemu", str(qemu)]) == 1
    assert "failed: the rival: the machine says: " in capsys.readouterr().out
    assert (tree / "fs.img").read_bytes() == b"image"


def _spin(seconds: float) -> None:
    end_s = process_time() + seconds
    while process_time() < end_s:
        pass


def _caller() -> None:
    _spin(0.3)


def test_a_profile_says_who_had_the_processor_and_who_called() -> None:
    sampler = Sampler(paths.ROOT)
    with sampler.running(base=sys._getframe()):
        _caller()
        _spin(0.1)
    found = sampler.profile()
    here = "tests.unit.test_bench:"
    total_ns = found.total_ns
    assert found.samples > 10
    assert 0.3e9 < total_ns < 0.8e9
    assert found.self_ns()[f"{here}_spin"] > 0.9 * total_ns
    assert 0.5 * total_ns < found.cumulative_ns()[f"{here}_caller"] < 0.9 * total_ns
    assert (f"{here}_caller", f"{here}_spin") in found.by_stack
    assert not any("test_a_profile" in name for stack in found.by_stack for name in stack)
    before = found.samples
    _spin(0.05)
    assert sampler.profile().samples == before


def test_one_that_calls_itself_counts_once() -> None:
    found = Profile({("a", "b", "a"): 30, ("a",): 10, ("c",): 60}, 3)
    assert found.self_ns() == {"a": 40, "c": 60}
    assert found.cumulative_ns() == {"a": 40, "b": 30, "c": 60}
    lines = [line.split() for line in found.summary(top=1).splitlines()[1:]]
    assert lines == [["self"], ["60.0%", "c"], ["cumulative"], ["60.0%", "c"]]


def test_a_flame_graph_is_as_wide_as_the_time() -> None:
    stacks = {
        ("kernel.a:f", "<string>:<lambda>"): 250,
        ("kernel.a:f",): 250,
        ("emu.b:g",): 499,
        ("tiny:h",): 1,
    }
    drawn = ElementTree.fromstring(flame.svg(Profile(stacks, 4), "a & b"))
    space = "{http://www.w3.org/2000/svg}"
    boxes: dict[str, dict[str, float]] = {}
    for group in drawn.iter(f"{space}g"):
        tip, box = group.find(f"{space}title"), group.find(f"{space}rect")
        assert tip is not None and tip.text and box is not None
        name = tip.text.rpartition(": ")[0]
        boxes[name] = {key: float(box.attrib[key]) for key in ("x", "y", "width")}
    full_px = flame.WIDTH_PX - 2 * flame.MARGIN_PX
    assert boxes["all"]["width"] == full_px
    assert boxes["kernel.a:f"]["width"] == pytest.approx(full_px / 2, abs=0.1)
    assert boxes["kernel.a:f"]["x"] == pytest.approx(
        boxes["emu.b:g"]["x"] + boxes["emu.b:g"]["width"], abs=0.2
    )
    inner = boxes["<string>:<lambda>"]
    assert inner["y"] == boxes["kernel.a:f"]["y"] - flame.ROW_PX == boxes["all"]["y"] - 2 * flame.ROW_PX
    assert inner["width"] == pytest.approx(full_px / 4, abs=0.1)


@pytest.mark.slow
def test_a_row_is_profiled_on_a_real_machine(tmp_path: Path) -> None:
    found = profiling.profile_row(GETPID, long_s=0.3)
    cumulative = found.cumulative_ns()
    assert cumulative["emu.loop:Loop.go_on"] > 0
    assert cumulative["kernel.trap:Trap.run"] > 0  # in a greenlet of its own
    bad = tmp_path / "bad.img"
    bad.write_bytes(bytes(2048))
    with pytest.raises(BenchError, match=r"bad\.img"):
        profiling.profile_row(USERTESTS["quick"], bad)


def _executable(path: Path, code: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_goals_of_time_travel_are_told() -> None:
    fast = Measure("a step", 4.0, "ms", 20)
    assert (fast.passed, report.time_line(fast).endswith("at most 20: reached")) == (True, True)
    slow = Measure("steps", 9.5, "a second", 10_000, more=True, note="why")
    assert (slow.passed, report.time_line(slow).endswith("at least 10,000: MISSED  why")) == (False, True)
    assert Measure("as it is", 1.0, "%").passed is None


def test_a_remote_goes_on_behind_introductions_and_tells_of_errors() -> None:
    answers = {
        b"?": b"T05thread:p1.1;", b"QStartNoAckMode": b"OK", b"g": b"E0e", b"pa": b"ff00000000000000",
    }  # fmt: skip
    stops = [b"T05exec:2f61;thread:p2.2;", b"T05library:;thread:p2.2;", b"T05swbreak:;thread:p2.2;"]

    def serve(server: socket.socket) -> None:
        client, _ = server.accept()
        parser = Parser()
        with client:
            while data := client.recv(1 << 16):
                for item in parser.feed(data):
                    if item.kind is Kind.PACKET:
                        said = stops.pop(0) if item.payload == b"vCont;c" else answers.get(item.payload, b"")
                        client.sendall(encode(b"O61") + encode(said))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve, args=(server,), daemon=True)
        thread.start()
        remote = Remote(server.getsockname()[1])
        assert (remote.thread, remote.ask(b"pa")) == (b"p1.1", b"ff00000000000000")
        assert remote.go_on() == b"T05swbreak:;thread:p2.2;" and remote.thread == b"p2.2"
        with pytest.raises(BenchError, match="g with E0e"):
            remote.ask(b"g")
        remote.close()
        thread.join(10)


def test_a_program_is_timed_between_two_bytes_that_it_prints(tmp_path: Path) -> None:
    code = "import sys, time\nsys.stdout.write('<')\nsys.stdout.flush()\ntime.sleep(0.2)\nprint('>')"
    script = _executable(tmp_path / "work", code)
    with Process([str(script)]) as process:
        assert process.between(b"<", b">") >= 0.2
    with Process([str(script)]) as process, pytest.raises(BenchError, match="ended before"):
        process.between(b"!", b">")
    with Process([str(script)]) as process, pytest.raises(BenchError, match="does not wait for gdb"):
        process.port()
