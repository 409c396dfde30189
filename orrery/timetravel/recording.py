"""A recording: a file with all that decides a run, so that it can be made again.

Written by cli/record.py as the run goes on and read by cli/replay.py.  Lines of JSON; bytes are text, a
character each (Latin-1), but for programs, which are compressed and in base64:

    {"recording": 2, "version": ..., "code": ..., "image": ..., "shown": ..., "machine": {...}, "seal": ...}
    {"at": [ticks, waiting, privilege, pc], "type": "ls\\n", "seal": ...}          keys, any number of times
    {"at": [ticks, waiting, privilege, pc], "end": exit status, "digest": ..., "seal": ...}

`machine` holds Machine's parameters.  `code` is a digest of the emulator and the kernel, `image` one of the
drive as the run began.  `seal` is a digest of the file up to there.  A file without the last line was cut
off.
"""

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from emu.clock import TICKS_PER_S
from emu.dev.drive import Drive
from emu.events import NEVER
from orrery.errors import BadInput
from orrery.machine.config import MachineConfig
from orrery.machine.program import check, check_argv
from orrery.timetravel.input_log import Change, ChangeKind
from orrery.timetravel.moment import Moment
from orrery.version import VERSION
from toolchain import hostfile
from toolchain.names import shown
from toolchain.paths import ROOT

Rule: TypeAlias = tuple[tuple[type, ...], Callable[[Any], bool]]

FORMAT: Final = 2
SEAL: Final = "seal"
SEAL_CHARS: Final = 32
STATUS_MAX: Final = 255
GAP_TICKS_MAX: Final = 100 * TICKS_PER_S  # which take seconds to make, not hours
NO_RECORDING: Final = "is no recording of a run; make one with `orrery record -o RUN.ORR ...`"
CODE: Final = (
    "emu/**/*.py",
    "emu/cpu/native/*",
    "kernel/**/*.py",
    "kernel/asm/*",
    "orrery/machine/keyboard.py",
)
"""Whose content decides a run."""


def _anything(value: Any) -> bool:
    return True


def _is_digest(value: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", value) is not None


MACHINE: Final[Mapping[str, Rule]] = {
    "drive": ((str, type(None)), _anything),
    "seed": ((int,), _anything),
    "mem_mib": ((int,), _anything),
    "engine": ((str,), _anything),
    "snapshot": ((bool,), _anything),
    "lab": ((int,), _anything),
    "usyscall": ((bool,), _anything),
    "ustack": ((int, type(None)), _anything),
    "layout": ((str, type(None)), _anything),
    "columns": ((int,), _anything),
    "modules": ((dict,), _anything),
    "init_argv": ((list,), bool),
}
"""What has to be there: its types, and what else must hold. Machine looks at the values of most itself."""

HEADER: Final[Mapping[str, Rule]] = {"image": ((str,), _is_digest), "shown": ((str,), bool)}
KEYS: Final[Mapping[str, Rule]] = {"type": ((str,), bool)}
END: Final[Mapping[str, Rule]] = {
    "end": ((int,), lambda status: 0 <= status <= STATUS_MAX),
    "digest": ((str,), _is_digest),
}


class RecordedEnd(NamedTuple):
    """How the run ended: where, with which exit status, in which state."""

    moment: Moment
    status: int
    digest: str


class Recording(NamedTuple):
    """What the file at `path` says.

    `machine` is its configuration; `shown` is a Shown of machine/output.py.  With a
    `doubt` the file is not as it was written.
    """

    path: str
    machine: MachineConfig
    image: str
    shown: str
    changes: tuple[Change, ...]
    end: RecordedEnd | None
    doubt: str = ""


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


class Seal:
    """The last word of each line: a digest of it and of all lines before, so that none can be another one."""

    def __init__(self) -> None:
        self._digest: Final = hashlib.sha256()

    def put_on(self, line: bytes) -> bytes:
        """`line`, which comes next, with its seal."""
        self._digest.update(line + b"\n")
        return line[:-1] + f', "{SEAL}": "{self._digest.hexdigest()[:SEAL_CHARS]}"}}'.encode()


# --- writing ---


def header_line(machine: MachineConfig, image: str, shown: str) -> str:
    """The first line, for a machine by this configuration."""
    packed = {name.decode("latin-1"): _pack(elf) for name, elf in (machine.modules or {}).items()}
    argv = [word.decode("latin-1") for word in machine.init_argv]
    plain = {**machine.options(), "modules": packed, "init_argv": argv}
    about = {
        "recording": FORMAT,
        "version": VERSION,
        "code": code_digest(),
        "image": image,
        "shown": str(shown),
    }
    return json.dumps({**about, "machine": plain})


def keys_line(moment: Moment, keys: bytes) -> str:
    """A line for keys that were typed."""
    return json.dumps({"at": list(moment), "type": keys.decode("latin-1")})


def end_line(end: RecordedEnd) -> str:
    """The last line."""
    return json.dumps({"at": list(end.moment), "end": end.status, "digest": end.digest})


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


# --- reading ---


def load(path: str) -> Recording:
    """The recording in a file; raises BadInput for one that is none, or of which this version is no judge.

    A file that can be read but is not as it was written has a `doubt`, which the caller must report.
    """
    (header, *lines), doubt = _lines(path)
    name = shown(path)
    if header.get("recording") != FORMAT:
        raise BadInput(f"{name}: {NO_RECORDING}")
    if header.get("version") != VERSION:
        made = header.get("version")
        raise BadInput(f"{name}: made by version {made}, and this is {VERSION}; replay it with that one")
    if header.get("code") != code_digest():
        raise BadInput(
            f"{name}: made with another state of emu/ and kernel/, in which the run would go another way; "
            "go back to that one, or record it anew"
        )
    try:
        run = _recording(path, header, lines, doubt)
    except (AttributeError, KeyError, TypeError, ValueError, zlib.error, BadInput) as error:
        raise BadInput(f"{name}: a damaged recording ({error!r}); record it anew") from error
    if doubt and _is_long(run):
        raise BadInput(f"{name}: {doubt}; record it anew")
    return run


def _lines(path: str) -> tuple[list[dict[str, Any]], str]:
    """The lines of the file, without their seals, and what is to be doubted about them."""
    name = shown(path)
    try:
        content = hostfile.read(path, hostfile.RECORDING_BYTES_MAX)
    except IsADirectoryError as error:
        raise BadInput(f"{name}: is a directory; name a recording") from error
    except OSError as error:
        raise BadInput(f"{name}: {error.strerror}; check the name of the recording") from error
    found: list[dict[str, Any]] = []
    doubt, seal = "", Seal()
    *texts, broken_off = content.split(b"\n")
    for text in texts:
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            if not found:
                raise BadInput(f"{name}: {NO_RECORDING}")
            raise BadInput(f"{name}: line {len(found) + 1} is none of a recording; record it anew")
        found.append(line)
        line.pop(SEAL, None)
        if seal.put_on(_unsealed(text)) != text and not doubt:
            doubt = f"line {len(found)} is not as it was recorded"
    if broken_off and found and "end" in found[-1]:
        doubt = "there is something behind its end"
    return found or [{}], doubt


def _unsealed(text: bytes) -> bytes:
    """A line as it was before it was sealed."""
    return text[: text.rfind(f', "{SEAL}": '.encode())] + b"}"


def _recording(path: str, header: dict[str, Any], lines: list[dict[str, Any]], doubt: str) -> Recording:
    machine = dict(header["machine"])
    _check(machine, MACHINE)
    _check(header, HEADER)
    machine["init_argv"] = tuple(word.encode("latin-1") for word in machine["init_argv"])
    check_argv(machine["init_argv"])
    machine["modules"] = {name.encode("latin-1"): _unpack(elf) for name, elf in machine["modules"].items()}
    for module, elf in machine["modules"].items():
        check(elf, shown(module))
    changes: list[Change] = []
    end = None
    moment = Moment(0, False, 0, 0)
    for line in lines:
        if end is not None:
            raise ValueError("there is something behind the end")
        before, moment = moment, _moment(line["at"])
        if moment.ticks < before.ticks:
            raise ValueError("time goes backwards")
        if "end" in line:
            _check(line, END)
            end = RecordedEnd(moment, line["end"], line["digest"])
        else:
            _check(line, KEYS)
            changes.append(Change(moment, ChangeKind.TYPE, (line["type"].encode("latin-1"),)))
    config = MachineConfig(**machine)
    return Recording(path, config, header["image"], header["shown"], tuple(changes), end, doubt)


def _unpack(packed: str) -> bytes:
    """What _pack was given, if it is no more than a program can be."""
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(base64.b64decode(packed, validate=True), hostfile.PROGRAM_BYTES_MAX)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("a program is cut off, or too large")
    return data


def _is_long(run: Recording) -> bool:
    """Whether there may be so much time between two entries that making the run would take long."""
    moments = [change.moment for change in run.changes] + ([run.end.moment] if run.end else [])
    ticks = [0, *(moment.ticks for moment in moments)]
    return any(later - earlier > GAP_TICKS_MAX for earlier, later in pairwise(ticks))


def _check(values: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    """Raise KeyError or ValueError unless all that must be there is, as what it must be."""
    for name, (kinds, is_good) in rules.items():
        if type(values[name]) not in kinds or not is_good(values[name]):
            raise ValueError(f"{name} is {repr(values[name])[:80]}")


def _moment(values: list[Any]) -> Moment:
    ticks, waiting, priv, pc = values
    kinds = [type(value) for value in values]
    if kinds != [int, bool, int, int] or not 0 <= ticks < NEVER or not 0 <= priv < 4 or not 0 <= pc < 1 << 64:
        raise ValueError(f"{values} is no moment")
    return Moment(ticks, waiting, priv, pc)
