"""The commands of `orrery debug`, by subject; table.py has them all."""
