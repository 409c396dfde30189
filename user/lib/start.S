# The first instructions of every program.  exec() enters here with a0 = argc, a1 = argv and sp
# at the lowest word of argv; what main() returns becomes the exit status.
#
# There is no caller: ra has no value to go back to, and the CFI says so, which is where a
# backtrace ends.  tp points to the coroutine that runs, main's, or is 0 in a program without co.c.

        .cfi_sections .debug_frame
        .text
        .globl _start
        .type _start, @function
        .weak co_main
_start:
        .cfi_startproc
        .cfi_undefined ra
        li      ra, 0
        li      s0, 0
        lla     tp, co_main
        call    main
        call    exit            # takes main's result from a0 and does not come back
        .cfi_endproc
        .size _start, . - _start
