"""Files that a person names: what is read, what is refused, and that nothing is waited for."""

import os
import socket
from pathlib import Path

import pytest

from toolchain import hostfile
from toolchain.cc import CompileError, compile_user


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_a_file_up_to_its_limit_is_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(size))
    assert hostfile.read(path, 100) == bytes(size)
    (tmp_path / "link").symlink_to(path)
    with hostfile.mapped(tmp_path / "link", 100) as content:
        assert bytes(content) == bytes(size)


def test_what_is_no_file_is_refused_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sock"))
        for path, said in [
            (tmp_path, "is a directory"),
            (tmp_path / "fifo", "is a pipe, and not a file"),
            (tmp_path / "sock", "is a socket, and not a file"),
            (Path("/dev/zero"), "is a device, and not a file"),
            (Path("/dev/tty"), "is a device, and not a file"),
            (tmp_path / "none", "No such file or directory"),
        ]:
            with pytest.raises(OSError, match=said) as caught:
                hostfile.read(path, 1 << 20)
            assert (caught.value.strerror, caught.value.filename) == (said, str(path))


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="has 1099511627776 bytes, where 100 are the most"):
        hostfile.read(tmp_path / "sparse", 100)
    with pytest.raises(OSError, match="where 100 are the most"), hostfile.mapped(tmp_path / "sparse", 100):
        pass


def test_a_file_that_says_nothing_of_its_size_has_a_limit_too() -> None:
    assert os.stat("/proc/self/maps").st_size == 0
    with pytest.raises(OSError, match="more than 100 bytes, where 100 are the most"):
        hostfile.read("/proc/self/maps", 100)


def test_a_source_that_takes_in_what_has_no_end_takes_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.h")
    (tmp_path / "waits.c").write_text('#include "pipe.h"\nint main(void) { return 0; }\n')
    with pytest.raises(CompileError, match=r"pipe.h: is a pipe, and not a file; .*waits.c may include it"):
        compile_user([tmp_path / "waits.c"])
    monkeypatch.setattr("toolchain.limited.COMPILE_S_MAX", 1)
    (tmp_path / "waits.c").write_text(f'asm(".incbin \\"{tmp_path}/pipe.h\\"");\n')
    with pytest.raises(CompileError, match=r"waits.c: error: not done after 1 s"):
        compile_user([tmp_path / "waits.c"])
