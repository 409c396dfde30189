"""What many tests boot from: images, copied by each test that writes, and machines that wait for a gdb."""

from collections.abc import Iterator
from pathlib import Path

import gdbs
import orrery_cli
import pytest


@pytest.fixture(scope="session")
def test_image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The default image with the programs of orrery_cli.PROGRAMS."""
    return orrery_cli.image_with(tmp_path_factory.mktemp("programs"), orrery_cli.PROGRAMS)


@pytest.fixture
def drive(test_image: bytes, tmp_path: Path) -> Path:
    """A file of the test's own with that image."""
    path = tmp_path / "fs.img"
    path.write_bytes(test_image)
    return path


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source of gdbs.PROGRAM."""
    return gdbs.source(tmp_path_factory.mktemp("gdb"), "prog", gdbs.PROGRAM)


@pytest.fixture
def served(program: Path) -> Iterator[gdbs.Served]:
    """A machine with that program, which waits for a gdb before its first instruction."""
    with gdbs.Served("run", program) as it:
        yield it
