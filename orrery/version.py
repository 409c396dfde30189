"""The version of Orrery, which recordings name too."""

from typing import Final

VERSION: Final = "0.1.0"
