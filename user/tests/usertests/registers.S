# What the kernel does to a program's registers, for traps.c:
#
#   registers_after_call(uint64 out[32], number)       makes a system call
#   registers_after_spin(uint64 out[32], rounds)       keeps the processor busy
#
# Each saves its caller's registers, sets every register but sp to its own number times PATTERN, does its
# one thing, and stores what it then finds in out[1..31].  In the middle the number of the call is in a7,
# and t5 counts the rounds down.  The frame:
#
#   sp + 0      x1 .. x31 as they are found, 8 bytes each, at 8 * number
#   sp + 256    x1 .. x31 as the caller had them

        .equ PATTERN, 0x01234567
        .equ CALLERS, 256

        .macro prepare
        addi    sp, sp, -512
        .irp    r, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        sd      x\r, CALLERS + 8 * \r (sp)
        .endr
        .irp    r, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        li      x\r, PATTERN * \r
        .endr
        .endm

        .macro report
        .irp    r, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        sd      x\r, 8 * \r (sp)
        .endr
        ld      a0, CALLERS + 8 * 10 (sp)
        .irp    r, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        ld      t0, 8 * \r (sp)
        sd      t0, 8 * \r (a0)
        .endr
        .irp    r, 1,3,4,8,9,18,19,20,21,22,23,24,25,26,27
        ld      x\r, CALLERS + 8 * \r (sp)
        .endr
        addi    sp, sp, 512
        ret
        .endm

        .text
        .globl  registers_after_call
registers_after_call:
        prepare
        ld      a7, CALLERS + 8 * 11 (sp)
        ecall
        report

        .globl  registers_after_spin
registers_after_spin:
        prepare
        ld      t5, CALLERS + 8 * 11 (sp)
1:      .rept   100
        or      x29, x29, x29
        .endr
        addi    t5, t5, -1
        bnez    t5, 1b
        report
