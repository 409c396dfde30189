"""What lies in memory, as the monitor's `x` shows it."""

from collections.abc import Iterator, Sequence
from typing import Final

A_LINE: Final = 16  # bytes in a line of a dump


def dump(start: int, data: Sequence[int | None]) -> Iterator[str]:
    """Hexadecimal and text, a line for 16 bytes; what is not there is shown as dashes."""
    for offset in range(0, len(data), A_LINE):
        line = data[offset : offset + A_LINE]
        hexadecimal = " ".join("--" if byte is None else f"{byte:02x}" for byte in line)
        text = "".join(chr(byte) if byte is not None and 0x20 <= byte < 0x7F else "." for byte in line)
        yield f"{start + offset:#012x}  {hexadecimal:<{3 * A_LINE - 1}}  {text}"
