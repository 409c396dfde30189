"""Packets of gdb's remote serial protocol, as bytes; there is no I/O here.

    $payload#cs    a packet; cs is the sum of the payload's bytes, two hexadecimal digits
    + -            acknowledgement, or request to send again
    0x03           interrupt, between packets

In a payload, `}` escapes one of # $ } *, which is sent with bit 5 inverted.  `Parser` takes the input in
chunks of any size and never raises: malformed input becomes an item that says so.
"""

import re
from enum import Enum
from typing import Final, NamedTuple

PACKET_BYTES_MAX: Final = 0x1_0000
"""Of a payload, in both directions, escapes not counted; told to gdb as PacketSize."""

MEMORY_BYTES_MAX: Final = PACKET_BYTES_MAX // 2 - 16  # two digits a byte
TEXT_BYTES_MAX: Final = MEMORY_BYTES_MAX // 2
OK: Final = b"OK"
UNKNOWN: Final = b""  # the answer to what is not known

ESCAPE: Final = ord("}")
ESCAPED_XOR: Final = 0x20
CHECKSUM_CHARS: Final = 2
WHOLE: Final = re.compile(rb"\$([^#$]*)#(..)", re.DOTALL)


class Kind(Enum):
    """What came in."""

    PACKET = "packet"
    INTERRUPT = "interrupt"
    ACK = "+"
    NACK = "-"
    BAD = "bad"  # a packet that is none; the payload says why


class Item(NamedTuple):
    """One thing that came in."""

    kind: Kind
    payload: bytes = b""


INTERRUPT: Final = Item(Kind.INTERRUPT)
_SINGLE: Final = {3: INTERRUPT, ord("+"): Item(Kind.ACK), ord("-"): Item(Kind.NACK)}


def bad(why: str) -> Item:
    """An item for what is no packet."""
    return Item(Kind.BAD, why.encode())


class Parser:
    """Takes bytes, gives items. Keeps at most one packet of the largest size."""

    def __init__(self) -> None:
        self._packet: bytearray | None = None  # what came behind `$`
        self._too_long = False

    def feed(self, data: bytes) -> list[Item]:
        """The items that are complete now; noise between packets is passed over."""
        items: list[Item] = []
        at = 0
        while at < len(data):
            if self._packet is None and (whole := WHOLE.match(data, at)):  # as most are
                self._too_long = False
                items.append(self._complete(whole[1], whole[2]))
                at = whole.end()
            elif self._packet is None:
                at = self._between(data, at, items)
            else:
                at = self._within(self._packet, data, at, items)
        return items

    def _between(self, data: bytes, at: int, items: list[Item]) -> int:
        if data[at] == ord("$"):
            self._packet = bytearray()
            self._too_long = False
        elif data[at] in _SINGLE:
            items.append(_SINGLE[data[at]])
        return at + 1

    def _within(self, packet: bytearray, data: bytes, at: int, items: list[Item]) -> int:
        """Take what belongs to the packet; returns where to go on."""
        hash_at = packet.find(b"#")
        if hash_at < 0:
            ends = [end for end in (data.find(b"#", at), data.find(b"$", at)) if end >= 0]
            end = min(ends, default=len(data))
            self._keep(packet, data[at:end])
            if end == len(data):
                return end
            if data[end] == ord("$"):
                items.append(bad("a packet begins within another"))
                self._packet = None
                return end
            packet += b"#"
            return end + 1
        missing = hash_at + 1 + CHECKSUM_CHARS - len(packet)
        packet += data[at : at + missing]
        if len(packet) == hash_at + 1 + CHECKSUM_CHARS:
            items.append(self._complete(bytes(packet[:hash_at]), bytes(packet[hash_at + 1 :])))
            self._packet = None
        return at + missing

    def _keep(self, packet: bytearray, part: bytes) -> None:
        """Append to the packet, unless it is too long already."""
        if len(packet) + len(part) > 2 * PACKET_BYTES_MAX:  # each byte may be escaped
            self._too_long = True
            packet.clear()
        if not self._too_long:
            packet += part

    def _complete(self, body: bytes, digits: bytes) -> Item:
        if self._too_long:
            return bad("the packet is too long")
        try:
            told = int(digits, 16) if digits.isalnum() else -1
        except ValueError:
            told = -1
        if told != sum(body) & 0xFF:
            return bad("the checksum is wrong")
        payload = unescape(body)
        if payload is None:
            return bad("an escape without a byte")
        if len(payload) > PACKET_BYTES_MAX:
            return bad("the packet is too long")
        return Item(Kind.PACKET, payload)


def unescape(body: bytes) -> bytes | None:
    """The payload that was sent as `body`; None where the last byte is an escape."""
    if ESCAPE not in body:
        return body
    odd = False

    def meant(match: "re.Match[bytes]") -> bytes:
        nonlocal odd
        odd = odd or not match[1]
        return bytes(byte ^ ESCAPED_XOR for byte in match[1])

    payload = re.sub(rb"\}(.?)", meant, body, flags=re.DOTALL)
    return None if odd else payload


def encode(payload: bytes) -> bytes:
    """`payload` as a packet."""
    body = re.sub(rb"[#$}*]", lambda match: bytes((ESCAPE, match[0][0] ^ ESCAPED_XOR)), payload)
    return b"$%b#%02x" % (body, sum(body) & 0xFF)
