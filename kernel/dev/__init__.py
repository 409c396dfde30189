"""Drivers, one device a file."""
