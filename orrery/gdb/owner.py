"""Who tells the gdb of `orrery gdb` what to do; the machine, a process of its own, is told with --for-gdb."""

from enum import StrEnum


class GdbOwner(StrEnum):
    """A user at a terminal can type lines for the guest too; a script cannot."""

    TERMINAL = "terminal"
    SCRIPT = "script"
