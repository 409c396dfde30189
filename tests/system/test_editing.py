"""The shell's line editor, at a terminal that a test plays: keys in, a screen and executed lines out.

One machine for each width.  `python` compares with a model of a line: text and cursor.
"""

import random
from collections.abc import Iterator

import pytest
from screen import Screen

from emu.clock import TICKS_PER_S
from emu.events import NEVER
from emu.loop import Stop
from orrery import Machine
from orrery.errors import BadInput

PROMPT = "$ "
UP, DOWN, RIGHT, LEFT, HOME, END = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D", "\x1b[H", "\x1b[F"
LINE_MAX = 511  # bytes


class Person:
    """Sits at a terminal at a machine's console."""

    def __init__(self, machine: Machine, columns: int) -> None:
        self.machine = machine
        self.screen = Screen(columns)
        self._seen = 0
        machine.front = self
        self.printed = bytearray()
        self._run()

    # --- as a front end ---

    def output(self, pid: int | None, data: bytes) -> None:
        self.printed += data

    def waits(self, p: object) -> None:
        if self.machine.at_prompt:
            self.machine.ask_stop()

    def idle(self, until_ticks: int) -> bool:
        return False

    def slice(self) -> None:
        pass

    # --- typing ---

    def _run(self, limit_ticks: int = NEVER) -> None:
        while self.machine.run(limit_ticks) is Stop.ASKED and not self.machine.at_prompt:
            pass
        shown = bytes(self.printed).decode(errors="surrogateescape")
        self.screen.feed(shown[self._seen :])
        self._seen = len(shown)

    def type(self, keys: str) -> None:
        self.machine.type(keys.encode())
        self._run()

    def enter(self, keys: str) -> list[str]:
        """Type a line; the rows that it printed."""
        self.type(keys)
        first = self.screen.row
        self.type("\r")
        return self.screen.rows[first + 1 : self.screen.row]

    def wait_for(self, row: str) -> None:
        """Let time pass until the screen has this row, and a shell waits below it."""
        for _ in range(50):
            self._run(self.machine.board.clock.now + TICKS_PER_S // 10)
            if row in self.screen.rows[:-1]:
                return
        raise AssertionError(f"{row!r} never came")

    def line(self) -> str:
        """What is on the screen from the last prompt on, rows put together."""
        rows = self.screen.rows
        start = max(i for i, row in enumerate(rows) if row.startswith(PROMPT.strip()))
        padded = [row.ljust(self.screen.columns) for row in rows[start:]]
        return "".join(padded)[len(PROMPT) :].rstrip()


@pytest.fixture(scope="module", params=[80])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with Machine(columns=request.param) as machine:
        yield Person(machine, request.param)


def test_lines_are_edited(person: Person) -> None:
    assert person.enter("echo one") == ["one"]
    assert person.enter(f"cho two{HOME}e{END}!") == ["two!"]
    assert person.enter(f"echo axc{LEFT}\x7fb{RIGHT}d") == ["abcd"]
    assert person.enter("echo one two\x17three") == ["one three"]
    assert person.enter("garbage\x15echo x\x01\x06\x06\x06\x06\x0b\x19\x19") == ["x x"]
    assert person.enter("nonsense\x03echo $?") == ["130"]


def test_characters_of_several_bytes_are_one(person: Person) -> None:
    assert person.enter(f"echo äöü{LEFT}\x7fé") == ["äéü"]
    assert person.enter("echo 漢字\x02\x7f") == ["字"]
    person.type("echo \udcff".encode("utf-8", "surrogateescape").decode("latin-1"))
    person.type("\x15")
    assert person.line() == ""


def test_earlier_lines_come_back(person: Person) -> None:
    person.enter("echo first")
    person.enter("echo second")
    assert person.enter(UP + UP) == ["first"]
    assert person.enter(UP + UP + DOWN + "!") == ["first!"]
    assert person.enter(f"echo draft{UP}{UP}{DOWN}{DOWN}{DOWN}") == ["draft"]
    assert person.enter("\x12sec") == ["second"]
    person.type("\x12fir")
    assert "(search)`fir': echo first!" in person.screen.rows[person.screen.row]
    person.type("\x12")
    assert "(search)`fir': echo first" in person.screen.rows[person.screen.row]
    person.type("\x07")
    assert person.line() == ""
    person.type("\x12never was\x03")
    assert person.line() == ""
    listed = person.enter("history")
    assert [row.split("  ", 1)[1] for row in listed if "second" in row] == ["echo second"] * 2


def test_the_history_has_a_limit(person: Person) -> None:
    for i in range(12):
        person.enter(f"true {i} {'x' * 480}")
    listed = "".join(row for row in person.enter("history"))
    assert "true 11" in listed and "true 4" in listed and "true 3 " not in listed


def test_words_are_completed(person: Person) -> None:
    assert person.enter("ec\tx") == ["x"]
    person.enter("mkdir dir; echo 1 > dir/apple; echo 2 > dir/apricot; echo 3 > dir/b*c")
    assert person.enter("cat di\tapp\t") == ["1"]
    assert person.enter("cat dir/a\tr\t") == ["2"]
    assert person.enter("echo di\t") == ["dir/"]
    person.type("cat dir/ap\t\t")
    assert [row.split() for row in person.screen.rows if row.startswith("ap")] == [["apple", "apricot"]]
    assert person.line() == "cat dir/ap"
    assert person.enter("p\t; ech\t2") == ["1", "2"]
    assert person.enter("echo nothing\t") == ["nothing"]
    assert person.enter("(ec\tx)|ca\t") == ["x"]
    person.enter("\t\t\x15")
    assert person.screen.row > 0


def test_what_is_typed_ahead_and_pasted_is_not_lost(person: Person) -> None:
    person.type("sleep 1; cat > pasted\r" + "".join(f"line {i}\r" for i in range(60)) + "\x04wc pasted\r")
    person.type("")
    assert any(row.split()[:2] == ["60", "120"] for row in person.screen.rows)
    person.type("echo a\recho b\recho c\r")
    assert [row for row in person.screen.rows[-9:] if row in ("a", "b", "c")] == ["a", "b", "c"]


def test_a_program_has_cooked_lines_and_a_killed_shell_leaves_them(person: Person) -> None:
    person.type("head -1\rlin\x7fne\r")
    assert person.screen.rows[-3:] == ["line", "line", "$"]
    shell = next(p.pid for p in person.machine.kernel.procs if p.name == "sh")
    person.type(f"(sleep 1; kill {shell}) &\recho hal")
    person.wait_for("init: starting sh")
    assert person.enter("echo back") == ["back"]


def test_control_d_ends_the_shell_on_an_empty_line_alone(person: Person) -> None:
    assert person.enter("echo abc\x02\x04") == ["ab"]
    person.type("\x04")
    assert "init: starting sh" in person.screen.rows


@pytest.mark.parametrize("columns", [8, 20, 33])
def test_random_keys_agree_with_a_model(columns: int) -> None:
    """The line and the cursor on the screen, in rows that wrap, after each key."""
    rng = random.Random(columns)
    with Machine(columns=columns) as machine:
        person = Person(machine, columns)
        text, at, taken = "", 0, ""
        for _ in range(250):
            key = rng.choice(
                ["text"] * 8 + ["left", "right", "home", "end", "back", "del", "u", "k", "w", "y", "l"]
            )
            if key == "text":
                typed = rng.choice(["a", "b ", " ", "word", "ä", "漢", "é", "(x)", "'"])
                if len((text + typed).encode()) <= 120:
                    text, at = text[:at] + typed + text[at:], at + len(typed)
                    person.type(typed)
                continue
            before = text
            if key == "left":
                at = max(at - 1, 0)
            elif key == "right":
                at = min(at + 1, len(text))
            elif key in ("home", "end"):
                at = 0 if key == "home" else len(text)
            elif key == "back" and at:
                text, at = text[: at - 1] + text[at:], at - 1
            elif key == "del" and at < len(text):
                text = text[:at] + text[at + 1 :]
            elif key == "u":
                text, at = text[at:], 0
            elif key == "k":
                text = text[:at]
            elif key == "w":
                start = len(text[:at].rstrip(" "))
                start = text.rfind(" ", 0, start) + 1
                text, at = text[:start] + text[at:], start
            elif key == "y" and len((text + taken).encode()) <= 120:
                text, at = text[:at] + taken + text[at:], at + len(taken)
            if key in "ukw" and len(before) > len(text):
                taken = before[at : at + len(before) - len(text)]
            if key == "del" and at == len(before):
                continue  # on an empty line it would be the end
            if key == "y" and text == before:
                continue
            keys = {"left": LEFT, "right": RIGHT, "home": HOME, "end": END, "back": "\x7f", "del": "\x1b[3~"}
            control = {"u": "\x15", "k": "\x0b", "w": "\x17", "y": "\x19", "l": "\x0c"}
            person.type({**keys, **control}[key])
            shown = Screen(columns)
            shown.feed(PROMPT + text)
            prompt_row = len(person.screen.cells) - len(shown.cells)
            if shown.column == columns:  # the editor has gone on to the next row
                prompt_row -= 1
            assert person.screen.rows[prompt_row : prompt_row + len(shown.rows)] == shown.rows
            place = Screen(columns)
            place.feed(PROMPT + text[:at])
            row, column = (place.row + 1, 0) if place.column == columns else (place.row, place.column)
            assert (person.screen.row - prompt_row, person.screen.column) == (row, column), (text, at)


def test_no_terminal_no_editor(person: Person) -> None:
    with Machine() as machine:
        assert machine.boot().sh("echo \x01plain") == "\x01plain\n"
    with pytest.raises(BadInput, match="columns"):
        Machine(columns=-1)
