"""The compiler driver: what it links, what it refuses, what it remembers."""

import ctypes
import os
from collections.abc import Iterator
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from kernel.abi import memlayout, syscalls
from toolchain import cc, headers, paths, progress, zig

HELLO = """
#include "kernel/types.h"
#include "user/user.h"
int main(int argc, char *argv[]) { write(1, "hi\\n", 3); return argc; }
"""


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of this module's own, so that neither the user's nor an older one is seen."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_cache))
    yield shared_cache / "orrery"


def _source(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    path.write_text(text)
    return path


def _elf(data: bytes) -> ELFFile:
    return ELFFile(BytesIO(data))


def test_layout(tmp_path: Path) -> None:
    text = HELLO.replace(
        "return argc", "static int n = 5; static char big[9999]; big[argc] = n++; return big[n]"
    )
    elf = _elf(cc.compile_user([_source(tmp_path, "hello.c", text)]))
    loads = [s.header for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
    assert [(s.p_vaddr, s.p_flags) for s in loads] == [(0, 5), (loads[1].p_vaddr, 6)]
    assert loads[1].p_vaddr % 4096 == 0 and loads[1].p_vaddr >= loads[0].p_memsz
    assert loads[1].p_memsz >= 9999 > loads[1].p_filesz
    symbols = {s.name: s["st_value"] for s in elf.get_section_by_name(".symtab").iter_symbols()}
    assert elf["e_entry"] == symbols["_start"]


def test_debug_information_names_the_source_and_no_host_path(tmp_path: Path) -> None:
    data = cc.compile_user([_source(tmp_path, "hello.c", HELLO)])
    units = {u.get_top_DIE().attributes["DW_AT_name"].value for u in _elf(data).get_dwarf_info().iter_CUs()}
    assert b"hello.c" in units
    assert any(name.startswith(b"user/lib/") for name in units)
    for host in (tmp_path, paths.ROOT, paths.cache_dir()):
        assert str(host).encode() not in data


def test_unused_library_functions_are_left_out(tmp_path: Path) -> None:
    elf = _elf(cc.compile_user([_source(tmp_path, "hello.c", HELLO)]))
    names = {s.name for s in elf.get_section_by_name(".symtab").iter_symbols()}
    assert {"main", "write", "exit"} <= names
    assert not {"malloc", "printf", "fork"} & names


def test_strip_keeps_what_is_loaded(tmp_path: Path) -> None:
    source = _source(tmp_path, "hello.c", HELLO)
    full, small = cc.compile_user([source]), cc.compile_user([source], debug=False)
    assert small == cc.strip(full) and len(small) < 2048

    def loads(data: bytes) -> list[tuple[int, int, bytes]]:
        segments = [s for s in _elf(data).iter_segments() if s["p_type"] == "PT_LOAD" and s["p_memsz"]]
        return [(s["p_vaddr"], s["p_memsz"], s.data()) for s in segments]

    assert loads(small) == loads(full)
    assert _elf(small)["e_entry"] == _elf(full)["e_entry"]
    assert _elf(small).num_sections() == 0


def test_several_sources_and_assembly(tmp_path: Path) -> None:
    main = _source(tmp_path, "main.c", "int seven(void); int main(void) { return seven(); }")
    asm = '#include "kernel/syscall.h"\n.globl seven\nseven: li a0, 7 + SYS_fork - SYS_fork\n ret\n'
    elf = _elf(cc.compile_user([main, _source(tmp_path, "seven.S", asm)]))
    assert elf.get_section_by_name(".symtab").get_symbol_by_name("seven")


def test_program_may_define_what_the_library_has(tmp_path: Path) -> None:
    text = HELLO + "\nuint strlen(const char *s) { return 42; }\n"
    text = text.replace("return argc", "return strlen(argv[0]) + atoi(argv[0])")
    assert cc.compile_user([_source(tmp_path, "own.c", text)])


def test_program_may_not_define_a_name_twice(tmp_path: Path) -> None:
    one = _source(tmp_path, "one.c", "int f(void) { return 1; } int main(void) { return f(); }")
    two = _source(tmp_path, "two.c", "int f(void) { return 2; }")
    with pytest.raises(cc.CompileError, match="duplicate symbol: f"):
        cc.compile_user([one, two])


def test_out_is_written(tmp_path: Path) -> None:
    out = tmp_path / "hello"
    data = cc.compile_user([_source(tmp_path, "hello.c", HELLO)], out)
    assert out.read_bytes() == data and os.access(out, os.X_OK)


def test_errors_are_one_line_with_the_name_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _source(tmp_path, "bad.c", "int main(void)\n{\n  return x;\n}\n")
    with pytest.raises(cc.CompileError) as caught:
        cc.compile_user([Path("bad.c")])
    assert str(caught.value).startswith("bad.c:3:10: error: ")
    assert "\n" not in str(caught.value) and "return x;" in caught.value.details

    _source(tmp_path, "undefined.c", "int nothing(void); int main(void) { return nothing(); }")
    with pytest.raises(
        cc.CompileError, match=r"^undefined\.c: error: undefined symbol: nothing \(.*undefined\.c:1"
    ):
        cc.compile_user([Path("undefined.c")])


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.c", "missing.c: No such file"), ("notes.txt", "notes.txt: not a C or assembly source")],
)
def test_what_is_no_source(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(cc.CompileError, match=message):
        cc.compile_user([tmp_path / name])


def test_missing_compiler_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zig, "find_zig", lambda: None)
    with pytest.raises(cc.CompileError, match="pip install"):
        cc.compile_user([_source(tmp_path, "hello.c", HELLO)])


def test_cached_program_runs_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source(tmp_path, "hello.c", HELLO)
    first = cc.compile_user([source])
    monkeypatch.setattr(zig, "run", lambda *_: pytest.fail("compiled again"))
    assert cc.compile_user([source]) == first


def test_changes_are_seen(tmp_path: Path) -> None:
    header = _source(tmp_path, "answer.h", "#define ANSWER 41\n")
    source = _source(tmp_path, "hello.c", '#include "answer.h"\nint main(void) { return ANSWER; }\n')
    first = cc.compile_user([source])
    header.write_text("#define ANSWER 42\n")
    second = cc.compile_user([source])
    assert second != first
    header.write_text("#define ANSWER 41\n")
    assert cc.compile_user([source]) == first


def test_same_bytes_from_another_place(tmp_path: Path) -> None:
    results = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        results.append(cc.compile_user([_source(tmp_path / name, "hello.c", HELLO)]))
    assert results[0] == results[1]


def test_warnings_are_passed_on_from_the_cache_too(tmp_path: Path) -> None:
    source = _source(tmp_path, "careless.c", "int main(void) { int unused; return 0; }")
    for _ in range(2):
        heard: list[str] = []
        cc.compile_user([source], warn=heard.append)
        assert len(heard) == 1 and "careless.c:1:22: warning: unused variable" in heard[0]


def test_damaged_cache_record_is_made_again(tmp_path: Path, cache: Path) -> None:
    source = _source(tmp_path, "hello.c", HELLO + "/* damaged */")
    first = cc.compile_user([source])
    for record in (cache / "object").glob("*.json"):
        record.write_text("{")
    assert cc.compile_user([source]) == first


def test_host_library(tmp_path: Path) -> None:
    source = _source(tmp_path, "twice.c", "int twice(int x) { return 2 * x; }")
    library = cc.host_library(source, ["-nostdlib"])
    assert ctypes.CDLL(str(library)).twice(21) == 42
    assert cc.host_library(source, ["-nostdlib"]) == library


def test_a_host_library_follows_its_headers(tmp_path: Path) -> None:
    """Also one that only a header includes."""
    text = '#include <stdint.h>\n# include "factor.h"\nint32_t times(int x) { return F * x; }'
    source = _source(tmp_path, "times.c", text)
    _source(tmp_path, "factor.h", '#include "number.h"\n#define F (NUMBER + 1)')
    results = []
    for number in (1, 2, 1):
        _source(tmp_path, "number.h", f"#define NUMBER {number}")
        results.append(cc.host_library(source, ["-nostdlib"]))
    assert [ctypes.CDLL(str(library)).times(21) for library in results] == [42, 63, 42]
    assert results[0] == results[2] != results[1]


def test_xv6_headers_in_xv6_order(tmp_path: Path) -> None:
    """Every header name a program of xv6 uses, and some of what it finds in them."""
    names = [
        "kernel/param.h", "kernel/types.h", "kernel/stat.h", "kernel/spinlock.h", "kernel/sleeplock.h",
        "kernel/fs.h", "kernel/file.h", "user/user.h", "kernel/fcntl.h", "kernel/syscall.h",
        "kernel/memlayout.h", "kernel/riscv.h", "kernel/vm.h", "kernel/ps.h",
        "user.h", "fcntl.h", "types.h", "stat.h", "param.h", "fs.h", "syscall.h", "memlayout.h", "riscv.h",
    ]  # fmt: skip
    uses = """
    struct stat st; struct dirent de; struct dinode di; struct superblock sb; struct psinfo info;
    uint64 numbers[] = { BSIZE, DIRSIZ, NDIRECT, NINDIRECT, MAXFILE, ROOTINO, FSMAGIC, IPB, BPB, MAXARG,
      MAXPATH, MAXOPBLOCKS, LOGSIZE, LOGBLOCKS, NPROC, NOFILE, NINODE, FSSIZE, USERSTACK, CONSOLE, PGSIZE,
      MAXVA, KERNBASE, PHYSTOP, TRAMPOLINE, TRAPFRAME, UART0, SYS_exit, SYS_sleep, SYS_pause, SBRK_EAGER,
      SBRK_LAZY, T_DIR, T_FILE, T_DEVICE, O_RDONLY, O_CREATE | O_TRUNC, PTE_V | PTE_W, PGROUNDUP(1),
      PGROUNDDOWN(4097), PX(2, MAXVA - 1) };
    char *failed = SBRK_ERROR;
    int main(void) { return r_sp() % 2 + st.size + de.inum + di.size + sb.size + info.pid + numbers[0]; }
    """
    text = "".join(f'#include "{name}"\n' for name in names) + uses
    assert cc.compile_user([_source(tmp_path, "all.c", text)], warn=pytest.fail)


def test_header_numbers_are_those_of_the_table() -> None:
    text = headers.generate()["kernel/syscall.h"]
    for call in syscalls.SYSCALLS:
        assert f"#define SYS_{call.name} {call.number}\n" in text


def test_cache_falls_back_where_home_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = _source(tmp_path, "file", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert paths.cache_dir() == tmp_path / f"orrery-{os.getuid()}"
    monkeypatch.setenv("TMPDIR", str(blocked))
    with pytest.raises(OSError, match="XDG_CACHE_HOME"):
        paths.cache_dir()


def test_kernel_assembly(tmp_path: Path) -> None:
    _source(tmp_path, "a.S", '#include "kernel/memlayout.h"\n.globl entry\nentry: ret\n')
    _source(tmp_path, "b.S", '#include "kernel/memlayout.h"\n.section .kept\n.quad TRAPFRAME\n')
    script = "ENTRY(entry)\nSECTIONS { . = 0x80000000; .text : { *(.text) } .kept : { *(.kept) } }\n"
    _source(tmp_path, "kernel.ld", script)
    elf = _elf(cc.assemble_kernel(tmp_path))
    assert elf["e_entry"] == 0x80000000
    assert elf.get_section_by_name(".kept").data() == memlayout.TRAPFRAME.to_bytes(8, "little")


def test_kernel_assembly_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(cc.CompileError, match=r"no \.S file"):
        cc.assemble_kernel(tmp_path)


def test_progress_is_one_line_of_a_terminal_and_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for is_terminal in (True, False):
        stderr = StringIO()
        monkeypatch.setattr(stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
        monkeypatch.setattr("sys.stderr", stderr)
        with progress.line() as show:
            show("one")
            show("two")
        wiped = "\r\x1b[K"
        assert stderr.getvalue() == (f"{wiped}orrery: one{wiped}orrery: two{wiped}" if is_terminal else "")
