"""A terminal for tests: the rows of a screen, from what is sent to it.

It knows what the shell's line editor uses, and raises for anything else.  As real ones do it waits behind the
last column of a row, and wraps when the next character comes.
"""

import re
import unicodedata

SEQUENCE = re.compile(r"\x1b\[(\d*)([A-Z])")


class Screen:
    """`columns` wide and as high as needed: `rows` has the text, `row` and `column` are the cursor's."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.cells: list[list[str]] = [[]]
        self.row = self.column = 0
        self._rest = ""

    @property
    def rows(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.cells]

    def feed(self, text: str) -> None:
        """Show `text`, which may end in the middle of an escape sequence."""
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = SEQUENCE.match(text, at)
                if found is None:
                    assert len(text) - at < 5, f"no escape sequence that is known: {text[at : at + 9]!r}"
                    self._rest = text[at:]
                    return
                self._obey(int(found[1] or 1), found[1] + found[2])
                at = found.end()
            else:
                self._show(text[at])
                at += 1

    def _obey(self, count: int, what: str) -> None:
        if what.endswith("A"):
            assert self.row - count >= 0, "the cursor stays on the screen"
            self.row -= count
        elif what.endswith("C"):
            self.column = min(self.column + count, self.columns - 1)
        elif what == "2J":
            self.cells = [[] for _ in self.cells]
        elif what == "H":
            self.row = self.column = 0
        else:
            assert what == "J", f"ESC [ {what} is not known"
            del self.cells[self.row][self.column :]
            del self.cells[self.row + 1 :]

    def _show(self, char: str) -> None:
        if char == "\n":  # the host's terminal makes a new line of it
            self._go_down()
        elif char == "\r":
            self.column = 0
        elif char == "\b":
            self.column = max(self.column - 1, 0)
        elif char not in "\a\x04":
            assert char >= " ", f"{char!r} is no character to show"
            width = (
                0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
            )
            if self.column + width > self.columns:
                self._go_down()
            row = self.cells[self.row]
            row += [" "] * (self.column + width - len(row))
            if width:
                row[self.column : self.column + width] = [char] + [""] * (width - 1)
            else:
                row[self.column - 1] += char
            self.column += width

    def _go_down(self) -> None:
        self.row += 1
        self.column = 0
        if self.row == len(self.cells):
            self.cells.append([])
