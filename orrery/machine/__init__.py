"""A machine as one object: board, kernel, drive, keyboard, and what its hooks are told."""
