"""Memory mappings: files and shared memory in the address space of a process."""

from typing import Final


class SharedMemory:
    """What stands behind a MAP_SHARED | MAP_ANONYMOUS mapping: the frames touched so far, by page index.

    It is one owner of each, as long as there are `mappings` of it.
    """

    __slots__ = ("mappings", "pages")

    def __init__(self) -> None:
        self.pages: Final[dict[int, int]] = {}
        self.mappings = 0
