"""Quoting: names that a file, a program or a guest has chosen, as text that a terminal and a log can take.

A name is bytes, and may be any: what is no printable character of UTF-8 is shown as gdb and ls show it,
by its octal number. So no name moves the cursor, ends a line, or cannot be encoded.
"""


def text_of(name: bytes) -> str:
    r"""The name as text: b"a\x1b\xff" is a\033\377."""
    return printable(name.decode(errors="surrogateescape"))


def printable(name: str) -> str:
    """The same for a name that is text already, perhaps with surrogates for what was no text."""
    return name if name.isprintable() else "".join(map(_character, name))


def _character(one: str) -> str:
    if one.isprintable():
        return one
    return "".join(
        f"\\{byte:03o}" for byte in one.encode(errors="surrogateescape" if _is_byte(one) else "replace")
    )


def _is_byte(one: str) -> bool:
    """Whether a surrogate stands for a byte."""
    return "\udc80" <= one <= "\udcff" or not "\ud800" <= one <= "\udfff"
