"""An Orrery that was installed from a wheel, outside the source tree: it has all that it needs.

The wheel is built from a copy of the tree and installed in an environment of its own.  That environment has
the packages which Orrery depends on from the one that runs the tests, but not the tree.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from toolchain import paths

ROOT = Path(__file__).resolve().parents[2]
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
HELLO = """\
#include "user/user.h"
int main(int argc, char **argv)
{
    printf("hello, %s\\n", argv[1]);
    return 7;
}
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the pinned setuptools of this environment, as pip does it."""
    top = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, top / "tree", ignore=NOT_COPIED)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(top), str(top / "tree")], check=True, cwd=top)
    (built,) = top.glob("*.whl")
    shutil.rmtree(top / "tree")
    return built


@pytest.fixture(scope="module")
def orrery(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The command of an environment that has the wheel."""
    top = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(top)], check=True)
    python = top / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "-q", "--python", str(python), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, cwd=top)
    (packages,) = top.glob("lib/python*/site-packages")
    # A directory that a .pth file names is searched, but .pth files in it, as the tree's, are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    yield top / "bin" / "orrery"
    shutil.rmtree(top)


def _run(orrery: Path, *words: str, cwd: Path, typed: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the installed Orrery, which knows of no source tree."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["XDG_CACHE_HOME"] = str(_cache(orrery))
    command = [str(orrery), *words]
    return subprocess.run(command, cwd=cwd, env=env, input=typed, capture_output=True, text=True)


def _cache(orrery: Path) -> Path:
    """A cache of its own, but for the objects, which are kept by content: kernel and image are made."""
    cache = orrery.parents[1] / "cache"
    if not cache.exists():
        (cache / "orrery").mkdir(parents=True, mode=0o700)
        for kind in ("object", "elf"):
            (paths.cache_dir() / kind).mkdir(exist_ok=True)
            (cache / "orrery" / kind).symlink_to(paths.cache_dir() / kind)
    return cache


def test_the_installed_packages_are_those_of_the_wheel(orrery: Path, tmp_path: Path) -> None:
    program = "import emu, kernel, orrery; print(emu.__file__, kernel.__file__, orrery.__file__)"
    said = subprocess.run(
        [orrery.parent / "python", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert all(path.startswith(str(orrery.parents[1])) for path in said.stdout.split()), said.stdout


def test_it_compiles_and_runs_a_c_program(orrery: Path, tmp_path: Path) -> None:
    (tmp_path / "hello.c").write_text(HELLO)
    ran = _run(orrery, "run", "hello.c", "world", cwd=tmp_path)
    assert (ran.stdout, ran.returncode) == ("hello, world\n", 7), ran.stderr


def test_it_boots_to_the_same_machine_as_the_tree(orrery: Path, tmp_path: Path) -> None:
    words = ("boot", "--digest", "-c", "echo hello | wc; ls")
    ours = subprocess.run(
        [sys.executable, "-m", "orrery", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    installed = _run(orrery, *words, cwd=tmp_path)
    assert "README" in ours.stdout
    assert (installed.stdout, installed.returncode) == (ours.stdout, ours.returncode), installed.stderr


def test_its_lab_kit_makes_a_tree_that_can_be_set_up(orrery: Path, tmp_path: Path) -> None:
    made = _run(orrery, "lab", "new", "cow", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (folder,) = tmp_path.iterdir()
    starter = {path.name for path in (folder / "starter").iterdir()}
    assert {"Makefile", "pyproject.toml", "setup.py", "kernel", "user", "requirements.lock"} <= starter
    kernel = folder / "starter" / "kernel"
    assert (kernel / "asm" / "trampoline.S").exists()


def test_its_debugger_names_files_as_the_tree_does(orrery: Path, tmp_path: Path) -> None:
    (tmp_path / "hello.c").write_text(HELLO)
    commands = ("break sys_write", "run world", "bt", "quit")
    said = _run(orrery, "debug", "hello.c", cwd=tmp_path, typed="\n".join(commands) + "\n")
    assert "at kernel/xv6/sysfile.py:" in said.stdout, said.stdout + said.stderr


def test_the_wheel_describes_itself(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [archive.read(name).decode() for name in names if name.endswith("/METADATA")]
    for field in ("Summary: ", "License-Expression: MIT", "Requires-Python: >=3.11", "Classifier: "):
        assert f"\n{field}" in metadata
    assert "Description-Content-Type: text/markdown" in metadata
    assert {f"{package}/py.typed" for package in ("emu", "kernel", "orrery", "toolchain")} <= set(names)
    assert not [name for name in names if name.endswith((".pyc", ".o", ".elf", ".img"))]
