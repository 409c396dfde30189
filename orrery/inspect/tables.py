"""Tables in reports: columns that are as wide as what is in them, by rich.

Used by the monitor and its reports.  A `Look` says for whom: plain text for files, pipes, gdb and
tests, which is the same everywhere; or a terminal with a width, and with colours unless NO_COLOR is set.
rich is imported where the first table is shown, so that no start pays for it.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

GAP: Final = 2  # blanks between columns
PLAIN_WIDTH: Final = 1 << 16


class Look(NamedTuple):
    """How wide a line may be, and whether there are colours."""

    width: int = PLAIN_WIDTH
    colour: bool = False


PLAIN: Final = Look()


class Table(NamedTuple):
    """A heading for each column, `>` before it where the column is flush right; and the rows."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    titled: bool = True


def look_of(fd: int) -> Look:
    """The look for the file descriptor `fd`."""
    if not os.isatty(fd):
        return PLAIN
    try:
        width = os.get_terminal_size(fd).columns
    except OSError:
        width = 0
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    return Look(width or PLAIN_WIDTH, colour)


def lines(table: Table, look: Look = PLAIN) -> list[str]:
    """The table, a line each, with nothing behind the last column's text."""
    from io import StringIO

    from rich.console import Console
    from rich.table import Table as Rich
    from rich.text import Text

    rich = Rich(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    rich.show_header = table.titled
    last = len(table.columns) - 1
    for number, column in enumerate(table.columns):
        rich.add_column(
            Text(column.removeprefix(">")),
            justify="right" if column.startswith(">") else "left",
            style="cyan" if number == 0 else "",
            no_wrap=number != last,
            overflow="fold",
        )
    for row in table.rows:
        rich.add_row(*(Text(str(cell)) for cell in row))
    out = StringIO()
    console = Console(
        file=out,
        width=look.width,
        force_terminal=look.colour,
        color_system="standard" if look.colour else None,
        legacy_windows=False,
        _environ={},
    )
    console.print(rich, soft_wrap=False)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def rendered(parts: Iterable["str | Table"], look: Look = PLAIN) -> list[str]:
    """The lines of a report, which has tables among its lines."""
    shown: list[str] = []
    for part in parts:
        shown += lines(part, look) if isinstance(part, Table) else [part]
    return shown
