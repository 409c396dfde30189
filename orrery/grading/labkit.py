"""The lab kit: labs on the kernel, made out of the kernel that is here.

`orrery lab new cow` makes a folder for a teacher: a source tree for the students, from which the lab's part
was taken out, hidden tests, and the solution, which is the kernel's own files.  A lab is a folder of labs/:

    lab.toml       title, and what is removed: files, definitions, lines
    statement.md   what the students read
    starter/       replacements, in files named as those of the tree.  Each function, method or module
                   docstring there stands in place of the one of the same name in the tree.
    tests/         hidden tests for the pytest plugin, with their programs

The tree is cut anew each time, so students get the kernel as it is today.  What a lab names must be in the
tree: a kernel that changed under a lab is an error here, not a starter that is subtly wrong.
"""

import argparse
import ast
import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from orrery.errors import BadInput
from toolchain.names import shown
from toolchain.paths import tree_file

LABS: Final = tree_file("labs")
TREE: Final = ("emu", "kernel", "orrery", "toolchain", "user")
LOCKS: Final = ("requirements.lock", "requirements-dev.lock")
BESIDE: Final = ("LICENSE", "MANIFEST.in", "Makefile", "README.md", "pyproject.toml", "setup.py", *LOCKS)
LEFT_BEHIND: Final = shutil.ignore_patterns("__pycache__", "*.egg-info", ".*")
Definition: TypeAlias = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Lab:
    """One lab, as its folder says; see the module's text for what is in that."""

    name: str
    title: str
    folder: Path
    remove_files: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()  # FILE:QUALNAME
    remove_lines: tuple[tuple[str, str], ...] = ()  # file, text of the line

    def changed(self) -> list[str]:
        """The files of the tree that the students' tree lacks or has in another form."""
        replaced = [str(path.relative_to(self.folder / "starter")) for path in self.starters()]
        named = [spec.partition(":")[0] for spec in self.remove] + [file for file, _ in self.remove_lines]
        return sorted({*replaced, *named, *self.remove_files})

    def starters(self) -> list[Path]:
        """The files with replacements."""
        return sorted((self.folder / "starter").rglob("*.py"))


def labs() -> list[Lab]:
    """All labs, by name."""
    return [_load(path.parent) for path in sorted(LABS.glob("*/lab.toml"))]


def find(name: str) -> Lab:
    """The lab of this name. Raises BadInput."""
    known = labs()
    found = next((lab for lab in known if lab.name == name), None)
    if found is None:
        raise BadInput(f"lab {name!r}: no such lab; there are {', '.join(lab.name for lab in known)}")
    return found


def _load(folder: Path) -> Lab:
    said = tomllib.loads((folder / "lab.toml").read_text())
    lines = tuple((line["file"], line["text"]) for line in said.get("remove_lines", ()))
    files, definitions = tuple(said.get("remove_files", ())), tuple(said.get("remove", ()))
    return Lab(folder.name, said["title"], folder, files, definitions, lines)


def main(options: argparse.Namespace) -> int:
    """Carry out `orrery lab`."""
    if options.what == "list":
        for lab in labs():
            print(f"{lab.name:10}{lab.title}")
        return 0
    lab = find(options.name)
    folder = Path(options.folder or lab.name)
    make(lab, folder)
    made = f"made {shown(folder)}: starter/ is for the students, tests/ and solution/ are yours"
    print(f"{made}; see README.md there")
    return 0


# --- making the folder ---


def make(lab: Lab, folder: Path) -> None:
    """Make the teacher's folder of `lab` at `folder`, all of it or nothing. Raises BadInput."""
    if folder.exists() or folder.is_symlink():
        raise BadInput(f"{shown(folder)}: it is there already; name a folder that is not")
    if not folder.parent.is_dir():
        raise BadInput(f"{shown(folder)}: there is no folder {shown(folder.parent)}; make it first")
    begun = folder.with_name(f".new-{os.getpid()}-{folder.name}")
    try:
        _fill(lab, begun)
        begun.rename(folder)
    finally:
        shutil.rmtree(begun, ignore_errors=True)


def _fill(lab: Lab, folder: Path) -> None:
    starter = folder / "starter"
    make_starter(lab, starter)
    shutil.copy(lab.folder / "statement.md", starter / "LAB.md")
    shutil.copytree(lab.folder / "tests", folder / "tests", ignore=LEFT_BEHIND)
    for name in lab.changed():
        _copy(tree_file(name), folder / "solution" / name)
    (folder / "README.md").write_text(_instructions(lab))


def make_starter(lab: Lab, top: Path) -> None:
    """Make the students' tree of `lab` at `top`: this tree without the lab's part."""
    for part in TREE:
        shutil.copytree(tree_file(part), top / part, ignore=LEFT_BEHIND)
    for name in BESIDE:
        _copy(tree_file(name), top / name)
    for name in lab.changed():
        path = top / name
        if name in lab.remove_files:
            path.unlink()
        else:
            path.write_text(cut(lab, name, path.read_text()))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def _instructions(lab: Lab) -> str:
    files = "\n".join(f"- `{name}`" for name in lab.changed())
    return f"""# {lab.title}: for the teacher

- `starter/` is for the students: a whole source tree of Orrery without the part that the lab is about, and
  `LAB.md`, the statement. In it `python -m orrery boot` boots their kernel, with the Python of an environment
  that has Orrery's packages; `make boot` makes one.
- `tests/` are the hidden tests. Keep them.
- `solution/` has the files that differ, as they are in Orrery. Keep them too: laid over a copy of `starter/`
  they pass all tests.

Students hand in the files that they changed, or their tree. Grade a class with

    orrery grade --tree starter --test tests/test_lab.py SUBMISSIONS/*

which lays the files of each submission over a copy of `starter/`, and runs the students' kernels in processes
of their own; `docs/grading.md` of Orrery says what is kept from them, and how to get reports.

The files that the lab is about:

{files}
"""


# --- cutting ---


def cut(lab: Lab, file: str, source: str) -> str:
    """The text of a file of the tree as the students of `lab` get it. Raises BadInput."""
    for where, text in lab.remove_lines:
        if where == file:
            source = without_line(source, text)
    for where, _, name in (spec.partition(":") for spec in lab.remove):
        if where == file:
            source = without(source, name)
    starter = lab.folder / "starter" / file
    return spliced(source, starter.read_text()) if starter.exists() else source


def spliced(source: str, replacement: str) -> str:
    """`source` with the definitions, and the docstring, of `replacement` in place of its own.

    A definition is a function, at the top or in a class; in a class only the methods that are given change.
    Raises BadInput where `source` lacks one.
    """
    new = ast.parse(replacement)
    new_lines = replacement.splitlines()
    for name, node in _functions(new):
        source = _put(source, _find(source, name), _text(new_lines, node))
    docstring = new.body[0] if ast.get_docstring(new) is not None else None
    if docstring is not None:
        source = _put(source, ast.parse(source).body[0], _text(new_lines, docstring))
    return source


def without(source: str, name: str) -> str:
    """`source` without the definition of `name`, such as `Class.method`. Raises BadInput if it has none."""
    node = _find(source, name)
    lines = source.splitlines()
    first, last = _span(node)
    while first and not lines[first - 1].strip():
        first -= 1
    return "\n".join(lines[:first] + lines[last:]) + "\n"


def without_line(source: str, text: str) -> str:
    """`source` without the one line that reads `text`, but for its indentation. Raises BadInput."""
    lines = source.splitlines()
    places = [i for i, line in enumerate(lines) if line.strip() == text]
    if len(places) != 1:
        raise BadInput(f"the line {text!r} stands {len(places)} times where a lab removes it; mend the lab")
    del lines[places[0]]
    return "\n".join(lines) + "\n"


def _functions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """The functions and methods of a module, with their qualified names."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{m.name}", m) for m in node.body if isinstance(m, ast.FunctionDef))


def _find(source: str, name: str) -> Definition:
    tree = ast.parse(source)
    classes = ((node.name, node) for node in tree.body if isinstance(node, ast.ClassDef))
    found: dict[str, Definition] = {**dict(_functions(tree)), **dict(classes)}
    if name not in found:
        raise BadInput(f"{name} is not in the file that a lab takes it from; mend the lab")
    return found[name]


def _span(node: ast.stmt) -> tuple[int, int]:
    """The lines of a statement with its decorators, [first, last), counted from 0."""
    decorators = getattr(node, "decorator_list", [])
    assert node.end_lineno is not None, "what was parsed from text has lines"
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1, node.end_lineno


def _text(lines: list[str], node: ast.stmt) -> list[str]:
    first, last = _span(node)
    return lines[first:last]


def _put(source: str, node: ast.stmt, text: list[str]) -> str:
    lines = source.splitlines()
    first, last = _span(node)
    return "\n".join(lines[:first] + text + lines[last:]) + "\n"
