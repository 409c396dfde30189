"""What the kernel reports about processes, and where: by ps(), by sysinfo(), at USYSCALL.

    struct psinfo { int pid; int ppid; int state; int pad; uint64 size; char name[16]; };
    struct sysinfo { uint64 freemem; uint64 nproc; };
    struct usyscall { int pid; };

They are asserted in C too, against the sizes here (toolchain/headers.py).
"""

import struct
from typing import Final

PSINFO: Final = struct.Struct("<iii4xQ16s")
assert PSINFO.size == 40
SYSINFO: Final = struct.Struct("<QQ")
USYSCALL_DATA: Final = struct.Struct("<i")

# State numbers, in xv6's order.
UNUSED, USED, SLEEPING, RUNNABLE, RUNNING, ZOMBIE = range(6)
STATE_NAMES: Final = ("unused", "used", "sleep", "runble", "run", "zombie")
