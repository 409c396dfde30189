"""What all tests share: --long, for tests that take more than a few seconds, and how hypothesis searches.

Without --long its examples are the same in each run, so that a change is what makes a test fail; with it they
are new ones.  Nothing depends on how long an example takes.
"""

import pytest
from hypothesis import settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked `long` too")


def pytest_configure(config: pytest.Config) -> None:
    settings.register_profile("orrery", derandomize=not config.getoption("--long"), deadline=None)
    settings.load_profile("orrery")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="long: runs with --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)
