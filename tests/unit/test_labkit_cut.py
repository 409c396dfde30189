"""How the lab kit cuts a part out of a source file."""

import pytest

from orrery.errors import BadInput
from orrery.grading import labkit

SOURCE = '''"""About it."""

import os


class First:
    """One."""

    # --- a part ---

    @property
    def size(self) -> int:
        """How large."""
        return 1

    def other(self):
        return [
            2,
        ]


class Second:
    def size(self):
        return 3


def size():
    return 4
'''


def test_a_method_is_replaced_where_its_class_says():
    changed = labkit.spliced(SOURCE, "class First:\n    def size(self):\n        return 9\n")
    assert changed == SOURCE.replace(
        '    @property\n    def size(self) -> int:\n        """How large."""\n        return 1\n',
        "    def size(self):\n        return 9\n",
    )


def test_functions_docstring_and_several_classes():
    new = '"""New."""\n\ndef size():\n    return 5\n\nclass Second:\n    def size(self): ...\n'
    changed = labkit.spliced(SOURCE, new)
    assert changed.startswith('"""New."""\n\nimport os\n')
    assert "return 3" not in changed and "return 5" in changed and "return 1" in changed


@pytest.mark.parametrize("new", ["def gone(): ...\n", "class First:\n    def gone(self): ...\n"])
def test_what_is_not_there_is_not_replaced_in_silence(new):
    with pytest.raises(BadInput, match="gone is not in the file"):
        labkit.spliced(SOURCE, new)


def test_definitions_are_removed():
    assert labkit.without(SOURCE, "First.other") == SOURCE.replace(
        "\n    def other(self):\n        return [\n            2,\n        ]\n", ""
    )
    assert "class Second" not in labkit.without(SOURCE, "Second")
    assert "@property" not in labkit.without(SOURCE, "First.size")
    with pytest.raises(BadInput, match=r"Second\.other"):
        labkit.without(SOURCE, "Second.other")


def test_a_line_is_removed_if_there_is_one():
    assert labkit.without_line(SOURCE, "return 4") == SOURCE.replace("    return 4\n", "")
    for text, times in (("return 5", 0), ('"""One."""\n', 0), ("", 10)):
        with pytest.raises(BadInput, match=f"stands {times} times"):
            labkit.without_line(SOURCE, text)


def test_an_unknown_lab_is_told_with_those_that_there_are():
    with pytest.raises(BadInput, match="cow, mmap, pgtbl, sched, syscall"):
        labkit.find("cows")
