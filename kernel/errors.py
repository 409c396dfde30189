"""How a system call fails: the one exception that stands for an error result of a program's call.

Raised anywhere below a system-call handler, turned into the error result by the dispatcher (-1 for an xv6
program, whatever the code).  It is the only way to end a call early that leaves the kernel sound:
locks are released and transactions ended on its way up (`settles`).  Every other exception is a panic or
the unwinding of a thread at power-off, after which nothing more may be written to the disk.  `panic` is for
a rule of the kernel's own that was broken.
"""

from errno import EFAULT, ENOMEM, errorcode
from typing import Final, NoReturn


class SyscallError(Exception):
    """A call cannot do what the program asked; `code` is Unix's number for the reason."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(f"{errorcode[code]}: {what}")
        self.code: Final = code


class BadAddress(SyscallError):
    """The program handed the kernel a pointer to memory that it may not read or write."""

    def __init__(self, va: int) -> None:
        super().__init__(EFAULT, f"bad user address {va:#x}")
        self.va: Final = va  # the first one that is bad


class OutOfMemory(SyscallError):
    """No frame is left for a page or a page table."""

    def __init__(self) -> None:
        super().__init__(ENOMEM, "memory is exhausted")


class KernelPanic(Exception):
    """The kernel cannot go on; the text names the rule that broke."""


def panic(message: str) -> NoReturn:
    """Stop the machine for good."""
    raise KernelPanic(message)


def settles(exc_type: type[BaseException] | None) -> bool:
    """Whether a `with` block that ends by `exc_type` gives back what it holds, blocking if need be.

    True where the block ended well (None) or by the program's fault.  Otherwise the machine is on its way
    down: what is held stays held, and what was begun is not committed.
    """
    return exc_type is None or issubclass(exc_type, SyscallError)


def require(holds: bool, code: int, what: str) -> None:
    """The call fails with `code` where something does not hold."""
    if not holds:
        raise SyscallError(code, what)
