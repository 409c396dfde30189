"""The console monitor: commands that look at a machine which stands still, as QEMU's monitor does.

`Monitor.execute` takes a line and gives the answer as text; prompt.py has the terminal's side of it.  A
command reads registers, RAM, page tables and the kernel's objects and changes none of them, so a run in which
somebody looked is the same run.  Reading a device's register may change the device, so no command does.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeAlias

from emu.clock import PS_PER_TICK
from emu.cpu import engine as e
from emu.cpu.hart import MASK64, USER
from emu.events import NEVER
from kernel.abi.memlayout import MAXVA, PGSHIFT, SUPERPGSIZE, TRAMPOLINE, TRAPFRAME, USYSCALL
from kernel.abi.param import TICK_PS
from kernel.abi.ps import STATE_NAMES, ZOMBIE
from kernel.abi.riscv import PTE_SUPER, PTE_U
from kernel.proc import Process
from orrery.command import BadCommand, Command, candidates, number
from orrery.inspect import mappings, pages, stacks
from orrery.inspect.reports.devices import device_lines
from orrery.inspect.reports.dump import dump
from orrery.inspect.reports.frames import frame_lines
from orrery.inspect.reports.interrupts import event_text, interrupt_lines
from orrery.inspect.reports.log import log_lines
from orrery.inspect.reports.schedule import schedule_parts
from orrery.inspect.reports.words import MTIME_PS, PRIVILEGES, devices, not_ram, seconds
from orrery.inspect.tables import PLAIN, Look, Table, rendered
from orrery.machine.machine import Machine
from toolchain.names import shown

Part: TypeAlias = str | Table
"""What an answer is made of: lines and tables."""

KERNEL_PID: Final = 0  # stands for the kernel itself: its page table, the scheduler's thread
BYTES_DEFAULT: Final = 64
BYTES_MAX: Final = 4096
NOT_STARTED: Final = "the kernel has not started"
DEBUGGERS: Final = frozenset(
    ("goto", "next", "last", "when", "checkpoint", "checkpoints", "restart", "poke", "catch")
)
"""What the monitor has besides in orrery/timetravel/time_commands.py and orrery/gdb/monitor_commands.py."""
CSRS: Final = (
    "mstatus", "mie", "mip", "mideleg", "medeleg", "mtvec", "mepc", "mcause", "mtval", "mscratch",
    "satp", "stvec", "sepc", "scause", "stval", "sscratch",
)  # fmt: skip
X_NAMES: Final = tuple(name for name in e.NAMES if not name[1:].isdigit() or name[0] not in "xf")[:32]


class Monitor:
    """Looks at `machine` on command. `quitting` is set when the person asked to end the run.

    `look` says how wide answers may be, and whether in colours.
    """

    def __init__(self, machine: Machine, look: Look = PLAIN) -> None:
        self._machine: Final = machine
        self.look = look
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
            return "".join(f"{one}\n" for one in rendered(command.run(self, *words[1:]), self.look))
        except BadCommand as error:
            return f"{error}\n"

    # --- the commands; each yields the lines of its answer ---

    def help(self, word: str | None = None) -> Iterator[Part]:
        commands = [find(word)] if word is not None else COMMANDS
        rows = [(command.usage, command.about) for command in commands]
        yield Table(("command", "about"), rows, titled=False)
        if word is None:
            yield "A name may be shortened as long as it is the only one; C-a c goes back to the guest."

    def ps(self) -> Iterator[Part]:
        if not self._has_started:
            yield NOT_STARTED
            return
        rows = []
        for p in self.kernel.procs:
            ppid = p.parent.pid if p.parent is not None else 0
            pc = stacks.user_registers(self._machine, p).pc
            size, state = p.space.sz, STATE_NAMES[p.state]
            rows.append((p.pid, ppid, state, size, f"{pc:#x}", shown(p.name), shown(self._status(p))))
        yield Table((">pid", ">ppid", "state", ">size", ">pc", "name", "waits for"), rows)

    def pt(self, pid: str, va: str | None = None) -> Iterator[Part]:
        p = self._process(pid)
        if va is None:
            yield self._mappings(p)
        else:
            yield from self._walk(p, number(va, "a virtual address"))

    def vmas(self, pid: str) -> Iterator[Part]:
        p = self._process(pid)
        if p is None:
            raise BadCommand("0: the kernel has no mappings of files; give the number of a process")
        yield mappings.mapping_table(self.kernel, p)

    def stack(self, pid: str) -> Iterator[str]:
        p = self._process(pid)
        if p is not None:
            yield f"{p} in its program, the innermost call first:"
            yield from stacks.user_lines(stacks.user_frames(self._machine, p, self._programs))
        whose = f"{p} in the kernel" if p is not None else "the scheduler"
        yield f"{whose}, the innermost call first:"
        yield from stacks.kernel_lines(self._machine, p) or ["(no kernel thread)"]

    def frames(self, frame: str | None = None) -> Iterator[str]:
        if self._has_started:
            yield from frame_lines(self.kernel, frame)
        else:
            yield "the kernel has not started: no frame has an owner"

    def memory(self) -> Iterator[str]:
        yield from mappings.memory_lines(self.kernel)

    def irq(self) -> Iterator[str]:
        yield from interrupt_lines(self._machine.board)

    def sched(self) -> Iterator[Part]:
        yield from schedule_parts(self.kernel) if self._has_started else [NOT_STARTED]

    def log(self) -> Iterator[str]:
        yield from log_lines(self.kernel)

    def devices(self) -> Iterator[str]:
        yield from device_lines(self.kernel, self._machine.keyboard)

    def time(self) -> Iterator[str]:
        board = self._machine.board
        clock, events, timer = board.clock, board.events, board.timer
        due = "off" if timer.compare == MASK64 else f"at {seconds(timer.compare * MTIME_PS)}"
        coming = "none" if events.next_ticks == NEVER else event_text(board, events.pending()[0])
        yield f"virtual time  {seconds(clock.time_ps)}, {clock.now} ticks of {PS_PER_TICK} ps"
        yield f"time CSR      {timer.time}, in units of {MTIME_PS // 1000} ns"
        yield f"kernel ticks  {self.kernel.timer.ticks}, of {seconds(TICK_PS)}"
        yield f"timer         {due}"
        yield f"next event    {coming}"

    def x(self, where: str, count: str | None = None) -> Iterator[str]:
        n = BYTES_DEFAULT if count is None else number(count, "a number of bytes")
        if not 0 < n <= BYTES_MAX:
            raise BadCommand(f"x: {n} bytes: give from 1 to {BYTES_MAX}")
        pid, colon, address = where.rpartition(":")
        start = number(address, "an address")
        places: Sequence[int | None] = range(start, start + n)
        if colon:
            root = self._root(self._process(pid))
            places = [pages.find(self.kernel.ram, root, va) for va in range(start, start + n)]
        ram = self.kernel.ram
        data = [ram.bytes[pa - ram.base] if pa is not None and ram.holds(pa, 1) else None for pa in places]
        if data.count(None) == n:
            why = "not mapped" if places[0] is None else not_ram(self.kernel.board, places[0])
            raise BadCommand(f"{start:#x}: {why}")
        yield from dump(start, data)

    def regs(self) -> Iterator[str]:
        regs = self._machine.board.hart.regs
        for row in range(8):
            names = X_NAMES[row::8]
            yield "  ".join(f"{name:>4} {regs[e.NAMES[name]]:016x}" for name in names)
        yield f"  pc {regs[e.PC]:016x}{self._where(regs[e.PC])}"
        yield f"priv {PRIVILEGES[regs[e.PRIV]]}"
        for first in range(0, len(CSRS), 4):
            yield "  ".join(f"{name:>8} {regs[e.NAMES[name]]:016x}" for name in CSRS[first : first + 4])

    def where(self) -> Iterator[str]:
        clock, regs, p = self._machine.board.clock, self._machine.board.hart.regs, self.kernel.sched.process
        pc, mode = regs[e.PC], PRIVILEGES[regs[e.PRIV]]
        who = f"{p} in {'user mode' if regs[e.PRIV] == USER else 'the kernel'}" if p else f"{mode} mode"
        yield f"at {seconds(clock.time_ps)}, tick {clock.now}: {who}, pc {pc:#x}{self._where(pc)}"
        if p is not None and regs[e.PRIV] != USER:
            yield f"  its program is at {self._program(p)}"

    def quit(self) -> Iterator[str]:
        self.quitting = True
        yield from ()

    # --- processes ---

    @property
    def _has_started(self) -> bool:
        return next(iter(self.kernel.procs), None) is not None

    def _process(self, word: str) -> Process | None:
        """The process with this number; None stands for the kernel."""
        pid = number(word, "the number of a process, or 0 for the kernel")
        if not self._has_started:
            raise BadCommand(f"{word}: the kernel has not started, so there is no process")
        if pid == KERNEL_PID:
            return None
        p = self.kernel.procs.find(pid)
        if p is None:
            known = ", ".join(str(one.pid) for one in self.kernel.procs)
            raise BadCommand(f"{word}: no such process; there are {known}, and 0 for the kernel")
        return p

    def _status(self, p: Process) -> str:
        """What `p` waits for, or how it ended."""
        if p.state == ZOMBIE:
            return f"its parent to wait: it has exited with status {p.xstate}"
        chan = self.kernel.procs.waits_for(p.thread)
        return f"{chan} (killed)".lstrip() if p.killed else chan

    # --- page tables ---

    def _root(self, p: Process | None) -> int:
        return self.kernel.pagetable.root if p is None else p.space.root

    def _mappings(self, p: Process | None) -> Table:
        rows = []
        for one in pages.mappings(self.kernel.ram, self._root(p)):
            virtual = f"{one.va:#012x}-{one.va + one.size - 1:#012x}"
            physical = f"{one.pa:#010x}-{one.pa + one.size - 1:#010x}"
            flags = pages.flags_text(one.flags)
            rows.append((virtual, physical, one.size >> PGSHIFT, flags, self._what(p, one)))
        return Table(("virtual", "physical", ">pages", "flags", "what"), rows)

    def _what(self, p: Process | None, one: pages.Mapping) -> str:
        """What the range is for, where that is not plain memory."""
        if one.va == TRAMPOLINE:
            return "trampoline"
        if p is None:
            stack = next((s for s in self.kernel.procs.stacks if s.va == one.va), None)
            if stack is not None:
                return f"kernel stack of slot {stack.slot}"
            return devices(self.kernel.board, one.pa, one.size)
        if one.va == TRAPFRAME:
            return "trapframe"
        if one.va == USYSCALL:
            return "number of the process"
        vma = p.space.vmas.find(one.va)
        if vma is not None:
            return mappings.behind(vma, one.va)
        if one.flags & PTE_SUPER:
            return "a superpage" if one.size == SUPERPGSIZE else f"{one.size // SUPERPGSIZE} superpages"
        return "" if one.flags & PTE_U else "guard"

    def _walk(self, p: Process | None, va: int) -> Iterator[str]:
        if va >= MAXVA:
            raise BadCommand(f"{va:#x}: no virtual address; they are below {MAXVA:#x}")
        root = self._root(p)
        yield f"satp: Sv39, root table at {root:#x}"
        steps = pages.walk(self.kernel.ram, root, va)
        for step in steps:
            which = f"level {step.level}: entry {step.index:>3} at {step.pte_pa:#x}"
            yield f"{which} is {step.pte:#018x}: {pages.entry_text(step)}{self._sharers(step)}"
        pa = pages.find(self.kernel.ram, root, va)
        if pa is not None:
            yield f"{va:#x} is at physical address {pa:#x}"
        elif p is not None and va < p.space.sz:
            yield f"{va:#x} is not mapped, but promised: it will be when it is touched"
        elif p is not None and (vma := p.space.vmas.find(va)) is not None:
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

    # --- code ---

    def _program(self, p: Process) -> str:
        """Where `p` is in its program, as the monitor's `stack` tells of its innermost call."""
        frame = next(stacks.user_frames(self._machine, p, self._programs))
        return "".join(line[4:] for line in stacks.user_lines([frame])[:1])

    def _where(self, pc: int) -> str:
        """Function and line of `pc` as the hart stands, or nothing."""
        image, p = self.kernel.image, self.kernel.sched.process
        if self._machine.board.hart.privilege == 0 and p is not None:
            return f"  {self._program(p).partition(' ')[2]}".rstrip()
        if pc >= TRAMPOLINE:
            pc += image.trampoline - TRAMPOLINE
        below = [(value, name) for name, value in image.symbols.items() if value <= pc < image.etext]
        return f"  {max(below)[1]}+{pc - max(below)[0]:#x}" if below else ""


COMMANDS: Final[Sequence[Command[Callable[..., Iterator[Part]]]]] = (
    Command("help ?", "[COMMAND]", "this list, or one line of it", Monitor.help),
    Command("ps", "", "the processes: state, size, pc, and what each waits for", Monitor.ps),
    Command("pt", "PID [VA]", "page table: what is mapped, or the walk to VA (PID 0: kernel)", Monitor.pt),
    Command("vmas", "PID", "memory mappings: rights, what is behind, how many pages are there", Monitor.vmas),
    Command("stack", "PID", "backtrace in C, and in the kernel's Python (PID 0: scheduler)", Monitor.stack),
    Command(
        "frames", "[FRAME]", "what page frames are used for, or who owns one: number, address", Monitor.frames
    ),
    Command("memory", "", "free memory, and the counts of faults, copies, reads and writes", Monitor.memory),
    Command("sched", "", "who runs, who is next, who sleeps on what; the saved contexts", Monitor.sched),
    Command("log", "", "the file system's log: operations, transaction, commit, buffers", Monitor.log),
    Command("devices", "", "UART, PLIC, CLINT, disk: their state, and the disk's queue", Monitor.devices),
    Command("irq", "", "interrupts: the hart's, the PLIC's, and the events to come", Monitor.irq),
    Command("time", "", "virtual time, the timer, the next event", Monitor.time),
    Command(
        "x xp physical",
        "[PID:]ADDR [N]",
        "dump N bytes of a process's memory, or of the physical (xp)",
        Monitor.x,
    ),
    Command("regs", "", "the hart's registers", Monitor.regs),
    Command("where", "", "time, process, pc, and its place in the sources, in a line or two", Monitor.where),
    Command("quit", "", "switch the machine off", Monitor.quit),
)


def find(word: str) -> Command[Callable[..., Iterator[Part]]]:
    """The command of this name, or the only one that begins so; raises BadCommand."""
    if word in DEBUGGERS:
        raise BadCommand(f"{word}: a machine with a past has this: use `orrery debug`, or gdb by --gdb")
    found = candidates(COMMANDS, word)
    if not found:
        raise BadCommand(
            f"{word}: no such command; there are {', '.join(command.name for command in COMMANDS)}"
        )
    if len(found) > 1:
        raise BadCommand(f"{word}: could be {' or '.join(command.name for command in found)}")
    return found[0]
