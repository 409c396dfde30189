"""How the console hands keys to a program: the modes of ttymode().

TTY_COOKED is how a machine starts: the kernel edits a line and gives it to a reader when it is finished.
TTY_RAW gives each key as it comes, without an echo, until the process that asked for it exits or asks for
TTY_COOKED.  TTY_ASK changes nothing: the call only says whether a terminal is there.
"""

from typing import Final

TTY_ASK: Final = 0
TTY_COOKED: Final = 1
TTY_RAW: Final = 2
TTY_COLUMNS_MAX: Final = 1 << 15  # as many as the call reports

TTY_MODE: Final = 1
"""The request of the console's ioctl: its argument is a mode, its result how many columns there are."""
