# calls: eight system calls in a row, good and bad ones, then a loop.  For tests that count traps.

#include "kernel/syscall.h"

        .globl main, first_call, loop
main:
first_call:
        .rept 3
        li      a7, SYS_getpid
        ecall
        .endr

        li      a7, SYS_uptime
        ecall

        li      a0, 99                  # no such descriptor
        li      a7, SYS_close
        ecall

        li      a0, -1                  # no such address
        li      a7, SYS_chdir
        ecall

        li      a0, 0
        li      a7, SYS_sbrk
        ecall

        li      a7, SYS_getpid
        ecall
loop:
        j       loop
