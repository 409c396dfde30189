"""C values: a type, and bytes that are read on demand, perhaps with an address.

So the address, type and size of a value that cannot be read, or was optimized out, can still be asked for.
Made by dwarf/variables.py and expressions.py; printed by format.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from orrery.debugger.c import floats
from orrery.debugger.c.ctypes import CType, Field, TypeKind
from orrery.debugger.c.floats import Number
from orrery.debugger.errors import Unavailable

BYTES_MAX: Final = 65536  # of a value, as in gdb
MASK64: Final = (1 << 64) - 1
BITS: Final = 8

Read = Callable[[int, int], bytes]
"""Reads (address, count) bytes of memory; fewer where they are not mapped."""

Fetch = Callable[[int, int], bytes]
"""Gives `count` bytes of a value from its byte `offset` on; raises Unavailable where there are not so many.

"""


@dataclass(frozen=True)
class Value:
    """A value of `type`; `fetch` gives its bytes, and is not called before somebody needs them.

    It is at `address` in memory, or in the register with this number, or the user's own `$variable`, or in
    none of these places.  `bits` are (lowest, count) of a bit field within the bytes at its address.
    """

    type: CType
    fetch: Fetch
    address: int | None = None
    register: int | None = None
    variable: str | None = None
    bits: tuple[int, int] | None = None

    @classmethod
    def made(cls, type_: CType, data: bytes, register: int | None = None) -> "Value":
        """Of bytes that are there already."""
        return cls(type_, _fetch_of(data), register=register)

    @classmethod
    def of(cls, type_: CType, number: Number) -> "Value":
        """A number as a value of this type."""
        if type_.kind == TypeKind.FLOAT:
            return cls.made(type_, floats.packed(number, type_.size))
        if type_.kind == TypeKind.BOOL:
            number = bool(number)
        bits = (number if isinstance(number, int) else floats.whole(number)) & (1 << BITS * type_.size) - 1
        return cls.made(type_, bits.to_bytes(type_.size, "little"))

    @classmethod
    def at(cls, type_: CType, address: int, read: Read) -> "Value":
        """What is in memory."""
        address &= MASK64

        def fetch(offset: int, count: int) -> bytes:
            data = read(address + offset & MASK64, count)
            if len(data) < count:
                raise Unavailable(
                    f"Cannot access memory at address {address + offset + len(data) & MASK64:#x}"
                )
            return data

        return cls(type_, fetch, address)

    @classmethod
    def missing(cls, type_: CType, why: str) -> "Value":
        """One of which nothing but the type is known."""

        def fetch(offset: int, count: int) -> bytes:
            raise Unavailable(why)

        return cls(type_, fetch)

    @cached_property
    def data(self) -> bytes:
        """Its bytes, as they were when they were asked for first; raises Unavailable."""
        size = self.type.size if self.type.kind != TypeKind.FUNCTION else 0
        if size > BYTES_MAX:
            raise Unavailable(f"value requires {size} bytes, which is more than max-value-size")
        return self.fetch(0, size)

    @property
    def is_place(self) -> bool:
        """Whether it can be assigned to."""
        return self.address is not None or self.register is not None or self.variable is not None

    @property
    def number(self) -> Number:
        """The number that it is; the address, for an array or a function. Raises Unavailable."""
        if self.type.kind == TypeKind.FLOAT:
            return floats.unpacked(self.data)
        return self.whole

    @property
    def whole(self) -> int:
        """As a whole number; raises Unavailable."""
        if self.type.kind in (TypeKind.ARRAY, TypeKind.FUNCTION):
            if self.address is None:
                assert self.data is not None, "of what cannot be had that is told"
                raise Unavailable("Attempt to take address of value not located in memory.")
            return self.address
        if not self.type.is_scalar:
            raise Unavailable(f"a {self.type.name} is no number")
        if self.type.kind == TypeKind.FLOAT:
            return floats.whole(self.number)
        return int.from_bytes(self.data, "little", signed=self.type.signed)

    def field(self, field: Field) -> "Value":
        """A member."""
        address = None if self.address is None else self.address + field.offset & MASK64
        if field.bits is None:
            return replace(self._part(field.type, field.offset), address=address)
        low, count = field.bits

        def fetch(offset: int, size: int) -> bytes:
            storage = int.from_bytes(self._bytes(field.offset, storage_bytes((low, count))), "little")
            number = storage >> low & (1 << count) - 1
            if field.type.signed and number >> count - 1:
                number -= 1 << count
            return Value.of(field.type, number).data[offset : offset + size]

        return Value(field.type, fetch, address, bits=field.bits)

    def element(self, index: int) -> "Value":
        """An element of an array."""
        of = self.type.of
        address = None if self.address is None else self.address + index * of.size & MASK64
        return replace(self._part(of, index * of.size), address=address)

    def _part(self, type_: CType, begin: int) -> "Value":
        return Value(type_, lambda offset, count: self._bytes(begin + offset, count))

    def _bytes(self, offset: int, count: int) -> bytes:
        """Some of its bytes, and no more read than these unless they are there already."""
        if "data" not in self.__dict__:
            return self.fetch(offset, count)
        data = self.data[offset : offset + count]
        if len(data) < count:
            raise Unavailable(f"a part of a {self.type.name} lies outside of it")
        return data


def storage_bytes(bits: tuple[int, int]) -> int:
    """How many bytes hold a bit field."""
    return (sum(bits) + BITS - 1) // BITS


def _fetch_of(data: bytes) -> Fetch:
    def fetch(offset: int, count: int) -> bytes:
        if offset < 0 or offset + count > len(data):
            raise Unavailable("a part of this lies outside of it")
        return data[offset : offset + count]

    return fetch
