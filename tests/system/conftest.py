"""Images that several tests boot from; made once, copied by each test that writes."""

from pathlib import Path

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
