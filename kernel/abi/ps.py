"""struct psinfo, what the ps() call reports of a process.

    struct psinfo { int pid; int ppid; int state; int pad; uint64 size; char name[16]; };
"""

import struct
from typing import Final

PSINFO: Final = struct.Struct("<iii4xQ16s")
assert PSINFO.size == 40

# State numbers, in xv6's order.
UNUSED, USED, SLEEPING, RUNNABLE, RUNNING, ZOMBIE = range(6)
STATE_NAMES: Final = ("unused", "used", "sleep", "runble", "run", "zombie")
