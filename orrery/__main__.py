"""`python -m orrery`: the command line, where the script `orrery` is not installed."""

import sys

from orrery.cli import main

sys.exit(main())
