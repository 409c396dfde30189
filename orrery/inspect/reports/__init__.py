"""What the console monitor tells of a machine that stands still, one noun a file; nothing here changes it."""
