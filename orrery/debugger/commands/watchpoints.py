"""The commands that watch memory: watch, rwatch and awatch.

Each takes the debugger and the rest of the command line, and returns text; it raises Unavailable.
"""

from itertools import pairwise
from typing import Final

from orrery.debugger.breakpoints import Block, Breakpoint, BreakpointKind
from orrery.debugger.c.expressions import tree, valued
from orrery.debugger.c.tree import TypeName, is_constant
from orrery.debugger.c.values import storage_bytes
from orrery.debugger.commands.breakpoints import check_condition, conditional
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable
from orrery.timetravel.stops import KERNEL

WATCH_BYTES_MAX: Final = 4096


def watch(debugger: Debugger, argument: str) -> str:
    """Stop behind what changes an expression."""
    return _watch(debugger, argument, BreakpointKind.WATCHPOINT, "Hardware watchpoint")


def rwatch(debugger: Debugger, argument: str) -> str:
    """Stop behind what reads an expression."""
    return _watch(debugger, argument, BreakpointKind.READ_WATCHPOINT, "Hardware read watchpoint")


def awatch(debugger: Debugger, argument: str) -> str:
    """Stop behind what reads or writes an expression."""
    return _watch(
        debugger, argument, BreakpointKind.ACCESS_WATCHPOINT, "Hardware access (read/write) watchpoint"
    )


def _watch(debugger: Debugger, argument: str, kind: BreakpointKind, title: str) -> str:
    bare = argument.removeprefix("-location").removeprefix("-l").strip()
    is_local = bare == argument.strip()
    argument, condition = conditional(bare)
    node = tree(argument, debugger)
    if isinstance(node, TypeName) or is_constant(node):
        raise Unavailable(f"Cannot watch constant value `{argument}'.")
    value = valued(node, debugger)
    address, size = value.address, value.type.size
    if value.bits is not None:
        size = storage_bytes(value.bits)
    if address is None:
        raise Unavailable("Cannot watch what is not in memory; give an address, as in watch *(int *)0x5000")
    if not 0 < size <= WATCH_BYTES_MAX:
        raise Unavailable(f"{size} bytes cannot be watched; {WATCH_BYTES_MAX} can")
    if debugger.pid == KERNEL:
        raise Unavailable("Select a process first, with `inferior PID`: memory is watched for one")
    one = Breakpoint(
        kind,
        argument,
        where=f"{size} bytes at {address:#x} of process {debugger.pid}",
        addresses=(address,),
        pid=debugger.pid,
        size=size,
        type=value.type,
        bits=value.bits,
        condition=condition,
        block=_block(debugger, address) if is_local else None,
    )
    check_condition(debugger, one)
    made = debugger.breakpoints.add(one)
    return f"{title} {made.number}: {argument}\n"


def _block(debugger: Debugger, address: int) -> Block | None:
    """The call in whose part of the stack an address is."""
    calls = [frame for frame in debugger.frames if not frame.kernel]
    for frame, caller in pairwise(calls):
        if frame.sp <= address < caller.sp and frame.function is not None:
            return Block(frame.function.low, caller.pc, caller.sp)
    return None
