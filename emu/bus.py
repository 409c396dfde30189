"""The board's address decoder: sends a physical address to RAM or to the device that has it.

The machine loop calls it for accesses that stopped the engine (devices are not mapped there), and the
kernel's drivers call it directly. The guest's ordinary RAM accesses never come here. Wiring is done once,
when the board is built.
"""

from bisect import insort
from dataclasses import dataclass, field
from typing import Final

from emu.dev.device import Device
from emu.ram import PAGE_SIZE, Ram

_SIZES: Final = (1, 2, 4, 8)


class BusError(Exception):
    """Nothing answers at physical address `pa`; a hart takes it as an access fault."""

    def __init__(self, pa: int) -> None:
        super().__init__(f"nothing answers at physical address {pa:#x}")
        self.pa: Final = pa


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """Physical addresses base <= pa < end, and the device that answers there."""

    base: int
    end: int
    device: Device = field(compare=False)


class Bus:
    """RAM and devices by physical address. Values are unsigned, little endian, `size` in 1, 2, 4, 8."""

    def __init__(self, ram: Ram) -> None:
        self.ram: Final = ram
        self.regions: Final[list[Region]] = []  # by base address
        self._region_of_page: Final[dict[int, Region]] = {}  # pages seen so far; only ever grows

    def attach(self, base: int, size: int, device: Device) -> None:
        """Give `device` the addresses [base, base+size): whole pages that nobody has yet."""
        end = base + size
        assert size > 0 and base % PAGE_SIZE == 0 and size % PAGE_SIZE == 0, (
            f"a device has whole pages, not {base:#x}+{size:#x}"
        )
        assert end <= self.ram.base or base >= self.ram.end, f"{base:#x}+{size:#x} lies over RAM"
        for other in self.regions:
            assert end <= other.base or base >= other.end, (
                f"two devices at one address: {base:#x}+{size:#x} and {other.base:#x}"
            )
        insort(self.regions, Region(base, end, device))

    def load(self, pa: int, size: int) -> int:
        """Read `size` bytes at `pa`. Raises BusError where nothing, or no one thing, has them all."""
        assert size in _SIZES, f"an access has 1, 2, 4 or 8 bytes, not {size}"
        ram = self.ram
        if ram.holds(pa, size):
            start = pa - ram.base
            if size == 4 and not start & 3:
                return ram.u32[start >> 2]
            return int.from_bytes(ram.bytes[start : start + size], "little")
        region = self._region(pa, size)
        offset = pa - region.base
        device = region.device
        if size == 8 and not device.takes_8_bytes:
            low = device.load(offset, 4)
            return low | device.load(offset + 4, 4) << 32
        return device.load(offset, size)

    def store(self, pa: int, size: int, value: int) -> None:
        """Write the low `size` bytes of `value` (bits above are dropped) at `pa`. Raises BusError as load."""
        assert size in _SIZES, f"an access has 1, 2, 4 or 8 bytes, not {size}"
        value &= (1 << size * 8) - 1
        ram = self.ram
        if ram.holds(pa, size):
            start = pa - ram.base
            ram.bytes[start : start + size] = value.to_bytes(size, "little")
            return
        region = self._region(pa, size)
        offset = pa - region.base
        device = region.device
        if size == 8 and not device.takes_8_bytes:
            device.store(offset, 4, value & 0xFFFF_FFFF)
            device.store(offset + 4, 4, value >> 32)
        else:
            device.store(offset, size, value)

    def device_at(self, pa: int) -> Device | None:
        """The device that has physical address `pa`, if one has."""
        for region in self.regions:
            if region.base <= pa < region.end:
                return region.device
        return None

    def _region(self, pa: int, size: int) -> Region:
        """The region for a device access. Misaligned ones fault, as the specification lets I/O memory do."""
        if pa & size - 1:
            raise BusError(pa)
        page = pa // PAGE_SIZE
        region = self._region_of_page.get(page)
        if region is not None:
            return region
        for region in self.regions:
            if region.base <= pa < region.end:
                self._region_of_page[page] = region
                return region
        raise BusError(pa)
