"""The gdb server: a stock gdb inspects a machine, stops it and steps it, by the remote serial protocol."""
