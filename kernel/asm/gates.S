# gates.S: where the kernel's Python functions have their addresses.
#
# A gate is one S-mode ecall in this section.  The hart stops on it and the machine loop hands over to the
# Python thread whose kernel stack sp points into; that goes on in the function of the gate's name, and
# sets pc when it wants the hart again.  An ecall elsewhere in supervisor mode is no gate.

#include "asm.h"
#include "cfi.h"

.section .gates, "ax"
.balign 4

# before_NAME is for debuggers: the way to what was running before.  A debugger's own copy of this
# (toolchain/image.py) has in `caller` the name of a Python function for the instruction before the gate.
.macro gate name, caller=
        .cfi_startproc
        .cfi_return_column CFI_PC
        before_\name \caller
.globl \name
.type \name, @function
\name:
        ecall
        .cfi_endproc
.size \name, . - \name
.endm

.macro before_main caller
        .cfi_undefined CFI_PC
.endm

.macro before_usertrap caller
        cfi_pc_of_trap
        cfi_stack_in_trapframe
        cfi_each_saved
        cfi_saved 10
.endm

.macro before_kerneltrap caller
        .cfi_register CFI_PC, ra
.endm

.macro before_forkret caller
        cfi_in_kernel
.endm

# A call returns here, and the caller is looked for before the address to which it does: there is an
# instruction for that, which is never reached.
.macro before_resumed caller
        cfi_in_kernel
.ifnb \caller
.type \caller, @function
\caller:
.size \caller, 4
.endif
        .option push
        .option norvc                   # as long as a gate
        ebreak
        .option pop
.endm

.globl gates
gates:
        gate    main            # from entry.S: boot, then the scheduler
        gate    usertrap        # from uservec: a trap from user mode
        gate    kerneltrap      # from kernelvec: a trap from supervisor mode
        gate    forkret         # from swtch: a process runs for the first time
        gate    resumed         # from swtch or idle: a Python function that called it goes on
.globl gates_end
gates_end:
