"""The page walk: each rule of section 4.4 of the privileged specification has a row or a test."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.cpu.sv39 import Access, AccessFault, PageFault, TranslationFault, translate
from emu.ram import RAM_BASE, Ram

V, R, W, X, U, G, A, D = (1 << bit for bit in range(8))
SV39 = 8 << 60
ROOT = RAM_BASE + 0x1000
MIDDLE = RAM_BASE + 0x2000
LEAF = RAM_BASE + 0x3000
FRAME = 0x1234_5000


def pte(pa: int, flags: int) -> int:
    return pa >> 12 << 10 | flags


def put(ram: Ram, table: int, index: int, entry: int) -> None:
    ram.u64[(table - ram.base) // 8 + index] = entry


def mapped(va: int, flags: int) -> tuple[Ram, int]:
    """RAM with one 4 KiB page at `va` -> FRAME, and its satp."""
    ram = Ram(0x8000)
    put(ram, ROOT, va >> 30 & 511, pte(MIDDLE, V))
    put(ram, MIDDLE, va >> 21 & 511, pte(LEAF, V))
    put(ram, LEAF, va >> 12 & 511, pte(FRAME, flags))
    return ram, SV39 | ROOT >> 12


HIGH = 0xFFFF_FFC0_0020_1000  # lowest bits of the upper half
CAUSES = {Access.FETCH: (1, 12), Access.LOAD: (5, 13), Access.STORE: (7, 15)}


def test_bare_mode_is_identity() -> None:
    ram = Ram(4096)
    assert translate(ram, 0x1234, (1 << 64) - 1, Access.STORE, user=True) == (1 << 64) - 1


@pytest.mark.parametrize("va", [0, 0x1ABC, 0x3FFFFFFFFF, 0x1_4020_3004, HIGH, (1 << 64) - 1])
def test_maps_the_offset_through(va: int) -> None:
    ram, satp = mapped(va, V | R | W | U)
    assert translate(ram, satp, va, Access.LOAD, user=True) == FRAME | va & 0xFFF


@pytest.mark.parametrize("va", [1 << 38, 1 << 39, 1 << 63, 0xFFFF_FF80_0000_0000, 0x7FFF_FFFF_FFFF_FFFF])
@pytest.mark.parametrize("access", Access)
def test_addresses_that_are_no_sign_extension_fault(va: int, access: Access) -> None:
    ram, satp = mapped(va, V | R | W | X | U)
    with pytest.raises(PageFault) as fault:
        translate(ram, satp, va, access, user=True)
    assert (fault.value.va, fault.value.cause) == (va, CAUSES[access][1])


# flags of the leaf, user?, SUM, MXR -> the letters of what is allowed
PERMISSIONS = [
    (V | R, False, 0, 0, "r"),
    (V | R | W, False, 0, 0, "rw"),
    (V | R | X, False, 0, 0, "rx"),
    (V | X, False, 0, 0, "x"),
    (V | X, False, 0, 1, "rx"),  # MXR: what runs can be read
    (V | R | W | X, False, 0, 0, "rwx"),
    (V | R | W | X, True, 0, 0, ""),  # not a user page
    (V | R | W | X, True, 1, 1, ""),
    (V | R | W | X | U, True, 0, 0, "rwx"),
    (V | X | U, True, 0, 1, "rx"),
    (V | R | W | X | U, False, 0, 0, ""),  # a user page, and SUM is clear
    (V | R | W | X | U, False, 1, 0, "rw"),  # SUM never lets the supervisor run it
    (V | W, False, 0, 0, ""),  # W without R is reserved
    (V | W | X, False, 0, 1, ""),
    (R | W | X, False, 0, 0, ""),  # not valid
    (V, False, 0, 0, ""),  # a pointer where a leaf must be
    (V | R | W | X | A | D | G, False, 0, 0, "rwx"),
    (V | R | W | 3 << 8, False, 0, 0, "rw"),  # RSW is the kernel's
    (V | R | W | 1 << 54, False, 0, 0, ""),  # reserved bits
    (V | R | W | 1 << 63, False, 0, 0, ""),
]


@pytest.mark.parametrize(("flags", "user", "sum_", "mxr", "allowed"), PERMISSIONS)
@pytest.mark.parametrize("access", Access)
def test_permissions(flags: int, user: bool, sum_: int, mxr: int, allowed: str, access: Access) -> None:
    ram, satp = mapped(0x5000, flags)
    before = bytes(ram.bytes)
    if access.letter in allowed:
        pa = translate(ram, satp, 0x5010, access, user=user, sum_=bool(sum_), mxr=bool(mxr))
        assert pa == FRAME | 0x10
    else:
        with pytest.raises(PageFault) as fault:
            translate(ram, satp, 0x5010, access, user=user, sum_=bool(sum_), mxr=bool(mxr))
        assert fault.value.cause == CAUSES[access][1]
    assert bytes(ram.bytes) == before, "A and D are the engine's to set"


def test_superpages() -> None:
    ram, satp = mapped(0, V)
    put(ram, MIDDLE, 3, pte(0x4020_0000, V | R))
    assert translate(ram, satp, 0x7F_1234, Access.LOAD, user=False) == 0x403F_1234
    put(ram, ROOT, 1, pte(0x8000_0000, V | R))
    assert translate(ram, satp, 0x7654_3210, Access.LOAD, user=False) == 0xB654_3210


@pytest.mark.parametrize(
    ("table", "va", "target"),
    [(MIDDLE, 0x60_0000, 0x4020_1000), (ROOT, 0x4000_0000, 0x8020_0000), (ROOT, 0x4000_0000, 0x8000_1000)],
)
def test_misaligned_superpages_fault(table: int, va: int, target: int) -> None:
    ram, satp = mapped(0, V)
    put(ram, table, va >> (30 if table == ROOT else 21), pte(target, V | R))
    with pytest.raises(PageFault):
        translate(ram, satp, va, Access.LOAD, user=False)


@pytest.mark.parametrize("access", Access)
@pytest.mark.parametrize("table", [0, RAM_BASE - 0x1000, RAM_BASE + 0x8000, (1 << 56) - 0x1000])
def test_a_table_outside_ram_is_an_access_fault(table: int, access: Access) -> None:
    ram, satp = mapped(0, V | R)
    put(ram, ROOT, 0, pte(table, V))
    with pytest.raises(AccessFault) as fault:
        translate(ram, satp, 0, access, user=False)
    assert fault.value.cause == CAUSES[access][0]
    with pytest.raises(AccessFault):
        translate(ram, SV39 | table >> 12, 0, access, user=False)


def test_sv48_has_a_level_more() -> None:
    ram, _ = mapped(0x5000, V | R)
    top = RAM_BASE + 0x4000
    put(ram, top, 1, pte(ROOT, V))
    assert translate(ram, 9 << 60 | top >> 12, 1 << 39 | 0x5008, Access.LOAD, user=False) == FRAME | 8


def test_modes_that_do_not_exist_fault() -> None:
    with pytest.raises(PageFault):
        translate(Ram(4096), 3 << 60 | RAM_BASE >> 12, 0, Access.LOAD, user=False)


@settings(derandomize=True, max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4095), st.integers(0, (1 << 64) - 1)), max_size=12),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 64) - 1),
    st.sampled_from(Access),
    st.booleans(),
)
def test_any_tables_give_an_address_or_a_fault(
    words: list[tuple[int, int]], satp: int, va: int, access: Access, user: bool
) -> None:
    ram = Ram(0x8000)
    for index, value in words:
        ram.u64[index] = value
    for root in (satp, SV39 | RAM_BASE >> 12):
        try:
            assert translate(ram, root, va, access, user=user) >= 0
        except TranslationFault as fault:
            assert fault.cause in CAUSES[access]
