"""What tests and scripts hand to machines: a wrong type is an error at the caller, in one line."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orrery import BadInput, Machine, MachinePool, run_program
from orrery.grading import marker
from orrery.machine.checks import WrongType

WRONG: dict[str, tuple[object, ...]] = {
    "drive": (3, True, ["x"], {"a": 1}, "", "a\0b"),
    "engine": (3, None, b"fast", ["fast"]),
    "files": ("name", ["name"], {1: "x"}, {"name": 3}, {"name": None}, {"\ud800": "x"}, b"x", 5),
    "lab": ("2025", 2025.0, True, [2025]),
    "layout": (3, b"lab", True),
    "max_time": ("1", b"1", True, 0, -1, float("nan"), float("inf"), 1e30, [1], 1j),
    "mem_mib": ("128", 128.0, True, None, [128]),
    "points": ("10", True, None, -1, float("nan"), float("inf"), [1]),
    "programs": (3, b"x.c", [3], [b"x.c"], [None], {"x.c": 1}, [""], ["a\0.c"]),
    "seed": ("1", 1.5, None, True),
    "usyscall": ("yes", 1, 0, None),
    "ustack": ("2", 1.5, True),
}


class Item:
    """As much of a test as the marker is read from."""

    def __init__(self, **given: object) -> None:
        self._mark = pytest.mark.orrery(**given).mark

    def iter_markers(self, name: str) -> list[pytest.Mark]:
        return [self._mark]


@pytest.mark.parametrize("name", WRONG)
def test_settings_of_the_marker(name: str) -> None:
    assert set(WRONG) == set(marker.SETTINGS)
    for value in WRONG[name]:
        with pytest.raises(BadInput) as error:
            marker.settings(Item(**{name: value}))  # type: ignore[arg-type]
        text = str(error.value)
        assert text.startswith("pytest.mark.orrery: ") and name in text and "\n" not in text
        assert len(text) < 200
    whole = {"drive": b"x", "max_time": 2, "points": 0, "programs": (Path("x.c"),), "files": {"f": "x"}}
    assert marker.settings(Item(**whole)) == whole  # type: ignore[arg-type]


def test_a_wrong_value_is_shown_short() -> None:
    with pytest.raises(
        WrongType, match=r"^pytest.mark.orrery: max_time='x{40,60}\.\.\. \(str\): give a number"
    ):
        marker.settings(Item(max_time="x" * 10**6))  # type: ignore[arg-type]


ARGUMENTS: tuple[dict[str, Any], ...] = (
    {"seed": "1"}, {"mem_mib": "128"}, {"mem_mib": 64.0}, {"engine": 3}, {"lab": "2025"}, {"usyscall": 1},
    {"ustack": "2"}, {"layout": 3}, {"drive": 3},
)  # fmt: skip


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=repr)
def test_arguments_of_machines(pool: MachinePool, arguments: dict[str, Any]) -> None:
    for make in (Machine, pool.machine):
        with pytest.raises((BadInput, TypeError), match=next(iter(arguments))):
            make(**arguments)


def test_arguments_of_one_of_them(pool: MachinePool, tmp_path: Path) -> None:
    made: Callable[..., Any]
    for make, arguments in (
        (Machine, {"snapshot": "no"}),
        (Machine, {"init_argv": "/init"}),
        (Machine, {"init_argv": ["/init"]}),
        (Machine, {"init_argv": []}),
        (Machine, {"modules": {"/init": b""}}),
        (Machine, {"warn": 3}),
        (pool.machine, {"max_time_s": "1"}),
        (pool.machine, {"max_time_s": True}),
        (pool.machine, {"programs": "x.c"}),
        (pool.machine, {"files": ["f"]}),
        (pool.machine, {"submission": 3}),
        (MachinePool, {"root": 3}),
    ):
        made = make
        with pytest.raises(TypeError, match=next(iter(arguments))):
            made(**arguments)
    with pytest.raises(TypeError, match="args"):
        pool.run_program("x.c", "-c")
    with pytest.raises(TypeError, match="stdin"):
        pool.run_program("x.c", stdin=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="path"):
        run_program(b"x.c")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no such directory"):
        pool.machine(submission=tmp_path / "none")


CALLS: dict[str, Callable[[Any], object]] = {
    "cmd": lambda machine: machine.sh(b"ls"),
    "cmd ": lambda machine: machine.sh(None),
    "timeout_s": lambda machine: machine.sh("ls", "1"),
    "timeout_s ": lambda machine: machine.sh("ls", float("nan")),
    "timeout_s  ": lambda machine: machine.expect("x", True),
    "regex": lambda machine: machine.expect(b"x"),
    "text": lambda machine: machine.type(3),
    "pa": lambda machine: machine.read("0", 1),
    "n": lambda machine: machine.read(0x80000000, None),
    "pa ": lambda machine: machine.write(None, b"x"),
    "data": lambda machine: machine.write(0x80000000, "x"),
    "name": lambda machine: machine.reg(3),
    "kind": lambda machine: machine.on(3, print),
    "hook": lambda machine: machine.on("syscall", "print"),
    "event": lambda machine: machine.run_until(3),
    "timeout_s   ": lambda machine: machine.run_until("fork", "1"),
    "cmd  ": lambda machine: machine.sh("\ud800"),
}


@pytest.fixture(scope="module")
def pool() -> Iterator[MachinePool]:
    with MachinePool() as pool:
        yield pool


def test_calls_of_machines(pool: MachinePool) -> None:
    """None is a panic, and the machine goes on."""
    with pool.machine(mem_mib=16) as fork, Machine(mem_mib=16) as machine:
        machine.boot()
        for name, call in CALLS.items():
            for one in (fork, machine):
                with pytest.raises((TypeError, ValueError), match=rf"^{name.strip()}=.*: (give|no text)"):
                    call(one)
        for one in (fork, machine):
            with pytest.raises(ValueError, match="RAM is from"):
                one.write(-5, b"x")
            assert one.sh("echo fine \udcff") == "fine \ufffd\n"
