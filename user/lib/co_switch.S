# The switch from one coroutine to another, and the first instructions of each.  Called by co.c, and by
# programs as co_yield().
#
# A call that comes back keeps sp, s0-s11 and, by way of `ret`, ra: they are all that must be saved, for the
# caller of co_yield() expects no other register to have kept its value.

#include "co_context.h"

        .cfi_sections .debug_frame
        .text

# void co_yield(void): goes on with the next in the ring, and returns when it is the caller's turn again.
        .globl co_yield
        .type co_yield, @function
co_yield:
        .cfi_startproc
        mv      a0, tp
        ld      tp, CO_NEXT(tp)
        .cfi_endproc
        .size co_yield, . - co_yield
        # falls through

# Leaves coroutine a0 for the one in tp.
        .globl co_switch
        .type co_switch, @function
co_switch:
        .cfi_startproc
        sd      ra, CO_RA(a0)
        sd      sp, CO_SP(a0)
        sd      s0, CO_S(0)(a0)
        sd      s1, CO_S(1)(a0)
        sd      s2, CO_S(2)(a0)
        sd      s3, CO_S(3)(a0)
        sd      s4, CO_S(4)(a0)
        sd      s5, CO_S(5)(a0)
        sd      s6, CO_S(6)(a0)
        sd      s7, CO_S(7)(a0)
        sd      s8, CO_S(8)(a0)
        sd      s9, CO_S(9)(a0)
        sd      s10, CO_S(10)(a0)
        sd      s11, CO_S(11)(a0)

        ld      ra, CO_RA(tp)
        ld      sp, CO_SP(tp)
        ld      s0, CO_S(0)(tp)
        ld      s1, CO_S(1)(tp)
        ld      s2, CO_S(2)(tp)
        ld      s3, CO_S(3)(tp)
        ld      s4, CO_S(4)(tp)
        ld      s5, CO_S(5)(tp)
        ld      s6, CO_S(6)(tp)
        ld      s7, CO_S(7)(tp)
        ld      s8, CO_S(8)(tp)
        ld      s9, CO_S(9)(tp)
        ld      s10, CO_S(10)(tp)
        ld      s11, CO_S(11)(tp)
        ret
        .cfi_endproc
        .size co_switch, . - co_switch

# Where a coroutine's first switch returns to, on an empty stack: s1(s2), and its end.  There is no caller.
        .globl co_start
        .type co_start, @function
co_start:
        .cfi_startproc
        .cfi_undefined ra
        mv      a0, s2
        jalr    s1
        call    co_exit
        .cfi_endproc
        .size co_start, . - co_start
