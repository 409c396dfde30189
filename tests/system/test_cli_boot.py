"""`orrery boot` without a terminal: -c lines, piped input, what is printed and with which status."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from orrery_cli import ORRERY, STOCK_INIT, STOCK_SHELL, image_with, orrery

BANNER = "\norrery: the xv6 kernel in Python is booting\n\ninit: starting sh\n$ "
END = "\x04"  # the console echoes ^D as it is


# --- -c ---


def test_a_line_prints_only_its_output() -> None:
    done = orrery("boot", "-c", "echo one two | wc; echo hi")
    assert (done.status, done.err) == (0, "")
    assert done.out.split() == ["1", "2", "8", "hi"]


def test_the_status_is_that_of_the_last_command(drive: Path) -> None:
    assert orrery("boot", "--drive", drive, "-c", "status 42").status == 42
    assert orrery("boot", "--drive", drive, "-c", "status 7; status 300").status == 300 & 255
    assert orrery("boot", "--drive", drive, "-c", "status 7", "-c", "").status == 7


def test_lines_are_typed_one_after_the_other() -> None:
    done = orrery("boot", "-c", "echo one > f\ncat f", "-c", "rm f", "-c", "cat f")
    assert done.out == "one\ncat: cannot open f\n"
    assert done.status == 1


def test_what_the_shell_and_the_kernel_say_is_kept(drive: Path) -> None:
    done = orrery("boot", "--drive", drive, "-c", "cd nowhere", "-c", "crash", "-c", "echo $ x")
    cannot, scause, sepc, echo = done.out.splitlines()
    assert cannot == "cannot cd nowhere"
    assert scause.startswith("usertrap(): unexpected scause 0xf pid=") and "stval=0x5000000000" in sepc
    assert echo == "$ x"


def test_a_line_longer_than_every_buffer_arrives_whole() -> None:
    words = " ".join(f"w{i}" for i in range(25))
    line = f"echo {words} > f; echo {words[::-1]} >> f; cat f; echo {words}"
    assert 256 < len(line) < 512
    done = orrery("boot", "-c", line)
    assert done.out == f"{words}\n{words[::-1]}\n{words}\n"


def test_a_program_of_a_c_line_reads_stdin_and_the_rest_is_for_the_shell() -> None:
    done = orrery("boot", "-c", "wc", "-c", "echo last", stdin="a b\nc\n")
    assert (done.status, done.out.splitlines()[1:]) == (0, ["last"])
    assert done.out.split()[:3] == ["2", "3", "6"]
    done = orrery("boot", "-c", "echo first", stdin="echo second\nls nofile")
    assert done.status == 1
    assert done.out.splitlines() == ["first", "second", "ls: cannot open nofile"]


@pytest.mark.parametrize("background", ["spin", "doze"])
def test_the_background_does_not_hold_up_a_line(drive: Path, background: str) -> None:
    done = orrery("boot", "--drive", drive, "-c", f"{background} &", "-c", "echo here")
    assert (done.status, done.out) == (0, "here\n")


def test_a_line_waits_for_what_is_pending(drive: Path) -> None:
    done = orrery("boot", "--drive", drive, "-c", "later &", "-c", "echo now")
    assert done.out == "later\nnow\n"


def test_output_comes_at_once(drive: Path) -> None:
    run = subprocess.Popen(
        [ORRERY, "boot", "--drive", drive, "-c", "echo early; spin"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert run.stdout is not None
    with run.stdout:
        assert run.stdout.readline() == b"early\n"
        assert run.poll() is None
        run.kill()
    run.wait()


def test_an_image_whose_init_knows_no_power_off(tmp_path: Path) -> None:
    """As stock ones: the shell's prompt goes out byte by byte, and init would start the shell again."""
    drive = tmp_path / "fs.img"
    stock = {"init": STOCK_INIT, "sh": STOCK_SHELL, "fail": "int main(void) { return -3; }"}
    drive.write_bytes(image_with(tmp_path, stock))
    done = orrery("boot", "--drive", drive, "-c", "ls", "-c", "nofile", "-c", "say", "-c", "fail")
    assert done.status == -3 & 255
    assert done.out.endswith("exec nofile failed\nI say") and "$" not in done.out and "\nsh " in done.out
    done = orrery("boot", "--drive", drive, stdin="fail\n")
    assert (done.status, done.out) == (253, BANNER + "fail\n$ " + END)
    run = tmp_path / "prog.c"
    run.write_text('#include "user/user.h"\nint main(void) { printf("ours\\n"); return 5; }')
    done = orrery("run", "--drive", drive, run)
    assert (done.status, done.out) == (5, "ours\n")


# --- a pipe ---


def test_piped_input_is_typed_and_all_is_shown() -> None:
    done = orrery("boot", stdin="echo hi\ncat nofile\n")
    assert done.out == BANNER + "echo hi\nhi\n$ cat nofile\ncat: cannot open nofile\n$ " + END
    assert (done.status, done.err) == (1, "")


def test_the_end_of_input_is_one_end_for_who_waits() -> None:
    done = orrery("boot", stdin="wc\none\ntwo")
    assert done.out.startswith(BANNER + "wc\none\ntwo" + END) and done.out.endswith("$ ")
    assert done.out.partition(END)[2].split() == ["1", "2", "7", "$"]
    assert done.status == 0


def test_no_input_is_an_empty_pipe() -> None:
    with open(os.devnull) as null:
        done = subprocess.run([ORRERY, "boot"], stdin=null, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, BANNER + END, b"")
    closed = subprocess.run(
        f"exec {ORRERY} boot <&-", shell=True, capture_output=True, check=False, timeout=60
    )
    assert (closed.returncode, closed.stdout.decode(), closed.stderr) == (0, BANNER + END, b"")


# --- how a run ends ---


def test_all_asleep_for_ever_is_a_deadlock(drive: Path) -> None:
    for limit in ([], ["--max-time", "1000"]):
        done = orrery("boot", "--drive", drive, *limit, "-c", "stuck")
        assert (done.status, done.out) == (126, "")
        assert len(done.lines) == 1 and done.err.startswith("orrery: deadlock: process 1 (init) waits for ")
        assert "(stuck) waits for bytes in a pipe" in done.err


def test_who_waits_for_more_input_than_there_is_deadlocks(drive: Path) -> None:
    done = orrery("boot", "--drive", drive, stdin="insist\n")
    assert done.status == 126
    assert "(insist) waits for a line from the console" in done.err


def test_limits_of_time(drive: Path) -> None:
    done = orrery("boot", "--drive", drive, "--max-time", "0.25", "-c", "spin")
    assert (done.status, done.err) == (124, "orrery: timeout: 0.25 s of virtual time are over\n")
    done = orrery("boot", "--drive", drive, "--timeout", "0.5", "-c", "spin")
    assert (done.status, done.err) == (124, "orrery: timeout: 0.5 s of wall time are over\n")


def test_a_limit_of_wall_time_while_input_is_waited_for() -> None:
    read, write = os.pipe()
    try:
        done = subprocess.run(
            [ORRERY, "boot", "--timeout", "0.5"], stdin=read, capture_output=True, check=False, timeout=60
        )
    finally:
        os.close(read)
        os.close(write)
    assert (done.returncode, done.stdout.decode()) == (124, BANNER)
    assert done.stderr == b"orrery: timeout: 0.5 s of wall time are over\n"


def test_a_panic_tells_where_the_program_and_the_kernel_were(tmp_path: Path) -> None:
    text = "int f(int n) { if (n) return f(n - 1) + 1; exit(3); }\nint main(void) { return f(2); }"
    drive = tmp_path / "fs.img"
    drive.write_bytes(image_with(tmp_path, {"init": text}))
    done = orrery("boot", "--drive", drive, "-c", "ls")
    assert (done.status, done.out) == (125, "")
    assert "the xv6 kernel in Python is booting" in done.lines[0]  # nothing that explains an end is hidden
    report = done.err.partition("orrery: panic: ")[2]
    assert report.startswith("init exiting\nprocess 1 (init), ")
    assert " a0 0000000000000003 " in report
    backtrace = report.partition("user backtrace:\n")[2].partition("kernel traceback:\n")[0]
    assert len(backtrace.splitlines()) >= 1 + 3 + 1  # exit's stub, three times f, main
    assert 'kernel/proc.py", line ' in report and report.rstrip().endswith("KernelPanic: init exiting")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("line", ["spin", "cat"])
def test_signals_end_a_run(drive: Path, number: signal.Signals, line: str) -> None:
    run = subprocess.Popen(
        [ORRERY, "boot", "--drive", drive, "-c", f"echo up; {line}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdout is not None and run.stdout.readline() == b"up\n"
    time.sleep(0.05)
    run.send_signal(number)
    _, err = run.communicate(timeout=20)
    assert (run.returncode, err) == (128 + number, b"")


def test_a_reader_who_has_gone_ends_a_run() -> None:
    script = f"{ORRERY} boot -c 'usertests' </dev/null | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False, timeout=60)
    assert done.stdout.splitlines()[-1] == b"141" and done.stderr == b""


# --- machine options ---


def test_a_drive_keeps_what_is_written_and_a_snapshot_does_not(drive: Path) -> None:
    before = drive.read_bytes()
    assert orrery("boot", "--drive", drive, "--snapshot", "-c", "echo kept > f; cat f").out == "kept\n"
    assert drive.read_bytes() == before
    assert orrery("boot", "--drive", drive, "-c", "echo kept > f").status == 0
    assert orrery("boot", "--drive", drive, "-c", "cat f").out == "kept\n"
    assert orrery("boot", "-c", "cat f").status == 1


def test_memory_can_be_little_and_much() -> None:
    for mem in ("8", "1024"):
        assert orrery("boot", "-m", mem, "-c", "echo up").out == "up\n"


def test_the_public_engine_runs_too() -> None:
    assert orrery("boot", "--engine", "public", "-c", "echo up | cat").out == "up\n"


def test_a_seed_changes_nothing_yet_and_that_is_said() -> None:
    plain, seeded = (orrery("boot", "--digest", *words, "-c", "echo up") for words in ((), ("--seed", "5")))
    assert seeded.out == plain.out == "up\n"
    assert seeded.lines == [
        "orrery: warning: --seed 5 changes nothing yet: so far nothing is left to chance", *plain.lines,
    ]  # fmt: skip


def test_strace_goes_to_a_file(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    done = orrery("boot", f"--strace={trace}", "-c", "cat README > f")
    assert (done.status, done.out, done.err) == (0, "", "")
    lines = trace.read_text().splitlines()
    assert any(line.endswith(' cat: open("README", O_RDONLY) = 3') for line in lines)
    assert any('sh: open("f", O_WRONLY|O_CREATE|O_TRUNC) = ' in line for line in lines)
    assert lines[-1].startswith("2 sh: read(0, 0x") and lines[-1].endswith(" = ?")
