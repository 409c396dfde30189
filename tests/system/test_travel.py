"""A script that goes back in time: snapshots, other futures, and where they part."""

from pathlib import Path
from typing import Any

import pytest
from orrery_cli import image_with

from emu.dev.drive import RamDrive
from emu.ram import RAM_BASE
from kernel.abi.memlayout import PGSIZE
from kernel.mm.pagetable import pa_of
from kernel.proc import Process
from orrery import BadInput, Deadlock, ExpectTimeout, Machine, PoweredOff, diff
from toolchain import image

MEM_MIB = 16


def machine() -> Machine:
    return Machine(mem_mib=MEM_MIB).boot()


def test_a_snapshot_can_be_gone_back_to() -> None:
    with machine() as it:
        snapshot, digest = it.snapshot(), it.digest()
        assert it.sh("echo hi > x; cat x") == "hi\n"
        later, then = it.time_ps, it.digest()
        it.goto(snapshot)
        assert (it.time_ps, it.digest(), it.at_prompt) == (snapshot.time_ps, digest, True)
        it.goto(later)
        assert it.digest() == then, "what was typed is typed again"
        it.goto(snapshot)
        assert it.sh("cat x") == "cat: cannot open x\n"
        it.goto(later)
        assert it.digest() != then, "that future has gone"


def test_a_time_is_gone_to_from_both_sides() -> None:
    with machine() as it:
        it.sh("ls | wc")
        end = it.time_ps
        it.goto(end // 2)
        assert end // 2 <= it.time_ps < end
        middle, digest = it.time_ps, it.digest()
        it.goto(0)
        assert it.time_ps == 0
        it.goto(middle)
        assert it.digest() == digest
        it.goto(end * 10)
        assert it.time_ps >= end, "until all wait"
        assert it.sh("echo on") == "on\n"


def test_a_time_is_gone_to_before_what_was_done_at_it() -> None:
    with machine() as it:
        prompt, digest = it.time_ps, it.digest()
        it.sh("echo hi > x")
        then = it.time_ps
        it.goto(prompt)
        assert (it.time_ps, it.digest()) == (prompt, digest)
        it.goto(then)
        assert it.time_ps == then and it.sh("cat x") == "hi\n"


@pytest.mark.parametrize("when", [-1, 1.5, None, "soon"])
def test_what_is_no_time_loses_nothing(when: Any) -> None:
    with machine() as it:
        digest = it.digest()
        with pytest.raises(ValueError, match="is no time"):
            it.goto(when)
        assert it.digest() == digest


def test_a_closed_machine_does_not_travel() -> None:
    it = machine()
    snapshot = it.snapshot()
    it.close()
    for travel in (it.fork, it.snapshot, lambda: it.goto(snapshot), lambda: it.write(RAM_BASE, b"x")):
        with pytest.raises(ValueError, match="was closed"):
            travel()


def test_a_hook_cannot_take_its_machine_elsewhere() -> None:
    for travel in (Machine.fork, Machine.snapshot, lambda it: it.goto(0), lambda it: it.sh("ls")):
        with machine() as it:
            it.on("syscall", lambda event, it=it, travel=travel: travel(it))
            with pytest.raises(ValueError, match="is running"):
                it.sh("echo x")


def test_a_fork_is_another_future() -> None:
    with machine() as it:
        it.sh("echo before > x")
        with it.fork() as other:
            assert other.digest() == it.digest()
            assert other.sh("rm x; ls | wc") != it.sh("ls | wc")
            assert it.sh("cat x") == "before\n"
            with it.fork() as third:
                assert third.digest() == it.digest()


def test_where_two_futures_part_is_found() -> None:
    with machine() as it, it.fork() as other:
        assert it.sh("ls | wc; echo a") != other.sh("ls | wc; echo b")
        found = diff(it, other)
        assert found is not None and not found.registers and not found.addresses
        assert found.text.endswith("in the kernel: the console shows different things"), "the echo of the key"
        assert found.moment.pc == it.kernel.image.kerneltrap
        with it.fork() as same:
            assert diff(it, same) is None


def test_futures_with_other_drives_part_where_the_disk_is_read() -> None:
    drives = [image.rebuilt(image.default_image(), {"note": text}) for text in (b"one\n", b"two\n")]
    with (
        Machine(drives[0], mem_mib=MEM_MIB, snapshot=True, seed=1).boot() as it,
        Machine(drives[1], mem_mib=MEM_MIB, snapshot=True, seed=2).boot() as other,
    ):
        assert (it.sh("cat note"), other.sh("cat note")) == ("one\n", "two\n")
        found = diff(it, other)
        assert found is not None and found.addresses and not found.console
        assert "in the kernel: the bytes at 0x" in found.text


def test_the_place_in_the_source_is_in_the_difference() -> None:
    with machine() as it, it.fork() as other:
        assert it.sh("echo a") != other.sh("echo b")
        found = diff(it, other)
        assert found is not None and " (kerneltrap at kernel/asm/gates.S:" in found.text


def test_a_machine_has_a_timeline_of_its_run() -> None:
    with machine() as it:
        it.sh("echo hi > x; cat x")
        with it.timeline() as timeline:
            assert (timeline.moment.time_ps, timeline.digest()) == (it.time_ps, it.digest())
            assert timeline.run_until("exec", backwards=True).detail.endswith(" runs cat")
            timeline.reverse_step(10)
            timeline.type(b"another future\n")
            timeline.resume()
            assert b"another future" in timeline.take_output()
        assert it.sh("cat x") == "hi\n"


def bytes_at(it: Machine, p: Process, va: int) -> bytes:
    return it.kernel.vm.peek(p.space, va, PGSIZE) or b""


def test_a_changed_byte_parts_futures_where_it_is_read() -> None:
    with machine() as it, it.fork() as other:
        shell = next(p for p in other.kernel.procs if p.name == "sh")
        pages = (va for va in range(0, shell.space.sz, PGSIZE) if b"$ \0" in bytes_at(other, shell, va))
        va = next(pages)
        prompt = pa_of(other.kernel.vm.pte(shell.space, va)) + bytes_at(other, shell, va).index(b"$ \0")
        other.write(prompt, b"#")
        assert it.sh("echo a") == "a\n"
        other.type("echo a\n")
        other.expect("# ")
        found = diff(it, other)
        assert found is not None and found.console and not found.addresses
        with pytest.raises(ValueError, match="RAM is from 0x80000000"):
            other.write(0, b"x")


def test_events_are_run_to() -> None:
    with machine() as it:
        it.type("echo hi\n")
        assert it.run_until("fork").text.endswith("has a child, process 3")
        assert it.run_until("exec").text == "process 3 runs echo"
        assert it.run_until("syscall:write").pid == 3
        with pytest.raises(ExpectTimeout, match="waiting for crash"):
            it.run_until("crash", timeout_s=0.001)
        with pytest.raises(Deadlock, match="waiting for crash"):
            it.run_until("crash")
        with pytest.raises(ValueError, match="no such event"):
            it.run_until("lunch")
    with Machine(mem_mib=MEM_MIB, init_argv=(b"/init", b"echo")) as it, pytest.raises(PoweredOff):
        it.run_until("crash")


def test_hooks_stay_and_are_not_called_for_what_was_before() -> None:
    with machine() as it:
        calls: list[str] = []
        it.on("syscall", lambda event: calls.append(event.name))
        start = it.snapshot()
        it.sh("echo hi")
        count = len(calls)
        it.goto(start)
        assert len(calls) == count > 0
        it.sh("echo hi")
        assert len(calls) == 2 * count
        it.goto(start)
        it.type("echo again\n")
        assert it.expect("again\n")


def test_a_drive_that_keeps_what_is_written_cannot_be_gone_back_with(tmp_path: Path) -> None:
    path = tmp_path / "fs.img"
    path.write_bytes(image_with(tmp_path, {}))
    with Machine(path, mem_mib=MEM_MIB) as it:
        with pytest.raises(BadInput, match="snapshot=True"):
            it.fork()
        assert it.boot().sh("echo hi") == "hi\n"
    with Machine(path, mem_mib=MEM_MIB, snapshot=True) as it:
        start = it.boot().snapshot()
        it.sh("echo hi > x")
        it.goto(start)
        assert it.sh("cat x") == "cat: cannot open x\n"
        with Machine(mem_mib=2 * MEM_MIB) as other, pytest.raises(BadInput, match="one mem_mib"):
            diff(it, other)
    with Machine(RamDrive(image.default_image())) as it, pytest.raises(BadInput, match="made elsewhere"):
        it.goto(0)
