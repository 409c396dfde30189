"""The packets of gdb's protocol: what comes in cut anywhere, damaged or hostile, is told and never raises."""

from hypothesis import given
from hypothesis import strategies as st

from orrery.gdb.errors import Refused, number, unhex
from orrery.gdb.packet import INTERRUPT, PACKET_BYTES_MAX, Item, Kind, Parser, encode, unescape

SPECIAL = st.lists(st.sampled_from([b"#", b"$", b"}", b"*", b"\x03", b"+", b"a", b"\xff"])).map(b"".join)
PAYLOADS = st.binary(max_size=200) | SPECIAL


def fed(data: bytes, cuts: list[int]) -> list[Item]:
    """What a parser makes of `data` when it comes in parts."""
    parser = Parser()
    ends = sorted({min(cut, len(data)) for cut in cuts} | {len(data)})
    starts = [0, *ends]
    return [item for low, high in zip(starts, ends, strict=False) for item in parser.feed(data[low:high])]


@given(st.lists(PAYLOADS), st.lists(st.integers(0, 500)))
def test_payloads_come_through_however_they_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"+".join(map(encode, payloads))
    items = [item for item in fed(stream, cuts) if item.kind is not Kind.ACK]
    assert items == [Item(Kind.PACKET, payload) for payload in payloads]


@given(st.binary(max_size=300) | SPECIAL, st.lists(st.integers(0, 300)), PAYLOADS)
def test_noise_never_raises_and_the_next_packet_is_read(
    noise: bytes, cuts: list[int], payload: bytes
) -> None:
    items = fed(noise + b"$#00" + encode(payload), cuts)
    assert all(isinstance(item, Item) for item in items)
    assert items[-1] == Item(Kind.PACKET, payload)


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_cuts_do_not_show(data: bytes, cuts: list[int]) -> None:
    assert fed(data, cuts) == fed(data, [])


def test_what_is_wrong_is_named() -> None:
    for data, why in (
        (b"$g#00", b"the checksum is wrong"),
        (b"$g#zz", b"the checksum is wrong"),
        (b"$g#+1", b"the checksum is wrong"),
        (b"$}#7d", b"an escape without a byte"),
    ):
        assert Parser().feed(data) == [Item(Kind.BAD, why)], data
    assert Parser().feed(b"$g$m#6d") == [
        Item(Kind.BAD, b"a packet begins within another"),
        Item(Kind.PACKET, b"m"),
    ]
    assert Parser().feed(b"$g#6") == []


def test_an_interrupt_is_one_between_packets_only() -> None:
    assert Parser().feed(b"\x03") == [INTERRUPT]
    assert Parser().feed(encode(b"X0,1:\x03")) == [Item(Kind.PACKET, b"X0,1:\x03")]


def test_a_packet_has_a_limit_and_the_parser_goes_on() -> None:
    parser = Parser()
    largest = b"x" * PACKET_BYTES_MAX
    assert parser.feed(encode(largest)) == [Item(Kind.PACKET, largest)]
    assert parser.feed(encode(largest + b"x")) == [Item(Kind.BAD, b"the packet is too long")]
    items: list[Item] = []
    parser.feed(b"$")
    for _ in range(100):
        items += parser.feed(b"y" * PACKET_BYTES_MAX)
        assert len(parser._packet or b"") <= 2 * PACKET_BYTES_MAX, "what is too long is not kept"
    assert items == [] and parser.feed(b"#00") == [Item(Kind.BAD, b"the packet is too long")]
    assert parser.feed(encode(b"g")) == [Item(Kind.PACKET, b"g")]


@given(st.binary(max_size=100))
def test_escapes_are_undone(body: bytes) -> None:
    payload = unescape(body)
    if payload is not None:
        assert unescape(encode(payload)[1:-3]) == payload


@given(st.binary(max_size=20))
def test_numbers_are_numbers_or_refused(text: bytes) -> None:
    for read in (number, unhex):
        try:
            read(text)
        except Refused as error:
            assert str(error) == "E16"
