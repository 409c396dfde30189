"""C as the debugger knows it: types, values, expressions, and how values are shown."""
