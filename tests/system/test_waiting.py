"""Waiting, as programs see it: that it ends, however long it was asked to be, and in whose turn."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import orrery_cli
import pytest

from emu.clock import TICKS_PER_S
from kernel.abi.param import TICK_PS
from orrery import Machine, MachinePool
from toolchain import cc


@pytest.fixture(scope="module")
def pool() -> Iterator[MachinePool]:
    with MachinePool() as pool:
        yield pool


def printed(pool: MachinePool, folder: Path, source: str) -> str:
    """What a program prints, which must end well."""
    path = folder / "program.c"
    path.write_text(orrery_cli.INCLUDES + source)
    status, out = pool.run_program(path, max_time_s=None)
    assert status == 0
    return out


STARVE = """
static char data[20000];

int main(void)
{
    int writers[3], sizes[3] = {1808, 20000, 100}, longest = 0, before = uptime();
    for (int i = 0; i < 3; i++)
        if ((writers[i] = fork()) == 0)
            for (char name[] = {'w', '0' + i, 0};;) {
                int fd = open(name, O_CREATE | O_RDWR | O_TRUNC);
                write(fd, data, sizes[i]);
                close(fd);
                if (i == 2)
                    unlink(name);
            }
    sleep(1);
    for (int i = 0; i < 42; i++) {
        int fd = -1, start = uptime(), took;
        switch (i % 7) {
        case 0: close(open("README", O_RDONLY)); break;
        case 1: fd = open("README", O_RDONLY); read(fd, data, 500); break;
        case 2: chdir("/"); break;
        case 3: mkdir("d"); break;
        case 4: fd = open("README", O_RDWR); write(fd, "x", 1); break;
        case 5: unlink("d"); break;
        case 6:
            if (fork() == 0) { char *argv[] = {"echo", 0}; close(1); exec("echo", argv); exit(1); }
            wait(0);
        }
        close(fd);
        took = uptime() - start;
        if (took > longest)
            longest = took;
    }
    for (int i = 0; i < 3; i++)
        kill(writers[i]);
    while (wait(0) > 0)
        ;
    printf("%d %d\\n", longest, (int)uptime() - before);
    return 0;
}
"""


def test_nobody_starves_beside_those_who_rewrite_files_for_ever(pool: MachinePool, tmp_path: Path) -> None:
    longest, total = map(int, printed(pool, tmp_path, STARVE).split())
    assert longest <= 3 and total <= 40


NAPS = """
int main(void)
{
    int children = 3;
    for (int i = 0; i < 100; i++)
        if (sleep(0x7fffffff - i))
            return 1;
    unsigned before = uptime();
    for (int child = 0; child < children; child++)
        if (fork() == 0) {
            sleep(0x7fffffff - child);
            sleep(child == 2 ? -1 : 0x7fffffff);
            exit(child);
        }
    while (children--) {
        int status;
        wait(&status);
        printf("%d after %u ticks\\n", status, (unsigned)uptime() - before);
    }
    return 0;
}
"""


def test_naps_of_seven_hundred_years_end_in_their_order(pool: MachinePool, tmp_path: Path) -> None:
    """A sleep may have 2^31 - 1 ticks, which are 6.8 years; uptime is a C unsigned int and wraps."""
    lines = printed(pool, tmp_path, NAPS).splitlines()
    assert lines == [f"{child} after {ticks} ticks" for child, ticks in (
        (2, 2**31 - 3), (1, 2**32 - 3), (0, 2**32 - 2),
    )]  # fmt: skip


SPINNERS = """
int main(void)
{
    for (int i = 0; i < 4; i++)
        if (fork() == 0)
            for (volatile int j = 0;; j++)
                ;
    sleep(30);
    return 0;
}
"""


def test_programs_that_never_stop_have_their_turns_one_after_the_other(tmp_path: Path) -> None:
    """One tick each, in the order in which they were made, and nobody twice before all have had theirs."""
    source = tmp_path / "spinners.c"
    source.write_text(orrery_cli.INCLUDES + SPINNERS)
    with Machine(
        init_argv=(b"/init", b"spinners"), modules={b"spinners": cc.compile_user([source])}
    ) as machine:
        turns: list[tuple[int, int]] = []
        machine.on("switch", lambda event: turns.append((event.pid, event.time_ps // TICK_PS)))
        machine.run(3 * TICKS_PER_S)
    spins = [(pid, tick) for pid, tick in turns if pid > 2][4:]
    first = spins[0][0]
    assert len(spins) > 16 and sorted({pid for pid, _ in spins}) == [3, 4, 5, 6]
    assert [pid for pid, _ in spins] == [3 + (first - 3 + i) % 4 for i in range(len(spins))]
    assert all(later - tick == 1 for (_, tick), (_, later) in pairwise(spins))
