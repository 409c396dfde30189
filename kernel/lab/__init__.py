"""What the course's labs add to xv6: tracing, alarms, page tables shown; mappings of files and memory.

The core reaches them through few doors: the dispatcher, the pager, fork, exec and exit.
"""
