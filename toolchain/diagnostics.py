"""What the compiler and the linker say, as a person is told it.

Called by objects.py, link.py and hostlib.py.  A failure is an exception that knows each error as one line,
and all that was said.
"""

from collections.abc import Iterator, Sequence


class CompileError(Exception):
    """A source did not compile or link; str() is its first error, on one line, and `details` all that was
    said.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details or message

    def errors(self) -> list[str]:
        """Each error, on a line."""
        return list(errors(self.details)) or [str(self)]


def failure(said: Sequence[tuple[str, str]]) -> CompileError:
    """The exception for runs that failed: of each the source, where it was one, and what was said."""
    details = "".join(_named(name, text) for name, text in said)
    first = next(errors(details), "")
    names = ", ".join(name for name, _ in said if name)
    return CompileError(first or f"{names}: error: the compiler failed and gave no reason", details)


def _named(name: str, text: str) -> str:
    """`text` with the source's name where an error has none."""
    lines = []
    for line in text.splitlines():
        line = line.removeprefix("ld.lld: ")
        lines.append(f"{name}: {line}" if name and line.startswith("error:") else line)
    return "".join(f"{line}\n" for line in lines)


def errors(text: str) -> Iterator[str]:
    """The errors in `text`, each on one line, with the place if the linker tells of one behind it."""
    pending = ""
    for line in text.splitlines():
        if pending and line.startswith(">>>"):
            yield f"{pending} ({' '.join(line.removeprefix('>>>').split())})"
            pending = ""
            continue
        if pending:
            yield pending
        pending = line.strip() if _is_error(line) else ""
    if pending:
        yield pending


def _is_error(line: str) -> bool:
    return "error:" in line and not line.startswith((" ", ">>>")) and "too many errors emitted" not in line
