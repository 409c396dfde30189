/* hooks.c: what has to be native to be fast: entering the engine, and its two callbacks.
 *
 * Built for the host by toolchain.cc.host_library and installed by emu/fast.py, which fills in
 * `struct hart`; emu/engine.py names its first fields in the same order.  The hooks keep the virtual
 * clock, stop the engine before a block that would cross the deadline, and enter traps as the hart
 * does.  They only set state and ask the engine to stop; no kernel code runs inside them.
 *
 * The clock counts the bytes of retired instructions.  A block is paid for when it is entered, and
 * when a trap leaves it in its middle, what was not retired is paid back:
 *
 *      start         pc of the trap          block_end
 *        |=== retired ======|----- paid back -----|
 */
#include <stdint.h>

enum reason { RAN, DEADLINE, GATE, ILLEGAL, STRADDLE, TRAPPED };
enum cause { FETCH_ACCESS = 1, ILLEGAL_INSTRUCTION = 2, ECALL = 8, FETCH_PAGE = 12 };
enum { USER = 0, SUPERVISOR = 1, STEPPED = -1, C_JUMP = 2 };

struct hart {
    int64_t now;         /* ticks */
    int64_t deadline;    /* ticks; the first instruction boundary at or after it is a stop */
    int64_t reason;      /* why the engine was asked to stop */
    uint64_t block_end;  /* virtual address behind the block entered last */
    int64_t stepping;    /* length of the one instruction to run, then STEPPED; 0 to run freely */
    uint64_t gate_low;   /* an S-mode ecall in [gate_low, gate_high) is a gate */
    uint64_t gate_high;
    uint64_t cause;      /* used by emu/public.py alone */
    /* from here on known to emu/fast.py alone */
    uint64_t block;      /* the block entered last, in this run */
    void *engine;
    void *cpu;
    uint64_t *pc, *priv, *badaddr;
    void (*do_interrupt)(void *cpu);
    int (*stop)(void *engine);
    int (*start)(void *engine, uint64_t begin, uint64_t until, uint64_t timeout_us, uint64_t count);
};

static void stop(struct hart *h, enum reason reason)
{
    h->reason = reason;
    h->stop(h->engine);
}

/* A block of 2 bytes is one instruction; one that follows itself is a jump to itself, as in `for (;;);`: in user mode
 * nothing that does so changes any state when it is done again, so time can go on without it. */
static void skip_spin(struct hart *h, int64_t bytes)
{
    int64_t left = h->deadline - h->now;

    if (left > 0)
        h->now += left - left % bytes;
}

/* Run from pc, `count` instructions or (0) until something stops the engine; gives its error number. */
int enter(struct hart *h, uint64_t count)
{
    h->reason = RAN;
    h->block = -1;
    return h->start(h->engine, *h->pc, 0, 0, count);
}

void on_block(void *engine, uint64_t address, uint32_t size, struct hart *h)
{
    int64_t bytes = size;

    (void)engine;
    if (h->stepping == STEPPED) {
        h->stop(h->engine);
        return;
    }
    if (h->stepping) {
        bytes = h->stepping; /* `size` is that of a whole block */
        h->stepping = STEPPED;
    } else {
        if (address == h->block && bytes == C_JUMP && *h->priv == USER)
            skip_spin(h, bytes);
        if (h->now + bytes > h->deadline) {
            stop(h, DEADLINE);
            return;
        }
    }
    h->block = address;
    h->now += bytes;
    h->block_end = address + bytes;
}

void on_trap(void *engine, uint32_t cause, struct hart *h)
{
    /* The engine has moved pc 4 on before it calls, whatever the instruction's length. */
    uint64_t pc = *h->pc - 4;

    (void)engine;
    *h->pc = pc;
    if (cause == FETCH_PAGE || cause == FETCH_ACCESS) {
        /* No block was entered.  If the fault lies beyond pc, then an instruction further on in
         * the block straddles two pages: those before it have to be run first, one by one. */
        if (*h->badaddr != pc && !h->stepping) {
            stop(h, STRADDLE);
            return;
        }
    } else {
        h->now -= (int64_t)(h->block_end - pc);
        if (cause == ECALL && *h->priv == SUPERVISOR && pc >= h->gate_low && pc < h->gate_high) {
            stop(h, GATE);
            return;
        }
        if (cause == ILLEGAL_INSTRUCTION) { /* it may be a CSR that the board adds */
            stop(h, ILLEGAL);
            return;
        }
    }
    h->do_interrupt(h->cpu);
    if (h->stepping)
        stop(h, TRAPPED);
}
