"""RISC-V numbers: page-table bits, CSR fields, trap causes.

Source: The RISC-V Instruction Set Manual, volume II (privileged), sections 3.1, 4.1 and 4.4.
"""

from typing import Final

# A Sv39 page-table entry:
#
#   63      54 53                    10 9   8  7 6 5 4 3 2 1 0
#   +---------+------------------------+-----+-+-+-+-+-+-+-+-+
#   | 0       | physical page number   | RSW |D|A|G|U|X|W|R|V|
#   +---------+------------------------+-----+-+-+-+-+-+-+-+-+
#
# The two bits of RSW are the kernel's; the hart does not look at them.
PTE_V: Final = 1 << 0
PTE_R: Final = 1 << 1
PTE_W: Final = 1 << 2
PTE_X: Final = 1 << 3
PTE_U: Final = 1 << 4
PTE_G: Final = 1 << 5
PTE_A: Final = 1 << 6
PTE_D: Final = 1 << 7
PTE_COW: Final = 1 << 8  # a write gets a private copy of the page
PTE_SUPER: Final = 1 << 9  # a leaf of level 1: a superpage of 2 MiB
PTE_FLAGS: Final = 0x3FF

SATP_SV39: Final = 8 << 60

SSTATUS_SIE: Final = 1 << 1
SSTATUS_SPIE: Final = 1 << 5
SSTATUS_SPP: Final = 1 << 8
SSTATUS_FS: Final = 3 << 13
SSTATUS_SD: Final = 1 << 63

SIE_SSIE: Final = 1 << 1
SIE_STIE: Final = 1 << 5
SIE_SEIE: Final = 1 << 9

SCAUSE_INTERRUPT: Final = 1 << 63
CAUSE_FETCH_ACCESS: Final = 1
CAUSE_ILLEGAL: Final = 2
CAUSE_BREAKPOINT: Final = 3
CAUSE_LOAD_ACCESS: Final = 5
CAUSE_STORE_ACCESS: Final = 7
CAUSE_USER_ECALL: Final = 8
CAUSE_FETCH_PAGE: Final = 12
CAUSE_LOAD_PAGE: Final = 13
CAUSE_STORE_PAGE: Final = 15
IRQ_S_SOFT: Final = 1
IRQ_S_TIMER: Final = 5
IRQ_S_EXTERNAL: Final = 9
