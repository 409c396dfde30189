"""xv6's file system: the log, inodes, directories."""
