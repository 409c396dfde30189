"""Counters of the memory system, for reports. Each is raised where the thing is done."""

from dataclasses import dataclass


@dataclass
class MemoryCounts:
    """What the memory system has done since power-on, in pages."""

    zero_filled: int = 0  # promised pages that were touched
    cow_copied: int = 0  # pages that fork shared and a write separated
    cow_taken: int = 0  # pages that their last owner took without copying
    paged_in: int = 0  # pages of mapped files that were touched
    mapped_around: int = 0  # their neighbours that were mapped with them
    pages_read: int = 0  # pages of files that the page cache read from the disk
    pages_written: int = 0  # dirty pages of shared mappings that were written back
