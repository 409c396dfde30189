"""A sandbox: starts a command that can do little, for a kernel that a student has changed.

server_process.py runs this file by itself, `python -I -S sandbox.py POLICY COMMAND...`, so that nothing of
the student's runs before everything has been given up; the policy is JSON, see Policy.  Two processes:

    keeper      stays outside, waits, looks how much is used, and ends all with a SIGKILL
    command     the first process of a name space of its own, where there can be one: all below end with it

What is given up, in this order: other processes, the network and IPC (name spaces), memory and the like
(limits), root's privileges (capabilities), files and signals (Landlock), and more calls (seccomp).  What a
system does not have is left out; docs/threat-model.md says what is not held then.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

TICK_S: Final = 0.5  # between two looks of the keeper
PROCESSES_MAX: Final = 128
MEMORY_MAX: Final = 6 << 30  # bytes that all processes together have resident
FILE_MAX: Final = 64 << 20  # bytes of each file
FILES_MAX: Final = 1024  # open at a time
OWN_MAX: Final = "512m"  # of all files, where it can have a file system of its own
CPU_S_MAX: Final = 1800  # of each process; virtual time and the watchdog end an honest one long before
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT = 1, 24, 47
_CAP_LAST: Final = 63
_CAPABILITY_VERSION_3: Final = 0x2008_0522
_CLONE_NEWNS, _CLONE_NEWIPC = 0x0002_0000, 0x0800_0000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x1000_0000, 0x2000_0000, 0x4000_0000
_MS_NOSUID_NODEV, _MS_REC_PRIVATE = 0b110, 0x4000 | 1 << 18


class Policy(NamedTuple):
    """What the command may do.

    It reads the files `reads`; it reads and writes the directory `own`, which is empty, and /dev/null; each
    process has so many bytes of address space.  `cache` is a directory whose files `own`/cache/orrery is to
    have, as links, which lead to what can be read and not written.
    """

    reads: list[str]
    own: str
    cache: str
    memory: int


def main() -> int:
    """The keeper."""
    policy = Policy(**json.loads(sys.argv[1]))
    command = sys.argv[2:]
    keeper = os.getpid()
    os.setsid()
    _separate()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # for _keep, which waits for it
    pid = os.fork()
    if pid == 0:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            _give_up(policy, keeper)
            os.execv(command[0], command)
        except BaseException as error:  # must not become a second keeper
            print(f"sandbox: {error}", file=sys.stderr)
        os._exit(126)
    for fd in range(3, FILES_MAX):
        with suppress(OSError):
            os.close(fd)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are for the caller, who hangs up if it means the end
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_end(pid)))
    return _keep(pid)


def _keep(pid: int) -> int:
    """Wait for the command; end it when all that it started is too much."""
    caller = os.getppid()
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            _end(pid, waits=False)
            return os.waitstatus_to_exitcode(status) & 0xFF
        processes = _family(pid)
        memory = sum(_resident(one) for one in processes)
        if os.getppid() != caller:
            return _end(pid)
        if len(processes) > PROCESSES_MAX or memory > MEMORY_MAX:
            print(
                f"sandbox: ended: {len(processes)} processes with {memory >> 20} MiB; there may be "
                f"{PROCESSES_MAX} with {MEMORY_MAX >> 20}",
                file=sys.stderr,
            )
            return _end(pid)
        if sys.platform == "linux":
            signal.sigtimedwait({signal.SIGCHLD}, TICK_S)
        else:
            time.sleep(TICK_S)


def _end(pid: int, *, waits: bool = True) -> int:
    """End the command and what it started: at once where it has a name space, else what can be found."""
    for one in [pid, *_family(pid)] if waits else _family(pid):
        with suppress(OSError):
            os.kill(one, signal.SIGKILL)
    if waits:
        os.waitpid(pid, 0)
    return 137


def _family(pid: int) -> list[int]:
    """The processes of `pid`'s session, or below it."""
    parents: dict[int, int] = {}
    sessions: dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                parents[int(name)], sessions[int(name)] = int(fields[1]), int(fields[3])
    found = {one for one, session in sessions.items() if session == pid}
    while more := {one for one, parent in parents.items() if parent in {*found, pid}} - found:
        found |= more
    return sorted(found)


def _resident(pid: int) -> int:
    """Bytes of memory that are `pid`'s own."""
    with suppress(OSError, ValueError, IndexError):
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared, *_ = (int(field) for field in file.read().split())
        return (resident - shared) * resource.getpagesize()
    return 0


# --- giving up ---


def _separate() -> None:
    """What this process starts from now on has name spaces of its own, if that can be had."""
    if sys.platform != "linux":
        return
    unshare: Callable[..., int] = ctypes.CDLL(None, use_errno=True).unshare
    flags = _CLONE_NEWPID | _CLONE_NEWNET | _CLONE_NEWIPC | _CLONE_NEWNS
    if unshare(flags) == 0:  # root
        return
    uid, gid = os.getuid(), os.getgid()
    if unshare(flags | _CLONE_NEWUSER) == 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _give_up(policy: Policy, keeper: int) -> None:
    """Give up all that the command does not need."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from toolchain import landlock, seccomp

    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux":
        libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))  # the keeper's end is ours
        if os.getppid() not in (0, keeper):  # 0: it is in another name space
            os._exit(126)
    os.setsid()
    os.umask(0o077)
    _furnish(policy, libc)
    _limit(policy)
    _drop_capabilities(libc)
    landlock.restrict(policy.reads, [policy.own, "/dev/null"])
    seccomp.install()


def _furnish(policy: Policy, libc: Any) -> None:
    """Make the command's own directory: in memory and of a limited size, if that can be had."""
    own = policy.own.encode()
    if sys.platform == "linux" and libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC_PRIVATE), None) == 0:
        options = f"size={OWN_MAX},mode=700".encode()
        libc.mount(b"tmpfs", own, b"tmpfs", ctypes.c_ulong(_MS_NOSUID_NODEV), options)
    os.chdir(own)
    os.mkdir("tmp")
    for directory, names, files in os.walk(policy.cache):
        names[:] = [name for name in names if name != "zig" and not name.startswith(".")]
        copy = os.path.join("cache", "orrery", os.path.relpath(directory, policy.cache))
        os.makedirs(copy, mode=0o700)
        for name in files:
            if not name.startswith("."):
                os.symlink(os.path.join(directory, name), os.path.join(copy, name))


def _limit(policy: Policy) -> None:
    limits = {
        "RLIMIT_AS": policy.memory,
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": CPU_S_MAX,
        "RLIMIT_FSIZE": FILE_MAX,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_NOFILE": FILES_MAX,
        "RLIMIT_NPROC": _processes_of_user() + PROCESSES_MAX,
    }
    for name, value in limits.items():
        kind = getattr(resource, name, None)
        if kind is not None:
            _, hard = resource.getrlimit(kind)
            highest = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (highest, highest))


def _processes_of_user() -> int:
    """How many there are; the limit counts all."""
    uid, count = os.getuid(), 0
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if name.isdigit():
            with suppress(OSError):
                count += os.stat(f"/proc/{name}").st_uid == uid and len(os.listdir(f"/proc/{name}/task"))
    return count


def _drop_capabilities(libc: Any) -> None:
    """Be no more than a user, even as root."""
    if sys.platform != "linux":
        return
    for capability in range(_CAP_LAST + 1):
        libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), *(ctypes.c_ulong(0) for _ in range(3)))
    libc.prctl(_PR_CAP_AMBIENT, *(ctypes.c_ulong(n) for n in (4, 0, 0, 0)))  # clear all
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    sys.exit(main())
