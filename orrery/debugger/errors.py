"""Unavailable: the answer to a question that has none. Raised where one looks, caught where commands are."""


class Unavailable(Exception):
    """What was asked for cannot be had; the text says why, for the person."""
