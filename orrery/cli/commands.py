"""The commands of the command line: what each does with the options that it was given.

`COMMANDS` has one function for each command of arguments.py, which returns the exit status.  What a command
needs is imported when it runs, so that boot's prompt comes quickly.
"""

import argparse
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orrery.cli.arguments import RECORDED, Command, make_parser, parse
from orrery.cli.messages import say, warn
from orrery.cli.options import (
    check_outputs,
    command_lines,
    gdb_address,
    is_served,
    machine_config,
    session_options,
    trace_fd,
)
from orrery.cli.words import without as words_without
from orrery.errors import BadInput

if TYPE_CHECKING:
    from orrery.cli.session import Options
    from orrery.machine.machine import Machine
    from orrery.machine.program import Program


def run_command(options: argparse.Namespace) -> int:
    """Carry out the command that the options are of; the exit status."""
    command: Command = options.function
    return command(options)


# --- commands that run a machine ---


def _boot(options: argparse.Namespace) -> int:
    if options.keep is not None:
        from orrery.cli import files

        files.keep_image(options)
    if options.watch:
        return _watch(options)
    settings = session_options(options, commands=command_lines(options.c))
    with _machine(options) as machine:
        if options.watched is not None:
            from orrery.cli import watch_child

            return watch_child.play(machine, _traced(settings, options), options.watched, say)
        return _play(machine, settings, options)


def _watch(options: argparse.Namespace) -> int:
    """The edit loop; the options of boot or of run."""
    from orrery.cli.watch import Watch

    if is_served(options):
        raise BadInput("--watch: each change is another machine, and a gdb stays with one; leave one out")
    if options.function is _run:
        return Watch(words_without(options.words, "--watch"), say, again=False).run()
    if not options.c and not os.isatty(0):
        raise BadInput("--watch: nobody is at a terminal to type; give a line with -c")
    words = words_without(options.words, "--watch")
    return Watch(words, say, again=not options.c).run()


def _run(options: argparse.Namespace) -> int:
    if options.watch:
        return _watch(options)
    settings = session_options(options, program=True)
    program = _program(options, optimize=options.for_gdb is None)
    with _machine(options, program) as machine:
        if options.watched is not None:
            from orrery.cli import watch_child

            return watch_child.play(machine, _traced(settings, options), options.watched, say)
        return _play(machine, settings, options)


def _program(options: argparse.Namespace, *, optimize: bool) -> "Program":
    """The program that a command line names, compiled if need be."""
    from orrery.cli import files
    from orrery.machine import program as programs

    flags = files.compiler_flags(options.flags)
    with ExitStack() as stack:
        if getattr(options, "watched", None) is not None:
            from orrery.cli import watch_child

            stack.enter_context(
                watch_child.making(options.watched, programs.candidates(options.sources, flags))
            )
        return programs.load(
            options.program,
            options.args,
            lambda text: say(text.rstrip("\n")),
            optimize=optimize,
            more=options.sources[1:],
            flags=flags,
            lab=options.lab,
            ustack=options.ustack,
        )


def _record(options: argparse.Namespace) -> int:
    command, *rest = options.command or ["boot"]
    if command not in RECORDED:
        raise BadInput(
            f"record: {command!r} is no run and no file; give {' or '.join(RECORDED)} and the rest"
        )
    run = parse([command, *rest], COMMANDS, record=options.out)
    if run.watch:
        raise BadInput("record: --watch makes many runs; record one of them")
    if is_served(run):
        raise BadInput("record: a gdb may change the run, which is not recorded; leave -s, -S and --gdb out")
    return run_command(run)


def _replay(options: argparse.Namespace) -> int:
    from orrery.cli import replay
    from orrery.timetravel import recording

    recorded = recording.load(options.recording)
    if options.engine is not None:
        recorded = recorded._replace(machine=replace(recorded.machine, engine=options.engine))
    return replay.play(recorded, options.drive, say, gdb_address(options))


def _gdb(options: argparse.Namespace) -> int:
    from orrery.gdb import client

    return client.run(options.words[1:], options.program)


def _machine(options: argparse.Namespace, program: "Program | None" = None) -> "Machine":
    """The machine, for one program if one is given, once nothing that it is made from is written over."""
    check_outputs(options, () if program is None else program.inputs)
    if options.seed:
        warn(f"--seed {options.seed} changes nothing yet: so far nothing is left to chance")
    if options.snapshot and options.drive is None:
        raise BadInput("--snapshot: there is no drive to protect; name one with --drive")
    from kernel.abi.syscalls import LAB_YEAR
    from orrery.machine.machine import Machine
    from orrery.machine.program import config_for

    config = machine_config(options)
    machine = Machine(config if program is None else config_for(config, program), warn)
    year = machine.kernel.lab
    if options.lab is None and year != LAB_YEAR:
        say(f"orrery: {options.drive}: its programs are of {year}; without --lab that is taken: --lab {year}")
    return machine


def _debug(options: argparse.Namespace) -> int:
    from orrery.cli import debug

    options.snapshot, options.record = options.drive is not None, None  # the drive is left as it is
    path = options.program
    if path is None:
        return debug.boot(command_lines(options.c), machine_config(options))
    if options.c:
        raise BadInput(f"-c: types a line for a shell, and {path} runs without one; leave out -c or {path}")
    if debug.is_recording(path):
        return _debug_recording(options)
    directory = Path(path).absolute().parent  # of a link, where the headers are too
    return debug.program(_program(options, optimize=False), directory, machine_config(options))


def _debug_recording(options: argparse.Namespace) -> int:
    from orrery.cli import debug

    given = [word for word in options.words[1:] if word.startswith("-") and not word.startswith("--drive")]
    if given or options.args:
        raise BadInput(
            f"{(given or options.args)[0]}: {options.program} says what machine it is, and what runs there; "
            "only --drive can be given with a recording"
        )
    return debug.recorded(options.program, options.drive)


def _play(machine: "Machine", settings: "Options", options: argparse.Namespace) -> int:
    """A session, recorded if asked for."""
    settings = _traced(settings, options)
    if options.record is not None:
        from orrery.cli import record

        return record.play(machine, settings, say, options.record)
    from orrery.cli.session import Session

    return Session(machine, settings, say).play()


def _traced(settings: "Options", options: argparse.Namespace) -> "Options":
    """The settings with strace's file, which is begun."""
    return replace(settings, strace_fd=trace_fd(options))


# --- the others ---


def _cc(options: argparse.Namespace) -> int:
    from orrery.cli import files

    return files.compile_sources(options, say)


def _mkfs(options: argparse.Namespace) -> int:
    from orrery.cli import files

    return files.make_image(options)


def _lsfs(options: argparse.Namespace) -> int:
    from orrery.cli import files

    return files.list_image(options)


def _get(options: argparse.Namespace) -> int:
    from orrery.cli import image_copy

    return image_copy.get(options)


def _put(options: argparse.Namespace) -> int:
    from orrery.cli import image_copy

    return image_copy.put(options)


def _grade(options: argparse.Namespace) -> int:
    from orrery.cli import grade

    return grade.run(options, say)


def _doctor(options: argparse.Namespace) -> int:
    from orrery.cli import doctor

    return doctor.main()


def _completion(options: argparse.Namespace) -> int:
    from orrery.cli import completion

    print(completion.script(make_parser(COMMANDS), options.shell))
    return 0


def _lab(options: argparse.Namespace) -> int:
    from orrery.grading import labkit

    return labkit.main(options)


COMMANDS: Final[Mapping[str, Command]] = {
    "boot": _boot, "run": _run, "gdb": _gdb, "debug": _debug, "record": _record, "replay": _replay,
    "cc": _cc, "mkfs": _mkfs, "lsfs": _lsfs, "get": _get, "put": _put, "lab": _lab, "grade": _grade,
    "doctor": _doctor,
    "completion": _completion,
}  # fmt: skip
