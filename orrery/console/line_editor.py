"""Lines that a person types for Orrery itself: edited, completed and remembered, by prompt_toolkit.

Used by the monitor's prompt and by the debugger's console.  It is imported where a person is asked first, so
that no start pays for it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.output import create_output
from prompt_toolkit.output.vt100 import Vt100_Output

from toolchain.paths import cache_dir

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings

COLOUR: Final = "ansigreen"
"""Of prompts; without one, the blank at the end of a prompt would be a movement of the cursor."""


class _Completing(Completer):
    """Completes the last word of a line with what `find` has for it."""

    def __init__(self, find: Callable[[str], Iterable[str]]) -> None:
        self._find: Final = find

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        last = text.split(" ")[-1]
        for found in self._find(text):
            yield Completion(found, start_position=-len(last))


def make_session(
    find: Callable[[str], Iterable[str]], history: str, keys: "KeyBindings | None" = None
) -> "PromptSession[str]":
    """Asks for lines; earlier ones are in the file `history` of the cache, if that can be written."""
    earlier: History = InMemoryHistory()
    with suppress(OSError):
        earlier = FileHistory(str(cache_dir() / history))
    output = create_output()
    if isinstance(output, Vt100_Output):
        output.enable_cpr = False  # a terminal that does not answer would be warned of, and waited for
    return PromptSession(
        history=earlier,
        completer=_Completing(find),
        complete_while_typing=False,
        key_bindings=keys,
        output=output,
    )
