"""Make what the pages print anew, in place:  .venv/bin/python tests/docs/refresh.py [PAGE.md ...]

Read the difference before you commit it: where a number has changed, the text around it may be wrong now.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import test_monitor_session
from blocks import CHAPTERS, renewed
from book_outputs import OUTPUTS
from sessions import PAGES, renewed_sessions


def _chapter(page: Path) -> str:
    return renewed(page.read_text(), lambda name: OUTPUTS[name]())


def main(names: list[str]) -> None:
    pages: dict[Path, Callable[[], str]] = {
        **{page: partial(_chapter, page) for page in CHAPTERS},
        **{page: partial(renewed_sessions, page) for page in PAGES},
        test_monitor_session.DOCUMENT: test_monitor_session.renewed_page,
    }
    for page, make in pages.items():
        if not names or page.name in names:
            old, new = page.read_text(), make()
            if new != old:
                page.write_text(new)
                print(f"{page.name}: changed")


if __name__ == "__main__":
    main(sys.argv[1:])
