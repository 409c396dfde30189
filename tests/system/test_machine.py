"""`from orrery import Machine`: what a script can do with a machine."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from orrery import (
    BadInput,
    Deadlock,
    ExpectTimeout,
    FaultEvent,
    Machine,
    PoweredOff,
    SwitchEvent,
    SyscallEvent,
)
from toolchain.mkfs import ImageError


@pytest.fixture(scope="module")
def machine(test_image: bytes) -> Machine:
    """A machine that many tests talk to; each leaves it at its prompt."""
    return Machine(test_image).boot()


def test_sh_gives_the_output_and_status_the_exit_status(machine: Machine) -> None:
    assert machine.sh("echo one two | wc") == "1 2 8 \n"
    assert machine.status == 0
    assert machine.sh("status 300\necho done") == "done\n"
    assert machine.sh("cat nofile; status 300") == "cat: cannot open nofile\n"
    assert machine.status == 300 & 255
    assert machine.sh("") == ""


def test_type_and_expect(machine: Machine) -> None:
    machine.type("echo a")
    machine.type(b"bc; echo last\n")
    found = machine.expect(r"\n(a.c)\n", 1)
    assert found[1] == "abc"
    machine.expect(r"last\n\$ $")
    machine.type("cat > f\n")
    machine.type("word\n" * 100)
    machine.type(b"\x04")
    assert machine.sh("wc f") == "100 100 500 f\n"


def test_expect_ends_in_virtual_time(machine: Machine) -> None:
    machine.type("spin\n")
    before = machine.time_ps
    with pytest.raises(ExpectTimeout, match=r"'never' on the console: 0.01 s of virtual time .*spin"):
        machine.expect("never", 0.01)
    assert 0 <= machine.time_ps - before - 10**10 < 10**7
    assert issubclass(ExpectTimeout, TimeoutError)
    with pytest.raises(ExpectTimeout, match="prompt"):
        machine.sh("echo not typed", timeout_s=0.01)
    other = Machine().boot()
    with pytest.raises(ExpectTimeout, match="wait for ever"):
        other.expect("never")
    other.close()


def test_a_command_that_cannot_end_is_a_deadlock(test_image: bytes) -> None:
    with Machine(test_image) as machine:
        with pytest.raises(Deadlock, match=r"\(cat\) waits for a line from the console"):
            machine.sh("cat")
        machine.type(b"\x04")
        assert machine.sh("echo on") == "on\n"
        with pytest.raises(Deadlock, match=r"\(stuck\) waits for bytes in a pipe"):
            machine.sh("stuck")


def test_a_guest_that_switches_off_says_so() -> None:
    with Machine(init_argv=(b"/init", b"echo", b"bye")) as machine:
        with pytest.raises(PoweredOff, match="status 0") as off:
            machine.expect("never")
        assert off.value.status == 0


def test_a_look_inside(machine: Machine) -> None:
    assert machine.time_ps > 0
    assert machine.reg("pc") == machine.board.hart.regs[64] and machine.reg("zero") == 0
    assert machine.read(0x8000_0000, 4) == bytes(machine.board.ram.bytes[:4]) != bytes(4)
    assert len(machine.read(0x8000_0000 + (128 << 20) - 8, 8)) == 8
    for pa, n in ((0, 8), (0x8000_0000 + (128 << 20) - 7, 8)):
        with pytest.raises(ValueError, match="RAM is from"):
            machine.read(pa, n)
    with pytest.raises(ValueError, match="no register 'x99'"):
        machine.reg("x99")


def _work(machine: Machine) -> str:
    machine.boot()
    machine.sh("echo text > f; cat f | wc; crash; ls > g")
    return machine.digest()


def test_hooks_see_everything_and_change_nothing(test_image: bytes) -> None:
    calls: list[SyscallEvent] = []
    faults: list[FaultEvent] = []
    switches: list[SwitchEvent] = []
    with Machine(test_image) as plain, Machine(test_image) as hooked:
        hooked.on("syscall", calls.append)
        hooked.on("fault", faults.append)
        hooked.on("switch", switches.append)
        assert _work(plain) == _work(hooked)
        assert plain.time_ps == hooked.time_ps
    times = [event.time_ps for event in calls]
    assert times == sorted(times) and times[0] > 0
    (made,) = [call for call in calls if call.name == "open" and '"f", O_WRONLY' in call.text]
    assert (made.process, made.result, made.text) == ("sh", 1, 'open("f", O_WRONLY|O_CREATE|O_TRUNC) = 1')
    assert made.args[1] == 0x601 and made.pid > 2
    assert all(call.result is None for call in calls if call.name == "exit")
    assert {call.name for call in calls} >= {"fork", "exec", "wait", "read", "write", "pipe", "dup", "close"}
    (crash,) = [fault for fault in faults if not fault.mapped]
    assert (crash.name, crash.cause, crash.va) == ("crash", 15, 0x5000000000)
    assert {switch.name for switch in switches} >= {"init", "sh"}


def test_a_hook_that_raises_stops_the_run_and_leaves_the_machine_whole(test_image: bytes) -> None:
    def refuse(event: SyscallEvent) -> None:
        if event.name == "mkdir":
            raise ZeroDivisionError(event.text)

    with Machine(test_image) as machine:
        machine.on("syscall", refuse)
        with pytest.raises(ZeroDivisionError, match=r'mkdir\("d"\) = 0'):
            machine.sh("mkdir d")
        machine.expect(r"\$ $")
        assert machine.sh("echo on") == "on\n"
    with pytest.raises(ValueError, match="no events of kind 'sys'"):
        machine.on("sys", refuse)


def test_machines_are_independent_of_each_other() -> None:
    with Machine() as one, Machine(mem_mib=32) as two, Machine(engine="public") as three:
        for machine in (one, two, three):
            machine.boot()
        one.sh("echo one > f")
        assert two.sh("cat f") == "cat: cannot open f\n"
        assert one.sh("cat f") == "one\n"
        three.sh("echo one > f")
        three.sh("cat f")
        assert one.digest() == three.digest() != two.digest()


def test_a_drive_by_path_is_kept_and_bytes_are_not(drive: Path, test_image: bytes) -> None:
    with Machine(drive) as machine:
        machine.sh("echo kept > f")
        with pytest.raises(BadInput, match="in use"):
            Machine(str(drive))
    with Machine(str(drive), snapshot=True) as machine:
        assert machine.sh("cat f; rm f") == "kept\n"
    with Machine(drive) as machine:
        assert machine.sh("cat f") == "kept\n"
    before = hashlib.sha256(test_image).digest()
    with Machine(test_image) as machine:
        machine.sh("echo lost > f")
    assert hashlib.sha256(test_image).digest() == before


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    for wrong in ({"mem_mib": 1}, {"engine": "steam"}):
        with pytest.raises(BadInput):
            Machine(**wrong)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no such file"):
        Machine(tmp_path / "nothing")
    with pytest.raises(ImageError, match="the image in memory: super block"):
        Machine(bytes(1 << 20))


def test_the_seed_is_the_machines_own() -> None:
    with Machine(seed=7) as one, Machine(seed=7) as two, Machine() as three:
        drawn = [machine.random.random() for machine in (one, two, three)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_closed_machine_has_no_thread_left_and_stays_closed(machine: Machine) -> None:
    other = Machine().boot()
    other.close()
    other.close()
    with pytest.raises(ValueError, match="closed"):
        other.expect("something new")
    script = (
        "from orrery import Machine; Machine().boot().sh('ls')"  # not closed: the end is quiet all the same
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
