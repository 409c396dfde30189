"""Files: open files and pipes, and the file systems below them."""
