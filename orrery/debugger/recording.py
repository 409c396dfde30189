"""A recording: a file that says all that decides a run, so that it can be made again.

Written by record.py as the run goes on and read by replay.py.  Lines of JSON; bytes are text, a character
each (Latin-1), but for programs, which are compressed and in base64:

    {"recording": 1, "version": ..., "code": ..., "image": ..., "shown": ..., "machine": {...}}
    {"at": [ticks, waiting, privilege, pc], "type": "ls\\n"}                       keys, any number of times
    {"at": [ticks, waiting, privilege, pc], "end": exit status, "digest": ...}

`machine` holds Machine's parameters.  `code` is a digest of the emulator and the kernel, `image` one of the
drive as the run began.  Without the last line the recording was broken off.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from emu.drive import Drive
from orrery import __version__
from orrery.debugger.moment import Moment
from orrery.debugger.tape import Change
from orrery.errors import BadInput
from toolchain import hostfile
from toolchain.paths import ROOT

FORMAT: Final = 1
NO_RECORDING: Final = "is no recording of a run; make one with `orrery record -o RUN.ORR ...`"
CODE: Final = ("emu/**/*.py", "emu/native/*", "kernel/**/*.py", "kernel/asm/*", "orrery/keyboard.py")
"""Whose content decides a run."""

MACHINE: Final[Mapping[str, tuple[type, ...]]] = {
    "drive": (str, type(None)), "seed": (int,), "mem_mib": (int,), "engine": (str,), "snapshot": (bool,),
    "lab": (int,), "usyscall": (bool,), "layout": (str, type(None)), "modules": (dict,), "init_argv": (list,),
}  # fmt: skip
HEADER: Final[Mapping[str, tuple[type, ...]]] = {"image": (str,), "shown": (str,)}
END: Final[Mapping[str, tuple[type, ...]]] = {"end": (int,), "digest": (str,)}
"""What has to be there, and its types."""


class End(NamedTuple):
    """How the run ended: where, with which exit status, in which state."""

    moment: Moment
    status: int
    digest: str


class Recording(NamedTuple):
    """What the file at `path` says.

    `machine` are keyword arguments for Machine; `shown` is a key of FILTERS in session.py.
    """

    path: str
    machine: dict[str, Any]
    image: str
    shown: str
    changes: tuple[Change, ...]
    end: End | None


@cache
def code_digest() -> str:
    """Of the sources that decide a run."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in CODE for path in Path(ROOT).glob(pattern) if path.is_file()):
        digest.update(f"{path.relative_to(ROOT)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def image_digest(drive: Drive | None) -> str:
    """Of what is on a drive."""
    digest = hashlib.sha256()
    if drive is not None:
        drive.sha256_update(digest)
    return digest.hexdigest()


# --- writing ---


def header_line(machine: Mapping[str, Any], image: str, shown: str) -> str:
    """The first line, for a machine by these keyword arguments."""
    modules = machine.get("modules") or {}
    packed = {name.decode("latin-1"): _pack(elf) for name, elf in modules.items()}
    argv = [word.decode("latin-1") for word in machine.get("init_argv", (b"/init",))]
    plain = {**machine, "modules": packed, "init_argv": argv}
    about = {
        "recording": FORMAT,
        "version": __version__,
        "code": code_digest(),
        "image": image,
        "shown": shown,
    }
    return json.dumps({**about, "machine": plain})


def keys_line(moment: Moment, keys: bytes) -> str:
    """A line for keys that were typed."""
    return json.dumps({"at": list(moment), "type": keys.decode("latin-1")})


def end_line(end: End) -> str:
    """The last line."""
    return json.dumps({"at": list(end.moment), "end": end.status, "digest": end.digest})


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


# --- reading ---


def load(path: str) -> Recording:
    """The recording in a file; raises BadInput for one that is none, or of which this version is no judge."""
    header, *lines = _lines(path)
    if header.get("recording") != FORMAT:
        raise BadInput(f"{path}: {NO_RECORDING}")
    if header.get("version") != __version__:
        made = header.get("version")
        raise BadInput(f"{path}: made by version {made}, and this is {__version__}; replay it with that one")
    if header.get("code") != code_digest():
        raise BadInput(
            f"{path}: made with another state of emu/ and kernel/, in which the run would go another way; "
            "go back to that one, or record it anew"
        )
    try:
        return _recording(path, header, lines)
    except (AttributeError, KeyError, TypeError, ValueError, zlib.error) as error:
        raise BadInput(f"{path}: a damaged recording ({error!r}); record it anew") from error


def _lines(path: str) -> list[dict[str, Any]]:
    try:
        content = hostfile.read(path, hostfile.RECORDING_BYTES_MAX)
    except IsADirectoryError as error:
        raise BadInput(f"{path}: is a directory; name a recording") from error
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; check the name of the recording") from error
    found: list[dict[str, Any]] = []
    for text in content.decode("utf-8", "replace").splitlines(keepends=True):
        if not text.endswith("\n"):
            break  # broken off while it was written
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            if not found:
                raise BadInput(f"{path}: {NO_RECORDING}")
            raise BadInput(f"{path}: line {len(found) + 1} is none of a recording; record it anew")
        found.append(line)
    if not found:
        found.append({})
    return found


def _recording(path: str, header: dict[str, Any], lines: list[dict[str, Any]]) -> Recording:
    machine = dict(header["machine"])
    _check_types(machine, MACHINE)
    _check_types(header, HEADER)
    machine["init_argv"] = tuple(word.encode("latin-1") for word in machine["init_argv"])
    machine["modules"] = {
        name.encode("latin-1"): zlib.decompress(base64.b64decode(packed))
        for name, packed in machine["modules"].items()
    }
    changes: list[Change] = []
    for line in lines:
        moment = _moment(line["at"])
        if "end" in line:
            _check_types(line, END)
            end = End(moment, line["end"], line["digest"])
            return Recording(path, machine, header["image"], header["shown"], tuple(changes), end)
        changes.append(Change(moment, "type", (line["type"].encode("latin-1"),)))
    return Recording(path, machine, header["image"], header["shown"], tuple(changes), None)


def _check_types(values: Mapping[str, Any], types: Mapping[str, tuple[type, ...]]) -> None:
    """Raise KeyError or ValueError unless all that must be there is, as what it must be."""
    for name, kinds in types.items():
        if type(values[name]) not in kinds:
            raise ValueError(f"{name} is {values[name]!r}")


def _moment(values: list[int]) -> Moment:
    ticks, waiting, priv, pc = values
    if any(not isinstance(value, int) for value in values) or ticks < 0:
        raise ValueError(f"{values} is no moment")
    return Moment(ticks, bool(waiting), priv, pc)
