"""`orrery run`, `cc`, `mkfs`, `lsfs` and `doctor`; strace and the digest through the command line."""

import os
import re
import stat
from pathlib import Path

import pytest
from orrery_cli import INCLUDES, orrery

from toolchain import cc, image

HELLO = (
    INCLUDES
    + """
int main(int argc, char **argv)
{
    char text[100];
    int n;
    for (int i = 0; i < argc; i++)
        printf("%s\\n", argv[i]);
    while ((n = read(0, text, sizeof text)) > 0)
        write(1, text, n);
    return 260 + argc;
}
"""
)
ASSEMBLY = """
.globl main
main:   li      a0, 9
        ret
"""
# Forks, a pipe, file writes, memory, exec: a little of each.
BUSY = (
    INCLUDES
    + """
int main(void)
{
    int ends[2];
    char text[100] = "";
    pipe(ends);
    for (int child = 0; child < 3; child++)
        if (fork() == 0) {
            for (volatile int i = 0; i < 20000; i++)
                ;
            int fd = open("file", O_CREATE | O_RDWR);
            write(fd, text, sizeof text);
            close(fd);
            write(ends[1], "x", 1);
            exit(0);
        }
    while (wait(0) > 0)
        read(ends[0], text, 1);
    sbrk(100000)[50000] = 1;
    printf("%s %d\\n", text, uptime());
    char *argv[] = {"echo", "end", 0};
    exec("echo", argv);
    return 1;
}
"""
)


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello.c"
    path.write_text(HELLO)
    return path


def test_a_c_source_runs_with_arguments_input_and_status(hello: Path) -> None:
    done = orrery("run", hello, "a", "-b c", stdin="in\nput")
    assert (done.status, done.out, done.err) == (7, "hello\na\n-b c\nin\nput", "")


def test_an_elf_and_assembly_run(hello: Path, tmp_path: Path) -> None:
    program = tmp_path / "_prog"
    assert orrery("cc", "-o", program, hello).status == 0
    assert program.stat().st_mode & stat.S_IXUSR and program.read_bytes().startswith(b"\x7fELF")
    done = orrery("run", program)
    assert (done.status, done.out) == (5, "_prog\n")
    source = tmp_path / "nine.S"
    source.write_text(ASSEMBLY)
    assert orrery("run", source).status == 9


def test_all_behind_the_program_is_for_the_program(hello: Path) -> None:
    words = ["x", "--digest", "-m", "--mem=1", "--", "--drive", "-h"]
    done = orrery("run", "-m", "32", "--digest", hello, *words)
    assert done.out.splitlines() == ["hello", *words]
    assert len(done.lines) == 2
    done = orrery("run", hello, "--", "hello.c", "--digest")
    assert (done.out.splitlines(), done.err) == (["hello", "hello.c", "--digest"], "")


def test_a_program_of_several_sources(hello: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(
        "int more(int);\nint main(int argc, char **argv) { return more(argc) + X; }\n"
    )
    (tmp_path / "more.c").write_text("int more(int n) { return n * 10; }\n")
    sources = (tmp_path / "main.c", tmp_path / "more.c")
    assert orrery("run", "-DX=4", *sources, "a", "b").status == 34
    assert orrery("run", "-D", "X=5", *sources, "--", "a.c").status == 25
    assert "undefined symbol: more" in orrery("run", "-DX=1", sources[0], "--", sources[1]).err
    out = tmp_path / "more.o"
    assert orrery("cc", "-c", "-o", out, sources[1]).status == 0
    assert orrery("run", "-DX=6", sources[0], out).status == 16
    done = orrery("run", sources[0], tmp_path / "none.c")
    assert done.status == 2 and "none.c: No such file" in done.err
    done = orrery("run", "-DX=1", hello, *sources)
    assert done.status == 2 and "duplicate symbol: main" in done.err


def test_strace_shows_each_call_decoded(tmp_path: Path) -> None:
    source = tmp_path / "calls.c"
    source.write_text(
        INCLUDES
        + """#include "kernel/stat.h"
        int main(void) {
            struct stat st; int fds[2], status; char text[40];
            char *argv[] = {"echo", "a\\"b", 0};
            pipe(fds); fstat(0, &st);
            write(fds[1], "one\\ttwo\\1""23 and a text that goes on", 33); read(fds[0], text, 40);
            open("nofile", O_RDONLY); write(9, text, 1); open((char *)-1, O_CREATE | O_RDWR);
            if (fork() == 0) exec("echo", argv);
            wait(&status); wait(0); mkdir("d"); chdir("d"); sbrk(4096); sleep(1); kill(99); close(9);
            return 3;
        }"""
    )
    done = orrery("run", "--strace", source)
    assert (done.status, done.out) == (3, 'a"b\n')
    form = re.compile(r"\d+ \w+: \w+\(.*\) = (-?\d+|0x[0-9a-f]+|\?)")
    assert all(form.fullmatch(line) for line in done.lines)
    calls = [line.partition(": ")[2] for line in done.lines if line.startswith("2 calls: ")]
    text = r'"one\ttwo\00123 and a text that goes "...'
    plain = [re.sub(r"ino=\d+", "ino=N", re.sub("0x[0-9a-f]+", "HEX", call)) for call in calls]
    assert plain == [
        "pipe([3, 4]) = 0",
        "fstat(0, {dev=1, ino=N, type=T_DEVICE, nlink=1, size=0}) = 0",
        f"write(4, {text}, 33) = 33",
        f"read(3, {text}, 40) = 33",
        'open("nofile", O_RDONLY) = -1',
        'write(9, "o", 1) = -1',
        "open(HEX, O_RDWR|O_CREATE) = -1",
        "fork() = 3",
        "wait([0]) = 3",
        "wait(NULL) = -1",
        'mkdir("d") = 0',
        'chdir("d") = 0',
        calls[12].replace(calls[12].rpartition(" = ")[2], "HEX"),
        "sleep(1) = 0",
        "kill(99) = -1",
        "close(9) = -1",
        "exit(3) = ?",
    ]
    assert calls[12].startswith("sbrk(4096, ") and " = 0x" in calls[12]
    assert r'3 calls: exec("echo", ["echo", "a\"b"]) = 2' in done.lines
    assert "1 init: wait([3]) = 2" in done.lines


def test_a_run_has_one_digest_however_it_is_run_and_watched(tmp_path: Path) -> None:
    source = tmp_path / "busy.c"
    source.write_text(BUSY)
    first = orrery("run", "--digest", source)
    assert (first.status, first.out.splitlines()[-1]) == (0, "end")
    digest, time = first.lines
    assert re.fullmatch("digest: [0-9a-f]{64}", digest) and re.fullmatch(r"time: \d+ ps", time)
    again = [
        orrery("run", "--digest", source, env={"PYTHONHASHSEED": "7"}),
        orrery("run", "--digest", "--engine", "public", source),
        orrery("run", "--digest", f"--strace={tmp_path / 'trace'}", source),
        orrery("run", "--digest", "--timeout", "50", source),
    ]
    assert [done.lines for done in again] == [[digest, time]] * len(again)
    other = orrery("run", "--digest", source, stdin="x")
    assert other.lines == [digest, time], "input that nobody asks for goes nowhere"
    assert orrery("run", "--digest", "-m", "64", source).lines[0] != digest


def test_boot_has_one_digest_too() -> None:
    words = ("boot", "--digest", "-c", "echo x > f; cat f | wc", "-c", "usertests forks")
    runs = [orrery(*words, env={"PYTHONHASHSEED": seed}) for seed in ("1", "2")]
    assert runs[0].err == runs[1].err and len(runs[0].lines) == 2


def test_mkfs_and_lsfs(tmp_path: Path, hello: Path) -> None:
    (tmp_path / "_data").write_text("four")
    (tmp_path / "empty").write_text("")
    img = tmp_path / "fs.img"
    assert orrery("mkfs", img, tmp_path / "_data", tmp_path / "empty").err == ""
    done = orrery("lsfs", img)
    assert done.out.splitlines() == ["1 1 1 1024 /", "2 2 1 4 /data", "3 2 1 0 /empty"]
    assert not img.stat().st_mode & stat.S_IXUSR and [p.name for p in tmp_path.glob(".*")] == []


def test_doctor_finds_nothing_here_and_a_cache_that_cannot_be_used() -> None:
    done = orrery("doctor")
    assert (done.status, done.out.splitlines()[-1]) == (0, "all is well")
    what = [line.split(":")[0].split(maxsplit=1)[1] for line in done.out.splitlines()[:-1]]
    assert {"python", "platform", "package unicorn", "cache", "compiler", "fast engine"} <= set(what)


def test_help_and_version_need_nothing() -> None:
    for words in (["--help"], ["boot", "--help"], ["run", "--help"], ["--version"]):
        done = orrery(*words)
        assert done.status == 0 and done.out and not done.err
    assert os.environ.get("HOME")


@pytest.mark.parametrize("level", ["-O1", "-O3"])
def test_the_compiler_takes_nothing_away_that_means_something_here(level: str) -> None:
    """A store at address 0, a check for it, an overflow, a wait: each is a bit of the status where lost."""
    source = Path(__file__).with_name("programs") / "assumptions.c"
    assert orrery("run", "-w", level, source).status == 0


def test_formats_are_checked(tmp_path: Path) -> None:
    source = tmp_path / "formats.c"
    source.write_text(
        INCLUDES + 'int main(void) { printf("%s\\n", 1); fprintf(1, "%d %d\\n", 2); return 0; }\n'
    )
    done = orrery("cc", "-o", tmp_path / "formats", source)
    assert done.status == 0 and done.err.count("[-Wformat") == 2


def test_the_trees_own_programs_give_no_warning() -> None:
    """In the image they are made for, where nobody would see one."""
    warnings: list[str] = []
    for sources in image.programs().values():
        cc.compile_user(sources, warn=warnings.append)
    assert warnings == []


NAMESAKE = (
    INCLUDES
    + """
int main(int argc, char **argv)
{
    char *text[] = {"cat", "words", 0}, *again[] = {argv[0], "again", 0};
    char *echoed[] = {"echo", "from disk", 0};
    int status = 0, fd;
    if (argc > 1) {
        printf("%s again\\n", argv[0]);
        return 9;
    }
    fd = open("words", O_CREATE | O_WRONLY);
    write(fd, "words\\n", 6);
    close(fd);
    if (fork() == 0) {
        exec("cat", text);
        exit(1);
    }
    wait(0);
    link("echo", "mod");
    if (fork() == 0) {
        exec("mod", echoed);
        exit(1);
    }
    wait(0);
    unlink("mod");
    unlink("cat");
    if (fork() == 0) {
        exec(argv[0], again);
        exit(1);
    }
    wait(&status);
    return status;
}
"""
)


@pytest.mark.parametrize("name", ["cat", "mod"])
def test_a_program_is_run_before_a_namesake_on_the_disk_but_hides_it_not(tmp_path: Path, name: str) -> None:
    source = tmp_path / f"{name}.c"
    source.write_text(NAMESAKE)
    done = orrery("run", source)
    assert (done.status, done.out, done.err) == (9, f"words\nfrom disk\n{name} again\n", "")
