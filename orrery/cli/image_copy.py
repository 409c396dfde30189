"""The commands that copy between a disk image and this computer: `orrery get` and `orrery put`.

Called by commands.py.  The image is checked before anything is read from it, and belongs to this command
alone meanwhile: one that a machine runs on is refused.  What is written, on either side, is there whole or
not at all.  What cannot be is a BadInput or its like, of one line.
"""

import argparse
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EEXIST, ENOTEMPTY
from pathlib import Path
from typing import Final, NoReturn

from emu.dev.drive import FileDrive, OverlayDrive
from kernel.abi import disk, fcntl
from orrery.cli import outfile
from orrery.errors import BadInput
from toolchain import fsedit, fsimage, fspath
from toolchain.fsimage import FsImage, Inode
from toolchain.names import shown

STDIO: Final = "-"  # stands for stdin or stdout
GIVE_R: Final = "is a directory; give -r to copy it with what is in it"


# --- out of an image ---


def get(options: argparse.Namespace) -> int:
    """get: copy a file, or with -r a directory, out of an image."""
    path = os.fsencode(options.path)
    drive = OverlayDrive(options.image)
    try:
        fs = fsimage.check(drive.read(0, drive.capacity), options.image, options.layout)
        inode = fspath.resolve(fs, path)
        told = f"{options.image}: {shown(path)}"
        if inode.type == fcntl.T_DIR:
            if not options.recursive:
                raise BadInput(f"{told}: {GIVE_R}")
            _get_directory(fs, inode, path, options)
        elif inode.type == fcntl.T_DEVICE:
            raise BadInput(f"{told}: is a device, which has no content; name a file")
        elif options.host == STDIO:
            outfile.to_stdout(fs.content(inode))
        else:
            target = _inside(options.host or ".", _last_name(path))
            if target == Path(options.host or ".") and (options.host or "").endswith("/"):
                raise BadInput(f"{options.host}: no such folder; make it first")
            _refuse_image(target, options.image)
            outfile.write_file(target, fs.content(inode), mode=0o666)
    finally:
        drive.close()
    return 0


def _get_directory(fs: FsImage, inode: Inode, path: bytes, options: argparse.Namespace) -> None:
    if options.host == STDIO:
        raise BadInput(f"{STDIO}: one file goes to stdout, and {options.path} is a directory; name a folder")
    target = _inside(options.host or ".", _last_name(path))
    if os.path.lexists(target) and not target.is_dir():
        raise BadInput(f"{target}: is there, and no folder; remove it, or name another one")
    try:
        new = tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        _fail(target, error)
    try:
        _write_tree(fs, inode, os.fsencode(new))
        os.chmod(new, 0o777 & ~_umask())
        os.rename(new, target)  # over an empty folder, if there is one
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if isinstance(error, OSError):
            _fail(target, error)
        raise


def _write_tree(fs: FsImage, top: Inode, folder: bytes) -> None:
    """Write what is in `top` into a folder that is new, so that nothing in it can lead out of it."""
    todo = [(top, folder)]
    while todo:
        directory, at = todo.pop()
        for name, inode in fspath.children(fs, directory):
            path = at + b"/" + name
            if not name or b"/" in name:
                raise fs.bad(f"'{shown(name)}' is no name of a file")
            if os.path.lexists(path):
                raise fs.bad(f"'{shown(name)}' is in a directory twice")
            if inode.type == fcntl.T_DIR:
                os.mkdir(path)
                todo.append((inode, path))
            elif inode.type == fcntl.T_SYMLINK:
                os.symlink(fs.content(inode), path)
            elif inode.type == fcntl.T_FILE:
                with open(path, "xb") as file:
                    file.write(fs.content(inode))


# --- into an image ---


def put(options: argparse.Namespace) -> int:
    """put: copy a file, or with -r a folder, into an image."""
    if options.host == STDIO and options.path is None:
        raise BadInput(f"put {options.image} {STDIO}: what stdin has needs a name; give a path in the image")
    with _edited(options.image, options.layout) as editor:
        if options.host != STDIO and os.path.isdir(options.host):
            if not options.recursive:
                raise BadInput(f"{options.host}: {GIVE_R}")
            _put_folder(editor, options)
        else:
            _put_file(editor, os.fsencode(options.path or "/"), options)
    return 0


@contextmanager
def _edited(image: str, layout: str | None) -> Iterator[fsedit.Editor]:
    """A `with` statement that changes an image; the file is another one afterwards, or as it was."""
    drive = FileDrive(image)
    try:
        editor = fsedit.Editor(drive.read(0, drive.capacity), image, layout)
        yield editor
        fsimage.check(editor.data, image, layout)  # no image that this command would not take again
        target = Path(image).resolve()  # what a link stands for
        outfile.write_file(target, editor.data, mode=stat.S_IMODE(target.stat().st_mode), masked=False)
    finally:
        drive.close()


def _put_file(editor: fsedit.Editor, path: bytes, options: argparse.Namespace) -> None:
    content = _read(options.host, editor.fs, options.image)
    try:
        there = fspath.resolve(editor.fs, path)
    except fspath.NoSuchPath:
        if path.endswith(b"/"):
            raise
        there = None
    name = b"" if options.host == STDIO else _last_name(os.fsencode(options.host))
    parent, _, last = path.rpartition(b"/")
    if there is None:
        editor.put_file(_directory(editor.fs, parent), last, content)
    elif there.type == fcntl.T_DIR and name:
        editor.put_file(there.number, name, content)
    elif there.type == fcntl.T_FILE:
        editor.replace(there.number, content, last)
    else:
        kind = "a directory" if there.type == fcntl.T_DIR else "a device"
        raise BadInput(f"{options.image}: {shown(path)}: is {kind}; give the path of a file")


def _put_folder(editor: fsedit.Editor, options: argparse.Namespace) -> None:
    path = os.fsencode(options.path or "/").rstrip(b"/") or b"/"
    name = _last_name(os.fsencode(options.host))
    try:
        top = _directory(editor.fs, path)
        top = editor.make_directory(top, name) if name else top  # `.` and its like: what is in it
    except fspath.NoSuchPath:
        parent, _, last = path.rpartition(b"/")
        top = editor.make_directory(_directory(editor.fs, parent), last)
    todo = [(os.fsencode(options.host), top)]
    while todo:
        folder, number = todo.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise BadInput(f"{os.fsdecode(folder)}: {error.strerror}; check its permissions") from error
        for entry in entries:
            if entry.is_symlink():
                editor.put_link(number, entry.name, os.readlink(entry.path))
            elif entry.is_dir():
                todo.append((entry.path, editor.make_directory(number, entry.name)))
            else:
                content = _read(os.fsdecode(entry.path), editor.fs, options.image)
                editor.put_file(number, entry.name, content)


def _read(name: str, fs: FsImage, image: str) -> bytes:
    """What a file of this computer contains, or stdin; BadInput for more than a file of the image has."""
    limit = fs.layout.blocks_max * disk.BSIZE
    try:
        if name == STDIO:
            content = sys.stdin.buffer.read(limit + 1)
        else:
            if not stat.S_ISREG(os.stat(name).st_mode):
                raise BadInput(f"{name}: is no regular file; pipe it in, with {STDIO} for its name")
            _refuse_image(Path(name), image)
            with open(name, "rb") as file:
                content = file.read(limit + 1)
    except FileNotFoundError as error:
        raise BadInput(f"{name}: no such file; check its name") from error
    except OSError as error:
        raise BadInput(f"{name}: cannot be read: {error.strerror}; check its permissions") from error
    if len(content) > limit:
        raise BadInput(f"{name}: a file of {image} has at most {limit} bytes; split it")
    return content


def _directory(fs: FsImage, path: bytes) -> int:
    inode = fspath.resolve(fs, path)
    if inode.type != fcntl.T_DIR:
        raise BadInput(f"{fs.name}: {shown(path)}: is no directory; name one")
    return inode.number


# --- names ---


def _last_name(path: bytes) -> bytes:
    """The last name in `path`; empty where it is a directory's own (`/`, `.`)."""
    name = path.rstrip(b"/").rpartition(b"/")[2]
    return b"" if name in (b".", b"..") else name


def _inside(host: str, name: bytes) -> Path:
    """Where `name` is written that goes to `host`: into it, if that is a folder."""
    target = Path(host)
    return target / os.fsdecode(name) if target.is_dir() and name else target


def _refuse_image(file: Path, image: str) -> None:
    """Raise BadInput if `file` is the image itself."""
    if os.path.exists(file) and os.path.samefile(file, image):
        raise BadInput(f"{file}: is the image itself; name another file")


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def _fail(target: Path, error: OSError) -> NoReturn:
    if error.errno in (EEXIST, ENOTEMPTY):
        raise BadInput(f"{target}: is not empty; name a folder that is not there yet") from error
    raise BadInput(f"{target}: cannot be written: {error.strerror}; write it elsewhere") from error
