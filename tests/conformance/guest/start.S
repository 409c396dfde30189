/* start.S: what the guest does where C cannot: its first steps in M-mode, and its two trap vectors.
 *
 * M-mode keeps nothing but the timer.  Its vector arms the comparator anew and hands the tick on as a
 * supervisor software interrupt, as kernels did before the Sstc extension.
 */
#define CLINT_MTIMECMP 0x2004000
#define SSIP 2

        .section .text.start
        .globl start
start:
        la sp, stack_top
        call setup_machine              # sets mepc and mstatus
        mret

        .text
        .balign 4
        .globl machine_vector
machine_vector:                         # mscratch: struct machine of guest.c
        csrrw a0, mscratch, a0
        sd a1, 0(a0)
        sd a2, 8(a0)
        li a1, CLINT_MTIMECMP
        ld a2, 0(a1)
        ld a1, 16(a0)                   # the interval
        add a2, a2, a1
        li a1, CLINT_MTIMECMP
        sd a2, 0(a1)
        csrsi mip, SSIP
        ld a2, 8(a0)
        ld a1, 0(a0)
        csrrw a0, mscratch, a0
        mret

        .balign 4
        .globl supervisor_vector
supervisor_vector:                      # what the calling convention lets a function change
        addi sp, sp, -128
        sd ra, 0(sp)
        sd t0, 8(sp)
        sd t1, 16(sp)
        sd t2, 24(sp)
        sd a0, 32(sp)
        sd a1, 40(sp)
        sd a2, 48(sp)
        sd a3, 56(sp)
        sd a4, 64(sp)
        sd a5, 72(sp)
        sd a6, 80(sp)
        sd a7, 88(sp)
        sd t3, 96(sp)
        sd t4, 104(sp)
        sd t5, 112(sp)
        sd t6, 120(sp)
        call supervisor_trap
        ld ra, 0(sp)
        ld t0, 8(sp)
        ld t1, 16(sp)
        ld t2, 24(sp)
        ld a0, 32(sp)
        ld a1, 40(sp)
        ld a2, 48(sp)
        ld a3, 56(sp)
        ld a4, 64(sp)
        ld a5, 72(sp)
        ld a6, 80(sp)
        ld a7, 88(sp)
        ld t3, 96(sp)
        ld t4, 104(sp)
        ld t5, 112(sp)
        ld t6, 120(sp)
        addi sp, sp, 128
        sret
