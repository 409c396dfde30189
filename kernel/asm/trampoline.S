# trampoline.S: the way from user mode into the kernel and back.
#
# This page is mapped at TRAMPOLINE in every address space, so the instruction after `csrw satp` is still
# there in the other one.  The hart arrives at uservec by a trap from user mode, with the user's page
# table and registers; the kernel arrives at userret with its own.
#
# There is no sfence.vma here.  All satp values share ASID 0, and the kernel flushes when it has changed
# an address space or switched to another, not at every trap (see the chapter on traps).

#include "asm.h"
#include "cfi.h"

.section .trampoline, "ax"
.balign 4096
.globl trampoline
trampoline:

# Save the user's registers in the trapframe, take the kernel's stack and page table, go to usertrap.
.globl uservec
uservec:
        .cfi_startproc
        .cfi_return_column CFI_PC
        cfi_pc_of_trap
        csrrw   a0, sscratch, a0        # a0: this thread's trapframe; sscratch: the user's a0 meanwhile
        .cfi_register a0, CSR_SSCRATCH
        each_user_register sd
        cfi_each_saved
        cfi_stack_in_trapframe
        csrr    t0, sscratch
        sd      t0, TF_A0(a0)
        cfi_saved 10

        ld      sp, TF_KERNEL_SP(a0)
        ld      tp, TF_HARTID(a0)
        ld      t0, TF_KERNEL_TRAP(a0)
        ld      t1, TF_KERNEL_SATP(a0)
        csrw    satp, t1
        jr      t0
        .cfi_endproc

# userret(satp): take the user's page table and registers, go back to user mode at sepc.  The kernel has put the
# address of the thread's trapframe into sscratch, where uservec will find it.
.globl userret
userret:
        .cfi_startproc
        .cfi_return_column CFI_PC
        .cfi_register CFI_PC, CSR_SEPC
        cfi_stack_in_trapframe
        cfi_each_saved
        cfi_saved 10
        csrw    satp, a0
        csrr    a0, sscratch
        sc.d    zero, zero, (a0)        # fails, and drops a reservation that another process may have left
        each_user_register ld
        ld      a0, TF_A0(a0)
        sret
        .cfi_endproc
