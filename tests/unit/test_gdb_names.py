"""Names of processes, which a guest chooses, as gdb is told them."""

from typing import cast
from xml.etree import ElementTree

import pytest

from orrery.gdb.inferiors import Inferiors
from orrery.gdb.timeline_session import TimelineSession
from orrery.timetravel.target import ProcessInfo


class Processes:
    """A machine with one process."""

    current = 2

    def __init__(self, name: str) -> None:
        self._name = name

    def processes(self) -> tuple[ProcessInfo, ...]:
        return (ProcessInfo(2, self._name, "run", 1, True),)

    def pids(self) -> tuple[int, ...]:
        return (2,)


@pytest.mark.parametrize(
    "code", [*range(0x20), 0x7F, 0x85, 0x9B, 0x2028, 0xD800, 0xDCFF, 0xFFFD, 0xFFFE, 0xFFFF]
)
def test_the_list_of_threads_is_xml_whatever_they_are_called(code: int) -> None:
    inferiors = Inferiors(cast(TimelineSession, Processes(f'a<{chr(code)}>&"b')))
    inferiors.known.add(2)
    (thread,) = ElementTree.fromstring(inferiors.threads_xml())
    name = thread.attrib["name"]
    assert name.startswith("a<") and name.endswith('>&"b') and name.isprintable()
