"""Random instruction words in every mode, and random device accesses by guest code, never raise.

What may end a run beside its limit: a trap vector that faults itself (TrapLoop), a hart that sleeps for
ever, and a guest that tells the finisher to power off.
"""

import random

import pytest
from assembler import A0, A1, ZERO, Code, load, store
from bare import DATA, ENGINES, TEXT, Machine
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from emu import board_map as at
from emu.cpu import engine as e
from emu.cpu.exits import TrapLoop
from emu.loop import Stop
from emu.ram import RAM_BASE

END = 3000
OPCODES = (3, 7, 15, 0x13, 0x17, 0x1B, 0x23, 0x27, 0x2F, 0x33, 0x37, 0x3B, 0x43, 0x53, 0x63, 0x67, 0x6F, 0x73)
REGIONS = (
    (at.FINISHER, 0x1000),
    (at.CLINT, at.CLINT_SIZE),
    (at.PLIC, at.PLIC_SIZE),
    (at.UART0, 0x1000),
    (at.VIRTIO0, 9 * at.VIRTIO_STRIDE),
    (RAM_BASE - 0x1000, 0x2000),
    (RAM_BASE + 0xFF000, 0x2000),
    (0, 1 << 56),
)
BOUNDED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
SEEDS = st.integers(0, (1 << 64) - 1)
PRIVILEGES = st.sampled_from((0, 1, 3))


def run(machine: Machine, end: int = END) -> None:
    try:
        while machine.clock.now < end:
            if machine.loop.run(end) is Stop.ASLEEP:
                return
    except TrapLoop:
        return
    assert machine.clock.now - end < 100, "a limit ends a run within an instruction or a trap"


def random_words(rng: random.Random) -> bytes:
    """Half of the words have a known opcode, some are compressed, the rest are just bits."""
    result = bytearray()
    while len(result) < 400:
        word = rng.getrandbits(32)
        if rng.random() < 0.6:
            word = word & ~0x7F | rng.choice(OPCODES)
        size = 2 if word & 3 != 3 else 4
        result += word.to_bytes(4, "little")[:size]
    return bytes(result)


def prepare(engine: str, privilege: int, seed: int) -> Machine:
    rng = random.Random(seed)
    machine = Machine(engine, random_words(rng), privilege)
    regs = machine.hart.regs
    for register in range(1, 32):
        near = machine.address(DATA) + rng.getrandbits(13)
        regs[register] = rng.choice((rng.getrandbits(64), near, rng.getrandbits(8)))
    regs[e.MEDELEG] = rng.choice((0, 0xB3FF))
    regs[e.MIE] = rng.getrandbits(12) & 0xAAA
    return machine


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
@given(PRIVILEGES, SEEDS)
@settings(BOUNDED, max_examples=200)
def test_random_words(engine: str, privilege: int, seed: int) -> None:
    run(prepare(engine, privilege, seed))


@pytest.mark.long
@given(PRIVILEGES, SEEDS)
@settings(BOUNDED, derandomize=False, max_examples=5000)
def test_many_random_words(privilege: int, seed: int) -> None:
    run(prepare("fast", privilege, seed))


ACCESSES = st.lists(
    st.tuples(st.sampled_from(REGIONS), SEEDS, st.integers(0, 10), SEEDS), min_size=1, max_size=60
)


@pytest.mark.parametrize("engine", ENGINES)
@given(ACCESSES)
@example([((at.CLINT, 1), 0x4000, 10, 1 << 63), ((at.CLINT, 1), 0xBFF8, 10, (1 << 64) - 1)])
@settings(BOUNDED, max_examples=40)
def test_random_device_accesses(engine: str, accesses: list[tuple[tuple[int, int], int, int, int]]) -> None:
    """Loads and stores of all sizes, by M-mode code, anywhere: devices, holes, ends of RAM."""
    code = Code(RAM_BASE)
    for (base, size), where, kind, value in accesses:
        if len(code.bytes) > 0xE00:
            break
        code.li(A0, base + where % size)
        code.li(A1, value)
        code.put(load(kind, A1, A0, 0) if kind < 7 else store(kind - 7, A1, A0, 0))
    machine = Machine(engine, b"", 3)
    text = code.finish()
    machine._place(text)
    machine.hart.regs[e.PC] = machine.address(TEXT)
    machine.hart.regs[A0] = ZERO
    run(machine, 20_000)
