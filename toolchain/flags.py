"""What a person may add to the compiler's flags, as users of cc know them: -D, -U, -I, -O, -g, -W and the
like.

Called by sources.py and by the command line.  A flag that would make another thing than a program for this
machine, or have the compiler write or run something else, is refused by name.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# What the command line takes for a source, and for something that is linked.
SOURCES = (".c", ".S", ".s")
LINKED = (*SOURCES, ".o")

# Flags whose value may stand in a word of its own.
VALUED = ("-D", "-U", "-I", "-include", "-isystem")
# These are compiled when a flag is looked at: most commands have none.
_ONE_WORD = r"-O([0-3sgz]|fast)?|-g[\w-]*|-W(?![alp],)[\w+=,-]*|-w|-std=[\w:+]+|-pedantic(-errors)?|-ansi"
_FEATURE = r"-f[a-z][\w-]*(=[\w,+-]*)?"
# -f flags that write files, run code on the host, or change how programs are linked and called.
_NOT_HERE = (
    r"-f(no-)?(plugin|pass-plugin|modules?|lto|pic|PIC|pie|PIE|save|time-trace|profile|coverage|test-coverage|"
    r"sanitize|split|instrument|xray|openmp|exceptions|crash|depfile|dump|proc-stat|diagnostics-color|"
    r"file-prefix|debug-compilation|debug-prefix|macro-prefix|whole-program|stack-clash|syntax-only|working)"
)


class BadFlag(Exception):
    """A flag that there is not; str() names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Flags:
    """`words` go to the compiler as they are; `quoted` are the directories of -I, `system` of -isystem, in
    order; `forced` are the files of -include.
    """

    words: tuple[str, ...] = ()
    quoted: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.words, self.quoted, self.system, self.forced))

    def text(self) -> bytes:
        """What the flags define, as a source would say it."""
        return "\n".join(word for word in self.words if word.startswith("-D")).encode(
            errors="surrogateescape"
        )


def is_flag(word: str) -> bool:
    """Whether `word` is meant for the compiler, and not an option of the command."""
    if not word.startswith("-"):
        return False
    return word.startswith(VALUED) or any(re.fullmatch(form, word) for form in (_ONE_WORD, _FEATURE))


def takes_next(word: str) -> bool:
    """Whether the value of `word` is in the word behind it."""
    return word in VALUED


def understand(words: Iterable[str]) -> Flags:
    """The flags that `words` are; raises BadFlag."""
    plain: list[str] = []
    found: dict[str, list[str]] = {"-I": [], "-isystem": [], "-include": []}
    rest = iter(words)
    for word in rest:
        name = next((one for one in sorted(VALUED, key=len, reverse=True) if word.startswith(one)), None)
        if name is None:
            _check(word)
            plain.append(word)
            continue
        value = word[len(name) :] or next(rest, "")
        if not value:
            raise BadFlag(f"{name}: nothing follows it; give a value, as in {name} NAME")
        if name in found:
            found[name].append(value)
        else:
            plain.append(name + value)
    return Flags(tuple(plain), tuple(found["-I"]), tuple(found["-isystem"]), tuple(found["-include"]))


def _check(word: str) -> None:
    if re.match(_NOT_HERE, word):
        raise BadFlag(f"{word}: makes no program for this machine; leave it out")
    if not is_flag(word):
        raise BadFlag(
            f"{word}: unknown; the compiler's flags here are -D, -U, -I, -include, -O, -g, -W, -f and -std"
        )


def from_environment(environment: Sequence[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The directories that CPATH adds behind -I, and C_INCLUDE_PATH behind -isystem, as cc does."""
    values = dict(environment)
    both = (values.get(name, "") for name in ("CPATH", "C_INCLUDE_PATH"))
    first, second = (tuple(part or "." for part in text.split(":")) if text else () for text in both)
    return first, second
