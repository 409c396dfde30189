"""Sources that were written to read the host's files, or to wear the compiler out."""

import os
import re
from pathlib import Path

import pytest

from toolchain import cc, landlock, limited, objects

SECRET = "the_hidden_test_expects = 42"


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """A directory of a student's; beside it there is a secret."""
    (tmp_path / "secret.txt").write_text(SECRET)
    top = tmp_path / "sub"
    (top / "inner").mkdir(parents=True)
    (top / "inner" / "own.h").write_text("#define OWN 7\n")
    (top / "link.h").symlink_to("../secret.txt")
    (top / "linked").symlink_to("..")
    return top


READS = {
    "absolute.c": '#include "{secret}"\nint main() {{ return 0; }}',
    "parent.c": '#include "../secret.txt"\nint main() {{ return 0; }}',
    "link.c": '#include "link.h"\nint main() {{ return 0; }}',
    "directory.c": '#include "linked/secret.txt"\nint main() {{ return 0; }}',
    "embed.c": "static const char x[] = {{\n#embed \"{secret}\"\n}};\nint main() {{ return x[0]; }}",
    "incbin.c": '__asm__(".incbin \\"{secret}\\"");\nint main() {{ return 0; }}',
    "incbin.S": '.globl main\nmain: ret\n.incbin "{secret}"\n',
    "include.S": '.globl main\nmain: ret\n.include "{secret}"\n',
    "computed.c": '#define NAME "{secret}"\n#include NAME\nint main() {{ return 0; }}',
    "pasted.c": '__asm__(".inc" "bin \\"{secret}\\"");\nint main() {{ return 0; }}',
    "passwd.c": '#include "/etc/passwd"\nint main() {{ return 0; }}',
    "memory.c": '#include "/proc/self/environ"\nint main() {{ return 0; }}',
}  # fmt: skip


@pytest.mark.skipif(not landlock.version(), reason="this system has no Landlock")
@pytest.mark.parametrize("name", READS)
def test_no_file_of_the_host_gets_into_a_program_or_a_message(
    submission: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is found in the source, and by Landlock; and by that alone."""
    source = submission / name
    source.write_text(READS[name].format(secret=submission.parent / "secret.txt"))
    for _ in range(2):
        with pytest.raises(cc.CompileError) as error:
            cc.compile_user([source], within=submission)
        text = f"{error.value}{error.value.details}"
        assert any(words in text for words in ("cannot open", "Could not find", "not found", "is a device"))
        assert "hidden_test" not in text and "root:" not in text
        monkeypatch.setattr(objects, "_check_confined", lambda job: None)


def test_the_list_of_what_was_included_is_looked_at_too(
    submission: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no Landlock; and what was compiled for the teacher is not given to a student."""
    monkeypatch.setattr(landlock, "version", lambda: 0)
    (submission.parent / "own.h").write_text("#define OWN 3\n")
    source = submission / "p.c"
    source.write_text('#include "../own.h"\nint main() { return OWN; }')
    cc.compile_user([source])
    with pytest.raises(cc.CompileError, match=r"cannot open file '.*own.h': Permission denied"):
        cc.compile_user([source], within=submission)


def test_what_is_the_students_own_can_be_included(submission: Path) -> None:
    source = submission / "p.c"
    source.write_text('#include "user/user.h"\n#include "inner/own.h"\nint main() { return OWN; }')
    assert cc.compile_user([source], within=submission) == cc.compile_user([source])
    (submission / "alias.c").symlink_to("p.c")
    cc.compile_user([submission / "alias.c"], within=submission)


def test_a_source_that_leads_elsewhere(submission: Path) -> None:
    (submission.parent / "solution.c").write_text("int main() { return 0; }")
    (submission / "p.c").symlink_to("../solution.c")
    for name in ("p.c", "linked/solution.c", "../solution.c"):
        with pytest.raises(cc.CompileError, match=r"leads out of .*; hand in the file itself"):
            cc.compile_user([submission / name], within=submission)


BOMBS = {
    "the result is larger than|File too large": "char a[1ul << 33] = {1};\nint main() { return a[3]; }",
    "not done after 1 s": ("#if __INCLUDE_LEVEL__ < 60\n#include __FILE__\n#include __FILE__\n#endif\n"),
    "out of memory|bad_alloc|no reason": (
        "#define A(x) x x x x x x x x x x\n#define B(x) A(A(A(x)))\n#define C(x) B(B(B(x)))\n"
        "int main() { C(C(;)) }"
    ),
}


@pytest.mark.parametrize("message", BOMBS)
def test_bombs(submission: Path, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    monkeypatch.setattr(limited, "CONFINED_S_MAX", 1)
    monkeypatch.setattr(limited, "COMPILE_BYTES_MAX", (256 if "memory" in message else 2048) << 20)
    source = submission / "bomb.c"
    source.write_text(BOMBS[message])
    with pytest.raises(cc.CompileError) as error:
        cc.compile_user([source], within=submission)
    assert re.search(message, f"{error.value}\n{error.value.details}", re.IGNORECASE)


def test_much_that_is_said_is_cut(submission: Path) -> None:
    source = submission / "p.c"
    source.write_bytes(b"\x7fELF" + os.urandom(1 << 12) + b'\n#pragma message "said"' * 9000)
    with pytest.raises(cc.CompileError) as error:
        cc.compile_user([source], within=submission)
    assert len(error.value.details) < 4 * limited.SAID_BYTES_MAX
