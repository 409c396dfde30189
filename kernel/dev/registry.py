"""The devices that the kernel drives: a driver for each interrupt, a character device for each major number.

Filled where the kernel is put together (kernel/kernel.py), which is the one place where a new driver is
entered.  The trap code calls `intr` at each external interrupt; `init` brings all devices up when the kernel
starts, in the order in which they were entered.
"""

from typing import TYPE_CHECKING, Final, Protocol

from kernel.dev.plic import PlicDriver
from kernel.errors import panic

if TYPE_CHECKING:
    from kernel.fs.chardev import CharDevice


class Driver(Protocol):
    """A driver of a device that interrupts."""

    def init(self) -> None:
        """Bring the device up."""

    def intr(self) -> None:
        """Serve its interrupt. Never blocks."""


class DeviceRegistry:
    """Drivers by interrupt number, behind `plic`; character devices by major number."""

    def __init__(self, plic: PlicDriver) -> None:
        self._plic: Final = plic
        self._drivers: Final[dict[int, Driver]] = {}
        self.chars: Final[dict[int, CharDevice]] = {}

    def add(self, irq: int, driver: Driver) -> None:
        """Let `driver` serve interrupt `irq`."""
        assert irq not in self._drivers, f"two drivers for interrupt {irq}"
        self._drivers[irq] = driver

    def add_char(self, major: int, device: "CharDevice") -> None:
        """Let programs reach `device` by device files with this major number."""
        assert major not in self.chars, f"two devices with major number {major}"
        self.chars[major] = device

    def init(self) -> None:
        """Bring all devices up, and let them interrupt."""
        self._plic.init(tuple(self._drivers))
        for driver in self._drivers.values():
            driver.init()

    def intr(self) -> None:
        """Serve the devices that interrupt."""
        while irq := self._plic.claim():
            driver = self._drivers.get(irq)
            if driver is None:
                panic(f"unexpected interrupt of device {irq}")
            driver.intr()
            self._plic.complete(irq)
