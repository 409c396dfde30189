"""The hart's registers by name, as scripts and the debugger ask for them; S-mode's views of M-mode's too."""

from typing import Final

from emu.cpu import engine as e

# What S-mode sees of M-mode's registers: the fields of sstatus, and the interrupts that are delegated (None).
S_VIEWS: Final = {"sstatus": (e.MSTATUS, 0x8000_0003_000D_E762), "sie": (e.MIE, None), "sip": (e.MIP, None)}


def named(regs: e.Words, name: str) -> int:
    """The register `name` of a hart with these; raises ValueError where there is none."""
    if name in S_VIEWS:
        register, mask = S_VIEWS[name]
        return regs[register] & (regs[e.MIDELEG] if mask is None else mask)
    if name not in e.NAMES:
        raise ValueError(f"no register {name!r}; there are {', '.join((*e.NAMES, *S_VIEWS))}")
    return regs[e.NAMES[name]]
