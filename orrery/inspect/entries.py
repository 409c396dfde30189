"""Entries: the tree of a compilation unit in .debug_info, read from a file that nobody vouches for.

Read by dwarf.py, and by the built-in debugger for types and variables.  pyelftools takes the bytes apart;
here they become a tree that can be walked without fear: its parents and children are as they lie in the file,
a reference leads to an entry that there is, and a chain of references ends.  What makes no sense is
BadDebugInfo.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from toolchain.names import shown

DECLARED_BY: Final = ("DW_AT_abstract_origin", "DW_AT_specification")
ENTRIES_MAX: Final = 2_000_000  # of a unit
NESTING_MAX: Final = 500  # levels of entries, and references in a chain
WHY_MAX: Final = 200  # characters of what pyelftools says
WORD_MAX: Final = 1 << 64
WITHIN_UNIT: Final = ("DW_FORM_ref1", "DW_FORM_ref2", "DW_FORM_ref4", "DW_FORM_ref8", "DW_FORM_ref_udata")

_T = TypeVar("_T")


class BadDebugInfo(ValueError):
    """What a file says of its code makes no sense; the text says where."""


def read(what: str, reading: Callable[[], _T]) -> _T:
    """What `reading` gives, which calls pyelftools and nothing else; raises BadDebugInfo.

    pyelftools raises whatever its next line happens to raise where a file does not keep to the format.
    """
    try:
        return reading()
    except Exception as error:
        why = shown(" ".join(f"{error}".split()))[:WHY_MAX] or type(error).__name__
        raise BadDebugInfo(f"{what}: {why}") from error


class Entry:
    """One entry. `of` is its unit, `attributes` are those of pyelftools by name."""

    __slots__ = ("attributes", "children", "of", "offset", "parent", "tag")

    def __init__(self, of: "EntryTree", parent: "Entry | None", die: Any) -> None:
        self.of: Final = of
        self.parent: Final = parent
        self.tag: Final[str] = f"{die.tag}"
        self.offset: Final[int] = die.offset
        self.attributes: Final[dict[str, Any]] = die.attributes
        self.children: Final[list[Entry]] = []

    def __contains__(self, attribute: str) -> bool:
        return attribute in self.attributes

    def number(self, attribute: str, otherwise: int = 0) -> int:
        """A number that it has, of 64 bits with or without a sign."""
        found = self.attributes.get(attribute)
        if found is None or not isinstance(found.value, int) or self.is_reference(attribute):
            return otherwise
        if not -WORD_MAX // 2 <= found.value < WORD_MAX:
            raise BadDebugInfo(f"{attribute} of the entry at {self.offset:#x} is longer than 64 bits")
        return int(found.value)

    def data(self, attribute: str) -> bytes | None:
        """Bytes that it has."""
        found = self.attributes.get(attribute)
        if found is None:
            return None
        if isinstance(found.value, bytes):
            return found.value
        if isinstance(found.value, list):  # a block is a list of numbers
            return bytes(found.value)
        return None

    def is_reference(self, attribute: str) -> bool:
        """Whether an attribute leads to another entry."""
        found = self.attributes.get(attribute)
        return found is not None and f"{found.form}".startswith("DW_FORM_ref")

    def reference(self, attribute: str) -> "Entry | None":
        """The entry to which an attribute leads; None where it has no such attribute."""
        found = self.attributes.get(attribute)
        if found is None:
            return None
        if not isinstance(found.raw_value, int):
            raise BadDebugInfo(f"{attribute} of the entry at {self.offset:#x} is no reference")
        within = found.form in WITHIN_UNIT
        return self.of.find(
            found.raw_value + (self.of.offset if within else 0), f"{attribute} at {self.offset:#x}"
        )

    @property
    def origin(self) -> "Entry":
        """Where it was declared: an inlined call refers to its function, its variables to the function's."""
        one = self
        for _ in range(NESTING_MAX):
            name = next((name for name in DECLARED_BY if name in one.attributes), None)
            further = one.reference(name) if name is not None else None
            if further is None:
                return one
            one = further
        raise BadDebugInfo(f"the entry at {self.offset:#x} leads from one entry to the next without an end")

    @property
    def name(self) -> str:
        """What it is called, there or where it was declared; empty where it has no name."""
        one = self
        for _ in range(NESTING_MAX):
            if (name := one.data("DW_AT_name")) is not None:
                return shown(name)
            further = next((name for name in DECLARED_BY if name in one.attributes), None)
            declared = one.reference(further) if further is not None else None
            if declared is None:
                return ""
            one = declared
        raise BadDebugInfo(f"the entry at {self.offset:#x} leads from one entry to the next without an end")

    def within(self) -> Iterator["Entry"]:
        """All entries below it."""
        waiting = self.children[::-1]
        while waiting:
            one = waiting.pop()
            yield one
            waiting += reversed(one.children)


class EntryTree:
    """The entries of one unit, of which `cu` is pyelftools'; `elsewhere` finds the unit of an offset."""

    def __init__(self, cu: Any, elsewhere: "Callable[[int], EntryTree | None]") -> None:
        self.cu: Final = cu
        self.offset: Final[int] = cu.cu_offset
        self.end: Final[int] = cu.cu_offset + cu.size
        self._elsewhere: Final = elsewhere
        self._entries: dict[int, Entry] | BadDebugInfo | None = None

    @property
    def top(self) -> Entry:
        """The entry of the unit; raises BadDebugInfo."""
        return next(iter(self._read().values()))

    def find(self, offset: int, who: str) -> Entry:
        """The entry at an offset of .debug_info, in this unit or another; raises BadDebugInfo."""
        tree = self if self.offset <= offset < self.end else self._elsewhere(offset)
        found = tree._read().get(offset) if tree is not None else None
        if found is None:
            raise BadDebugInfo(f"{who} leads to {offset:#x}, where no entry begins")
        return found

    def _read(self) -> dict[int, Entry]:
        if self._entries is None:
            try:
                self._entries = self._whole()
            except BadDebugInfo as error:
                self._entries = error
        if isinstance(self._entries, BadDebugInfo):
            raise self._entries
        return self._entries

    def _whole(self) -> dict[int, Entry]:
        entries: dict[int, Entry] = {}
        dies = self.cu.iter_DIEs()
        above: list[Entry] = []
        while (die := read(f"the unit at {self.offset:#x}", lambda: next(dies, None))) is not None:
            if die.tag is None:
                del above[-1:]
                if not above:
                    break
                continue
            if len(entries) == ENTRIES_MAX or len(above) == NESTING_MAX:
                what = "entries" if len(entries) == ENTRIES_MAX else "levels"
                raise BadDebugInfo(f"the unit at {self.offset:#x} has more {what} than can be")
            entry = Entry(self, above[-1] if above else None, die)
            if above:
                above[-1].children.append(entry)
            entries[die.offset] = entry
            if die.has_children:
                above.append(entry)
            elif not above:
                break
        if not entries:
            raise BadDebugInfo(f"the unit at {self.offset:#x} has no entry")
        return entries
