# gates.S: where the kernel's Python functions have their addresses.
#
# A gate is one S-mode ecall in this section.  The hart stops on it and the machine loop hands over to the
# Python thread whose kernel stack sp points into; that goes on in the function of the gate's name, and
# sets pc when it wants the hart again.  An ecall elsewhere in supervisor mode is no gate.

.section .gates, "ax"
.balign 4

.macro gate name
.globl \name
.type \name, @function
\name:
        ecall
.size \name, . - \name
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
