"""What a wheel holds besides our packages: the rest of the tree that an installed Orrery needs.

pyproject.toml says everything else.  In a source tree, and so in an editable install, toolchain/paths.py
finds these files at the top of the tree; a wheel has them in toolchain/share.
"""

import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

TREE = Path(__file__).resolve().parent
sys.path.insert(0, str(TREE))  # a builder does not look for modules here

from orrery.pytest_words import PTH_LINE, PTH_NAME  # noqa: E402

# The C sources, the labs, and what the students' tree of a lab has at its top.
SHARED = (
    "user",
    "labs",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "README.md",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
    "setup.py",
)


class BuildWithShare(build_py):
    """Builds our packages, and toolchain/share beside them."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        share = Path(self.build_lib, "toolchain", "share")
        shutil.rmtree(share, ignore_errors=True)
        for name in SHARED:
            self._copy(TREE / name, share / name)
        Path(self.build_lib, PTH_NAME).write_text(PTH_LINE)

    def _copy(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, target)


setup(cmdclass={"build_py": BuildWithShare})
