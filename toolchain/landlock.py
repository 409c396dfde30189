"""Landlock: a thread gives up, for good, all files but those that it names; what it starts inherits that.

Called by limited.py around the compiler, which reads what students wrote, and by orrery/pool/sandbox.py
around a student's kernel.  It needs no rights of its own, so any user has it, on Linux from 5.13 on.  With
version 4 of it TCP is closed, with 6 no process outside can be signalled; tracing one, or reading its memory,
is refused in all versions.  Where a file leads (symbolic links, ..) is what counts, not how it is named.
"""

import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

# The numbers of include/uapi/linux/landlock.h and prctl.h; the calls have one number on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # the rest is about directories
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15}  # by version, how many rights on files there are; from 5 on 16
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_TCP, _TCP_SINCE = 0b11, 4
_SCOPES, _SCOPES_SINCE = 0b11, 6  # abstract Unix sockets, signals
SIGNALS_SINCE = _SCOPES_SINCE


@cache
def version() -> int:
    """Which version of Landlock this system has; 0 for none."""
    if sys.platform != "linux":
        return 0
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        number: int = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _CREATE_RULESET_VERSION)
        return max(0, number)
    except (OSError, AttributeError):  # a C library without dlopen or syscall
        return 0


def restrict(reads: Iterable[str | os.PathLike[str]], writes: Iterable[str | os.PathLike[str]]) -> int:
    """Leave this thread the paths `reads` and `writes`, and what is below them; those may be written, too.

    Returns version(); if that is 0, nothing has been restricted.  Raises OSError where it should have been.
    """
    known = version()
    if not known:
        return 0
    everything = (1 << _FS_BITS.get(known, 16)) - 1
    attributes = struct.pack(
        "QQQ",
        everything,
        _TCP if known >= _TCP_SINCE else 0,
        _SCOPES if known >= _SCOPES_SINCE else 0,
    )[: 8 if known < _TCP_SINCE else 16 if known < _SCOPES_SINCE else 24]
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    try:
        for path in reads:
            _allow(ruleset, path, _READ & everything)
        for path in writes:
            _allow(ruleset, path, everything)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(n) for n in (1, 0, 0, 0))):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), 0)
    finally:
        os.close(ruleset)
    return known


def _allow(ruleset: int, path: str | os.PathLike[str], rights: int) -> None:
    """Allow `rights` beneath `path`, or on that file; what does not exist needs no rule."""
    with suppress(FileNotFoundError, NotADirectoryError):
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                rights &= _ON_FILES
            _call(_ADD_RULE, ctypes.c_int(ruleset), _RULE_PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
        finally:
            os.close(fd)


def _call(number: int, *arguments: object) -> int:
    """A system call; raises OSError."""
    result: int = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
