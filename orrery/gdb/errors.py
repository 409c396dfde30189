"""The error answers of packets, and the parsing of numbers, which may be malformed.

Used by whatever reads packets here; stub.py turns Refused into the answer.
"""

from typing import Final

ENOENT: Final = 2
ESRCH: Final = 3
EBADF: Final = 9
EBUSY: Final = 16
EFAULT: Final = 14
EINVAL: Final = 22


class Refused(Exception):
    """The packet is answered with the error `number`, one of Unix's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"E{number:02x}")
        self.number: Final = number


def number(text: bytes) -> int:
    """A hexadecimal number, as all in packets are; raises Refused."""
    if not text or len(text) > 16 or text.strip(b"0123456789abcdefABCDEF"):
        raise Refused(EINVAL)
    return int(text, 16)


def unhex(text: bytes) -> bytes:
    """The bytes that are written in hexadecimal; raises Refused."""
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise Refused(EINVAL) from error


def extent(text: bytes) -> tuple[int, int]:
    """address,length; raises Refused."""
    first, comma, second = text.partition(b",")
    if not comma:
        raise Refused(EINVAL)
    return number(first), number(second)
