"""The coroutines of user/lib: what a switch costs and saves, by single instructions, and what a fault says.

What they do for programs is tested by user/tests/cotests.c, which test_own_programs.py runs.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import boot
import pytest

from emu.clock import TICKS_PER_S
from emu.cpu.engine import NAMES
from kernel.abi import elf
from orrery import Machine
from orrery.inspect.monitor import Monitor
from toolchain import cc

SAVED = ("ra", "sp", *(f"s{i}" for i in range(12)))  # in the order of co_context.h
SWITCH_INSTRUCTIONS = 29  # as many out as in, and the return
YIELD_INSTRUCTIONS = SWITCH_INSTRUCTIONS + 2  # and taking the next of the ring
TURNS = 12

TWO = """
    #include "kernel/types.h"
    #include "user/user.h"
    #include "user/co.h"
    static void spin(void *rounds)
    {
        for (;;)
            co_yield();
    }
    int main(void)
    {
        if (co_create("other", spin, 0, CO_STACK_BYTES) == 0)
            return 1;
        for (;;)
            co_yield();
    }
"""
DEEP = """
    #include "kernel/types.h"
    #include "kernel/riscv.h"
    #include "user/user.h"
    #include "user/co.h"
    static int sink(int depth)
    {
        volatile char frame[300];
        frame[0] = depth;
        return sink(depth + 1) + frame[0];
    }
    static void dive(void *unused)
    {
        char here;
        printf("stack %d %p\\n", getpid(), (void *)PGROUNDDOWN((uint64)&here));
        sink(0);
    }
    int main(void)
    {
        co_join(co_create("diver", dive, 0, 3 * PGSIZE));
        return 0;
    }
"""

WAITING = """
    #include "kernel/types.h"
    #include "user/user.h"
    #include "user/co.h"
    __attribute__((noinline)) static int wait_for_a_key(void)
    {
        char c;
        return read(0, &c, 1) + 1;
    }
    static void reader(void *result)
    {
        *(int *)result = wait_for_a_key();
    }
    int main(void)
    {
        int result;
        co_join(co_create("reader", reader, &result, CO_STACK_BYTES));
        return result;
    }
"""


class Stepper:
    """A machine whose first process runs one program; goes on by single instructions of user mode."""

    def __init__(self, machine: Machine, program: bytes) -> None:
        self.machine = machine
        header = elf.Header.unpack(program)
        assert header is not None
        self.symbols = elf.symbols(program, header)

    @property
    def pc(self) -> int:
        """Of the program; -1 in the kernel."""
        return self.machine.reg("pc") if self.machine.reg("priv") == 0 else -1

    def run_to(self, *addresses: int) -> int:
        """Step until the program is about to do one at these; how many of its own it did."""
        done = 0
        while self.pc not in addresses or done == 0:
            done += self.pc >= 0
            self.machine.board.loop.step()
        return done

    def words(self, va: int, n: int) -> list[int]:
        """So many words of the process's memory."""
        (p,) = self.machine.kernel.procs
        data = self.machine.kernel.vm.peek(p.space, va, 8 * n)
        assert data is not None
        return [int.from_bytes(data[at : at + 8], "little") for at in range(0, 8 * n, 8)]


@pytest.fixture(params=boot.ENGINES)
def stepper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stepper]:
    source = tmp_path / "two.c"
    source.write_text(TWO)
    program = cc.compile_user([source])
    with Machine(engine=request.param, init_argv=(b"/two",), modules={b"/two": program}) as machine:
        stepper = Stepper(machine, program)
        machine.on("syscall", lambda event: machine.ask_stop() if event.name == "mprotect" else None)
        machine.run()
        yield stepper


def test_a_switch_is_29_instructions(stepper: Stepper) -> None:
    first, switch = stepper.symbols["co_yield"], stepper.symbols["co_switch"]
    returns: dict[int, int] = {}
    for _ in range(TURNS):
        stepper.run_to(first)
        me, back = stepper.machine.reg("tp"), stepper.machine.reg("ra")
        assert stepper.run_to(switch) == YIELD_INSTRUCTIONS - SWITCH_INSTRUCTIONS
        steps = stepper.run_to(*returns.values(), back, stepper.symbols["co_start"])
        assert steps == SWITCH_INSTRUCTIONS < 30
        assert stepper.machine.reg("tp") != me
        returns[me] = back
    assert len(returns) == 2, "they took turns"


def test_a_switch_keeps_what_a_call_keeps(stepper: Stepper) -> None:
    """Each register that a call preserves is saved in the coroutine, and is there again afterwards."""
    first = stepper.symbols["co_yield"]
    kept: dict[int, dict[str, int]] = {}
    for turn in range(TURNS):
        stepper.run_to(first)
        me = stepper.machine.reg("tp")
        for i in range(12):  # a mark in each, but for the frame pointer
            if i > 0:
                stepper.machine.board.hart.regs[NAMES[f"s{i}"]] = 1000 * turn + i
        kept[me] = {name: stepper.machine.reg(name) for name in SAVED}
        stepper.run_to(*(one["ra"] for one in kept.values()), stepper.symbols["co_start"])
        other = stepper.machine.reg("tp")
        assert stepper.words(me, len(SAVED)) == list(kept[me].values())
        if other in kept:
            assert {name: stepper.machine.reg(name) for name in SAVED} == kept[other]


def test_an_overflow_is_a_fault_on_the_guard_page(tmp_path: Path) -> None:
    source = tmp_path / "deep.c"
    source.write_text(DEEP)
    program = cc.compile_user([source])
    with Machine(modules={b"/deep": program}) as machine:
        printed = machine.boot().sh("/deep")
        assert machine.status == 0xFF, printed
        found = re.search(r"stack (\d+) (\w+)\n.*scause 0xf pid=\1\n.*stval=(\w+)", printed)
        assert found, printed
        top_page, fault = int(found[2], 16), int(found[3], 16)
        assert top_page - 3 * 4096 <= fault < top_page - 2 * 4096


def test_a_backtrace_ends_where_the_coroutine_starts(tmp_path: Path) -> None:
    source = tmp_path / "waiting.c"
    source.write_text(WAITING)
    program = cc.compile_user([source])
    with Machine(modules={b"/waiting": program}) as machine:
        machine.boot().type("/waiting\n")
        machine.run(machine.board.clock.now + TICKS_PER_S)
        (p,) = [p for p in machine.kernel.procs if p.name == "waiting"]
        in_program = Monitor(machine).execute(f"stack {p.pid}").partition("in the kernel")[0]
        calls = re.findall(r"^#\d+ +\w+ (\w+)", in_program, re.M)
        assert calls == ["read", "wait_for_a_key", "reader", "co_start"]


def test_uthread_counts_in_turns() -> None:
    names = ("thread_c", "thread_a", "thread_b")
    turns = [f"{name} {i}\n" for i in range(100) for name in names]
    with Machine() as machine:
        assert machine.boot().sh("uthread") == "".join(
            [
                *(f"{name} started\n" for name in sorted(names)),
                *turns,
                *(f"{name}: exit after 100\n" for name in names),
                "thread_schedule: no runnable threads\n",
            ]
        )
        assert machine.status == 0
