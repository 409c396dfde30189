"""What can go wrong on the workbench, by name.

BadInput and its like are the user's to mend: the command line turns each into one line and exit status 2.
The others tell a script that drives a Machine why it did not get what it asked for.
"""


class BadInput(Exception):
    """Something that was handed in cannot be used; str() is one line that names it and the remedy."""


class MachineStopped(Exception):
    """The machine will not go on to what was asked for."""


class PoweredOff(MachineStopped):
    """The guest switched the machine off; `status` is what it said, 0 to 255."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the guest switched the machine off with status {status}")
        self.status = status


class Deadlock(MachineStopped):
    """Every process sleeps and nothing will ever wake one; the text says who waits for what."""


class ExpectTimeout(MachineStopped, TimeoutError):
    """Virtual time ran out before the console showed what was expected, or the command ended."""


class CannotBoot(MachineStopped):
    """The kernel cannot be loaded, or the machine cannot be made; the text says what broke and where."""


class CannotGoOn(MachineStopped):
    """The process that held the machine ended, or something broke in it that is not the guest's doing."""
