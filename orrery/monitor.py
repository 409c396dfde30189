"""The console monitor: commands that look at a machine which stands still, as QEMU's monitor does.

`Monitor.execute` takes a line and gives the answer as text; prompt.py has the terminal's side of it.  A
command reads registers, RAM, page tables and the kernel's objects and changes none of them, so a run in which
somebody looked is the same run.  Reading a device's register may change the device, so no command does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from emu import board_map as at
from emu import engine as e
from emu.clock import PS_PER_TICK
from emu.csr import MTIME_TICKS
from emu.events import NEVER, Event
from emu.hart import M_EXTERNAL, M_SOFT, M_TIMER, MASK64, S_EXTERNAL, S_SOFT, S_TIMER
from emu.plic import SOURCE_COUNT
from kernel.abi.memlayout import (
    MAXVA,
    PGMASK,
    PGSHIFT,
    PGSIZE,
    SUPERPGSIZE,
    TRAMPOLINE,
    TRAPFRAME,
    USYSCALL,
)
from kernel.abi.param import TICK_PS
from kernel.abi.ps import SLEEPING, STATE_NAMES, ZOMBIE
from kernel.abi.riscv import PTE_SUPER, PTE_U, PTE_V
from kernel.proc import Proc
from orrery import mappings, pages, stacks
from orrery.census import Census
from orrery.machine import Machine

KERNEL_PID: Final = 0  # stands for the kernel itself: its page table, the scheduler's thread
BYTES_DEFAULT: Final = 64
BYTES_MAX: Final = 4096
A_LINE: Final = 16  # bytes in a line of a dump
EVENTS_MAX: Final = 8  # shown
PS_PER_S: Final = 10**12
MTIME_PS: Final = MTIME_TICKS * PS_PER_TICK
PRIVILEGES: Final = {0: "user", 1: "supervisor", 3: "machine"}
INTERRUPTS: Final = {
    S_SOFT: "S software", M_SOFT: "M software", S_TIMER: "S timer", M_TIMER: "M timer",
    S_EXTERNAL: "S external", M_EXTERNAL: "M external",
}  # fmt: skip
CSRS: Final = (
    "mstatus", "mie", "mip", "mideleg", "medeleg", "mtvec", "mepc", "mcause", "mtval", "mscratch",
    "satp", "stvec", "sepc", "scause", "stval", "sscratch",
)  # fmt: skip
X_NAMES: Final = tuple(name for name in e.NAMES if not name[1:].isdigit() or name[0] not in "xf")[:32]
DEVICES: Final = (
    (at.FINISHER, at.FINISHER_SIZE, "the test finisher"),
    (at.CLINT, at.CLINT_SIZE, "the CLINT"),
    (at.PLIC, at.PLIC_SIZE, "the PLIC"),
    (at.UART0, at.UART0_SIZE, "the UART"),
    (at.VIRTIO0, at.VIRTIO_COUNT * at.VIRTIO_STRIDE, "virtio"),
)
EVENT_MAKERS: Final = {
    "SupervisorTimer": "the timer (stimecmp)",
    "Clint": "the CLINT's timer",
    "VirtioBlk": "the disk",
    "Keyboard": "the keyboard",
}


class BadCommand(Exception):
    """The line is no command; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name, its arguments as help shows them, what it is for, and what carries it out."""

    name: str
    arguments: str
    about: str
    run: "Callable[..., Iterator[str]]"

    @property
    def usage(self) -> str:
        return f"{self.name} {self.arguments}".rstrip()

    @property
    def counts(self) -> range:
        """How many arguments it takes."""
        words = self.arguments.split()
        required = sum(not word.endswith("]") for word in words)
        return range(required, len(words) + 1)


class Monitor:
    """Looks at `machine` on command. `quitting` is set when the person asked to end the run."""

    def __init__(self, machine: Machine) -> None:
        self._machine: Final = machine
        self.kernel: Final = machine.kernel
        self._programs: Final = stacks.Programs(machine)
        self.quitting = False

    def execute(self, line: str) -> str:
        """Carry out the command on `line`; the answer, every line of it with its newline."""
        words = line.split()
        if not words:
            return ""
        try:
            command = find(words[0])
            if len(words) - 1 not in command.counts:
                raise BadCommand(f"{command.name}: wrong number of arguments; write {command.usage}")
            return "".join(f"{shown}\n" for shown in command.run(self, *words[1:]))
        except BadCommand as error:
            return f"{error}\n"

    # --- the commands; each yields the lines of its answer ---

    def help(self, word: str | None = None) -> Iterator[str]:
        commands = [find(word)] if word is not None else COMMANDS
        width = max(len(command.usage) for command in commands)
        for command in commands:
            yield f"{command.usage:<{width}}  {command.about}"
        if word is None:
            yield "A name may be shortened as long as it is the only one; C-a c goes back to the guest."

    def ps(self) -> Iterator[str]:
        if not self._has_started:
            yield "the kernel has not started"
            return
        yield "  pid  ppid  state       size            pc  name             waits for"
        for p in self.kernel.procs:
            ppid = p.parent.pid if p.parent is not None else 0
            pc = stacks.user_registers(self._machine, p).pc
            line = f"{p.pid:>5} {ppid:>5}  {STATE_NAMES[p.state]:<6} {p.sz:>9} {pc:>#13x}  {p.name:<15}"
            yield f"{line}  {self._status(p)}".rstrip()

    def pt(self, pid: str, va: str | None = None) -> Iterator[str]:
        p = self._process(pid)
        if va is None:
            yield from self._mappings(p)
        else:
            yield from self._walk(p, _number(va, "a virtual address"))

    def vmas(self, pid: str) -> Iterator[str]:
        p = self._process(pid)
        if p is None:
            raise BadCommand("0: the kernel has no mappings of files; give the number of a process")
        yield from mappings.mapping_lines(self.kernel, p)

    def stack(self, pid: str) -> Iterator[str]:
        p = self._process(pid)
        if p is not None:
            yield f"{p} in its program, the innermost call first:"
            yield from stacks.user_lines(stacks.user_frames(self._machine, p, self._programs))
        whose = f"{p} in the kernel" if p is not None else "the scheduler"
        yield f"{whose}, the innermost call first:"
        yield from stacks.kernel_lines(self._machine, p) or ["(no kernel thread)"]

    def frames(self, address: str | None = None) -> Iterator[str]:
        if not self._has_started:
            yield "the kernel has not started: no frame has an owner"
        elif address is None:
            yield from self._frame_counts()
        else:
            yield from self._frame_owners(_number(address, "a physical address"))

    def memory(self) -> Iterator[str]:
        yield from mappings.memory_lines(self.kernel)

    def irq(self) -> Iterator[str]:
        hart, regs = self._machine.board.hart, self._machine.board.hart.regs
        pending = regs[e.MIP] | hart.lines
        takeable = hart.takeable_interrupt()
        yield f"hart 0: {'waits in a wfi' if hart.waiting else 'runs'}, in {PRIVILEGES[hart.privilege]} mode"
        yield f"  enabled by mie:  {_interrupts(regs[e.MIE])}"
        yield f"  pending in mip:  {_interrupts(pending)}"
        yield f"  lines held high: {_interrupts(hart.lines)}"
        yield f"  taken next:      {INTERRUPTS[takeable] if takeable is not None else 'none'}"
        yield from self._plic()
        yield "events to come:"
        yield from self._events()

    def time(self) -> Iterator[str]:
        clock, events = self._machine.board.clock, self._machine.board.events
        timer = self._machine.board.timer
        due = "off" if timer.compare == MASK64 else f"at {_seconds(timer.compare * MTIME_PS)}"
        yield f"virtual time  {_seconds(clock.time_ps)}, {clock.now} ticks of {PS_PER_TICK} ps"
        yield f"time CSR      {timer.time}, in units of {MTIME_PS // 1000} ns"
        yield f"kernel ticks  {self.kernel.timer.ticks}, of {_seconds(TICK_PS)}"
        yield f"timer         {due}"
        yield f"next event    {'none' if events.next_ticks == NEVER else self._event(events.pending()[0])}"

    def x(self, where: str, count: str | None = None) -> Iterator[str]:
        n = BYTES_DEFAULT if count is None else _number(count, "a number of bytes")
        if not 0 < n <= BYTES_MAX:
            raise BadCommand(f"x: {n} bytes: give from 1 to {BYTES_MAX}")
        pid, colon, address = where.rpartition(":")
        start = _number(address, "an address")
        places: Sequence[int | None] = range(start, start + n)
        if colon:
            root = self._root(self._process(pid))
            places = [pages.find(self.kernel.ram, root, va) for va in range(start, start + n)]
        ram = self.kernel.ram
        data = [ram.bytes[pa - ram.base] if pa is not None and ram.holds(pa, 1) else None for pa in places]
        if data.count(None) == n:
            raise BadCommand(f"{start:#x}: {'not mapped' if places[0] is None else _not_ram(places[0])}")
        yield from _dump(start, data)

    def regs(self) -> Iterator[str]:
        regs = self._machine.board.hart.regs
        for row in range(8):
            names = X_NAMES[row::8]
            yield "  ".join(f"{name:>4} {regs[e.NAMES[name]]:016x}" for name in names)
        yield f"  pc {regs[e.PC]:016x}{self._where(regs[e.PC])}"
        yield f"priv {PRIVILEGES[regs[e.PRIV]]}"
        for first in range(0, len(CSRS), 4):
            yield "  ".join(f"{name:>8} {regs[e.NAMES[name]]:016x}" for name in CSRS[first : first + 4])

    def quit(self) -> Iterator[str]:
        self.quitting = True
        yield from ()

    # --- processes ---

    @property
    def _has_started(self) -> bool:
        return next(iter(self.kernel.procs), None) is not None

    def _process(self, word: str) -> Proc | None:
        """The process with this number; None stands for the kernel."""
        pid = _number(word, "the number of a process, or 0 for the kernel")
        if not self._has_started:
            raise BadCommand(f"{word}: the kernel has not started, so there is no process")
        if pid == KERNEL_PID:
            return None
        p = self.kernel.procs.find(pid)
        if p is None:
            known = ", ".join(str(one.pid) for one in self.kernel.procs)
            raise BadCommand(f"{word}: no such process; there are {known}, and 0 for the kernel")
        return p

    def _status(self, p: Proc) -> str:
        """What `p` waits for, or how it ended."""
        if p.state == ZOMBIE:
            return f"its parent to wait: it has exited with status {p.xstate}"
        chan = self.kernel.procs.describe(p.chan) if p.state == SLEEPING else ""
        return f"{chan} (killed)".lstrip() if p.killed else chan

    # --- page tables ---

    def _root(self, p: Proc | None) -> int:
        return self.kernel.pagetable if p is None else p.pagetable

    def _mappings(self, p: Proc | None) -> Iterator[str]:
        yield "virtual                      physical                 pages  flags"
        for one in pages.mappings(self.kernel.ram, self._root(p)):
            virtual = f"{one.va:#012x}-{one.va + one.size - 1:#012x}"
            physical = f"{one.pa:#010x}-{one.pa + one.size - 1:#010x}"
            count = one.size >> PGSHIFT
            line = f"{virtual}  {physical}  {count:>6}  {pages.flags_text(one.flags)}"
            yield f"{line}  {self._what(p, one)}".rstrip()

    def _what(self, p: Proc | None, one: pages.Mapping) -> str:
        """What the range is for, where that is not plain memory."""
        if one.va == TRAMPOLINE:
            return "trampoline"
        if p is None:
            slot = next((s for s in self.kernel.procs.slots if s.kstack_va == one.va), None)
            return f"kernel stack of slot {slot.slot}" if slot is not None else _devices(one.pa, one.size)
        if one.va == TRAPFRAME:
            return "trapframe"
        if one.va == USYSCALL:
            return "number of the process"
        vma = p.vmas.find(one.va)
        if vma is not None:
            return mappings.behind(vma, one.va)
        if one.flags & PTE_SUPER:
            return "a superpage" if one.size == SUPERPGSIZE else f"{one.size // SUPERPGSIZE} superpages"
        return "" if one.flags & PTE_U else "guard"

    def _walk(self, p: Proc | None, va: int) -> Iterator[str]:
        if va >= MAXVA:
            raise BadCommand(f"{va:#x}: no virtual address; they are below {MAXVA:#x}")
        root = self._root(p)
        yield f"satp: Sv39, root table at {root:#x}"
        steps = pages.walk(self.kernel.ram, root, va)
        for step in steps:
            which = f"level {step.level}: entry {step.index:>3} at {step.pte_pa:#x}"
            yield f"{which} is {step.pte:#018x}: {_entry(step)}{self._sharers(step)}"
        pa = pages.find(self.kernel.ram, root, va)
        if pa is not None:
            yield f"{va:#x} is at physical address {pa:#x}"
        elif p is not None and va < p.sz:
            yield f"{va:#x} is not mapped, but promised: it will be when it is touched"
        elif p is not None and (vma := p.vmas.find(va)) is not None:
            yield f"{va:#x} is not mapped, but promised; behind it is, {mappings.behind(vma, va)}"
        else:
            yield f"{va:#x} is not mapped"

    def _sharers(self, step: pages.Step) -> str:
        """How many processes use the table that an entry leads to, if they are several."""
        pa = pages.target(step.pte)
        if not pages.is_table(step) or pa < self.kernel.frames.first_pa or not self.kernel.ram.holds(pa, 1):
            return ""
        owners = self.kernel.frames.owners(pa)
        return f", shared by {owners} processes" if owners > 1 else ""

    # --- frames ---

    def _frame_counts(self) -> Iterator[str]:
        frames, ram = self.kernel.frames, self.kernel.ram
        counts = Census(self.kernel).kinds()
        yield f"{frames.free_frames:>6} free"
        for kind, count in sorted(counts.items()):
            yield f"{count:>6} {kind}"
        yield f"{(ram.end - frames.first_pa) // PGSIZE:>6} in all, from {frames.first_pa:#x} to {ram.end:#x}"

    def _frame_owners(self, address: int) -> Iterator[str]:
        frames, ram, pa = self.kernel.frames, self.kernel.ram, address & ~PGMASK
        if not ram.holds(address, 1):
            raise BadCommand(f"{address:#x}: {_not_ram(address)}; RAM is from {ram.base:#x} to {ram.end:#x}")
        if pa < frames.first_pa:
            yield f"{address:#x} is the kernel's own: {self._part(address)}"
            return
        census = Census(self.kernel)
        pa, owners = census.whole(pa), census.owners_of(pa)
        size = ", a superpage," if pa in census.inside.values() else ""
        yield f"frame {pa:#x}{size} counts {frames.owners(pa)} owners" + (":" if owners else "; it is free")
        for owner in owners:
            yield f"  {owner}"

    def _part(self, address: int) -> str:
        """Which part of the kernel's RAM `address` is in; see the picture in kernel/kernel.py."""
        image = self.kernel.image
        if address < image.etext:
            return "text"
        return "data" if address < image.end else "the buffer cache or the disk's queue"

    # --- interrupts and events ---

    def _plic(self) -> Iterator[str]:
        plic = self._machine.board.plic
        pending, machine, supervisor = (
            sum(plic.load(base + 4 * word, 4) << 32 * word for word in range(SOURCE_COUNT // 32))
            for base in (0x1000, 0x2000, 0x2080)
        )
        thresholds = plic.load(0x20_0000, 4), plic.load(0x20_1000, 4)
        yield f"PLIC: thresholds {thresholds[0]} (M mode), {thresholds[1]} (S mode)"
        for source in range(1, SOURCE_COUNT):
            states = (
                ("pending", pending),
                ("claimed", plic.claimed),
                ("enabled for M", machine),
                ("enabled for S", supervisor),
            )
            shown = [name for name, bits in states if bits >> source & 1]
            if shown:
                priority = plic.load(4 * source, 4)
                yield f"  {source:>2} {_source(source):<8} priority {priority}, {', '.join(shown)}"

    def _events(self) -> Iterator[str]:
        events = self._machine.board.events.pending()
        for event in events[:EVENTS_MAX]:
            yield f"  {self._event(event)}"
        if len(events) > EVENTS_MAX:
            yield f"  and {len(events) - EVENTS_MAX} more"
        if not events:
            yield "  none"

    def _event(self, event: Event) -> str:
        now = self._machine.board.clock.now
        return f"in {_seconds((event.ticks - now) * PS_PER_TICK)}: {_maker(event)}"

    # --- code ---

    def _where(self, pc: int) -> str:
        """Function and line of `pc` as the hart stands, or nothing."""
        image, p = self.kernel.image, self.kernel.sched.current
        if self._machine.board.hart.privilege == 0 and p is not None:
            frame = next(stacks.user_frames(self._machine, p, self._programs))
            return "".join(f"  {line[4:].partition(' ')[2]}" for line in stacks.user_lines([frame])[:1])
        if pc >= TRAMPOLINE:
            pc += image.trampoline - TRAMPOLINE
        below = [(value, name) for name, value in image.symbols.items() if value <= pc < image.etext]
        return f"  {max(below)[1]}+{pc - max(below)[0]:#x}" if below else ""


COMMANDS: Final[Sequence[Command]] = (
    Command("help", "[COMMAND]", "this list, or one line of it", Monitor.help),
    Command("ps", "", "the processes: state, size, pc, and what each waits for", Monitor.ps),
    Command("pt", "PID [VA]", "page table: what is mapped, or the walk to VA (PID 0: kernel)", Monitor.pt),
    Command("vmas", "PID", "memory mappings: rights, what is behind, how many pages are there", Monitor.vmas),
    Command("stack", "PID", "backtrace in C, and in the kernel's Python (PID 0: scheduler)", Monitor.stack),
    Command("frames", "[ADDR]", "how many page frames are used for what, or who owns one", Monitor.frames),
    Command("memory", "", "free memory, and the counts of faults, copies, reads and writes", Monitor.memory),
    Command("irq", "", "interrupts: the hart's, the PLIC's, and the events to come", Monitor.irq),
    Command("time", "", "virtual time, the timer, the next event", Monitor.time),
    Command("x", "[PID:]ADDR [N]", "dump N bytes of memory, physical or a process's", Monitor.x),
    Command("regs", "", "the hart's registers", Monitor.regs),
    Command("quit", "", "switch the machine off", Monitor.quit),
)


def find(word: str) -> Command:
    """The command of this name, or the only one that begins so; raises BadCommand."""
    if word == "?":
        word = "help"
    names = {command.name: command for command in COMMANDS}
    found = [names[word]] if word in names else [c for c in COMMANDS if c.name.startswith(word)]
    if not found:
        raise BadCommand(f"{word}: no such command; there are {', '.join(names)}")
    if len(found) > 1:
        raise BadCommand(f"{word}: could be {' or '.join(command.name for command in found)}")
    return found[0]


def _number(word: str, what: str) -> int:
    """A number, not negative, as C writes it."""
    try:
        value = int(word, 0)
    except ValueError:
        value = -1
    if value < 0:
        raise BadCommand(f"{word}: give {what}, in decimal or as 0x...")
    return value


# --- words for what is seen ---


def _seconds(time_ps: int) -> str:
    """A time exactly, in seconds."""
    whole, rest = divmod(time_ps, PS_PER_S)
    return f"{whole}.{f'{rest:012}'.rstrip('0') or '0'} s"


def _interrupts(bits: int) -> str:
    """The names of interrupts, by their bits in mip."""
    return ", ".join(name for number, name in INTERRUPTS.items() if bits >> number & 1) or "none"


def _source(source: int) -> str:
    """The device at an input of the PLIC."""
    if source == at.UART0_IRQ:
        return "UART"
    slot = source - at.VIRTIO0_IRQ
    return f"virtio {slot}" if 0 <= slot < at.VIRTIO_COUNT else "?"


def _maker(event: Event) -> str:
    """Whose event it is."""
    owner = getattr(event.fn, "__self__", None)
    name = type(owner).__name__ if owner is not None else event.fn.__qualname__.partition(".")[0]
    return EVENT_MAKERS.get(name, name)


def _devices(pa: int, size: int) -> str:
    """The devices that have addresses in [pa, pa+size)."""
    return ", ".join(name for base, length, name in DEVICES if base < pa + size and pa < base + length)


def _not_ram(pa: int) -> str:
    device = _devices(pa, 1)
    return f"a register of {device}; to read it might change it" if device else "no RAM there"


def _entry(step: pages.Step) -> str:
    """A page-table entry in words."""
    if not step.pte & PTE_V:
        return "not valid"
    pa = pages.target(step.pte)
    if pages.is_table(step):
        return f"table at {pa:#x}"
    if not step.pte & pages.LEAF:
        return "a table below the last level, which is wrong"
    return f"{pages.flags_text(step.pte)}, {'superpage' if step.level else 'page'} at {pa:#x}"


def _dump(start: int, data: Sequence[int | None]) -> Iterator[str]:
    """Hexadecimal and text, a line for 16 bytes; what is not there is shown as dashes."""
    for offset in range(0, len(data), A_LINE):
        line = data[offset : offset + A_LINE]
        hexadecimal = " ".join("--" if byte is None else f"{byte:02x}" for byte in line)
        text = "".join(chr(byte) if byte is not None and 0x20 <= byte < 0x7F else "." for byte in line)
        yield f"{start + offset:#012x}  {hexadecimal:<{3 * A_LINE - 1}}  {text}"
