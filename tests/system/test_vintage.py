"""The year of a stock image: known from its shell, taken where nobody says another, and told.

The images here have a shell with the names that the course's own has in each year.
"""

from pathlib import Path

import pytest
from orrery_cli import INCLUDES, PROGRAMS, STOCK_SHELL, compile_text, default_files, orrery

from orrery import Machine
from orrery.machine.course_year import year_of
from toolchain import cc, fsimage, mkfs

# Its own sbrk, so that the library's, which is as 2025's, is left out.
OLD_SBRK = """
char *sbrk(int n)
{
    register long a0 asm("a0") = n, a7 asm("a7") = 12;
    asm volatile("ecall" : "+r"(a0) : "r"(a7) : "memory");
    return (char *)a0;
}
"""
PARTS = "void runcmd(void) { } void parsecmd(void) { } void getcmd(void) { } void %s(void) { }"
KEPT = "void (*volatile kept[])(void) = { runcmd, parsecmd, getcmd, %s, (void (*)(void))sbrk };"
SHELLS = {
    2025: ("other", ""),
    2024: ("start", OLD_SBRK),
    2022: ("_main", OLD_SBRK),
    2021: ("other", OLD_SBRK),
}


def shell(where: Path, year: int, *, debug: bool = True) -> bytes:
    """A shell that looks as if it was built in this year."""
    begins_in, sbrk = SHELLS[year]
    source = where / f"sh{year}.c"
    main = STOCK_SHELL.replace("{\n", "{\n    kept[0]();\n", 1)
    source.write_text("\n".join((INCLUDES, sbrk, PARTS % begins_in, KEPT % begins_in, main)))
    return cc.compile_user([source], debug=debug)


def image(where: Path, year: int, *, debug: bool = True, **more: bytes) -> bytes:
    files = {name: default_files()[name] for name in ("init", "echo")}
    files |= {"sh": shell(where, year, debug=debug), "crash": compile_text(where, "crash", PROGRAMS["crash"])}
    return bytes(mkfs.build({**files, **more}, size=600, ninodes=64))


@pytest.mark.parametrize("year", SHELLS)
def test_the_year_is_known_from_the_shell(tmp_path: Path, year: int) -> None:
    assert year_of(fsimage.FsImage(image(tmp_path, year))) == year
    assert Machine(image(tmp_path, year)).kernel.lab == year
    assert Machine(image(tmp_path, year), lab=2023).kernel.lab == 2023


def test_what_tells_nothing(tmp_path: Path) -> None:
    assert year_of(fsimage.FsImage(image(tmp_path, 2022, debug=False))) is None, "stripped"
    assert year_of(fsimage.FsImage(image(tmp_path, 2022, sh=b"\0_main\0"))) is None
    assert year_of(fsimage.FsImage(bytes(mkfs.build({"init": b"x"}, size=600)))) is None
    with Machine() as machine, Machine(image(tmp_path, 2022, debug=False)) as stripped:
        assert machine.kernel.lab == stripped.kernel.lab == 2025


def test_the_lab_on_lazy_allocation(tmp_path: Path) -> None:
    assert year_of(fsimage.FsImage(image(tmp_path, 2021, lazytests=b"x"))) == 2020
    assert year_of(fsimage.FsImage(image(tmp_path, 2022, lazytests=b"x"))) == 2022


def test_a_run_says_which_year_it_takes_and_prints_as_that_year_did(tmp_path: Path) -> None:
    drive = tmp_path / "fs.img"
    drive.write_bytes(image(tmp_path, 2022))
    done = orrery("boot", "--drive", drive, "--snapshot", stdin="crash\n")
    told = "its programs are of 2022; without --lab that is taken: --lab 2022"
    assert done.lines[0] == f"orrery: {drive}: {told}"
    first, second = done.out.split("usertrap(): ")[1].splitlines()[:2]
    assert first.startswith("unexpected scause 0x000000000000000f pid=")
    assert second.startswith("            sepc=0x00000000000000")
    assert second.endswith(" stval=0x0000005000000000")
    done = orrery("boot", "--drive", drive, "--snapshot", "--lab", "2024", stdin="crash\n")
    assert "its programs" not in done.err
    assert "unexpected scause 0xf pid=" in done.out and "stval=0x5000000000\n" in done.out
