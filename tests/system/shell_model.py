"""What a shell session in one directory should do: a model of the files, and a seeded generator of lines.

`Session.lines(n)` gives n command lines, each with a check of what it prints; the model changes as they are
handed out.  Paths are relative or absolute, files may have several names, directories may be nested two deep.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

ROOT = "/w"
WORDS = ["apple", "berry", "cedar", "dune", "ember", "fjord", "glade", "heath", "islet", "jetty"]
NAMES = ["a", "b", "notes", "list.txt", "x1", "fourteen_chars"]
DIRECTORIES = ["d1", "d2"]
LINE_MAX = 511  # of our shell, with the newline


@dataclass(eq=False)
class File:
    """A file; several names may have it."""

    data: bytes = b""


Tree: TypeAlias = "dict[str, File | Tree]"
Check: TypeAlias = Callable[[str], bool]


@dataclass
class Line:
    """A line to type, and what it prints: exactly `printed`, or whatever `check` accepts.

    In the text `PID` stands for the number that is in the file `pid_file`.
    """

    text: str
    printed: str = ""
    check: Check | None = None
    pid_file: str = ""

    def holds(self, printed: str) -> bool:
        return self.check(printed) if self.check else printed == self.printed


@dataclass
class Session:
    """The state of a shell that began in ROOT, which is empty."""

    rng: Random
    top: Tree = field(default_factory=dict)
    inside: str = ""  # the current directory: "" for ROOT, or the name of a directory in it
    waiting: list[str] = field(default_factory=list)  # files with the number of a process that waits

    # --- paths ---

    def tree(self, directory: str) -> Tree:
        found = self.top if not directory else self.top[directory]
        assert isinstance(found, dict)
        return found

    def directories(self) -> list[str]:
        return ["", *(name for name, what in self.top.items() if isinstance(what, dict))]

    def spell(self, directory: str, name: str) -> str:
        """One of the ways to write the path of `name` in `directory`."""
        absolute = "/".join(part for part in (ROOT, directory, name) if part)
        if self.inside == directory:
            return self.rng.choice([name, f"./{name}", absolute])
        if not self.inside:
            return self.rng.choice([f"{directory}/{name}", absolute])
        return self.rng.choice(["/".join(part for part in ("..", directory, name) if part), absolute])

    def somewhere(self) -> tuple[str, str]:
        """Any directory, any name for a file."""
        return self.rng.choice(self.directories()), self.rng.choice(NAMES)

    def a_file(self) -> tuple[str, str, File] | None:
        """One that is there."""
        found = [
            (directory, name, what)
            for directory in self.directories()
            for name, what in self.tree(directory).items()
            if isinstance(what, File)
        ]
        return self.rng.choice(found) if found else None

    def words(self, most: int = 6) -> str:
        return " ".join(self.rng.choices(WORDS, k=self.rng.randint(1, most)))

    # --- commands ---

    def lines(self, count: int) -> Iterator[Line]:
        kinds = [
            (self.echo, 3),
            (self.write, 8),
            (self.append, 4),
            (self.cat, 6),
            (self.cat_missing, 1),
            (self.grep, 3),
            (self.wc, 3),
            (self.pipeline, 5),
            (self.copy, 4),
            (self.ls, 3),
            (self.mkdir, 3),
            (self.rm, 5),
            (self.rm_directory, 2),
            (self.ln, 4),
            (self.cd, 4),
            (self.several, 3),
            (self.background, 3),
            (self.nonsense, 3),
            (self.long_line, 1),
            (self.big_file, 1),
            (self.wait_for_ever, 1),
            (self.kill, 2),
        ]
        makers = [maker for maker, weight in kinds for _ in range(weight)]
        done = 0
        while done < count:
            line = self.rng.choice(makers)()
            if line is not None:
                yield line
                done += 1

    def echo(self) -> Line:
        words = self.words()
        quoted = self.rng.choice([words, f"'{words}'", f'"{words}"', "   ".join(words.split())])
        return Line(f"echo {quoted}", f"{words}\n")

    def write(self) -> Line:
        directory, name = self.somewhere()
        words = self.words(12)
        self.store(directory, name, f"{words}\n".encode())
        return Line(f"echo {words} > {self.spell(directory, name)}")

    def append(self) -> Line:
        directory, name = self.somewhere()
        words = self.words(12)
        old = self.tree(directory).get(name)
        assert not isinstance(old, dict)
        self.store(directory, name, (old.data if old else b"") + f"{words}\n".encode())
        return Line(f"echo {words} >> {self.spell(directory, name)}")

    def store(self, directory: str, name: str, data: bytes) -> None:
        file = self.tree(directory).setdefault(name, File())
        assert isinstance(file, File)
        file.data = data

    def cat(self) -> Line | None:
        if (found := self.a_file()) is None:
            return None
        directory, name, file = found
        path = self.spell(directory, name)
        return Line(self.rng.choice([f"cat {path}", f"cat < {path}", f"cat <{path}"]), file.data.decode())

    def cat_missing(self) -> Line:
        path = self.spell(self.inside, "missing")
        if self.rng.random() < 0.5:
            return Line(f"cat {path}", f"cat: cannot open {path}\n")
        return Line(f"cat < {path}", f"open {path} failed\n")

    def grep(self) -> Line | None:
        if (found := self.a_file()) is None:
            return None
        directory, name, file = found
        word = self.rng.choice([*WORDS, "e", "zzz"])
        return Line(f"grep {word} {self.spell(directory, name)}", matching(file.data.decode(), word))

    def wc(self) -> Line | None:
        if (found := self.a_file()) is None:
            return None
        directory, name, file = found
        path = self.spell(directory, name)
        return Line(f"wc {path}", f"{counts(file.data.decode())} {path}\n")

    def pipeline(self) -> Line | None:
        if (found := self.a_file()) is None:
            return None
        directory, name, file = found
        text = file.data.decode()
        line = f"cat {self.spell(directory, name)}"
        for _ in range(self.rng.randint(0, 3)):
            word = self.rng.choice(WORDS)
            if self.rng.random() < 0.5:
                line += " | cat"
            else:
                line += f" | grep {word}"
                text = matching(text, word)
        return Line(f"{line} | wc", f"{counts(text)} \n")

    def copy(self) -> Line | None:
        """Through redirections; never onto itself, which would empty it first."""
        if (found := self.a_file()) is None:
            return None
        directory, name, file = found
        to_directory, to_name = self.somewhere()
        if self.tree(to_directory).get(to_name) is file:
            return None
        source, target = self.spell(directory, name), self.spell(to_directory, to_name)
        self.store(to_directory, to_name, file.data)
        return Line(
            self.rng.choice(
                [
                    f"cat < {source} > {target}",
                    f"cat {source} | cat > {target}",
                    f"(cat {source}) > {target}",
                    f"cat {source} >{target}",
                ]
            )
        )

    def ls(self) -> Line:
        directory = self.rng.choice(self.directories())
        expected = {
            (
                name,
                "1" if isinstance(what, dict) else "2",
                "" if isinstance(what, dict) else str(len(what.data)),
            )
            for name, what in self.tree(directory).items()
        }

        waiting = tuple(self.waiting)

        def check(printed: str) -> bool:
            rows = [row.split() for row in printed.splitlines()]
            found = {(row[0], row[1], "" if row[1] == "1" else row[3]) for row in rows}
            found = {row for row in found if row[0] not in (".", "..", *waiting)}
            return found == expected and len({row[0] for row in rows}) == len(rows)

        path = "/".join(part for part in (ROOT, directory) if part)
        return Line(
            "ls" if directory == self.inside and self.rng.random() < 0.5 else f"ls {path}", check=check
        )

    def mkdir(self) -> Line:
        name = self.rng.choice(DIRECTORIES)
        path = self.spell("", name)
        if name in self.top:
            return Line(f"mkdir {path}", f"mkdir: {path} failed to create\n")
        self.top[name] = {}
        return Line(f"mkdir {path}")

    def rm(self) -> Line | None:
        if self.rng.random() < 0.2:
            path = self.spell(self.inside, "missing")
            return Line(f"rm {path}", f"rm: {path} failed to delete\n")
        if (found := self.a_file()) is None:
            return None
        directory, name, _ = found
        path = self.spell(directory, name)
        del self.tree(directory)[name]
        return Line(f"rm {path}")

    def rm_directory(self) -> Line | None:
        name = self.rng.choice(DIRECTORIES)
        what = self.top.get(name)
        if what is None or name == self.inside:
            return None
        path = self.spell("", name)
        if what:
            return Line(f"rm {path}", f"rm: {path} failed to delete\n")
        del self.top[name]
        return Line(f"rm {path}")

    def ln(self) -> Line | None:
        if (found := self.a_file()) is None:
            return None
        directory, name, file = found
        to_directory, to_name = self.somewhere()
        old, new = self.spell(directory, name), self.spell(to_directory, to_name)
        if to_name in self.tree(to_directory):
            return Line(f"ln {old} {new}", f"link {old} {new}: failed\n")
        self.tree(to_directory)[to_name] = file
        return Line(f"ln {old} {new}")

    def cd(self) -> Line:
        if self.rng.random() < 0.2:
            return Line("cd missing", "cannot cd missing\n")
        self.inside, before = self.rng.choice(self.directories()), self.inside
        if before and not self.inside:
            return Line(self.rng.choice(["cd ..", f"cd {ROOT}"]))
        return Line(f"cd {ROOT}/{self.inside}")

    def several(self) -> Line:
        first, second = self.echo(), self.echo()
        form = self.rng.choice(["{} ; {}", "({} ; {})", "( {};{} )", "({}) ; ({})"])
        return Line(form.format(first.text, second.text), first.printed + second.printed)

    def background(self) -> Line:
        """Nothing of it is printed; the next line may be typed when it is done."""
        line = self.write()
        return Line(self.rng.choice([f"{line.text} &", f"({line.text}) &"]))

    def nonsense(self) -> Line:
        path = self.spell(self.inside, "nosuch")
        missing = self.rng.choice(["nosuch", path])
        return self.rng.choice(
            [
                Line(f"{missing} a b", f"exec {missing} failed\n"),
                Line("echo 'open", "sh: a quote is not closed\n"),
                Line("echo a >", "sh: missing file for redirection\n"),
                Line("(echo a", "sh: syntax - missing )\n"),
                Line("| cat", "sh: syntax\n"),
                Line("kill 99999", "kill: no process 99999\n"),
                Line(f"echo a > {ROOT}", f"open {ROOT} failed\n"),
                Line(f"{missing} | wc", check=lambda printed: sorted(printed.splitlines())
                     == sorted([f"exec {missing} failed", "0 0 0 "])),
                Line(""),
                Line("   "),
            ]
        )  # fmt: skip

    def long_line(self) -> Line:
        """Longer than the console's buffer, up to the longest the shell takes, and beyond."""
        length = self.rng.choice([127, 128, 129, 256, LINE_MAX - 1, LINE_MAX, LINE_MAX + 1, 700])
        text = "echo ".ljust(length, "m")
        return Line(text, "sh: line too long\n" if length > LINE_MAX else text[5:] + "\n")

    def big_file(self) -> Line | None:
        """A file of many blocks, made of eight copies of another."""
        if (found := self.a_file()) is None or len(found[2].data) > 20_000:
            return None
        directory, name, file = found
        to_directory, to_name = self.somewhere()
        if self.tree(to_directory).get(to_name) is file:
            return None
        source, target = self.spell(directory, name), self.spell(to_directory, to_name)
        self.store(to_directory, to_name, file.data * 8)
        return Line(f"cat {' '.join([source] * 8)} > {target}")

    def wait_for_ever(self) -> Line | None:
        if len(self.waiting) == 3:
            return None
        name = f"pid{self.rng.randrange(1000)}"
        if name in self.waiting:
            return None
        self.waiting.append(name)  # and not in the tree, for what is in it is not known
        return Line(f"forever > {ROOT}/{name} &")

    def kill(self) -> Line | None:
        if not self.waiting:
            return None
        name = self.waiting.pop(self.rng.randrange(len(self.waiting)))
        return Line(f"kill PID; rm {ROOT}/{name}", pid_file=f"{ROOT}/{name}")


def matching(text: str, word: str) -> str:
    return "".join(f"{row}\n" for row in text.splitlines() if word in row)


def counts(text: str) -> str:
    return f"{text.count(chr(10))} {len(text.split())} {len(text)}"
