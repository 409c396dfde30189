"""Measurements, each beside a named rival.  `make bench` runs `python -m bench`; see docs/performance.md."""
