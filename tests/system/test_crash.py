"""What is said of a crash: why, in words, and where, in C; on stderr, beside xv6's lines on the console."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from orrery_cli import image_with, orrery

from orrery import Machine
from orrery.inspect.crash_reports import NO_MORE, REPORTS_MAX, Crashes
from toolchain import cc, fsimage, mkfs

SOURCE = """
#include "user/user.h"
#include "kernel/fcntl.h"
#include "kernel/vm.h"
#include "kernel/param.h"
struct pair { int a[100], b; };
char data[100];
const char constant[8192] = "constant";
static inline __attribute__((always_inline)) void store(volatile char *p) { *p = 1; }
#define APART __attribute__((noinline))
APART int deep(int n) { volatile char frame[500]; frame[0] = n; return deep(n + 1) + frame[0]; }
APART int wide(int n) { volatile char frame[1 << 20]; frame[n] = 1; return frame[n + 1]; }
int is(const char *a, const char *b) { return strcmp(a, b) == 0; }
void *map(int prot, int flags, int fd, int size) { return mmap(0, size, prot, flags, fd, 0); }

int main(int argc, char **argv) {
    char *what = argv[1], *heap = sbrk(4096);
    volatile char *p = 0;
    if (is(what, "null")) *p = 1;
    if (is(what, "field")) ((struct pair *)p)->b = 1;
    if (is(what, "before")) p[-8] = 1;
    if (is(what, "low")) store((char *)main + 512);
    if (is(what, "constant")) store((char *)constant + 8000);
    if (is(what, "guard")) store((char *)((uint64)&argc & ~4095) - (USERSTACK - 1) * 4096 - 1);
    if (is(what, "deep")) return deep(0);
    if (is(what, "wide")) return wide(argc);
    if (is(what, "heap")) store(heap + 4096 + 5);
    if (is(what, "read")) return p[0x5000000];
    if (is(what, "noaddress")) store((char *)0x0123456789abcdef);
    if (is(what, "trapframe")) store((char *)0x3fffffe008);
    if (is(what, "jump")) ((void (*)(void))0x5000000)();
    if (is(what, "jumpheap")) ((void (*)(void))heap)();
    if (is(what, "fadd")) asm volatile("fadd.d f0, f1, f2");
    if (is(what, "cfld")) asm volatile(".half 0x2000");
    if (is(what, "frcsr")) asm volatile("frcsr a0");
    if (is(what, "time")) asm volatile("rdtime a0");
    if (is(what, "sret")) asm volatile("sret");
    if (is(what, "unimp")) asm volatile("unimp");
    if (is(what, "word")) asm volatile(".word 0xffffffff");
    if (is(what, "ebreak")) asm volatile("ebreak");
    if (is(what, "amo")) asm volatile("amoadd.w a0, a0, (%0)" : : "r"(heap + 1));
    if (is(what, "readonly")) store(map(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 4096));
    if (is(what, "none")) return *(volatile char *)map(0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 4096);
    if (is(what, "end")) p = map(PROT_READ, MAP_PRIVATE, open("README", 0), 65536);
    if (is(what, "end")) return p[60000];
    if (is(what, "unmapped")) {
        char *m = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 8192);
        munmap(m, 8192);
        store(m + 4100);
    }
    if (is(what, "memory")) {
        char *h = sbrklazy(200 << 20);
        for (int i = 0; i < 200 << 20; i += 4096)
            store(h + i);
    }
    return 0;
}
"""
HEX = r"0x[0-9a-f]+"
CASES = {
    "null": ("it wrote to 0x0, a NULL pointer", "main"),
    "field": (r"it wrote to 0x190, a NULL pointer \+400", "main"),
    "before": (r"it wrote to 0xfffffffffffffff8, a NULL pointer -8", "main"),
    "low": (rf"it wrote to {HEX}, which is read-only: code or a constant, or a NULL pointer \+\d+", "store"),
    "guard": (rf"it wrote to {HEX}, in the guard page below its stack", "store"),
    "constant": (rf"it wrote to {HEX}, which is read-only: code or a constant", "store"),
    "deep": (rf"stack overflow: it wrote to {HEX}, and its stack goes down to {HEX} only", "deep"),
    "wide": (rf"stack overflow: it wrote to {HEX}, and its stack goes down to {HEX} only", "wide"),
    "heap": (rf"it wrote to {HEX}, beyond the heap, which ends at {HEX}", "store"),
    "read": (r"it read from 0x5000000, beyond the heap, which ends at .*", "main"),
    "noaddress": (r"it wrote to 0x123456789abcdef, which is no address: they end at 0x4000000000", "store"),
    "trapframe": (r"it wrote to 0x3fffffe008, which is the kernel's \(trapframe\)", "store"),
    "jump": (r"it jumped to 0x5000000, where it has no code", "main"),
    "jumpheap": (rf"it jumped to {HEX}, which is data, and no code", "main"),
    "fadd": (r"it used floating point, and floating point is off: .*", "main"),
    "cfld": (r"it used floating point, and floating point is off: .*", "main"),
    "frcsr": (r"it used fcsr, and floating point is off: .*", "main"),
    "time": (r"it used the counter time, which user programs may not", "main"),
    "sret": (r"it came to an instruction that is for the kernel only", "main"),
    "unimp": (r"it came to unimp, .*", "main"),
    "word": (r"it came to an instruction that does not exist, 0xffffffff", "main"),
    "ebreak": (r"it came to a breakpoint, ebreak", "main"),
    "amo": (rf"it used {HEX} in an atomic operation, which takes multiples of its size", "main"),
    "readonly": (rf"it wrote to {HEX}, in a mapping that may not be written", "store"),
    "none": (rf"it read from {HEX}, in a mapping that may not be read", "main"),
    "end": (rf"it read from {HEX}, in a mapping, behind the end of its file, which has \d+ bytes", "main"),
    "unmapped": (rf"it wrote to {HEX}, in a mapping that it has unmapped", "store"),
    "memory": (rf"it wrote to {HEX}: out of memory, no page was left for it", "store"),
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("crash") / "oops.c"
    source.write_text(SOURCE)
    return source


@pytest.fixture(scope="module")
def told(program: Path) -> Iterator[tuple[Machine, list[str]]]:
    """A machine with the program, and what is said of crashes."""
    files = {"oops": cc.compile_user([program]), "plain": cc.compile_user([program], debug=False)}
    files |= _files(program.parent)
    reports: list[str] = []
    with Machine(bytes(mkfs.build(files, size=3000, ninodes=200))) as machine:
        machine.boot()
        yield machine, reports


@pytest.mark.parametrize("what", CASES)
def test_each_kind_of_crash_has_its_words(told: tuple[Machine, list[str]], what: str) -> None:
    machine, reports = told
    Crashes(machine, reports.append)
    reports.clear()
    shown = machine.sh(f"oops {what}")
    assert shown.count("usertrap(): unexpected scause") == 1
    ((first, *lines),) = (report.splitlines() for report in reports)
    why, function = CASES[what]
    assert re.fullmatch(rf"oops \(pid \d+\) was killed: {why}", first), first
    innermost = next(line for line in lines if " at " in line)
    assert re.match(rf"  #\d+ +{HEX} {function}\b.* at oops.c:\d+$", innermost), lines


def test_a_program_without_debug_information_has_addresses(told: tuple[Machine, list[str]]) -> None:
    machine, reports = told
    Crashes(machine, reports.append)
    reports.clear()
    machine.sh("plain jump")
    ((first, innermost, *_),) = (report.splitlines() for report in reports)
    assert first.endswith("was killed: it jumped to 0x5000000, where it has no code")
    assert re.fullmatch(r"  #0 +0x0*5000000.*", innermost)


def test_a_report_changes_nothing_and_there_are_not_too_many(told: tuple[Machine, list[str]]) -> None:
    machine, reports = told
    machine.kernel.hooks.on_crash = None
    with machine.fork() as other:
        Crashes(machine, reports.append)
        reports.clear()
        for _ in range(REPORTS_MAX + 2):
            assert machine.sh("oops null") == other.sh("oops null")
        assert machine.digest() == other.digest()
    assert len(reports) == REPORTS_MAX + 1 and reports[-1] == NO_MORE


def test_it_is_told_on_stderr_by_run_and_boot(program: Path, tmp_path: Path) -> None:
    done = orrery("run", program, "deep")
    assert done.status == 255 and done.out.startswith("usertrap(): unexpected scause 0xf pid=2\n")
    first, second, *_ = done.lines
    assert first.startswith("orrery: oops (pid 2) was killed: stack overflow: it wrote to 0x")
    assert re.fullmatch(rf"  #0 +{HEX} deep\+0x[0-9a-f]+ at oops.c:11", second)
    drive = tmp_path / "fs.img"
    drive.write_bytes(mkfs.build({**_files(tmp_path), "oops": cc.compile_user([program])}, size=3000))
    done = orrery("boot", "--drive", drive, "-c", "oops fadd")
    assert done.out.startswith("usertrap(): unexpected scause 0x2 ") and done.out.count("\n") == 2
    assert "floating point is off" in done.lines[0] and " main" in done.lines[1]


def _files(directory: Path) -> dict[str, bytes]:
    image = fsimage.FsImage(image_with(directory, {}))
    return {entry.path[1:]: image.read(entry.path) for entry in image.walk() if entry.type == 2}


def test_run_says_who_killed_the_program(tmp_path: Path) -> None:
    source = tmp_path / "victim.c"
    source.write_text(
        '#include "user/user.h"\n'
        "int main(void) { int me = getpid(); if (fork() == 0) { kill(me); exit(0); } for (;;) sleep(1); }\n"
    )
    done = orrery("run", source)
    assert done.status == 255
    assert done.err == "orrery: victim (pid 2) was killed by victim (pid 3), with kill()\n"
