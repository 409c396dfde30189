"""What the compiler driver keeps: that nothing stale is used, nothing damaged, and nothing is needed.

Every test has a program whose status is what it was made from, read out of the code itself: `value()` is the
number that its main returns.
"""

import os
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from orrery.pool import recipe
from toolchain import cc, headers, image, includes, mentions, objects, paths, store, zig
from toolchain.flags import understand

RETURN_X = '#include "x.h"\nint main(void) { return X; }\n'
# Names that options, make's rules, shells and URLs treat in ways of their own.
NAMES = (
    b"c#",
    b"a$b",
    b"back\\slash",
    b"ta\tb",
    b"new\nline",
    b"sp ace",
    b"co:lon",
    b"a=b",
    b"a,b",
    b"caf\xe9",
    b"@-%41",
)


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_cache))
    yield shared_cache / "orrery"


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it to forbid the compiler from then on."""
    return lambda: monkeypatch.setattr(zig, "run", lambda *_: pytest.fail("compiled again"))


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a library that is soon compiled; the cache."""
    library = write(tmp_path / "lib" / "start.S", (cc.USER_LIB / "start.S").read_text()).parent
    monkeypatch.setattr(cc, "USER_LIB", library)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    return tmp_path / "c"


def value(*sources: Path | str, flags: tuple[str, ...] = ()) -> int:
    """What main of a program returns: the number that its `li a0, N` loads."""
    elf = ELFFile(BytesIO(cc.compile_user(sources, flags=understand(flags))))
    main = elf.get_section_by_name(".symtab").get_symbol_by_name("main")[0]
    code = elf.get_section_by_name(".text").data()[main["st_value"] :][: main["st_size"]]
    for at in range(0, len(code), 2):
        half = int.from_bytes(code[at : at + 2], "little")
        word = int.from_bytes(code[at : at + 4], "little")
        if half & 0xEF83 | 0x1000 == 0x5501:  # c.li a0
            return (half >> 2 & 31) - 32 * (half >> 12 & 1)
        if word & 0xFFFFF == 0x00513:  # addi a0, zero
            return word >> 20
    raise AssertionError("main loads no number")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_header_that_changes_is_seen_whatever_its_folder_is_called(tmp_path: Path, name: bytes) -> None:
    folder = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
    source = write(folder / f"{os.fsdecode(name)}.c", RETURN_X)
    write(folder / "x.h", "#define X 7\n")
    assert value(source) == 7
    write(folder / "x.h", "#define X 8\n")
    assert value(source) == 8
    assert b"orrery-" not in cc.compile_user([source]) and os.fsencode(tmp_path) not in cc.compile_user(
        [source]
    )
    write(folder / "x.h", "\n")
    with pytest.raises(cc.CompileError, match="undeclared identifier 'X'") as caught:
        cc.compile_user([source])
    assert "\n" not in str(caught.value) and str(caught.value).isprintable()


def test_a_source_that_is_a_link_has_the_headers_beside_the_link(tmp_path: Path) -> None:
    real = write(tmp_path / "real" / "p.c", RETURN_X)
    write(tmp_path / "real" / "x.h", "#define X 1\n")
    link = write(tmp_path / "link" / "x.h", "#define X 2\n").with_name("q.c")
    link.symlink_to(real)
    assert (value(link), value(real)) == (2, 1)
    through = tmp_path / "through"
    through.symlink_to(tmp_path / "link")
    write(tmp_path / "up.h", "#define X 3\n")
    write(real, RETURN_X.replace("x.h", "../up.h"))
    assert value(through / "q.c") == 3


# --- what decides ---


def shadow_beside(tmp_path: Path) -> tuple[Path, Callable[[], object]]:
    write(tmp_path / "user" / "own.h", "#define X 1\n")
    text = '#include "user/own.h"\n#include "kernel/vm.h"\n#ifndef X2\n#define X2 1\n#endif\n'
    source = write(tmp_path / "p.c", text + "int main(void) { return X2; }\n")
    return source, lambda: write(tmp_path / "kernel" / "vm.h", "#define X2 2\n")


def shadow_in_a_header(tmp_path: Path) -> tuple[Path, Callable[[], object]]:
    """The header that is looked for beside another header comes into being."""
    source = write(tmp_path / "p.c", '#include "sub/a.h"\nint main(void) { return BSIZE == 1024 ? 1 : 2; }\n')
    write(tmp_path / "sub" / "a.h", '#include "kernel/fs.h"\n')
    return source, lambda: write(tmp_path / "sub" / "kernel" / "fs.h", "#define BSIZE 1\n")


def has_include(tmp_path: Path) -> tuple[Path, Callable[[], object]]:
    text = '#if __has_include("later.h")\n#define X 2\n#else\n#define X 1\n#endif\n'
    text += "int main(void) { return X; }\n"
    return write(tmp_path / "p.c", text), lambda: write(tmp_path / "later.h", "")


def spliced(tmp_path: Path) -> tuple[Path, Callable[[], object]]:
    write(tmp_path / "x.h", "#define X 1\n")
    source = write(tmp_path / "p.c", RETURN_X.replace("#include", "/* a */ # /* b\n */ inc\\\nlude/**/"))
    return source, lambda: write(tmp_path / "x.h", "#define X 2\n")


def computed(tmp_path: Path) -> tuple[Path, Callable[[], object]]:
    write(tmp_path / "x.h", "#define X 1\n")
    text = "#define STR(x) #x\n#define NAME(x) STR(x.h)\n#include NAME(x)\nint main(void) { return X; }\n"
    return write(tmp_path / "p.c", text), lambda: write(tmp_path / "x.h", "#define X 2\n")


def embedded(tmp_path: Path) -> tuple[Path, Callable[[], object]]:
    write(tmp_path / "data", "\1")
    text = 'int main(void) {\nreturn\n#embed "data"\n;}\n'
    return write(tmp_path / "p.c", text), lambda: write(tmp_path / "data", "\2")


def assembled(tmp_path: Path) -> tuple[Path, Callable[[], object]]:
    write(tmp_path / "more.s", "li a0, 1\n")
    source = write(
        tmp_path / "p.S",
        f'.globl main\n.type main, @function\nmain: .include "{tmp_path}/more.s"\nret\n.size main, .-main\n',
    )
    return source, lambda: write(tmp_path / "more.s", "li a0, 2\n")


def in_c_assembled(tmp_path: Path) -> tuple[Path, Callable[[], object]]:
    write(tmp_path / "more.s", "li a0, 1\n")
    text = (
        f'__attribute__((naked)) int main(void) {{ __asm__(".inc" "lude \\"{tmp_path}/more.s\\"\\nret"); }}\n'
    )
    return write(tmp_path / "p.c", text), lambda: write(tmp_path / "more.s", "li a0, 2\n")


CASES = (
    shadow_beside,
    shadow_in_a_header,
    has_include,
    spliced,
    computed,
    embedded,
    assembled,
    in_c_assembled,
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_what_comes_into_being_or_changes_decides(
    tmp_path: Path, case: Callable[[Path], tuple[Path, Callable[[], object]]]
) -> None:
    source, change = case(tmp_path)
    assert [value(source), value(source)] == [1, 1]
    change()
    assert value(source) == 2


def test_the_environment_decides_where_cc_lets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "p.c", RETURN_X.replace('"x.h"', "<x.h>"))
    for i in (1, 2):
        write(tmp_path / str(i) / "x.h", f"#define X {i}\n")
    for variable in ("CPATH", "C_INCLUDE_PATH"):
        for i in (1, 2):
            monkeypatch.setenv(variable, str(tmp_path / str(i)))
            assert value(source) == i
        assert value(source, flags=("-I", str(tmp_path / "1"))) == 1, "-I comes first"
        monkeypatch.delenv(variable)
        with pytest.raises(cc.CompileError, match=r"'x\.h' file not found"):
            cc.compile_user([source], flags=understand(()))
    monkeypatch.setenv("CCC_OVERRIDE_OPTIONS", "+-DX=9")  # clang's own, which nobody has to know
    assert value(source, flags=("-I", str(tmp_path / "2"))) == 2


def test_dates_are_those_of_now_or_as_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(
        tmp_path / "p.c", 'const char *at = __DATE__ "," __TIME__; int main(void) { return at[0]; }\n'
    )
    for epoch, date in (("0", b"Jan  1 1970,00:00:00"), ("86400", b"Jan  2 1970,00:00:00")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        assert date in cc.compile_user([source])


def test_the_name_in_the_program_is_that_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "const char *me = __FILE__; int main(void) { return me[0]; }\n"
    for name in ("one.c", "two.c"):
        source = write(tmp_path / name, text)
        elf = cc.compile_user([source], debug=False)
        assert f"{name}\0".encode() in elf and f"/{name}".encode() not in elf
    first = cc.compile_user([source])
    monkeypatch.chdir(tmp_path)
    assert cc.compile_user(["two.c"]) == first, "where one stands decides nothing"


def test_flags_decide(tmp_path: Path) -> None:
    source = write(tmp_path / "p.c", "#ifndef X\n#define X 1\n#endif\nint main(void) { return X; }\n")
    assert [value(source), value(source, flags=("-DX=2",)), value(source, flags=("-D", "X=3"))] == [1, 2, 3]
    assert value(source, flags=("-DX=2", "-UX")) == 1
    write(tmp_path / "forced.h", "#define X 4\n")
    assert value(source, flags=("-include", str(tmp_path / "forced.h"))) == 4
    write(tmp_path / "forced.h", "#define X 5\n")
    assert value(source, flags=("-include", str(tmp_path / "forced.h"))) == 5


def test_a_header_of_the_users_comes_before_the_trees(tmp_path: Path) -> None:
    source = write(
        tmp_path / "p.c",
        '#include "user/user.h"\n#include "kernel/param.h"\nint main(void) { return NPROC; }\n',
    )
    assert value(source, flags=("-I", str(tmp_path / "inc"))) == 64
    write(tmp_path / "inc" / "kernel" / "param.h", "#define NPROC 3\n")
    assert value(source, flags=("-I", str(tmp_path / "inc"))) == 3


def test_a_source_that_is_edited_while_it_is_compiled_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "p.c", "int main(void) { return 1; }\n")
    compile_one = objects.compile_one

    def edited(*words: object) -> None:
        write(source, "int main(void) { return 2; }\n")
        compile_one(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(objects, "compile_one", edited)
    assert value(source) == 2
    monkeypatch.setattr(objects, "compile_one", compile_one)
    write(source, "int main(void) { return 1; }\n")
    assert value(source) == 1


def test_what_is_certain_is_not_compiled_again(tmp_path: Path, no_compiler: Callable[[], None]) -> None:
    """So that the tests above say something: headers, and what is asked for and missing, are no reason to."""
    source, _ = shadow_in_a_header(tmp_path)
    other, _ = has_include(tmp_path / "other")
    assert [value(source), value(other)] == [1, 1]
    no_compiler()
    assert [value(source), value(other)] == [1, 1]


def test_all_of_the_tree_is_certain() -> None:
    tree = [*(paths.ROOT / "user").rglob("*.[chS]"), *(paths.ROOT / "kernel" / "asm").glob("*.[hS]")]
    texts = [*(path.read_bytes() for path in tree), *(text.encode() for text in headers.generate().values())]
    assert len(texts) > 50 and all(mentions.mentions(text).certain for text in texts)


# --- damage ---


def halve(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    at = len(content) * 2 // 3
    return content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]


def empty(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [halve, flip, empty])
def test_a_damaged_cache_gives_the_same_program(
    tmp_path: Path, small: Path, damage: Callable[[bytes], bytes]
) -> None:
    source = write(tmp_path / "p.c", '#include "user/user.h"\nint main(void) { return getpid(); }\n')
    first = cc.compile_user([source])
    files = [path for path in small.rglob("*") if path.is_file()]
    assert len(files) > 15
    for path in files:
        path.write_bytes(damage(path.read_bytes()))
    assert cc.compile_user([source]) == first
    for path in (small / "orrery" / "elf").iterdir():
        path.unlink()
    assert cc.compile_user([source]) == first, "from its objects"


def test_an_entry_under_another_key_is_none() -> None:
    store.put("object", "a" * 64, b"content")
    assert store.get("object", "a" * 64) == b"content"
    os.rename(store.path("object", "a" * 64), store.path("object", "b" * 64))
    assert store.get("object", "b" * 64) is None


def test_a_damaged_library_for_the_host_is_made_again(tmp_path: Path, cache: Path) -> None:
    source = write(tmp_path / "thrice.c", "int thrice(int x) { return 3 * x; }")
    library = cc.host_library(source, ["-nostdlib"])
    content = library.read_bytes()
    library.write_bytes(halve(content))
    assert cc.host_library(source, ["-nostdlib"]).read_bytes() == content
    for path in (library, library.with_suffix("")):
        path.write_bytes(halve(path.read_bytes()))
    assert len(cc.host_library(source, ["-nostdlib"]).read_bytes()) == len(content)


def test_a_damaged_image_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_make_image", lambda: image._SIZE.pack(4096) + b"small")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for damage in (None, halve, flip, empty):
        for path in (tmp_path / "orrery").rglob("*") if damage else ():
            if path.is_file():
                path.write_bytes(damage(path.read_bytes()))
        assert image.default_image() == b"small".ljust(4096, b"\0")


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full, or read-only for what there is of it."""

    def full(path: Path, data: bytes) -> None:
        if str(path).startswith(str(small)):
            raise OSError(28, "No space left on device")
        write_atomic(path, data)

    write_atomic = paths.write_atomic
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(paths, "write_atomic", full)
    monkeypatch.setattr(includes, "write_atomic", full)
    assert value(write(tmp_path / "p.c", "int main(void) { return 5; }\n")) == 5
    assert [path for path in small.rglob("*") if path.is_file()] == []


def test_builders_may_race(tmp_path: Path, small: Path) -> None:
    source = write(tmp_path / "p.c", "int main(void) { return 6; }\n")
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(value(source))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [6, 6, 6]
    assert not list(small.rglob(".new-*"))


def test_a_program_is_not_written_over_what_it_is_made_from(tmp_path: Path) -> None:
    source = write(tmp_path / "p.c", RETURN_X)
    header = write(tmp_path / "x.h", "#define X 1\n")
    for out in (source, header):
        with pytest.raises(cc.CompileError, match="is made from it"):
            cc.compile_user([source], out)
    assert (source.read_text(), header.read_text()) == (RETURN_X, "#define X 1\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_machine_that_waits_for_a_program_is_another_one_then(
    tmp_path: Path, case: Callable[[Path], tuple[Path, Callable[[], object]]]
) -> None:
    """The stamp by which the pool knows a booted machine again."""
    source, change = case(tmp_path)
    before = recipe.source_stamp(str(source))
    assert before == recipe.source_stamp(str(source)) != ""
    change()
    if case is not computed:  # only the compiler knows the header's name
        assert recipe.source_stamp(str(source)) != before
