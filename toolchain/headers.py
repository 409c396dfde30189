"""C headers and system-call stubs, made from the declarations in kernel/abi.

Called by includes.py, which writes the result beside the cache and puts it on the include path in front of
user/include.  The names are xv6's, so that programs written for it compile unchanged; every number
comes from kernel.abi, and each structure's size is asserted in C against the size declared there.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType

from kernel.abi import disk, fcntl, memlayout, param, ps, riscv, syscalls, tty

# A second name for a number: what xv6 called sleep until 2025 is pause since (user/lib has the function).
ALIASES = {"pause": "sleep"}
USER_CALLS = (*syscalls.SYSCALLS, *syscalls.LOCK_CALLS)  # in user/syscalls.h
ALL_CALLS = (*USER_CALLS, *syscalls.NET_CALLS)  # these in user/netcalls.h: their names are common words
STOCK_RAM_SIZE = 128 << 20  # bytes of RAM that xv6's PHYSTOP assumes

_USER_H = """\
struct stat;
struct psinfo; /* kernel/ps.h */
struct sysinfo; /* kernel/sysinfo.h */

#define SBRK_ERROR ((char *)-1)

"""
_PAGING = ("PGSIZE", "PGSHIFT", "SUPERPGSIZE", "MAXVA")


def generate() -> dict[str, str]:
    """All generated files: path below the include directory -> text."""
    return {
        "kernel/syscall.h": _header("syscall", _syscall_numbers()),
        "kernel/fcntl.h": _header("fcntl", _fcntl()),
        "kernel/stat.h": _header("stat", _stat()),
        "kernel/param.h": _header("param", _param()),
        "kernel/fs.h": _header("fs", _fs()),
        "kernel/memlayout.h": _header("memlayout", _memlayout()),
        "kernel/riscv.h": _header("riscv", _riscv()),
        "kernel/tty.h": _header("tty", _defines(_constants(tty))),
        "kernel/ps.h": _header("ps", _psinfo()),
        "kernel/sysinfo.h": _header("sysinfo", _SYSINFO + _size_check("sysinfo", ps.SYSINFO.size)),
        "kernel/file.h": _header("file", _defines({"CONSOLE": param.CONSOLE})),
        # Programs include these two only because xv6's file.h wants them first.
        "kernel/spinlock.h": _header("spinlock", ""),
        "kernel/sleeplock.h": _header("sleeplock", ""),
        "user/syscalls.h": _header("syscalls", _USER_H + _prototypes(USER_CALLS)),
        "user/netcalls.h": _header("netcalls", _prototypes(syscalls.NET_CALLS)),
        "usys.S": _stubs(),
    }


def _header(name: str, body: str) -> str:
    guard = f"ORRERY_{name.upper()}_H"
    top = f"/* Made from kernel/abi; edit the declarations there. */\n#ifndef {guard}\n#define {guard}\n"
    return f"{top}\n{body}\n#endif\n"


def _constants(module: ModuleType, prefix: str = "") -> dict[str, int]:
    """The integers that `module` declares in capitals, in their order."""
    return {
        name: value
        for name, value in vars(module).items()
        if name.isupper() and name.startswith(prefix) and isinstance(value, int)
    }


def _defines(constants: Mapping[str, int]) -> str:
    return "".join(f"#define {name} {_literal(value)}\n" for name, value in constants.items())


def _literal(value: int) -> str:
    """`value` as a C constant: an int where it fits, so that printf's %d takes it, else long."""
    if value < 1 << 31:
        return str(value) if value < 4096 else hex(value)
    return f"{value:#x}{'L' if value < 1 << 63 else 'UL'}"


def _c_only(text: str) -> str:
    """`text` hidden from assembly sources, which take the numbers alone."""
    return f"\n#ifndef __ASSEMBLER__\n{text.strip()}\n#endif\n"


def _size_check(struct: str, size: int) -> str:
    message = f"struct {struct} is not as kernel/abi declares it"
    return f'_Static_assert(sizeof(struct {struct}) == {size}, "{message}");\n'


def _syscall_numbers() -> str:
    numbers = {f"SYS_{call.name}": call.number for call in ALL_CALLS}
    numbers |= {f"SYS_{alias}": syscalls.BY_NAME[name].number for alias, name in ALIASES.items()}
    return _defines(numbers)


def _prototypes(calls: Sequence[syscalls.Syscall]) -> str:
    ends = (" __attribute__((noreturn));\n" if call.noreturn else ";\n" for call in calls)
    return "".join(map(str.__add__, map(_prototype, calls), ends))


def _psinfo() -> str:
    names = ", ".join(f'"{name}"' for name in ps.STATE_NAMES)
    return _PSINFO + _size_check("psinfo", ps.PSINFO.size) + f"#define PS_STATE_NAMES {{ {names} }}\n"


def _prototype(call: syscalls.Syscall) -> str:
    """The C declaration of a call, without a semicolon."""
    args = ", ".join(_declare(arg.ctype, arg.name) for arg in call.args) or "void"
    return f"{_declare(call.returns, call.symbol or call.name)}({args})"


def _declare(ctype: str, name: str) -> str:
    if "(*)" in ctype:  # a pointer to a function has its name in the middle
        return ctype.replace("(*)", f"(*{name})")
    return ctype + name if ctype.endswith("*") else f"{ctype} {name}"


def _stubs() -> str:
    """One function a call, each in its own section, so that a program links only those it uses."""
    text = ["# Made from kernel/abi/syscalls.py; edit the table there.\n"]
    for call in ALL_CALLS:
        stub = call.symbol or call.name
        text.append(
            f'\n.section .text.{stub}, "ax", @progbits\n.globl {stub}\n.type {stub}, @function\n{stub}:\n'
            f"  li a7, {call.number}\n  ecall\n  ret\n.size {stub}, . - {stub}\n"
        )
    return "".join(text)


def _fcntl() -> str:
    """Modes of open() and what mmap() takes, which xv6 has in this file too."""
    constants = {n: v for n, v in _constants(fcntl).items() if not n.startswith("T_")}
    return _defines(constants) + "#define MAP_FAILED ((void *)-1)\n"


def _stat() -> str:
    types = _defines(_constants(fcntl, prefix="T_"))
    return types + _c_only(_STAT + _size_check("stat", disk.STAT.size))


def _param() -> str:
    others = ("ROOTINO", "CONSOLE", "USERSTACK", "USERSTACK_SINCE", "USTACK_MAX")
    constants = {n: v for n, v in _constants(param).items() if n not in others}
    return (
        _defines(constants | {"LOGSIZE": param.LOGBLOCKS})  # LOGSIZE: its name until 2024
        + "\n/* Who makes a program for stacks of another size says so by -D. */\n#ifndef USERSTACK\n"
        + _defines({"USERSTACK": param.USERSTACK})
        + "#endif\n"
    )


def _fs() -> str:
    constants = {"ROOTINO": param.ROOTINO} | _constants(disk)
    fields = "".join(f"  uint {name};\n" for name in disk.SuperBlock._fields)
    checks = (
        _size_check("superblock", disk.SUPERBLOCK.size)
        + _size_check("dinode", disk.DINODE_SIZE)
        + _size_check("dirent", disk.DIRENT_SIZE)
    )
    return _defines(constants) + _FS_MACROS + _c_only(_FS_STRUCTS.replace("FIELDS", fields) + checks)


def _memlayout() -> str:
    constants = {n: v for n, v in _constants(memlayout).items() if n not in _PAGING}
    constants["PHYSTOP"] = memlayout.KERNBASE + STOCK_RAM_SIZE
    stride = memlayout.kstack(0) - memlayout.kstack(1)
    return (
        _defines(constants)
        + (
            "\n/* Lowest address of the kernel stack of process slot p. */\n"
            f"#define KSTACK(p) ({_literal(memlayout.kstack(0))} - (p) * {_literal(stride)}L)\n"
        )
        + _c_only(_USYSCALL + _size_check("usyscall", ps.USYSCALL_DATA.size))
    )


def _riscv() -> str:
    paging = {name: vars(memlayout)[name] for name in _PAGING}
    # xv6 has a macro of this name that takes a PTE: see below.
    constants = {n: v for n, v in _constants(riscv).items() if n != "PTE_FLAGS"}
    return (
        _defines(paging | constants)
        + _PAGING_MACROS.format(flags=_literal(riscv.PTE_FLAGS))
        + _c_only(_REGISTERS)
    )


_PSINFO = """\
#include "kernel/types.h"

/* What ps() reports of a process; PS_STATE_NAMES are the names of `state`, from 0 up. */
struct psinfo {
  int pid;
  int ppid;
  int state;
  int pad;
  uint64 size;
  char name[16];
};
"""

_SYSINFO = """\
#include "kernel/types.h"

/* What sysinfo() reports of the machine. */
struct sysinfo {
  uint64 freemem; /* bytes */
  uint64 nproc;   /* processes */
};
"""

_USYSCALL = """
/* What lies at USYSCALL, where the machine was started with --usyscall. */
struct usyscall {
  int pid;
};
"""

_STAT = """
#include "kernel/types.h"

struct stat {
  int dev;
  uint ino;
  short type;
  short nlink;
  uint64 size;
};
"""

_FS_MACROS = """
/* Block of inode i; block of the free map's bit for block b. */
#define IBLOCK(i, sb) ((i) / IPB + (sb).inodestart)
#define BBLOCK(b, sb) ((b) / BPB + (sb).bmapstart)
"""

_FS_STRUCTS = """
#include "kernel/types.h"

struct superblock {
FIELDS};

struct dinode {
  short type;
  short major;
  short minor;
  short nlink;
  uint size;
  uint addrs[NDIRECT + 1];
};

struct dirent {
  ushort inum;
  char name[DIRSIZ];
};

"""

_PAGING_MACROS = """
#define PGROUNDUP(size) (((size) + PGSIZE - 1) & ~(PGSIZE - 1))
#define PGROUNDDOWN(address) ((address) & ~(PGSIZE - 1))
#define SUPERPGROUNDUP(size) (((size) + SUPERPGSIZE - 1) & ~(SUPERPGSIZE - 1))
#define SUPERPGROUNDDOWN(address) ((address) & ~(SUPERPGSIZE - 1))
#define PA2PTE(pa) ((((uint64)(pa)) >> PGSHIFT) << 10)
#define PTE2PA(pte) (((pte) >> 10) << PGSHIFT)
#define PTE_FLAGS(pte) ((pte) & {flags})

/* The index that a virtual address has in the table of a level: 2 is the root, 0 the leaves. */
#define PXMASK 0x1ff
#define PXSHIFT(level) (PGSHIFT + 9 * (level))
#define PX(level, va) ((((uint64)(va)) >> PXSHIFT(level)) & PXMASK)
#define MAKE_SATP(pagetable) (SATP_SV39 | (((uint64)(pagetable)) >> PGSHIFT))
"""

_REGISTERS = """
#include "kernel/types.h"

typedef uint64 pte_t;
typedef uint64 *pagetable_t;

#define ORRERY_READER(name, instruction)           \\
  static inline uint64 name(void) {                \\
    uint64 value;                                  \\
    __asm__ volatile(instruction : "=r"(value));   \\
    return value;                                  \\
  }
ORRERY_READER(r_sp, "mv %0, sp")
ORRERY_READER(r_fp, "mv %0, s0")
ORRERY_READER(r_ra, "mv %0, ra")
ORRERY_READER(r_tp, "mv %0, tp")
ORRERY_READER(r_time, "rdtime %0")
"""
