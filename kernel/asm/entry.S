# entry.S: power-on.
#
# The board starts the hart here, in machine mode, paging off, all registers zero.  Machine mode is left
# at once and never entered again: every trap is delegated to supervisor mode.  The kernel proper begins
# at the gate `main`, on the boot stack, which from then on is the scheduler's.

#include "asm.h"

.section .text.entry, "ax"
.globl _entry
_entry:
        la      sp, boot_stack_top
        csrr    tp, mhartid

        csrw    satp, zero
        li      t0, 0xffff              # all exceptions and interrupts go to S-mode
        csrw    medeleg, t0
        csrw    mideleg, t0

        li      t0, (1 << 54) - 1       # one PMP region over all of memory, open to S-mode
        csrw    pmpaddr0, t0
        li      t0, 0x0f                # TOR, read, write, execute
        csrw    pmpcfg0, t0

        li      t0, SIE_SEIE | SIE_STIE
        csrw    sie, t0
        la      t0, kernelvec
        csrw    stvec, t0

        li      t0, MSTATUS_MPP_S
        csrw    mstatus, t0
        la      t0, main
        csrw    mepc, t0
        mret

.section .bss
.balign 4096
.globl boot_stack
boot_stack:
        .space  4096
boot_stack_top:
