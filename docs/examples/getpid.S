# getpid: one system call with a known value in every register, for the chapter on traps.
#
#       .venv/bin/orrery run docs/examples/getpid.S; echo $?
#
# Exits with its own pid: process 1 is init, so that is 2.

#include "kernel/syscall.h"

        .globl main, call, after
main:
        li      s1, 0x5001
        li      s2, 0x5002
        li      s11, 0x5011
        li      t6, 0x7006
        li      a0, 0xa0
        li      a1, 0xa1
        li      a7, SYS_getpid
call:
        ecall
after:
        li      a7, SYS_exit            # the status is a0: what getpid left there
        ecall
