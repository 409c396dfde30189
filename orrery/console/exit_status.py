"""Exit statuses of the command line, beside those that a guest gives.

0-255  the guest's        2    wrong input, or the output cannot be written
124    out of time        125  kernel panic        126  all asleep for ever
128+n  signal n
"""

from typing import Final

BAD_INPUT: Final = 2
TIMEOUT: Final = 124
PANIC: Final = 125
DEADLOCK: Final = 126
BY_SIGNAL: Final = 128
INTERRUPTED: Final = 130  # by SIGINT
