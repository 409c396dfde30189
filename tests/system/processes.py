"""What /proc tells of processes: who descends from whom, and who is left."""

import time
from pathlib import Path

ENDS_S_MAX = 20  # wall time that a process gets to end when it should


def descendants(pid: int) -> dict[int, str]:
    """The processes below `pid`, children before grandchildren, each with its state: R, S, Z ..."""
    parents: dict[int, int] = {}
    states: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            states[int(entry.name)], parents[int(entry.name)] = fields[0], int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return {one: states[one] for one in found[1:]}


def left(pids: list[int]) -> list[int]:
    """Those of `pids` that are still there when they have had time to end."""
    end = time.monotonic() + ENDS_S_MAX
    while time.monotonic() < end:
        pids = [pid for pid in pids if _runs(pid)]
        if not pids:
            break
        time.sleep(0.01)
    return pids


def _runs(pid: int) -> bool:
    """Whether `pid` is there, and more than a status that somebody else has not fetched yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
