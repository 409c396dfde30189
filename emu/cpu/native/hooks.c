/* hooks.c: what has to be native to be fast: entering the engine, and its callbacks.
 *
 * Built for the host by toolchain.hostlib.host_library and installed by emu/cpu/fast.py, which fills in
 * `struct hart` (hart.h).  The hooks keep the virtual clock (clock.h), stop the engine before a block that
 * would cross the deadline or before which an interrupt is due, and enter traps for exceptions as the hart
 * does.  They only set state and ask the engine to stop; no kernel code runs inside them.
 */
#include "hart.h"
#include "clock.h"
#include "slots.h"
#include "tlb.h"
#include "spots.h"
#include "code_pages.h"
#include "fetch.h"

void set_library_calls(const struct calls *calls)
{
    library = *calls;
}

enum cause {
    FETCH_ACCESS = 1, ILLEGAL_INSTRUCTION = 2, MISALIGNED_LOAD = 4, MISALIGNED_STORE = 6, ECALL = 8,
    FETCH_PAGE = 12, LOAD_PAGE = 13, STORE_PAGE = 15
};
enum { ATOMIC = 0x2f, FUNCT5_IN_HALF = 11, LR = 2 };

/* Run from pc until something stops the engine, one instruction where `stepping` is set; gives the
 * engine's error number. */
int enter(struct hart *h)
{
    int error;

    h->reason = RAN;
    h->second_half = NOWHERE;
    /* Code can look for a stop behind each load and store, because one may touch a device; that costs more than
     * the access.  A load that does leaves its block anyway, and on_store_0 and so on see to a store.  The guest
     * code of a kernel that has gates touches no device. */
    *h->no_exit_request = h->stores_leave || (h->gate_high && !h->stepping);
    if (h->stepping)
        *h->next_block_size_max = ONE_INSTRUCTION;
    grow_tlbs(h);
    start_clock(h);
    error = h->start(h->engine, h->regs[PC], 0, 0, 0);
    stop_clock(h);
    return error;
}

/* A fetch failed, with pc on the next instruction to be run: what is to be done instead of entering the
 * trap, or RAN.  No block was entered, so there is nothing to pay back. */
static enum reason fetch_fault(struct hart *h, uint64_t distance)
{
    if (!h->stepping) {
        if (interrupted(h->regs))
            return INTERRUPT;
        if (time_left(h) <= 0)
            return DEADLINE;
    }
    /* A compressed instruction that does not exist makes a block of no bytes, and the engine looks for
     * the last of them: at the start of a page that is on the page before. */
    if (distance > 2 * PAGE_SIZE)
        return ILLEGAL;
    /* Otherwise a fault beyond pc may be that of an instruction further on in the block, which straddles
     * two pages: those before it have to be run first, one by one. */
    return distance && !h->stepping ? STRADDLE : RAN;
}

/* What is to be done for another exception at pc instead of entering its trap, or RAN. */
static enum reason exception(struct hart *h, uint32_t cause, uint64_t pc)
{
    *left(h) += bytes_to_end(h, pc);
    if (!bytes_to_end(h, pc) && time_left(h) <= 0 && !h->stepping)
        return DEADLINE; /* a compressed instruction that does not exist is not counted in its block */
    if (cause == ECALL && h->regs[PRIV] == SUPERVISOR && pc >= h->gate_low && pc < h->gate_high)
        return GATE;
    return cause == ILLEGAL_INSTRUCTION ? ILLEGAL /* it may be a CSR that the board does */ : RAN;
}

/* The engine does an atomic operation as a load and a store, but what fails is a store (LR is a load). */
static void correct_cause(struct hart *h, uint32_t cause, uint64_t pc)
{
    if (cause != MISALIGNED_LOAD && cause != LOAD_PAGE)
        return;
    if ((library.fetch_half(h->regs, pc) & OPCODE) == ATOMIC &&
        library.fetch_half(h->regs, pc + 2) >> FUNCT5_IN_HALF != LR)
        *h->cause_now = cause == LOAD_PAGE ? STORE_PAGE : MISALIGNED_STORE;
}

void on_trap(void *engine, uint32_t cause, struct hart *h)
{
    /* The engine has moved pc 4 on before it calls, whatever the instruction's length. */
    uint64_t pc = h->regs[PC] - 4, priv = h->regs[PRIV];
    enum reason reason;

    (void)engine;
    h->regs[PC] = pc;
    if (cause == FETCH_PAGE || cause == FETCH_ACCESS) {
        if (h->stepping == STEPPED) { /* the fault is that of the instruction behind the one stepped */
            h->stop(h->engine);
            return;
        }
        reason = fetch_fault(h, h->regs[BADADDR] - pc);
    } else {
        reason = exception(h, cause, pc);
    }
    if (reason != RAN) {
        stop(h, reason);
        return;
    }
    correct_cause(h, cause, pc);
    h->do_interrupt(h->cpu);
    *left(h) -= TRAP_TICKS;
    if (h->regs[PC] == pc && h->regs[PRIV] == priv)
        stop(h, TRAP_LOOP);
    else if (h->stepping)
        stop(h, TRAPPED);
}
