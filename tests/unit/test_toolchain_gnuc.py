"""Register variables of a file: what clang gets to see of them, and that it then compiles what gcc does."""

from pathlib import Path

import pytest

from toolchain import cc
from toolchain.gnuc import adapted


@pytest.mark.parametrize(
    "source, expected, flags",
    [
        ('register int x asm("s11");', 'register long x asm("s11");', ("-ffixed-x27",)),
        (
            'register unsigned int x __asm__ ( "s2" );',
            'register unsigned long x __asm__ ( "s2" );',
            ("-ffixed-x18",),
        ),
        (
            'register volatile uint32 x asm("t3");',
            'register volatile unsigned long x asm("t3");',
            ("-ffixed-x28",),
        ),
        ('register\nshort int\nx asm("s1");', 'register\nlong\nx asm("s1");', ("-ffixed-x9",)),
        ('register uint64 x asm("s11");', 'register uint64 x asm("s11");', ("-ffixed-x27",)),
        ('register long x asm("sp");', 'register long x asm("sp");', ()),
        ('register int x asm("eax");', 'register int x asm("eax");', ()),
        (
            'int f(void) { register int x asm("s11"); return x; }',
            'int f(void) { register int x asm("s11"); return x; }',
            (),
        ),
        ('// register int x asm("s11");', '// register int x asm("s11");', ()),
        ('/* register int x asm("s11"); */', '/* register int x asm("s11"); */', ()),
        (
            'char a = \'}\', *s = "{\\""; /* { */\n#define B {\nregister int x asm("s11");',
            'char a = \'}\', *s = "{\\""; /* { */\n#define B {\nregister long x asm("s11");',
            ("-ffixed-x27",),
        ),
        ("int register_me; register", "int register_me; register", ()),
    ],
)
def test_declarations(source: str, expected: str, flags: tuple[str, ...]) -> None:
    assert adapted(source.encode()) == (expected.encode(), flags)


PROGRAM = """
#include "user/user.h"
register int kept asm("s11");
register unsigned int other asm("s10");
int __attribute__((noinline)) change(int n) { kept = n; other -= 1; return n; }
int main(void)
{
    kept = -5;
    other = 0;
    if (kept != -5 || change(7) != 7 || kept != 7)
        return 1;
    return kept == 7 && (unsigned)other == 0xffffffff ? 0 : 2;
}
"""


def test_a_program_compiles_and_its_lines_stay(tmp_path: Path) -> None:
    source = tmp_path / "prog.c"
    source.write_text(PROGRAM)
    said: list[str] = []
    built = cc.compile_user([source], warn=said.append)
    assert b"prog.c" in built and b"adapted" not in built and said == []
    source.write_text(PROGRAM.replace("return 1;", "return nosuch;"))
    with pytest.raises(cc.CompileError) as failed:
        cc.compile_user([source])
    assert "prog.c:11:16: error" in failed.value.details
    assert source.read_text().count("register int kept"), "the source is left as it is"
