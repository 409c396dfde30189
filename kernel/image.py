"""The kernel's own ELF image: kernel/asm, assembled by whoever builds the machine and loaded into RAM here.

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
        symbol = self.symbols.__getitem__
        self.gates: Final = symbol("gates")
        self.gates_end: Final = symbol("gates_end")
        self.main: Final = symbol("main")
        self.usertrap: Final = symbol("usertrap")
        self.kerneltrap: Final = symbol("kerneltrap")
        self.forkret: Final = symbol("forkret")
        self.resumed: Final = symbol("resumed")
        self.swtch: Final = symbol("swtch")
        self.idle: Final = symbol("idle")
        self.kernelvec: Final = symbol("kernelvec")
        self.trampoline: Final = symbol("trampoline")
        self.uservec: Final = symbol("uservec")
        self.userret: Final = symbol("userret")
        self.contexts: Final = symbol("contexts")
        self.cpu_context: Final = symbol("cpu_context")
        self.etext: Final = symbol("etext")
        self.end: Final = symbol("end")
