"""Which names in the book are ours: what the sources define, and which words of a text claim to be that.

A text names our things in backticks.  `claims` finds those that look like a file, a function, a class,
a constant, or a symbol of the assembly; `Sources` knows what there is.  Words that belong to the machine
or to other projects (registers, instructions, commands) are listed in FOREIGN.
"""

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from emu.cpu import engine as e

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("emu", "kernel", "orrery", "toolchain", "user", "tests", "bench", "docs")
SUFFIXES = (".py", ".S", ".c", ".h", ".ld", ".md", ".toml", ".lock")
DIRECTORY = re.compile(r"[\w.-]+(/[\w.-]+)*/")
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?")
BACKTICKS = re.compile(r"`([^`\n]+)`")
NAME_IN_FILE = re.compile(r"`([\w.]+(?:\(\))?)`\s+(?:in|of)\s+`([\w/.-]+\.\w+)`")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def _words(*lines: str) -> set[str]:
    return set(" ".join(lines).split())


FOREIGN = set(e.NAMES) | _words(
    "sstatus sie sip medeleg mideleg stimecmp menvcfg mip",  # registers that emu.cpu.engine does not name
    "V R W X U G A D C S RSW SIE SPIE SPP SUM ASID",  # fields
    "ecall sret mret wfi jr ret csrw csrr csrsi csrci ld sd lr.d sc.d sfence.vma fence.i",  # instructions
    "sh cat wc ls echo mkdir grep init make orrery _forktest",  # programs
    "exec fork sbrk read pipe exit wait open write",  # system calls: their functions are sys_exec and so on
    "bind unbind send recv connect rwlktest cpupin",  # those of labs that no handler stands behind
    "epc kernel_satp kernel_sp kernel_trap kernel_hartid",  # fields of the trapframe, as xv6 calls them
    "EINVAL EBADF ENODEV EACCES ENOMEM EOVERFLOW",  # of errno
    "NEXT WRITE",  # flags of virtio
    "switch memoryview finally while struct nlink addrs",  # Python's, greenlet's and C's
    "x d p->lock",
    "miDebuggerPath remotetimeout subProcess",  # of launch.json and gdb
    "pytest str max_time",  # of the guide to grading: pytest's, Python's and a setting of its marker
)


class Sources:
    """The files of the tree, and every name that they define."""

    @cached_property
    def files(self) -> set[str]:
        """Paths, relative to the root, of our text files."""
        found = [path for place in PLACES for path in (ROOT / place).rglob("*") if path.suffix in SUFFIXES]
        found += [path for path in ROOT.iterdir() if path.is_file()]
        return {path.relative_to(ROOT).as_posix() for path in found}

    @cached_property
    def names_of(self) -> dict[str, set[str]]:
        """What each file defines; a member of a class also as Class.member."""
        return {file: set(_names(ROOT / file)) for file in self.files}

    @cached_property
    def names(self) -> set[str]:
        """What all files define, and the names of modules."""
        modules = {Path(file).stem for file in self.files if file.endswith(".py")}
        return set().union(*self.names_of.values()) | modules

    def has_file(self, path: str) -> bool:
        """Whether there is such a file, or directory where `path` ends in a slash."""
        if path.endswith("/"):
            return (ROOT / path).is_dir()
        return path in self.files or any(file.endswith(f"/{path}") for file in self.files)

    def defines(self, name: str, file: str = "") -> bool:
        """Whether some file, or this one, defines the name."""
        name = name.removesuffix("()")
        if file:
            return any(name in names for path, names in self.names_of.items() if path.endswith(file))
        first, *members = name.split(".")
        if not members or first[0].isupper():
            return name in self.names
        return all(part in self.names for part in members)  # `first` is what a text calls some object


def _names(path: Path) -> Iterator[str]:
    if path.suffix == ".py":
        yield from _python_names(ast.parse(path.read_text()))
    if path.suffix in (".S", ".h", ".ld"):
        yield from re.findall(r"^(?:\.macro\s+|#define\s+|\s*gate\s+)?(\w+)", path.read_text(), re.MULTILINE)
    if path.suffix in (".c", ".h"):
        yield from re.findall(r"\b([A-Za-z_]\w*)\s*[({=;,]", path.read_text())


def _python_names(tree: ast.AST, prefix: str = "") -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
            yield prefix + node.name
            yield from _python_names(node, f"{node.name}." if isinstance(node, ast.ClassDef) else prefix)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from _targets(target, prefix)
        elif isinstance(node, ast.arg):
            yield node.arg
        else:
            yield from _python_names(node, prefix)


def _targets(target: ast.expr, prefix: str) -> Iterator[str]:
    if isinstance(target, ast.Tuple):
        for element in target.elts:
            yield from _targets(element, prefix)
    elif isinstance(target, ast.Name):
        yield target.id
        yield prefix + target.id
    elif isinstance(target, ast.Attribute):
        yield target.attr
        yield prefix + target.attr


def claims(text: str) -> Iterator[tuple[str, str]]:
    """("file" or "name", word) for every word in backticks, not in code blocks, that looks like ours."""
    for word in BACKTICKS.findall(FENCED.sub("", text)):
        if word in FOREIGN:
            continue
        if (word.endswith(SUFFIXES) and " " not in word) or DIRECTORY.fullmatch(word):
            yield "file", word
        elif NAME.fullmatch(word):
            yield "name", word


def wrong_claims(text: str, sources: Sources) -> list[str]:
    """The words of a text that name something of ours that does not exist."""
    wrong = []
    for kind, word in claims(text):
        if not (sources.has_file(word) if kind == "file" else sources.defines(word)):
            wrong.append(f"`{word}`")
    for name, file in NAME_IN_FILE.findall(text):
        if sources.has_file(file) and not sources.defines(name, file):
            wrong.append(f"`{name}` in `{file}`")
    return wrong
