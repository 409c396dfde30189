"""The kernel's own ELF image: kernel/asm, assembled by the workbench and loaded into RAM here.

Its symbols are the addresses that the Python half of the kernel uses: the gates at which its functions are
entered, the assembly functions that it calls, and the data that they share.
"""

from typing import Final

from emu.ram import Ram
from kernel.abi import elf


class KernelImage:
    """Addresses in the kernel's image. Loads it into `ram`; raises ValueError if it is not such an image."""

    def __init__(self, image: bytes, ram: Ram) -> None:
        header = elf.Header.unpack(image)
        if header is None or header.machine != elf.EM_RISCV:
            raise ValueError("the kernel image is not a RISC-V ELF file")
        for segment in elf.segments(image, header):
            part = ram.view(segment.vaddr, segment.memsz)
            part[: segment.filesz] = image[segment.offset : segment.offset + segment.filesz]
        self.symbols: Final = elf.symbols(image, header)
        self.entry: Final = header.entry
        at = self.symbols.__getitem__
        self.gates, self.gates_end = at("gates"), at("gates_end")  # the section of these gates:
        self.main, self.usertrap, self.kerneltrap = at("main"), at("usertrap"), at("kerneltrap")
        self.forkret, self.resumed = at("forkret"), at("resumed")
        self.swtch, self.idle, self.kernelvec = at("swtch"), at("idle"), at("kernelvec")
        self.trampoline, self.uservec, self.userret = at("trampoline"), at("uservec"), at("userret")
        self.contexts, self.cpu_context = at("contexts"), at("cpu_context")
        self.etext, self.end = at("etext"), at("end")
