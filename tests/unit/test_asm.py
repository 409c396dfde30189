"""kernel/asm and kernel/abi are two declarations of one thing: here they are compared.

Also what the image must be for the rest to hold: gates that are only ecalls, one page of trampoline that
moves every register, a text that ends where data begins.
"""

import re
from functools import cache
from pathlib import Path

import pytest

from emu.ram import Ram
from kernel import thread
from kernel.abi import elf, memlayout, param, riscv
from kernel.image import KernelImage
from toolchain import image

ASM = Path(__file__).resolve().parents[2] / "kernel" / "asm"
EBREAK = 0x0010_0073
ECALL = 0x0000_0073
# fmt: off
REGISTERS = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1",
    "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7",
    "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
]
CALLEE_SAVED = ["ra", "sp", "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11"]
CALLER_SAVED = [
    "ra", "t0", "t1", "t2", "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "t3", "t4", "t5", "t6",
]
# fmt: on

HEADER = (ASM / "asm.h").read_text()


@cache
def defines() -> dict[str, int]:
    """Every #define of asm.h that is a number, or a shift of one."""
    found = {}
    for name, text in re.findall(r"^#define\s+(\w+)\s+(.+?)\s*$", HEADER, re.M):
        shift = re.fullmatch(r"\((\d+) << (\d+)\)", text)
        found[name] = int(shift[1]) << int(shift[2]) if shift else int(text, 0)
    return found


def macro(name: str) -> dict[str, int]:
    """Register to offset, as a macro of asm.h moves them."""
    body = re.search(rf"^\.macro {name}\b.*?$(.*?)^\.endm", HEADER, re.M | re.S)
    assert body, f"asm.h has no macro {name}"
    moves = re.findall(r"\\op\s+(\w+), (\d+)\(", body[1])
    assert len(moves) == len({register for register, _ in moves}), "each register once"
    return {register: int(offset) for register, offset in moves}


@cache
def kernel() -> tuple[Ram, KernelImage]:
    ram = Ram(1 << 20)
    return ram, KernelImage(image.kernel_elf(), ram)


def words(low: int, high: int) -> list[int]:
    ram, _ = kernel()
    return ram.u32[(low - ram.base) // 4 : (high - ram.base) // 4].tolist()


@pytest.mark.parametrize(
    "name, value",
    [
        ("TRAPFRAME", memlayout.TRAPFRAME),
        ("NPROC", param.NPROC),
        ("SSTATUS_SIE", riscv.SSTATUS_SIE),
        ("SIE_STIE", riscv.SIE_STIE),
        ("SIE_SEIE", riscv.SIE_SEIE),
        ("MSTATUS_MPP_S", 1 << 11),
        ("TF_KERNEL_SATP", 8 * thread.TF_KERNEL_SATP),
        ("TF_KERNEL_SP", 8 * thread.TF_KERNEL_SP),
        ("TF_KERNEL_TRAP", 8 * thread.TF_KERNEL_TRAP),
        ("TF_EPC", 8 * thread.TF_EPC),
        ("TF_HARTID", 8 * thread.TF_HARTID),
        ("TF_A0", 8 * thread.TF_A0),
        ("CONTEXT_SIZE", 8 * thread.CONTEXT_WORDS),
    ],
)
def test_constant(name: str, value: int) -> None:
    assert defines()[name] == value


def test_every_constant_is_compared() -> None:
    (marks,) = [mark for mark in test_constant.pytestmark if mark.name == "parametrize"]
    assert {name for name, _ in marks.args[1]} == defines().keys()


def test_trapframe_has_every_user_register_in_order() -> None:
    expected = {register: 40 + 8 * i for i, register in enumerate(REGISTERS[1:])}
    assert expected.pop("a0") == defines()["TF_A0"]
    assert macro("each_user_register") == expected
    for register in ("ra", "sp", "a1", "a7"):
        assert 8 * getattr(thread, f"TF_{register.upper()}") == expected[register]
    assert expected["t6"] + 8 == 8 * thread.TF_WORDS


def test_context_has_the_callee_saved_registers() -> None:
    assert macro("each_callee_saved") == {register: 8 * i for i, register in enumerate(CALLEE_SAVED)}
    assert CALLEE_SAVED[thread.CONTEXT_RA] == "ra" and CALLEE_SAVED[thread.CONTEXT_SP] == "sp"
    _, at = kernel()
    assert at.cpu_context - at.contexts == param.NPROC * 8 * thread.CONTEXT_WORDS


def test_kernelvec_saves_what_a_call_may_destroy() -> None:
    saved = macro("each_caller_saved")
    assert set(saved) == set(CALLER_SAVED)
    frame = int(re.search(r"addi\s+sp, sp, -(\d+)", (ASM / "kernelvec.S").read_text())[1])  # type: ignore[index]
    assert max(saved.values()) + 8 <= frame and frame % 16 == 0


def test_gates_are_ecalls_and_nothing_else() -> None:
    """But for what is never reached: a debugger's place for the call that returns to `resumed`."""
    _, at = kernel()
    entries = (at.main, at.usertrap, at.kerneltrap, at.forkret, at.resumed - 4, at.resumed)
    assert words(at.gates, at.gates_end) == [ECALL] * 4 + [EBREAK, ECALL]
    assert sorted(entries) == list(range(at.gates, at.gates_end, 4))


def test_no_other_ecall() -> None:
    """Nothing but a gate could be taken for one."""
    ram, at = kernel()
    outside = words(ram.base, at.gates) + words(at.gates_end, at.etext)
    assert ECALL not in outside and any(outside)


def test_trampoline_is_one_page_of_text() -> None:
    _, at = kernel()
    assert at.trampoline % memlayout.PGSIZE == 0
    assert at.trampoline + memlayout.PGSIZE == at.etext
    assert at.trampoline <= at.uservec < at.userret < at.etext


def test_no_segment_is_writable_and_executable() -> None:
    _, at = kernel()
    data = image.kernel_elf()
    header = elf.Header.unpack(data)
    assert header is not None
    for segment in elf.segments(data, header):
        assert segment.flags & (elf.PF_W | elf.PF_X) != elf.PF_W | elf.PF_X
        if segment.flags & elf.PF_X:
            assert segment.vaddr + segment.memsz <= at.etext
        else:
            assert segment.vaddr >= at.etext


@pytest.mark.parametrize("data", [b"", b"\x7fELF", bytes(64), image.kernel_elf()[:40]])
def test_an_image_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a RISC-V ELF"):
        KernelImage(data, Ram(1 << 20))
