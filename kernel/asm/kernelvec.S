# kernelvec.S: interrupts that arrive in supervisor mode, which is only while the scheduler has nothing to
# run: everywhere else in the kernel interrupts are off.  An exception that arrives here is a kernel bug;
# kerneltrap panics.

#include "asm.h"

.section .text

# idle(): wait for one interrupt, take it, return.  Interrupts are off before and after.
.globl idle
idle:
        .cfi_startproc
        wfi                             # ends when one is pending, though it cannot be taken yet
        csrsi   sstatus, SSTATUS_SIE    # here it is taken: kernelvec runs, and returns
        csrci   sstatus, SSTATUS_SIE
        ret
        .cfi_endproc

# The handler may use every caller-saved register, so kernelvec saves those on the stack.
.balign 4
.globl kernelvec
kernelvec:
        .cfi_startproc
        .cfi_signal_frame
        addi    sp, sp, -144
        .cfi_def_cfa_offset 144
        each_caller_saved sd
        call    kerneltrap
        each_caller_saved ld
        addi    sp, sp, 144
        sret
        .cfi_endproc
