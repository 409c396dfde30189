"""Beginnings: where a session begins; run and start, which take the machine there again; and kill.

The run is the same each time: what was typed, or changed, in this future is done again at its moment.
"""

from orrery.debugger.breakpoints import Breakpoint, BreakpointKind
from orrery.debugger.commands import execution
from orrery.debugger.debugger import Debugger
from orrery.debugger.errors import Unavailable
from orrery.debugger.resolver import place_in
from orrery.machine.events import EventKind
from orrery.timetravel.stops import KERNEL


def at_power_on(debugger: Debugger) -> str:
    """Where a machine is that has not run."""
    text = "The machine is switched on and has run nothing yet; `continue` lets it go.\n"
    return text + execution.position(debugger, changed=True)


def to_main(debugger: Debugger) -> str:
    """Run until the program that the debugger was given is in main."""
    breakpoints, stepper, program = debugger.breakpoints, debugger.stepper, debugger.programs.first
    catch = breakpoints.add(Breakpoint(BreakpointKind.CATCHPOINT, EventKind.EXEC), internal=True)
    stopped = stepper.resume()
    while stepper.judged is catch and debugger.programs.find(stopped.pid) is not program:
        stopped = stepper.resume()
    breakpoints.delete(catch.number)
    if stepper.judged is catch:
        debugger.moved(stopped.pid)
        debugger.main_pid = stopped.pid
        main = Breakpoint(BreakpointKind.BREAKPOINT, "main", temporary=True)
        addresses = tuple(debugger.locations(program).named("main")) if program is not None else ()
        if not addresses:
            return _at_entry(debugger)
        place_in(debugger, main, (addresses, program))
        breakpoints.add(main, internal=True)
        stopped = stepper.resume()
        breakpoints.delete(main.number)
        if stepper.judged is main:
            stepper.judged = None
    return execution.report(debugger, stopped, everything=True)


def _at_entry(debugger: Debugger) -> str:
    """At the first instruction of a program that has no main."""
    debugger.stepper.judged = None
    stopped = debugger.stepper.leave_kernel(debugger.main_pid)
    where = execution.report(debugger, stopped, everything=True)
    return f'Function "main" not defined; this is the first instruction.\n{where}'


def run(debugger: Debugger, argument: str) -> str:
    """From the beginning to a stop."""
    _begin(debugger, argument)
    return execution.continue_(debugger, "")


def start(debugger: Debugger, argument: str) -> str:
    """From the beginning to main, or of a machine that boots to its first instruction."""
    _begin(debugger, argument)
    return to_main(debugger) if debugger.programs.first is not None else at_power_on(debugger)


def kill(debugger: Debugger, argument: str) -> str:
    """End the selected process, as the system call does."""
    if debugger.pid == KERNEL or not debugger.target.kill(debugger.pid):
        raise Unavailable("The program is not being run.")
    return f"[Process {debugger.pid} ends when it is about to go on in its program]\n"


def _begin(debugger: Debugger, argument: str) -> None:
    if argument:
        raise Unavailable("The run is the same again; for other arguments start `orrery debug` with them.")
    debugger.trace_cursor, debugger.stepper.judged = None, None
    debugger.target.goto(0)
    debugger.target.take_output()
    debugger.moved(debugger.target.current)
