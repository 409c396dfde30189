"""Settings: what `set` changes besides variables, and `show` prints.

breakpoint pending   auto on off   whether a location that no program has is kept as pending
listsize             a number      how many lines `list` shows
"""

from typing import Final

from orrery.debugger.errors import Unavailable

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "breakpoint pending": ("auto", "on", "off"),
    "listsize": (),
}
SWITCH: Final = ("on", "off")
FIXED: Final[dict[str, tuple[str, ...]]] = {
    "confirm": SWITCH,
    "pagination": SWITCH,
    "height": (),
    "width": (),
    "style enabled": SWITCH,
    "print pretty": SWITCH,
    "logging enabled": SWITCH,
}
"""What gdb's scripts set, and of which there is nothing here."""
FAMILIES: Final = ("breakpoint", "print", "style", "logging")  # their first words
UNLIMITED: Final = "unlimited"


class Settings:
    """Their values, as text."""

    def __init__(self) -> None:
        self._values: Final = {"breakpoint pending": "auto", "listsize": "10"}

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def set(self, text: str) -> bool:
        """`NAME VALUE`: whether there is such a setting; raises Unavailable for a wrong value."""
        settings = FIXED | CHOICES
        name = next((name for name in settings if text == name or text.startswith(f"{name} ")), None)
        if name is None:
            family, _, rest = text.partition(" ")
            if family in FAMILIES and "=" not in rest[:2]:
                raise Unavailable(f'Undefined set {family} command: "{rest.strip()}".')
            return False
        value, allowed = text.removeprefix(name).strip(), settings[name]
        is_number = value.isdigit() and value != "0"
        is_fixed = name in FIXED and (not value or value in ("0", UNLIMITED))
        if value not in allowed if allowed else not (is_number or is_fixed):
            raise Unavailable(f"set {name} what? {', '.join(allowed) or 'A number of lines'}.")
        if name in CHOICES:
            self._values[name] = value
        return True

    def show(self, text: str) -> str:
        """Those whose names begin so."""
        found = [(name, value) for name, value in self._values.items() if name.startswith(text)]
        if not found:
            raise Unavailable(f"No setting {text!r}; there are {', '.join(self._values)}.")
        return "".join(f"{name}: {value}\n" for name, value in found)
