"""The error of a question that has no answer.  Raised by whatever the commands use, printed by their
interpreter.
"""


class Unavailable(Exception):
    """What was asked for cannot be had; the text says why, for the user."""
