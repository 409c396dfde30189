"""What a source may read besides itself: the names that its text mentions, to be looked for by whoever asks.

Called by reach.py for each file.  More may be mentioned than is read (in a comment, or where #if leaves it
out), which costs a look; nothing may be read that is neither mentioned nor makes the text `uncertain`: a name
that a macro expands to, a file that the assembler reads, the date.  What is made from an uncertain text is
not kept.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_BLANK = rb"(?:[ \t\f\v]|/\*.*?\*/)*"
_NAME = rb'(?:"(?P<quoted>[^"\n]*)"|<(?P<angled>[^>\n]*)>)?'
_DIRECTIVE = re.compile(
    rb"(?:#|%:)" + _BLANK + rb"(?P<word>include_next|include|import|embed)\b" + _BLANK + _NAME, re.DOTALL
)
_ASKED = re.compile(rb"__has_(?:include|embed)\w*" + _BLANK + rb"(?P<open>\(?)" + _BLANK + _NAME, re.DOTALL)
_DEFINED = re.compile(
    rb"(?:\bdefined" + _BLANK + rb"\(?|#" + _BLANK + rb"ifn?def)" + _BLANK + rb"\Z", re.DOTALL
)
_SPLICE = re.compile(rb"\\[ \t\f\v]*(?:\r\n|\n|\r)")
_JOINT = re.compile(rb'"\s*"')  # between two literals that the compiler makes one
_DATED = re.compile(rb"__(?:DATE|TIME|TIMESTAMP)__")
_ASSEMBLED = re.compile(rb"\.\s*inc(?:bin|lude)\b[\s\\\"]*([^\s\"\\;,]*)", re.IGNORECASE)
_PASTED = re.compile(rb"_has|has_|_DATE|DATE_|_TIME|TIME_|STAMP")
_ELSE = re.compile(
    rb"\?\?[=/]|\bdependency\b|\binclude_alias\b"
)  # trigraphs, and a pragma that reads file times
_LITERAL = re.compile(rb'"([^"\n]+)"|<([^>\n]+)>')
_DEFINE = re.compile(rb"(?:#|%:)" + _BLANK + rb"define\b.*")


@dataclass(frozen=True, slots=True)
class Mentions:
    """Names of headers in quotes and in angle brackets; whether they are all; what else may be read as
    data.
    """

    quoted: frozenset[bytes]
    angled: frozenset[bytes]
    certain: bool
    data: frozenset[bytes]


@lru_cache(maxsize=1024)
def mentions(text: bytes) -> Mentions:
    """What `text`, of a C or assembly source, mentions."""
    text = _SPLICE.sub(b"", text)
    text = text.replace(b"\r", b"\n")
    quoted: set[bytes] = set()
    angled: set[bytes] = set()
    certain = not (_DATED.search(text) or _ELSE.search(text))
    for match in (*_DIRECTIVE.finditer(text), *_ASKED.finditer(text)):
        if match["quoted"] is not None:
            quoted.add(match["quoted"])
        elif match["angled"] is not None:
            angled.add(match["angled"])
        elif (
            match.re is _DIRECTIVE
            or match["open"]
            or not _DEFINED.search(text[max(0, match.start() - 64) : match.start()])
        ):
            certain = False  # a macro says which
    if b"##" in text and _PASTED.search(text):
        certain = False
    data = {match[1] for match in _ASSEMBLED.finditer(_JOINT.sub(b"", text))}
    if data:
        certain = False
    if not certain:  # what an #include may mean by a macro
        for line in _DEFINE.findall(text):
            quoted.update(one or two for one, two in _LITERAL.findall(line))
    return Mentions(frozenset(quoted), frozenset(angled), certain, frozenset(data - {b""}))
