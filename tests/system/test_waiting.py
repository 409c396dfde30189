"""Waiting, as programs see it: that it ends, however long it was asked to be, and in whose turn."""

from collections.abc import Iterator
from pathlib import Path

import orrery_cli
import pytest

from orrery import Nursery


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def printed(nursery: Nursery, folder: Path, source: str) -> str:
    """What a program prints, which must end well."""
    path = folder / "program.c"
    path.write_text(orrery_cli.INCLUDES + source)
    status, out = nursery.run_program(path, max_time_s=None)
    assert status == 0
    return out


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


def test_naps_of_seven_hundred_years_end_in_their_order(nursery: Nursery, tmp_path: Path) -> None:
    """A sleep may have 2^31 - 1 ticks, which are 6.8 years; uptime is a C unsigned int and wraps."""
    lines = printed(nursery, tmp_path, NAPS).splitlines()
    assert lines == [f"{child} after {ticks} ticks" for child, ticks in (
        (2, 2**31 - 3), (1, 2**32 - 3), (0, 2**32 - 2),
    )]  # fmt: skip
