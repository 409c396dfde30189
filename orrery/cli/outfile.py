"""The files of this computer that a command writes: none is one that it reads, and an error loses nothing.

Called by every command with an output.  `check` comes before anything is opened, and before a machine is
made. Files are compared by what they are, not by their names: a hard link, a symbolic link and another
spelling of a name all lead to one file.  A file that is made as a whole takes the old one's place when it
is there; one that grows while a machine runs begins when all else has been checked.
"""

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from orrery.errors import BadInput
from toolchain.names import shown
from toolchain.paths import tree_file

Name: TypeAlias = str | os.PathLike[str]
Identity: TypeAlias = tuple[int, int]

CHUNK: Final = 1 << 16  # bytes of a file written at a time
ZEROES: Final = bytes(CHUNK)
STDIN: Final = 0
SOURCES: Final = (".c", ".h", ".S", ".s", ".py", ".ld")  # what a person writes, by the end of its name
TREE: Final = ("emu", "kernel", "orrery", "toolchain", "user")


# --- what may be written ---


def check(
    outputs: Mapping[str, Name | None], inputs: Iterable[Name | None], *, makes_sources: bool = False
) -> None:
    """Raise BadInput unless `outputs`, by their options, are files apart, and none is one of `inputs`.

    What is piped in, and Orrery's own sources, are read too.  A file that is there and is called as a
    source is taken for one, unless the command `makes_sources`: who leaves out the output's name would
    lose the source.
    """
    read = {identity: name for name in inputs if name is not None and (identity := _identity(name))}
    written: dict[Identity | str, str] = {}
    for option, name in outputs.items():
        if name is None:
            continue
        told = f"{option} {shown(name)}".strip()
        identity = _identity(name)
        key = identity or os.path.realpath(name)
        if key in written:
            raise BadInput(f"{told}: is written for {written[key]} too; name two files")
        written[key] = option
        if identity is not None:
            _check_existing(told, identity, os.fspath(name), read, makes_sources)


def _check_existing(
    told: str, identity: Identity, name: str, read: Mapping[Identity, Name], makes_sources: bool
) -> None:
    """Raise BadInput where writing to the file would lose what somebody needs."""
    if identity in read:
        other = f", as {shown(read[identity])}" if os.fspath(read[identity]) != name else ""
        raise BadInput(f"{told}: is read by this command{other}, and would be lost; name another file")
    with suppress(OSError):  # a closed stdin
        if identity == _identity_of(os.fstat(STDIN)):
            raise BadInput(f"{told}: is what stdin is read from, and would be lost; name another file")
    if name.endswith(SOURCES) and not makes_sources and os.path.getsize(name):
        raise BadInput(f"{told}: is there and is called as a source, which would be lost; name another file")
    if _is_of_tree(identity):
        raise BadInput(f"{told}: is a part of Orrery, and would be lost; name another file")


def _identity(name: Name) -> Identity | None:
    """What file `name` leads to; None where there is none, or nothing that could be lost."""
    try:
        return _identity_of(os.stat(name))
    except (OSError, ValueError):
        return None


def _identity_of(status: os.stat_result) -> Identity | None:
    keeps = stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)
    return (status.st_dev, status.st_ino) if keeps else None


def _is_of_tree(identity: Identity) -> bool:
    """Whether it is one of the sources of this tree, by whatever name."""
    paths = (path for part in TREE for path in tree_file(part).rglob("*") if path.suffix in SOURCES)
    return any(identity == _identity(path) for path in paths)


# --- writing ---


def write_file(name: Name, content: bytes | bytearray, mode: int, *, masked: bool = True) -> None:
    """Write a file so that it has the old content or the new, and an error leaves the old.

    It gets `mode`, without what the umask forbids if `masked`.  Chunks of zeroes become holes of the file, if
    the host can have such.
    """
    from tempfile import mkstemp  # not at every start

    target = _target(name)
    try:
        if is_special(name):
            Path(name).write_bytes(content)  # a device or a pipe
            return
        fd, new = mkstemp(dir=target.parent, prefix=".new-")
        try:
            with os.fdopen(fd, "wb") as file:
                _write(file.fileno(), content)
                os.fsync(
                    file.fileno()
                )  # before it takes the old one's place, which a crash would leave empty
            _put_in_place(new, target, mode, masked)
        except BaseException:
            os.unlink(new)
            raise
    except OSError as error:
        raise _cannot(name, error) from error


def begin(name: Name, first: str) -> int:
    """A file that goes on growing, as a descriptor: it takes the old one's place when it has its `first`
    part.
    """
    from tempfile import mkstemp

    target = _target(name)
    try:
        fd, new = mkstemp(dir=target.parent, prefix=".new-")
        try:
            _write(fd, first.encode())
            _put_in_place(new, target, 0o666, True)
        except BaseException:
            os.close(fd)
            os.unlink(new)
            raise
        return fd
    except OSError as error:
        raise _cannot(name, error) from error


def open_stream(option: str, name: Name) -> int:
    """A file that is written from its beginning on, as a descriptor: its old content is gone."""
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise BadInput(
            f"{option}={shown(name)}: {error.strerror}; name a file that can be written"
        ) from error


def is_special(name: Name) -> bool:
    """Whether it is there, and no regular file: nothing takes the place of a device or a pipe."""
    return os.path.exists(name) and not os.path.isfile(name)


def _target(name: Name) -> Path:
    """The file itself, where `name` is a link to it."""
    if os.path.isdir(name):
        raise BadInput(f"{shown(name)}: is a directory; name a file")
    return Path(os.path.realpath(name))


def _write(fd: int, content: bytes | bytearray) -> None:
    """Write all of `content` into a new file."""
    for start in range(0, len(content), CHUNK):
        chunk = memoryview(content)[start : start + CHUNK]
        if chunk == ZEROES[: len(chunk)] and len(chunk) == CHUNK:
            os.lseek(fd, CHUNK, os.SEEK_CUR)
            continue
        while chunk:
            chunk = chunk[os.write(fd, chunk) :]
    os.ftruncate(fd, len(content))


def _put_in_place(new: str, target: Path, mode: int, masked: bool) -> None:
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(new, mode & ~umask if masked else mode)
    os.replace(new, target)


def _cannot(name: Name, error: OSError) -> BadInput:
    return BadInput(f"{shown(name)}: cannot be written: {error.strerror}; write it elsewhere")


def to_stdout(content: bytes) -> None:
    """Write `content` to stdout."""
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise BadInput(f"the output cannot be written: {error.strerror}; send it elsewhere") from error
