# resume: sleeps with known values in its registers and in memory, then switches the machine off with a
# status made from them: s1 + s11 + tp + cell.  Tests change one of them in RAM while it sleeps.

#include "kernel/syscall.h"

        .globl main, cell
main:
        li      s1, 1
        li      s11, 2
        li      tp, 4
        la      s0, cell
        ld      t0, 0(s0)               # the hart has used the mapping

        li      a0, 3
        li      a7, SYS_sleep
        ecall

        ld      a0, 0(s0)
        add     a0, a0, s1
        add     a0, a0, s11
        add     a0, a0, tp
        li      a7, SYS_poweroff
        ecall
loop:
        j       loop

        .data
        .balign 4096
cell:   .dword  8
