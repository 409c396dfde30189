"""What all tests share: --long and --quick, which choose among them, and how hypothesis searches.

--long runs those, too, that take more than a few seconds.  --quick is for the time between two edits: the
unit tests but for those marked `slow`, and of the whole system what is marked `quick`, in less than a minute.

Without --long its examples are the same in each run, so that a change is what makes a test fail; with it they
are new ones.  Nothing depends on how long an example takes.
"""

import os

import pytest
from hypothesis import settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked `long` too")
    parser.addoption("--quick", action="store_true", help="run most unit tests, and a few boots")


def pytest_configure(config: pytest.Config) -> None:
    os.environ["ORRERY_STRICT"] = "1"  # a fault of the debugger's own ends it, and with it the test
    settings.register_profile("orrery", derandomize=not config.getoption("--long"), deadline=None)
    settings.load_profile("orrery")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        taken = [item for item in items if _is_quick(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in taken])
        items[:] = taken
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="long: runs with --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


def _is_quick(item: pytest.Item) -> bool:
    if item.get_closest_marker("quick"):
        return True
    return item.path.parent.name == "unit" and not any(map(item.get_closest_marker, ("slow", "long")))
