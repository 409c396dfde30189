"""gdb's remote serial protocol: a stock gdb looks at a machine, stops it and steps it."""
