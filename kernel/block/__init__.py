"""Blocks of disks, and the cache of them."""
