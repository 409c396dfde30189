"""What the built-in debugger shows of values and types: as gdb does, but for zeroes at a text's end."""

from collections.abc import Iterator

import pytest
from orrery_cli import INCLUDES

from orrery.debugger.commands.interpreter import Interpreter
from orrery.debugger.commands.run import to_main
from orrery.debugger.debugger import Debugger
from orrery.timetravel.timeline import Timeline
from toolchain import cc, fsimage, image

PROGRAM = r"""
enum color { RED, GREEN = 5, BLUE };
typedef struct { int x, y; } point;
struct bits { unsigned a : 3; signed int b : 5; enum color d : 4; uint64 e : 40; };
union number { int i; float f; uchar bytes[4]; };
struct node { struct node *left; int key; union number n; point at; char name[12]; const char *text; };
struct outer { struct { int in; struct { char deep; }; }; int (*fn)(int, char); point pts[2]; };
static int add(int a, char b) { return a + b; }
int grid[3][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}};
struct node tree[2] = {{0, 7, {0x3f800000}, {1, -2}, "root", "hello \"x\"\n\t\x01"},
                       {&tree[0], 8, {2}, {3, 4}, "leaf\0zz", 0}};
struct outer outer = {{5, {'q'}}, add, {{1, 2}, {3, 4}}};
double number = 3.14159; float half = -0.5f, none = __builtin_nanf("");
uint64 u64 = 0xdeadbeefcafebabe; short sh = -3; signed char sc = -5; char hi = '\xf0'; _Bool yes = 1;
enum color color = BLUE, odd = 3; const volatile int cv = 4; void *vp = &color; int zeros[40];
char *words[3] = {"one", "two", 0}; int (*calls[2])(int, char) = {add, 0};
point (*pa)[2] = &outer.pts;
const char *const cc = "const"; int unused = 3;
void *all[] = {grid, tree, &outer, &number, &half, &none, &u64, &sh, &sc, &hi, &yes, &color, &odd,
               (void *)&cv, &vp, zeros, words, calls, &pa, (void *)&cc};
static int statics(int n) { static int total = 10; total += n; return total; }
static int shadow(int x)
{
    int r = x;
    {
        int x = 2;
        r += x;
        {
            long x = 3;
            r += x;
        }
    }
    return r;
}
static point made(int a, int b) { point p = {a, b}; return p; }
static uchar byte(void) { return 250; }
int main(int argc, char *argv[])
{
    struct bits bits = {5, -3, GREEN, 0x1234567890};
    point p = {10, 20}, *pp = &p;
    int n = argc + 2, s = shadow(4) + statics(1);
    int vla[n];
    for (int i = 0; i < n; i++) vla[i] = i * i;
    p = made(s, byte());
    all[0] = vla;
    return pp->x + bits.a;
}
"""
SHOWN = {
    "p bits": "{a = 5, b = -3, d = GREEN, e = 78187493520}",
    "p/x bits.e": "0x1234567890",
    "p *pp": "{x = 20, y = 250}",
    "p vla": "{0, 1, 4}",
    "p sizeof vla": "12",
    "p grid[1]": "{5, 6, 7, 8}",
    "p **grid": "1",
    "p *tree[1].left->name@4": '"root"',
    "p tree[0].n": r'{i = 1065353216, f = 1, bytes = "\000\000\200?"}',
    "p tree[0].text": None,
    "p tree[1].name": r'"leaf\000zz"',
    "p outer.deep": "113 'q'",
    "p outer.pts": "{{x = 1, y = 2}, {x = 3, y = 4}}",
    "p &outer.pts[1].y == &(*pa)[1].y": "1",
    "p number": "3.1415899999999999",
    "p half": "-0.5",
    "p none": "nan(0x400000)",
    "p/f 3": "4.20389539e-45",
    "p 7.0 / 2": "3.5",
    "p 1.5f + 1": "2.5",
    "p u64": "16045690984503098046",
    "p/d u64": "-2401053089206453570",
    "p/t 10": "1010",
    "p/o 8": "010",
    "p/c 65": "65 'A'",
    "p/x -1": "0xffffffff",
    "p/f 1.5": "1.5",
    "p sh": "-3",
    "p sc": r"-5 '\373'",
    "p hi": r"240 '\360'",
    "p yes": "true",
    "p color": "BLUE",
    "p odd": "3",
    "p (enum color) 5": "GREEN",
    "p color == BLUE ? GREEN + 1 : 0": "6",
    "p zeros": "{0 <repeats 40 times>}",
    "p words[1]": None,
    "p cc": None,
    "p *cc": "99 'c'",
    "p {int} &grid[1]": "5",
    "p &((struct node *) 0)->text": None,
    "p n = 4": "4",
    "p n += 3": "7",
    "p n++": "7",
    "p --n": "7",
    "p statics::total": None,
    'p sizeof("abc")': "4",
    "p $nothing": "void",
    "p 5 / 2 * 2 + 5 % 2": "5",
    "p -5 / 2": "-2",
    "p 0x80000000": "2147483648",
    "p $$2": "5",
}
TYPES = {
    "p": "point",
    "pp": "point *",
    "&p": "point *",
    "tree": "struct node [2]",
    "outer.fn": "int (*)(int, char)",
    "grid": "int [3][4]",
    "&grid": "int (*)[3][4]",
    "calls": "int (*[2])(int, char)",
    "pa": "point (*)[2]",
    "cc": "const char * const",
    "cv": "const volatile int",
    "u64": "uint64",
    "words": "char *[3]",
    "&words": "char *(*)[3]",
    "add": "int (int, char)",
    "&add": "int (*)(int, char)",
    "byte": "uchar (void)",
    "1 + 1L": "long",
    "1.5f": "float",
    "hi + 1": "int",
    "argv": "char **",
    "bits.d": "enum color",
}
EXPANDED = {
    "struct bits": "struct bits {\n    unsigned int a : 3;\n    int b : 5;\n    enum color d : 4;\n"
    "    uint64 e : 40;\n}",
    "color": "enum color {RED, GREEN = 5, BLUE}",
    "pp": "struct {\n    int x;\n    int y;\n} *",
    "struct outer": "struct outer {\n    struct {\n        int in;\n        struct {\n"
    "            char deep;\n        };\n    };\n    int (*fn)(int, char);\n    point pts[2];\n}",
    "u64": "unsigned long",
    "calls": "int (*[2])(int, char)",
}


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interpreter]:
    source = tmp_path_factory.mktemp("values") / "prog.c"
    source.write_text(INCLUDES + PROGRAM)
    elf = cc.compile_user([source], optimize=False)
    init = fsimage.FsImage(image.default_image()).read("/init")
    modules = {b"/init": init, b"prog": elf}
    with Timeline(mem_mib=16, init_argv=(b"/init", b"prog"), modules=modules) as timeline:
        debugger = Debugger(timeline, {"prog": elf}, [source.parent])
        made = Interpreter(debugger)
        to_main(debugger)
        last = INCLUDES.count("\n") + PROGRAM[: PROGRAM.index("return pp->x")].count("\n") + 1
        made.execute(f"tbreak {last}")
        assert made.execute("continue").endswith("    return pp->x + bits.a;\n")
        yield made


def test_values(commands: Interpreter) -> None:
    for command, wanted in SHOWN.items():
        said = commands.execute(command)
        if wanted is not None:
            assert said.partition(" = ")[2] == f"{wanted}\n", (command, said)
        else:
            assert said.startswith("$") or "No frame is currently executing" in said, (command, said)


def test_types(commands: Interpreter) -> None:
    for expression, wanted in TYPES.items():
        assert commands.execute(f"whatis {expression}") == f"type = {wanted}\n", expression
    for expression, wanted in EXPANDED.items():
        assert commands.execute(f"ptype {expression}") == f"type = {wanted}\n", expression


def test_what_the_linker_left_out_is_said_to_be(commands: Interpreter) -> None:
    assert "the linker has left it out" in commands.execute("p unused")


def test_locals_of_each_block(commands: Interpreter) -> None:
    commands.execute("start")
    commands.execute("tbreak shadow")
    commands.execute("continue")
    for _ in range(9):
        if "x = 3" in commands.execute("info locals"):
            break
        commands.execute("next")
    assert commands.execute("info locals").split("\n")[0] == "x = 3"
    assert commands.execute("p x").endswith(" = 3\n")
    assert commands.execute("info args") == "x = 4\n"
    assert commands.execute("finish").endswith(" = 9\n")
