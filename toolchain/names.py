"""Names as they are shown: file names of the host, and names in images, are bytes of any kind.

In a str they are as Python has them from the system (os.fsdecode): what is no text is a surrogate.  A line
that names a file must stay one line, and do nothing to a terminal, whatever the file is called.
"""

import os
import re

_SPECIAL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def shown(name: str | bytes | os.PathLike[str]) -> str:
    """`name` with control characters, and bytes that are no text, as escapes."""
    return _SPECIAL.sub(_escaped, os.fsdecode(name))


def shown_lines(text: str) -> str:
    """The same for a text of several lines, which may have tabs."""
    return re.sub(r"[^\n\t]+", lambda match: shown(match[0]), text)


def bytes_shown(text: str) -> str:
    """A text in which control characters mean something, with the bytes that are no text as escapes."""
    return re.sub(r"[\ud800-\udfff]", _escaped, text)


def _escaped(match: re.Match[str]) -> str:
    char = match[0]
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
