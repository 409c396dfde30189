# swtch.S: from one kernel thread to another.
#
# swtch(struct context *old, struct context *new): save the callee-saved registers in *old, load them
# from *new, and return on the other thread's stack, to where that thread called swtch.  Which Python
# thread goes on is found from the stack pointer that this loads.

#include "asm.h"

.section .text
.globl swtch
swtch:
        .cfi_startproc
        .cfi_escape 0x0f, 1, 0x30       # a frame address below all others, whichever stack sp is in
        .cfi_same_value sp
        each_callee_saved sd, a0
        each_callee_saved ld, a1
        ret
        .cfi_endproc

# One context for each process slot, and one for the scheduler.
.section .bss
.balign 8
.globl contexts
contexts:
        .space  NPROC * CONTEXT_SIZE
.globl cpu_context
cpu_context:
        .space  CONTEXT_SIZE
