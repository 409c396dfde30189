"""The name of a process is bytes of any kind: programs see those bytes, and people see one line of text."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from debugged import Session, init
from orrery_cli import INCLUDES, orrery

from kernel.kernel import KernelPanic
from kernel.personality import Traits
from kernel.proc import NAME_MAX, Process, name_bytes, process_name
from orrery import Machine
from orrery.debugger.commands.run import to_main
from orrery.gdb.inferiors import Inferiors
from orrery.gdb.symbol_files import SymbolFiles
from orrery.inspect import postmortem
from orrery.inspect.crash_reports import Crashes
from orrery.inspect.monitor import Monitor
from orrery.inspect.strace import Strace
from orrery.machine import hooks
from orrery.pool import answers
from orrery.pool.channel import Channel
from orrery.timetravel.target import ProcessInfo
from orrery.timetravel.timeline import Timeline
from toolchain import cc, image
from toolchain.names import shown

NAMES = (
    b"caf\xe9",
    bytes(range(0x80, 0x8F)),
    b"\xff\xfe\xf0",
    b"\xed\xb2\x80",  # how UTF-8 would write a surrogate, if it might
    b"\x01\x1b[31m\n\r\t\x7f",
    "\u2028\u0085".encode(),
    b"<&>q'\"\\]]>",
    "\uffff\u0628".encode(),
    "é".encode() * 9,  # cut in the midst of a character
    b"n" * 100,
)
SOURCE = (
    INCLUDES
    + """
#include "kernel/ps.h"
int main(int argc, char **argv)
{
    struct psinfo all[8];
    int n = ps(all, 8);
    write(1, "{", 1);
    write(1, all[n - 1].name, strlen(all[n - 1].name));
    write(1, "}", 1);
    asm volatile("li a7, 99\\n ecall" ::: "a0", "a7");
    return *(volatile int *)0x5000000000;
}
"""
)


@pytest.fixture(scope="module")
def elf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    source = tmp_path_factory.mktemp("names") / "prog.c"
    source.write_text(SOURCE)
    return cc.compile_user([source], optimize=False)


def is_one_line(text: str) -> bool:
    """Whether it does nothing to a terminal."""
    return shown(text) == text


def modules(name: bytes, elf: bytes) -> dict[bytes, bytes]:
    return {b"/init": init(), name: elf}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_bytes_for_programs_and_lines_for_people(name: bytes, elf: bytes) -> None:
    kept, told = name[:NAME_MAX], shown(process_name(name))
    traced: list[str] = []
    crashes: list[str] = []
    looks: dict[str, str] = {}
    events: list[Any] = []
    console = bytearray()
    with Machine(mem_mib=16, init_argv=(b"/init", name), modules=modules(name, elf)) as machine:

        def look(event: hooks.SyscallEvent) -> None:
            if event.pid == 2 and event.name == "ps":
                monitor = Monitor(machine)
                for line in ("ps", "sched", "stack 2", "frames", "log"):
                    looks[line] = monitor.execute(line)
                try:
                    machine.kernel.panic("broken")
                except KernelPanic as error:
                    looks["panic"] = postmortem.report(machine, error)

        machine.hub.add(strace := Strace(machine.kernel, traced.append))
        Crashes(machine, crashes.append)
        machine.on("syscall", look)
        for kind in hooks.HookKind:
            machine.on(kind, events.append)
        machine.kernel.console.on_output = lambda pid, data: console.extend(data)
        machine.run()
        strace.finish()
    assert b"{%b}" % kept in console and b"2 %b: unknown sys call 99\n" % kept in console
    mine = [line for line in traced if line.startswith(f"2 {told}: ")]
    assert len(mine) > 3 and all(is_one_line(line[:-1]) for line in traced), traced
    assert crashes and crashes[0].startswith(f"{told} (pid 2) was killed: ")
    for line, said in looks.items():
        assert all(map(is_one_line, said.split("\n"))), (line, said)
    assert told in looks["ps"] and f"process 2 ({told})" in looks["stack 2"] and f"({told})" in looks["panic"]
    assert {told} & set(looks["sched"].split()) or " " in told or f"process 2 ({told})" in looks["sched"]
    names = {getattr(event, "process", event.name) for event in events if event.pid == 2}
    assert process_name(name) in names and names <= {process_name(name), "init"}
    assert {one.kind for one in events} == set(hooks.HookKind)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_keeps_its_bytes_on_every_way(name: bytes) -> None:
    p = Process(0, SimpleNamespace(traits=Traits))  # type: ignore[arg-type]
    p.name = process_name(b"/dir/" + name)
    assert name_bytes(p) == name[:NAME_MAX] and process_name(name) == p.name
    assert f"{p}" == f"process 0 ({shown(p.name)})", "a report is made in the kernel and in orrery/ alike"
    event = hooks.SwitchEvent(5, 2, p.name)
    near, far = Channel.pair()
    other = Channel(far)
    try:
        other.answer(("switch", 5, 2, p.name))
        assert answers.event(near.receive_answer(1 << 20)) == event
        near.send((p.name,))
        assert other.receive() == ((p.name,), None)
    finally:
        near.close()
        other.close()


def test_gdb_gets_well_formed_names() -> None:
    processes = [ProcessInfo(pid, process_name(name), "run", 1, False) for pid, name in enumerate(NAMES, 2)]
    inferiors = Inferiors(cast(Any, SimpleNamespace(processes=lambda: processes)))
    inferiors.known.update(one.pid for one in processes)
    threads = ElementTree.fromstring(inferiors.threads_xml())
    assert [one.get("name") for one in threads] == [inferiors.name(one.pid) for one in processes]
    assert threads[0].get("name") == "caf\\xe9" and threads[6].get("name") == "<&>q'\"\\]]>"
    assert all(inferiors.name(one.pid).isprintable() for one in processes)
    session = SimpleNamespace(processes=lambda: processes, program=lambda pid: b"ELF %d" % pid)
    files = SymbolFiles(cast(Any, session), image.kernel_elf(), image.trampoline_elf())
    paths = [files.path(one.pid) for one in processes]
    assert paths[0] == "/caf\\xe9" and len(set(paths)) == len(paths) and all(path.encode() for path in paths)


@pytest.mark.parametrize("name", [NAMES[0], NAMES[4], NAMES[8]], ids=ascii)
def test_the_debugger_stops_in_main_whatever_the_program_is_called(name: bytes, elf: bytes) -> None:
    with Timeline(mem_mib=16, init_argv=(b"/init", name), modules=modules(name, elf)) as timeline:
        session = Session(timeline, {process_name(name): elf})
        assert "\nmain (argc=1, argv=0x" in to_main(session.debugger)
        assert shown(process_name(name)) in session.say("info processes")
        assert f"{os.fsdecode(name)}..." in session.say(f"file {os.fsdecode(name)}")
        session.say("break ps", "continue")
        assert session.say("info breakpoints").count("already hit 1 time") == 1
        session.say("catch crash", "continue")
        assert "prog.c" in session.say("bt")


def test_the_debugger_reads_and_shows_bytes_in_every_locale(tmp_path: Path) -> None:
    source = os.fsencode(tmp_path) + b"/caf\xe9.c"
    Path(os.fsdecode(source)).write_text(SOURCE)
    lines = b"info processes\nfile caf\xe9\nbreak caf\xe9:ps\nprint \xe9\ntype \xe9\nquit\n"
    for encoding in ("utf-8:strict", "ascii:strict", "ascii:surrogateescape"):
        environment = {
            "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding,
        }  # fmt: skip
        done = orrery("debug", source, stdin=lines, env=environment)
        assert done.status == 0 and done.err == "", (encoding, done)
        assert all(map(is_one_line, re.split(r"[\n\t]", done.out)))
        for said in ("caf\\xe9 ", "Reading symbols from caf\\xe9", "Breakpoint 1 at ", "(orrery) type \\xe9"):
            assert said in done.out, (encoding, done.out)
