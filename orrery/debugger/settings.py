"""Settings: what `set` changes besides variables, and `show` tells.

breakpoint pending   auto on off   whether a place that no program has is waited for
listsize             a number      how many lines `list` shows
"""

from typing import Final

from orrery.debugger.unavailable import Unavailable

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "breakpoint pending": ("auto", "on", "off"),
    "listsize": (),
}
FIXED: Final = ("confirm", "pagination", "height", "width", "style", "print pretty", "logging")
"""What gdb's scripts set, and of which there is nothing here."""


class Settings:
    """Their values, as text."""

    def __init__(self) -> None:
        self._values: Final = {"breakpoint pending": "auto", "listsize": "10"}

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def set(self, text: str) -> bool:
        """`NAME VALUE`: whether there is such a setting; raises Unavailable for a wrong value."""
        if any(text.startswith(f"{name} ") for name in FIXED):
            return True
        name = next((name for name in CHOICES if text == name or text.startswith(f"{name} ")), None)
        if name is None:
            return False
        value = text.removeprefix(name).strip()
        allowed = CHOICES[name]
        if value not in allowed if allowed else not value.isdigit() or value == "0":
            raise Unavailable(f"set {name} what? {', '.join(allowed) or 'A number of lines'}.")
        self._values[name] = value
        return True

    def show(self, text: str) -> str:
        """Those whose names begin so."""
        found = [(name, value) for name, value in self._values.items() if name.startswith(text)]
        if not found:
            raise Unavailable(f"No setting {text!r}; there are {', '.join(self._values)}.")
        return "".join(f"{name}: {value}\n" for name, value in found)
