"""Test finisher: what each command asks of the machine."""

import pytest

from emu.dev.finisher import Finisher


@pytest.mark.parametrize(
    ("offset", "size", "value", "asked"),
    [
        (0, 4, 0x5555, ["finish 0"]),
        (0, 4, 0x3333, ["finish 0"]),
        (0, 4, 0x0007_3333, ["finish 7"]),
        (0, 4, 0xFFFF_3333, ["finish 65535"]),
        (0, 4, 0x7777, ["reset"]),
        (0, 2, 0x5555, ["finish 0"]),
        (0, 4, 0, []),
        (0, 4, 0x1234_5678, []),
        (4, 4, 0x5555, []),
    ],
)
def test_commands(offset: int, size: int, value: int, asked: list[str]) -> None:
    seen: list[str] = []
    device = Finisher(lambda code: seen.append(f"finish {code}"), lambda: seen.append("reset"))
    device.store(offset, size, value)
    assert seen == asked
    assert device.load(offset, size) == 0
