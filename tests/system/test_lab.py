"""The calls of the course's labs: what trace prints, what interpose refuses, which year has which call, what
the calls about page tables tell, and that no argument of theirs harms the kernel.

Alarms and superpages have programs of their own (user/tests/alarmtest.c, pgtbltest.c).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import orrery_cli
import pytest

from kernel.abi.memlayout import PGSIZE, TRAMPOLINE, TRAPFRAME
from kernel.abi.syscalls import LAB_YEARS, SYSCALLS, table
from orrery import Machine
from orrery.errors import BadInput
from orrery.inspect.audit import Audit

MASK32 = 0xFFFFFFFF


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine() as made:
        made.boot()
        yield made
        assert Audit(made.kernel).findings() == []


def output(where: Path, body: str, *, head: str = "", **settings: object) -> str:
    """What a program with this main() prints on a machine with these settings; the books add up then."""
    source = '#include "kernel/types.h"\n#include "kernel/riscv.h"\n#include "kernel/fcntl.h"\n'
    source += f'#include "kernel/sysinfo.h"\n#include "kernel/memlayout.h"\n#include "user/user.h"\n{head}'
    source += f"int main(int argc, char **argv)\n{{\n{body}\n    return 0;\n}}\n"
    with Machine(orrery_cli.image_with(where, {"lab": source}), **settings) as machine:  # type: ignore[arg-type]
        printed = machine.boot().sh("lab")
        assert machine.status == 0, printed
        assert Audit(machine.kernel).findings() == []
        return printed


# --- trace ---


def test_trace_prints_the_calls_in_the_mask(machine: Machine) -> None:
    machine.sh("echo one two > words")
    lines = re.findall(r"^\d+: (syscall .*)$", machine.sh("trace 2147483647 cat words"), re.M)
    assert lines[:4] == ["syscall trace -> 0", "syscall exec -> 2", "syscall open -> 3", "syscall read -> 8"]
    assert lines[-1] != "syscall exit -> 0", "a call that does not return is not printed"
    pids = set(re.findall(r"^(\d+): syscall", machine.sh("trace 32 cat words"), re.M))
    assert len(pids) == 1
    assert "syscall" not in machine.sh("cat words"), "it ends with the process"


def test_children_are_traced_too(machine: Machine) -> None:
    printed = machine.sh(f"trace {1 << 1 | 1 << 3} sh < README")  # fork, wait
    forked = [int(pid) for pid in re.findall(r": syscall fork -> (\d+)$", printed, re.M)]
    assert forked
    assert set(re.findall(r"^(\d+): syscall wait", printed, re.M)) <= {
        str(min(forked) - 1),
        *map(str, forked),
    }


def test_a_result_is_printed_as_an_int(tmp_path: Path) -> None:
    body = 'trace(-1); open("nosuch", 0); sbrk(PGSIZE); trace(0); getpid();'
    calls = re.findall(r"syscall (\w+) -> (-?\d+)", output(tmp_path, body))
    assert [name for name, _ in calls] == ["trace", "open", "sbrk"]
    assert calls[1][1] == "-1" and int(calls[2][1]) > 0


# --- interpose ---


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("sandbox 32768 - cat one", "cat: cannot open one\n"),
        ("sandbox 32768 one cat one", "1\n"),
        ("sandbox 32768 ./one cat one", "cat: cannot open one\n"),
        ("sandbox 32768 one cat one two", "1\ncat: cannot open two\n"),
        ("sandbox 128 sh sh < script", ""),  # exec of sh alone; the shell cannot say so: it may not exec echo
        ("sandbox 2147483643 cat cat one", ""),  # all but exit, and exec of cat
        ("sandbox 0 - echo free", "free\n"),
        ("sandbox 65536 - echo mute", ""),
        ("sandbox 4 - sandbox 32768 - cat one", "cat: cannot open one\n"),
    ],
)
def test_a_sandbox_refuses(machine: Machine, command: str, printed: str) -> None:
    if "one" not in machine.sh("ls"):
        machine.sh("echo 1 > one; echo 2 > two; echo echo hello > script")
    got = machine.sh(command)
    assert got == printed or (not printed and "hello" not in got and "1\n" not in got)


def test_a_mask_that_names_interpose_is_final(tmp_path: Path) -> None:
    body = """
    printf("%d ", interpose(1 << SYS_uptime, "-"));
    printf("%d ", uptime());
    printf("%d ", interpose(1 << SYS_interpose | 1 << SYS_uptime, "-"));
    printf("%d %d %d ", interpose(0, "-"), uptime(), getpid() > 0);
    int pid = fork();
    if (pid == 0) {
        printf("%d %d\\n", interpose(0, "-"), uptime());
        exit(0);
    }
    wait(0);
    """
    assert output(tmp_path, body, head='#include "kernel/syscall.h"\n') == "0 -1 0 -1 -1 1 -1 -1\n"


def test_interpose_takes_no_bad_path(tmp_path: Path) -> None:
    body = """
    static char long_path[200];
    memset(long_path, 'x', sizeof long_path - 1);
    printf("%d ", interpose(1 << 14, long_path));
    printf("%d ", interpose(1 << 14, (char *)0x3fffffe000));
    printf("%d ", interpose(1 << 14, 0) == 0); /* address 0 is text: whatever string is there */
    printf("%d\\n", uptime());
    """
    assert output(tmp_path, body) == "-1 -1 1 -1\n"


# --- the years ---


def test_each_year_has_its_table() -> None:
    assert {number: call.name for number, call in table(2025).items() if number in (23, 30, 33)} == {
        23: "interpose", 33: "pgpte",
    }  # fmt: skip
    for year in range(2019, 2024):
        assert table(year)[23].name == "sysinfo" and table(year)[30].name == "pgaccess"
    for year in LAB_YEARS:
        assert {call.name for call in table(year).values()} >= {"fork", "trace", "mmap", "mprotect", "ps"}
    assert {call.name for year in LAB_YEARS for call in table(year).values()} == {c.name for c in SYSCALLS}


def test_a_call_of_another_year_is_unknown(tmp_path: Path) -> None:
    source = 'struct sysinfo info; printf("%d\\n", sysinfo(&info));'
    assert output(tmp_path, source, lab=2022) == "0\n"
    assert re.fullmatch(r"\d+ lab: unknown sys call 23\n-1\n", output(tmp_path, source, lab=2024))


LACKING = """
    char buf[100];
    uint32 src;
    uint16 sport;
    int failed = bind(2000) + unbind(2000) + send(1, 2, 3, buf, 4) + recv(1, &src, &sport, buf, 9);
    failed += rwlktest() + cpupin(1) + connect(1, 2, 3);
    printf("%d failed\\n", -failed);
    if (fork() == 0)
        return statistics(buf, sizeof buf);
    int status;
    wait(&status);
    printf("%d\\n", status);
    mknod("statistics", 2, 0);
    printf("%d\\n", statistics(buf, sizeof buf));
"""


def test_calls_that_need_other_hardware_say_what_is_missing(tmp_path: Path) -> None:
    printed = output(tmp_path, LACKING, head='#include "kernel/net.h"\n')
    *lacking, failed, opened, status, nothing = re.sub(r"^\d+ lab: ", "", printed, flags=re.M).splitlines()
    assert lacking == [
        *(f"unknown sys call {number}" for number in (29, 30, 31, 32)),
        "unknown sys call 35: rwlktest tests read-write spinlocks, and this kernel, on one hart, has none",
        "unknown sys call 36: cpupin chooses a hart, and this machine has one",
        "unknown sys call 29",
    ]
    assert (failed, opened, status, nothing) == ("7 failed", "stats: open failed", "1", "0")
    assert output(tmp_path, "rwlktest();", lab=2024).endswith(": unknown sys call 35\n")


@pytest.mark.parametrize("year", [2018, 2026, 0, -1])
def test_a_year_that_was_not(year: int) -> None:
    with pytest.raises(BadInput, match=f"lab {year}: no such year; give from 2019 to 2025"):
        Machine(lab=year)


GREEDY = """
    uint64 start = (uint64)sbrk(0), taken = 0;
    struct sysinfo before, empty, after;
    sysinfo(&before);
    while (sys_sbrk(PGSIZE, MODE) != SBRK_ERROR)
        taken += PGSIZE;
    sysinfo(&empty);
    sbrk(-((uint64)sbrk(0) - start));
    sysinfo(&after);
    printf("%d %d ", taken > (96 << 20) * 1UL, taken == after.freemem);
    printf("%lu %lu\\n", empty.freemem, after.nproc);
    sbrk(PGSIZE);
    sysinfo(&before);
    printf("%ld\\n", (long)(after.freemem - before.freemem));
"""
SMALL_STEPS = """
    int n = 0;
    while (sys_sbrk(4096, MODE) != (char *)-1)
        n++;
    printf("%d\\n", 31000 < n && n < 32700);
"""
LARGE_STEPS = """
    char *old = sbrk(0);
    printf("%d%d", sys_sbrk(1 << 30, 0) == old, sbrk(0) - old == 1 << 30);
    sbrk(old - sbrk(0));
    printf("%d", sys_sbrk(1 << 30, 2) == old);
    sbrk(old - sbrk(0));
    printf("%d%d\\n", sys_sbrk(1 << 30, 1) == old, sys_sbrk(1 << 20, 1) == old);
"""


@pytest.mark.parametrize("mode", [0, 1, 2, 77])
@pytest.mark.parametrize("year", [2019, 2023])
def test_sbrk_fails_when_memory_is_out(tmp_path: Path, year: int, mode: int) -> None:
    """Page by page, whatever the mode; and what the program got is what sysinfo calls free afterwards."""
    printed = output(tmp_path, GREEDY.replace("MODE", str(mode)), lab=year)
    assert printed == f"1 1 0 3\n{PGSIZE}\n"


@pytest.mark.parametrize("year, mode", [(2020, 2), (2022, 0), (2024, 1), (2024, 2), (2025, 1)])
def test_sbrk_in_small_steps_ends_with_memory(tmp_path: Path, year: int, mode: int) -> None:
    assert output(tmp_path, SMALL_STEPS.replace("MODE", str(mode)), lab=year) == "1\n"


@pytest.mark.parametrize(
    "years, printed",
    [
        pytest.param((2019, 2020), "11110", id="with a lab on lazy allocation: a1 is garbage"),
        pytest.param((2021, 2022, 2023, 2024), "00001", id="eager: a1 is garbage"),
        pytest.param((2025,), "11101", id="a1 is the mode"),
    ],
)
def test_sbrk_promises_what_is_large_where_the_year_does(
    tmp_path: Path, years: tuple[int, ...], printed: str
) -> None:
    for year in years:
        assert output(tmp_path, LARGE_STEPS, lab=year) == f"{printed}\n", year


# --- page tables ---


def test_kpgtbl_prints_each_entry(tmp_path: Path) -> None:
    printed = output(tmp_path, 'char *heap = sbrk(PGSIZE);\nprintf("%p\\n", heap);\nkpgtbl();')
    heap, first, *lines = printed.splitlines()
    assert re.fullmatch(r"page table 0x[0-9a-f]{16}", first)
    entry = re.compile(r"((?: \.\.){1,3})(0x[0-9a-f]{16}): pte (0x[0-9a-f]{16}) pa (0x[0-9a-f]{16})")
    entries = []
    for line in lines:
        found = entry.fullmatch(line)
        assert found, line
        entries.append((len(found[1]) // 3, *(int(word, 16) for word in found.groups()[1:])))
    assert all(pte >> 10 << 12 == pa and pte & 1 for _, _, pte, pa in entries)
    assert entries[0][:2] == (1, 0) and entries[1][:2] == (2, 0)
    leaves = [va for depth, va, _, _ in entries if depth == 3]
    assert leaves == sorted(leaves) and leaves[-2:] == [TRAPFRAME, TRAMPOLINE] and int(heap, 16) in leaves


PGACCESS = """
    char *heap = sbrk(70 * PGSIZE);
    uint64 mask = -1UL;
    int result = pgaccess(heap, 32, &mask);
    printf("%d %d %d ", result, (uint)mask == 0, (uint)(mask >> 32) == -1U);
    heap[0] = heap[PGSIZE * 3] = heap[PGSIZE * 31 + 5] = 1;
    pgaccess(heap, 32, &mask);
    printf("%d ", (uint)mask == (1U | 8 | 1U << 31));
    pgaccess(heap, 32, &mask);
    printf("%d ", (uint)mask == 0);
    (void)*(volatile char *)(heap + PGSIZE * 63);
    pgaccess(heap + 100, 64, &mask);
    printf("%d ", mask == 1UL << 63);
    heap[PGSIZE] = 1;
    printf("%d ", pgaccess(heap, 32, (void *)0x3fffffe000)); /* nothing is forgotten */
    pgaccess(heap, 1, &mask);
    printf("%d ", (uint)mask == 0);
    pgaccess(heap, 2, &mask);
    printf("%d\\n", (uint)mask == 2);
    printf("%d %d ", pgaccess(heap, 65, &mask), pgaccess(heap, -1, &mask));
    printf("%d %d %d %d\\n", pgaccess(heap, 0, &mask),
           pgaccess((void *)(MAXVA - PGSIZE), 2, &mask), pgaccess((void *)-1, 1, &mask),
           pgaccess((void *)(1UL << 37), 1, &mask));
"""


def test_pgaccess_tells_what_was_touched(tmp_path: Path) -> None:
    printed = output(tmp_path, PGACCESS, lab=2021)
    assert printed == "0 1 1 1 1 1 -1 1 1\n-1 -1 0 -1 -1 0\n"


def test_pgpte_of_every_kind_of_page(tmp_path: Path) -> None:
    body = """
    char *heap = sbrklazy(2 * PGSIZE);
    uint64 stack = PGROUNDDOWN((uint64)&heap);
    uint64 pages[] = {0, stack, stack - PGSIZE, (uint64)heap, (uint64)heap + PGSIZE,
                      (uint64)heap + 2 * PGSIZE, TRAPFRAME, TRAMPOLINE, MAXVA - 1, MAXVA, 1UL << 63, -1UL};
    for (int i = 0; i < sizeof pages / sizeof pages[0]; i++)
        printf("%lx ", PTE_FLAGS(pgpte((void *)pages[i])) & ~(PTE_A | PTE_D));
    """
    rx, rw, u = 0xB, 0x7, 0x10
    flags = [rx | u, rw | u, rw, rw | u, rw | u, 0, rw, rx, rx, 0, 0, 0]
    assert [int(word, 16) for word in output(tmp_path, body).split()] == flags


# --- what strace says ---


def test_flags_are_shown_by_name(tmp_path: Path) -> None:
    source = """
    #include "kernel/fcntl.h"
    int main(void)
    {
        open("nosuch", O_RDWR | O_TRUNC | O_NOFOLLOW);
        open("nosuch", 3 | 0x10000000);
        mmap(0, 0, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        mmap((void *)4096, 0, PROT_NONE, 0, 7, -4096);
        mprotect((void *)1, 8, PROT_EXEC | 64);
        msync((void *)1, 8, MS_SYNC | MS_INVALIDATE);
        pgpte((void *)-1);
        sigalarm(0, (void (*)(void))16);
        interpose(0, "-");
    }
    """
    seen: list[str] = []
    with Machine(orrery_cli.image_with(tmp_path, {"flags": source})) as machine:
        machine.boot().on("syscall", lambda event: seen.append(event.text))
        machine.sh("flags")
    assert [text for text in seen if text.startswith(("open", "m", "pgpte", "sig", "inter"))] == [
        'open("nosuch", O_RDWR|O_TRUNC|O_NOFOLLOW) = -1',
        'open("nosuch", 3|0x10000000) = -1',
        "mmap(0x0, 0x0, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = -1",
        "mmap(0x1000, 0x0, PROT_NONE, 0, 7, 0xfffffffffffff000) = -1",
        "mprotect(0x1, 0x8, PROT_EXEC|0x40) = -1",
        "msync(0x1, 0x8, MS_INVALIDATE|MS_SYNC) = -1",
        "pgpte(0xffffffffffffffff) = 0x0",
        "sigalarm(0, 0x10) = 0",
        'interpose(0, "-") = 0',
    ]


# --- arguments that harm nobody ---


def test_without_the_page_ugetpid_kills(tmp_path: Path) -> None:
    body = """
    int pid = fork(), status;
    if (pid == 0)
        exit(ugetpid());
    wait(&status);
    printf("%d\\n", status);
    """
    assert output(tmp_path, body).endswith("\n-1\n")


@pytest.mark.parametrize("number", [0, 29, 31, 37, 63, 65535, MASK32])
def test_numbers_without_a_call(tmp_path: Path, number: int) -> None:
    head = 'long call(long n);\n__asm__("call: mv a7, a0\\necall\\nret\\n");\n'
    printed = output(tmp_path, f'printf("%ld\\n", call({number}));', head=head)
    shown = number - (1 << 32) if number == MASK32 else number
    assert re.fullmatch(rf"\d+ lab: unknown sys call {shown}\n-1\n", printed)


def test_the_options_of_the_command_line(tmp_path: Path) -> None:
    source = tmp_path / "options.c"
    source.write_text(
        '#include "kernel/types.h"\n#include "kernel/sysinfo.h"\n#include "user/user.h"\n'
        "int main(void) { struct sysinfo is; return sysinfo(&is) == 0 && ugetpid() == getpid() ? 3 : 4; }\n"
    )
    assert orrery_cli.orrery("run", "--lab", "2020", "--usyscall", source).status == 3
