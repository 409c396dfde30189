"""The marker `pytest.mark.orrery`: what a test says of its machine and of what it is worth, checked.

Called by pytest_plugin.py.  A setting of the wrong name, type or value is one line that names it, before a
machine is made.  Settings add up from module to class to test, the closest counts.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pytest

POINTS: Final = 1  # of a test that does not say
SETTINGS: Final = (
    "drive", "engine", "files", "lab", "layout", "max_time", "mem_mib", "points", "programs", "seed",
    "ustack", "usyscall",
)  # fmt: skip


def settings(item: "pytest.Item") -> Mapping[str, Any]:
    """The settings of all `orrery` markers of a test. Raises BadInput."""
    from orrery.errors import BadInput

    merged: dict[str, Any] = {}
    for marker in item.iter_markers("orrery"):
        wrong = [*map(repr, marker.args), *(name for name in marker.kwargs if name not in SETTINGS)]
        if wrong:
            raise BadInput(f"pytest.mark.orrery: {', '.join(wrong)}: it takes {', '.join(SETTINGS)}, by name")
        merged = {**marker.kwargs, **merged}
    if isinstance(merged.get("programs"), str):
        merged["programs"] = [merged["programs"]]
    try:
        _check(merged)
    except BadInput as error:
        raise type(error)(f"pytest.mark.orrery: {error}") from error
    return merged


def _check(given: Mapping[str, Any]) -> None:
    """Raise BadInput for a value that no machine could be made of."""
    from orrery.machine import checks

    def drive(name: str, value: object) -> object:
        return value if isinstance(value, bytes) else checks.path(name, value)

    check = {
        "drive": drive,
        "engine": checks.text,
        "files": checks.contents,
        "lab": checks.whole,
        "layout": checks.text,
        "max_time": checks.seconds,
        "mem_mib": checks.whole,
        "points": checks.points,
        "programs": checks.paths,
        "seed": checks.whole,
        "ustack": checks.whole,
        "usyscall": checks.flag,
    }
    assert tuple(check) == SETTINGS, "each setting has its check"
    for name, value in given.items():
        if value is None and name not in ("points", "mem_mib", "seed", "engine", "usyscall"):
            continue  # as if it had not been given
        check[name](name, value)
