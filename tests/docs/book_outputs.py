"""All outputs of the book: importing a chapter's module enters its functions in OUTPUTS."""

import book_cow
import book_disk
import book_lazy
import book_mmap
import book_pages
import book_processes
import book_trap
from book_machine import OUTPUTS

__all__ = [
    "OUTPUTS",
    "book_cow",
    "book_disk",
    "book_lazy",
    "book_mmap",
    "book_pages",
    "book_processes",
    "book_trap",
]
