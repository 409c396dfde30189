"""Floating point is off in user mode as in xv6, and stays off whatever a program does; and no pc is odd.

One program tries all of it, on both engines; nothing of what it did is left in the hart.
"""

from boot import ENGINES, System, program

from emu.cpu import engine as e
from emu.loop import Stop

ENTRY = slice(24, 32)  # of an ELF header


def odd_entry(image: bytes) -> bytes:
    """This program, entered one byte further on."""
    made = bytearray(image)
    made[ENTRY] = (int.from_bytes(made[ENTRY], "little") + 1).to_bytes(8, "little")
    return bytes(made)


def test_no_program_computes_with_floats_or_runs_at_an_odd_address() -> None:
    image = program("floats.c")
    modules = {"/floats": image, "/odd": odd_entry(image)}
    digests = set()
    for engine in ENGINES:
        with System(engine=engine, argv=("/init", "/floats"), modules=modules) as system:
            assert system.run() is Stop.ASKED and system.board.exit_code == 0, system.text
            assert system.text.count("usertrap(): unexpected scause 0x2 ") == 18
            for line in ("18 tried, 18 killed", "alarm at an even address", "entered at an even address"):
                assert line in system.text
            regs = system.board.hart.regs
            assert not any(regs[e.F + number] for number in range(32)) and not regs[e.MSTATUS] >> 13 & 3
            digests.add(system.digest())
    assert len(digests) == 1, "the engines differ"
