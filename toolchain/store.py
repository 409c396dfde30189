"""The cache's entries: results of the toolchain under their keys, each with a checksum.

Called by objects.py, link.py, hostlib.py and image.py.  A key says everything that the result was made from.
An entry appears by a rename, so a reader sees all of it or none, and two builders may race; one that was
damaged since, or belongs to another key, is taken for none, and is made again.  The cache is a convenience:
where it cannot be written, because it is read-only or full, a result is not kept, and that is all.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

from toolchain import paths

MAGIC = b"orrery 2\n"
SUM_SIZE = hashlib.sha256().digest_size


def digest(*parts: str | bytes) -> str:
    """A key for `parts`: each is preceded by its length, so no two lists run into one another."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode(errors="surrogateescape") if isinstance(part, str) else part
        total.update(b"%d:" % len(data))
        total.update(data)
    return total.hexdigest()


def get(kind: str, key: str) -> bytes | None:
    """The result of `kind` under `key`, None where there is none that is whole."""
    try:
        entry = path(kind, key).read_bytes()
    except OSError:
        return None
    start = len(MAGIC) + SUM_SIZE
    data = memoryview(entry)[start:]
    if not entry.startswith(MAGIC) or entry[len(MAGIC) : start] != _checksum(kind, key, data):
        return None
    return bytes(data)


def put(kind: str, key: str, data: bytes) -> None:
    """Keep a result, if there is a place for it."""
    with suppress(OSError):
        paths.write_atomic(path(kind, key), MAGIC + _checksum(kind, key, data) + data)


def path(kind: str, key: str) -> Path:
    """Where an entry is; raises OSError where there is no cache."""
    return paths.cache_dir() / kind / key


def _checksum(kind: str, key: str, data: bytes | memoryview) -> bytes:
    total = hashlib.sha256(f"{kind} {key}\n".encode())
    total.update(data)
    return total.digest()
