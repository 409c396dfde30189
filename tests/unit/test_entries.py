"""Entries and line tables that a hostile file has: deep, long, without an end."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import pytest
from elftools.dwarf.structs import DWARFStructs

from orrery.inspect.entries import NESTING_MAX, BadDebugInfo, EntryTree, read
from orrery.inspect.linetable import LineTable


@dataclass
class Die:
    """As pyelftools has one."""

    offset: int
    tag: str | None = "DW_TAG_lexical_block"
    has_children: bool = True
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Unit:
    """A unit with these entries."""

    dies: list[Die]
    cu_offset: int = 0
    size: int = 1 << 20

    def iter_DIEs(self) -> Iterator[Die]:
        return iter(self.dies)


def tree(*dies: Die) -> EntryTree:
    return EntryTree(Unit(list(dies)), lambda offset: None)


def reference(offset: int, to: int, name: str = "DW_AT_abstract_origin") -> Die:
    attribute = SimpleNamespace(form="DW_FORM_ref4", value=to, raw_value=to)
    return Die(offset, has_children=False, attributes={name: attribute})


def test_levels_end() -> None:
    with pytest.raises(BadDebugInfo, match="more levels"):
        assert tree(*(Die(i) for i in range(NESTING_MAX + 2))).top
    top = tree(*(Die(i) for i in range(NESTING_MAX))).top
    assert len(list(top.within())) == NESTING_MAX - 1


def test_references_end_and_lead_to_entries() -> None:
    def at(*dies: Die) -> Any:
        return tree(Die(0), *dies).top.children[0]

    assert at(reference(4, 8), Die(8, has_children=False)).origin.offset == 8
    for dies in ((reference(4, 4),), (reference(4, 8), reference(8, 4))):
        with pytest.raises(BadDebugInfo, match="without an end"):
            assert at(*dies).origin
        with pytest.raises(BadDebugInfo, match="without an end"):
            assert at(*dies).name
    with pytest.raises(BadDebugInfo, match="leads to 0x5, where no entry begins"):
        assert at(reference(4, 5), Die(8)).origin


def test_whatever_the_reader_raises_is_one_line() -> None:
    def broken() -> None:
        raise AssertionError("a\nb\x1b" + "c" * 1000)

    with pytest.raises(BadDebugInfo) as raised:
        read("units", broken)
    assert str(raised.value).startswith("units: a b\\x1bccc") and len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("formats", "count"), [(b"\0", 1 << 60), (b"\1\1\x19", 1 << 60), (b"\1\1\x08", 1 << 40)]
)
def test_a_list_of_files_is_no_longer_than_the_section(formats: bytes, count: int) -> None:
    """Each file by no format, by one that takes no byte, and by a string."""
    number = b"".join(bytes(((count >> shift & 0x7F) | 0x80,)) for shift in range(0, 63, 7)) + b"\0"
    head = struct.pack("<HBBI6B", 5, 8, 0, 0, 1, 1, 1, 0, 1, 1)
    content = head + b"\0" + b"\0" + formats + number + b"\0" * 64
    stream = BytesIO(struct.pack("<I", len(content)) + content)
    structs = DWARFStructs(little_endian=True, dwarf_format=32, address_size=8, dwarf_version=5)
    attribute = SimpleNamespace(value=0)
    top = SimpleNamespace(attributes={"DW_AT_stmt_list": attribute})
    cu = SimpleNamespace(get_top_DIE=lambda: top, structs=structs)
    dwarf = SimpleNamespace(debug_line_sec=SimpleNamespace(stream=stream))
    with pytest.raises(BadDebugInfo, match=r"files that take no byte|header of the line table"):
        assert LineTable(dwarf, cu).sequences
