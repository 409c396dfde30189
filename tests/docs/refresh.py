"""Make the output blocks of the book anew, in place:  .venv/bin/python tests/docs/refresh.py

Read the difference before you commit it: where a number has changed, the text around it may be wrong now.
"""

from blocks import CHAPTERS, renewed
from book_outputs import OUTPUTS


def main() -> None:
    for chapter in CHAPTERS:
        old = chapter.read_text()
        new = renewed(old, lambda name: OUTPUTS[name]())
        if new != old:
            chapter.write_text(new)
            print(f"{chapter.name}: changed")


if __name__ == "__main__":
    main()
