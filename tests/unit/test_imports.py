"""The house rules that a parser can check: who imports whom, what must not be imported, how long.

DESIGN.md draws the house: emu/ knows nothing of ours, kernel/ stands on emu/, toolchain/ on the
declarations alone, and the workbench on all.  emu/ and kernel/ read no clock, no chance, no thread.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("emu", "kernel", "orrery", "toolchain")

# What each part may import of ours; the longest prefix of a module's name says which part it is in.
ALLOWED = {
    "emu": ("emu",),
    "kernel.abi": ("kernel.abi",),
    "kernel": ("emu", "kernel"),
    "toolchain": ("toolchain", "kernel.abi"),
    "orrery": PACKAGES,
}
# Sources of time, chance and concurrency: a run must not depend on them.
FORBIDDEN = {
    "emu": ("time", "datetime", "random", "secrets", "threading", "concurrent", "asyncio", "weakref", "uuid"),
}
FORBIDDEN["kernel"] = FORBIDDEN["emu"]
CORE_LINES_MAX = 4000
FILE_LINES_MAX = 350


def _modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of every module of ours."""
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def _imports(module: str, path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function, with relative names resolved."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(filter(None, (base, node.module)))
            # `from kernel import abi` imports kernel.abi, or a name in kernel: the file system knows.
            for alias in node.names:
                below = f"{source}.{alias.name}"
                yield below if _is_module(below, path) else source
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "__import__",
            "importlib.import_module",
        ):
            yield ast.literal_eval(node.args[0])


def _is_module(name: str, importer: Path) -> bool:
    root = next(parent.parent for parent in importer.parents if parent.name == _top(importer))
    path = root.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def _top(path: Path) -> str:
    """The package of ours that holds `path`."""
    return next(part for part in reversed(path.parts) if part in PACKAGES)


def _within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def violations(root: Path) -> list[str]:
    """Every import that points up, or at something that a deterministic run may not use."""
    found = []
    for module, path in _modules(root):
        part = max((part for part in ALLOWED if _within(module, (part,))), key=len)
        for name in _imports(module, path):
            ours = _within(name, PACKAGES)
            if ours and not _within(name, ALLOWED[part]):
                found.append(f"{module} imports {name}: {part} may import {', '.join(ALLOWED[part])} of ours")
            if _within(name, FORBIDDEN.get(module.partition(".")[0], ())):
                found.append(f"{module} imports {name}: a run may not depend on it")
    return found


def test_no_import_points_up() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("file", "statement"),
    [
        ("emu/a.py", "import kernel.abi"),
        ("emu/a.py", "def f():\n    from kernel.abi import disk"),
        ("emu/a.py", "import time"),
        ("kernel/a.py", "from toolchain import cc"),
        ("kernel/a.py", "from orrery.machine.machine import Machine"),
        ("kernel/a.py", "from random import random"),
        ("kernel/abi/a.py", "from kernel import a"),
        ("kernel/abi/a.py", "from .. import a"),
        ("kernel/abi/a.py", "from emu import a"),
        ("toolchain/a.py", "import emu"),
        ("toolchain/a.py", "from kernel import a"),
        ("toolchain/a.py", "__import__('kernel.a')"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, statement: str) -> None:
    for name in ("emu", "kernel/abi", "toolchain", "orrery"):
        (tmp_path / name).mkdir(parents=True)
    allowed = {
        "kernel/a.py": "from emu import a\nfrom kernel.abi import a as b\nfrom . import abi",
        "toolchain/a.py": "from kernel.abi import a\nfrom kernel import abi",
        "emu/a.py": "from emu import b\nimport struct",
        "kernel/abi/a.py": "import struct",
        "orrery/a.py": "import time, emu, kernel.a, toolchain.a",
    }
    for name, text in allowed.items():
        (tmp_path / name).write_text(text)
    assert violations(tmp_path) == []
    (tmp_path / file).write_text(statement)
    assert len(violations(tmp_path)) == 1


def _folder(module: str) -> str:
    """The folder of orrery/ that a module is in, or the module itself where it is in none."""
    return ".".join(module.split(".")[:2])


def folder_imports(root: Path) -> dict[str, set[str]]:
    """Which folders of orrery/, and modules in none, each of them imports."""
    imports: dict[str, set[str]] = {}
    for module, path in _modules(root):
        if _within(module, ("orrery",)):
            found = {_folder(name) for name in _imports(module, path) if _within(name, ("orrery",))}
            imports.setdefault(_folder(module), set()).update(found)
    return {folder: found - {folder} for folder, found in imports.items()}


def folder_circle(root: Path) -> list[str]:
    """Folders of orrery/, sorted, that import each other in a circle, and those that import such ones."""
    imports = folder_imports(root)
    while leaves := [folder for folder, found in imports.items() if not found & imports.keys()]:
        for folder in leaves:
            del imports[folder]
    return sorted(imports)


def test_no_circle_of_folders_in_the_workbench() -> None:
    """Imports for types and those inside functions count, too: a reader follows them as well."""
    assert folder_circle(ROOT) == []


def test_a_planted_circle_of_folders_is_found(tmp_path: Path) -> None:
    for name in PACKAGES:
        (tmp_path / name).mkdir()
    for file, text in (
        ("pool/a.py", "from orrery.machine import b"),
        ("machine/b.py", "import orrery.errors"),
        ("errors.py", "import os"),
    ):
        path = tmp_path / "orrery" / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert folder_circle(tmp_path) == []
    (tmp_path / "orrery/machine/b.py").write_text("def f():\n    from orrery.pool.a import c")
    assert folder_circle(tmp_path) == ["orrery.machine", "orrery.pool"]


def test_the_workbench_is_read_in_the_order_of_its_imports() -> None:
    """No folder imports one that comes later in orrery/README.md."""
    headings = re.findall(r"^## (.*)$", (ROOT / "orrery/README.md").read_text(), re.MULTILINE)
    order = [f"orrery.{name}" for heading in headings for name in re.findall(r"`(\w+)/`", heading)]
    imports = folder_imports(ROOT)
    assert set(order) == {folder for folder in imports if (ROOT / folder.replace(".", "/")).is_dir()} - {
        "orrery"
    }
    for at, folder in enumerate(order):
        assert not imports[folder] & set(order[at + 1 :]), folder


def test_the_hardware_is_read_in_the_order_of_its_imports() -> None:
    """No file imports one that comes later in emu/README.md; its tables have every file (tests/docs)."""
    rows = re.findall(r"^\| `([\w/]+)\.py` ", (ROOT / "emu/README.md").read_text(), re.MULTILINE)
    order = ["emu." + row.replace("/", ".") for row in rows]
    imports = {module: set(_imports(module, path)) for module, path in _modules(ROOT)}
    assert len(order) > 20
    for at, module in enumerate(order):
        assert not imports[module] & set(order[at + 1 :]), module


def test_no_two_classes_of_the_workbench_have_one_name() -> None:
    """But for private ones, which nobody meets outside their file."""
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "orrery").rglob("*.py")):
        for name in re.findall(r"^class ([A-Za-z]\w*)", path.read_text(), re.MULTILINE):
            places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("package", ["emu", "orrery"])
def test_no_file_of_the_workbench_or_the_hardware_is_long(package: str) -> None:
    lines = {path: len(path.read_text().splitlines()) for path in (ROOT / package).rglob("*.py")}
    long = {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > FILE_LINES_MAX}
    assert not long, f"longer than {FILE_LINES_MAX} lines; split by noun: {long}"


def circles(root: Path) -> list[list[str]]:
    """Groups of more than two files of kernel/ that import each other, for types too; the largest first."""
    paths = {name: path for name, path in _modules(root) if _within(name, ("kernel",))}
    imports = {name: sorted(set(_imports(name, path)) & set(paths)) for name, path in paths.items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        ahead = [start]
        while ahead:
            for name in imports[ahead.pop()]:
                if name not in seen:
                    seen.add(name)
                    ahead.append(name)
        return seen

    reach = {name: reached(name) for name in paths}
    groups = {frozenset(one for one in reach[name] if name in reach[one]) for name in paths}
    return sorted((sorted(group) for group in groups if len(group) > 2), key=len, reverse=True)


def test_no_circle_of_more_than_two_files_in_the_kernel() -> None:
    assert circles(ROOT) == []


def test_a_planted_circle_in_the_kernel_is_found(tmp_path: Path) -> None:
    for package in PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "kernel/a.py").write_text("from kernel import b")
    (tmp_path / "kernel/b.py").write_text("from kernel import a, c")
    (tmp_path / "kernel/c.py").write_text("")
    assert circles(tmp_path) == []
    hidden = "if TYPE_CHECKING:\n    from kernel import a"
    (tmp_path / "kernel/c.py").write_text(f"from typing import TYPE_CHECKING\n{hidden}")
    assert circles(tmp_path) == [["kernel.a", "kernel.b", "kernel.c"]]


def _core() -> list[Path]:
    """The files that kernel/README.md names under "The core"."""
    section = (ROOT / "kernel/README.md").read_text().split("## The core\n")[1].split("\n## ")[0]
    return [ROOT / "kernel" / name for name in re.findall(r"`([a-z0-9_/]+\.py)`", section)]


def test_the_core_can_be_read_in_an_evening() -> None:
    """What is apart is apart: page cache, lazy memory, drivers, labs; abi/ only declares."""
    lines = {path.name: len(path.read_text().splitlines()) for path in _core()}
    assert {"proc.py", "trap.py", "pagetable.py", "filesystem.py"} <= set(lines), "no list in the README"
    total = sum(lines.values())
    assert total < CORE_LINES_MAX, f"the core has {total} lines; it is to stay below {CORE_LINES_MAX}"


def entry_writers(root: Path) -> list[str]:
    """The files of kernel/ and orrery/ that assign to words of RAM, as entries of page tables are written."""
    found = set()
    for package in ("kernel", "orrery"):
        for path in sorted((root / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(), str(path))):
                targets = node.targets if isinstance(node, ast.Assign) else []
                targets += [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else []
                for target in targets:
                    words = ast.unparse(target.value) if isinstance(target, ast.Subscript) else ""
                    if words.rpartition(".")[2].lstrip("_") == "u64":
                        found.add(str(path.relative_to(root)))
    return sorted(found)


def test_one_file_writes_entries_of_page_tables() -> None:
    assert entry_writers(ROOT) == ["kernel/mm/pagetable.py"]


@pytest.mark.parametrize("statement", ["ram.u64[0] = 1", "self._u64[1:2] = row", "u64[i] &= ~1"])
def test_a_second_writer_of_entries_is_found(tmp_path: Path, statement: str) -> None:
    for package in PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "kernel/a.py").write_text("pte = ram.u64[0]\nfor i in u64: pass\n")
    assert entry_writers(tmp_path) == []
    (tmp_path / "orrery/a.py").write_text(statement)
    assert entry_writers(tmp_path) == ["orrery/a.py"]
