"""Help for tests that use the real command line: run it, and make images with programs of a test's own."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from toolchain import cc, fsimage, image, mkfs

ORRERY = str(Path(sys.executable).with_name("orrery"))
WALL_S_MAX = 60  # a run that takes longer hangs

PROGRAMS = {
    # touches memory that it has not
    "crash": "int main(void) { *(volatile int *)0x5000000000 = 1; return 0; }",
    # waits for itself
    "stuck": "int main(void) { int f[2]; char c; pipe(f); read(f[0], &c, 1); return 0; }",
    # never ends, and never waits
    "spin": "int main(void) { for (volatile long i = 0;; i++); }",
    # never ends, and wakes up again and again
    "doze": "int main(void) { for (;;) sleep(1); }",
    # asks for input until there is some, whatever ^D says
    "insist": "int main(void) { char c; while (read(0, &c, 1) <= 0); return 0; }",
    "status": "int main(int argc, char **argv) { return atoi(argv[1]); }",
    # ends a turn later, for something to be pending
    "later": 'int main(void) { sleep(5); printf("later\\n"); return 0; }',
}
STOCK_INIT = """
int main(void) {
    char *argv[] = {"sh", 0};
    if (open("console", O_RDWR) < 0) { mknod("console", 1, 0); open("console", O_RDWR); }
    dup(0); dup(0);
    for (;;) {
        printf("init: starting sh\\n");
        if (fork() == 0) { exec("sh", argv); exit(1); }
        while (wait(0) > 0);
    }
}
"""
# Its prompt goes out a byte at a time, it takes a byte at a time, and what it says itself is no line.
STOCK_SHELL = """
int main(void) {
    char line[100], *argv[] = {line, 0};
    for (;;) {
        write(2, "$", 1);
        write(2, " ", 1);
        int n = 0;
        while (n < 99 && read(0, line + n, 1) == 1 && line[n] != '\\n') n++;
        if (n == 0) exit(0);
        line[n] = 0;
        if (strcmp(line, "say") == 0) printf("I say");
        else if (fork() == 0) { exec(line, argv); printf("exec %s failed\\n", line); exit(9); }
        else wait(0);
    }
}
"""
INCLUDES = '#include "kernel/types.h"\n#include "kernel/fcntl.h"\n#include "user/user.h"\n'


@dataclass(frozen=True)
class Done:
    """A run that has ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Of stderr."""
        return self.err.splitlines()


def orrery(
    *words: str | bytes | Path,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    wall_s: float = WALL_S_MAX,
    errors: str = "strict",
) -> Done:
    """Run `orrery words...`; without `stdin` its input is empty."""
    done = subprocess.run(
        [ORRERY, *(word if isinstance(word, bytes) else str(word) for word in words)],
        input=(stdin.encode() if isinstance(stdin, str) else stdin) or b"",
        capture_output=True,
        timeout=wall_s,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(errors=errors), done.stderr.decode(errors=errors))


@cache
def default_files() -> dict[str, bytes]:
    """What is in the default image."""
    fs = fsimage.FsImage(image.default_image())
    return {entry.path[1:]: fs.read(entry.path) for entry in fs.walk() if entry.type == 2}


def compile_text(directory: Path, name: str, text: str) -> bytes:
    """A program from its C text."""
    source = directory / f"{name}.c"
    source.write_text(INCLUDES + text)
    return cc.compile_user([source], debug=False)


def image_with(
    directory: Path, programs: Mapping[str, str], leave_out: Sequence[str] = ("usertests",)
) -> bytes:
    """The default image's files, but for some, and programs of one's own."""
    files = {name: data for name, data in default_files().items() if name not in leave_out}
    files |= {name: compile_text(directory, name, text) for name, text in programs.items()}
    return bytes(mkfs.build(files, size=2000, ninodes=200))
