/* hart.h: one hart as the native hooks see it, and what of the library they use.
 *
 * Included by hooks.c before all other parts.  emu/cpu/fast.py fills in `struct hart` and `library`;
 * emu/cpu/engine.py names the first fields of `struct hart`, the reasons and the registers in the same way.
 * The offsets were read off the build of the library that fast.py names, which proves them at each start.
 */
#ifndef HART_H
#define HART_H
#include <stdint.h>

enum reason { RAN, DEADLINE, GATE, ILLEGAL, STRADDLE, TRAPPED, INTERRUPT, TRAP_LOOP, TRAP, BREAK, WATCH };
enum reg {
    PC = 64, LOAD_RES = 65, BADADDR = 68, PRIV = 74, MSTATUS = 78, MIP = 79, MIE = 81, MIDELEG = 82, SATP = 84,
    SEPC = 89, MEPC = 92
};
enum { USER = 0, SUPERVISOR = 1, MACHINE = 3 };
enum { MSTATUS_SIE = 1 << 1, MSTATUS_MIE = 1 << 3, FS_SHIFT = 13, FS_OFF = 0, FS_DIRTY = 3 };
enum { STEPPED = -1, ONE_INSTRUCTION = 1, TRAP_TICKS = 4, PAGE_BITS = 12, PAGE_SIZE = 1 << PAGE_BITS };
enum { OPCODE = 0x7f, MODES = 4 };
#define NOWHERE (-1UL) /* no address of an instruction */

/* Where a debugger wants a stop; Spot in emu/cpu/engine.py. */
struct spot {
    uint64_t low;
    uint64_t high;
    uint64_t kinds;
    uint64_t satp; /* of the one address space, or 0 */
};

struct hart {
    int64_t now;         /* ticks; while the engine runs, clock.h has the time */
    int64_t deadline;    /* ticks; the first instruction boundary at or after it is a stop */
    int64_t reason;      /* why the engine was asked to stop */
    uint64_t block_end;  /* virtual address behind the block entered last */
    int64_t stepping;    /* not 0: to run one instruction; STEPPED once it has been entered */
    uint64_t gate_low;   /* an S-mode ecall in [gate_low, gate_high) is a gate */
    uint64_t gate_high;
    uint64_t cause;      /* used by emu/cpu/public.py alone */
    /* from here on known to emu/cpu/fast.py alone */
    uint64_t *regs;
    uint32_t *next_block_size_max; /* instructions; the engine resets it when it has used it */
    uint8_t *no_exit_request; /* the code to be translated looks for a stop at blocks only */
    int32_t *cause_now;  /* of the exception that the engine is about */
    void *engine;
    void *cpu;
    void (*do_interrupt)(void *cpu);
    uint8_t *code_pages; /* for each page of RAM, whether blocks were made of its bytes */
    uint64_t ram;        /* host address */
    uint64_t ram_base;   /* physical address */
    uint64_t page_stored_to; /* number of the page that the engine's last slow store went to */
    int (*stop)(void *engine);
    int (*start)(void *engine, uint64_t begin, uint64_t until, uint64_t timeout_us, uint64_t count);
    const struct spot *spots;
    uint64_t spot_count;
    void (*leave_block)(void *cpu, uint64_t return_address); /* with the state at the instruction there */
    uint64_t second_half; /* address of the half that is translated next, if it begins no instruction */
    uint64_t last_half;  /* the 16 bits of code that were fetched last to be translated */
    int64_t held;        /* ticks by which the time left is shown as less, so that each block asks; or 0 */
    uint64_t stores_leave; /* on_store_0 and so on are installed: a store that stops the engine leaves its block */
    uint64_t tlb_fills[MODES];   /* entries made since the TLB was emptied */
    uint64_t tlb_flushes[MODES]; /* how often it was emptied */
};

/* What the library has for a hart, as far as it is known:
 *
 *      struct cpu   | ... | hart | ... | TLBs | request | left | regs: x0, x1, ... |
 *                                                        ^ clock.h: 12 bytes that the library leaves free
 */
enum { HART_IN_CPU = 33136, STATE_IN_CPU = 36112, CPU_IN_ENGINE = 440, REQUEST_BEFORE_STATE = 16 };

struct cpu {
    char unknown[HART_IN_CPU];
    struct hart *hart; /* or 0: an engine that is none of ours */
};

struct engine {
    char unknown[CPU_IN_ENGINE];
    struct cpu *cpu;
};

static struct hart *hart_of(const void *regs)
{
    return ((const struct cpu *)((const char *)regs - STATE_IN_CPU))->hart;
}

struct translator; /* TCGContext */
struct block;      /* TranslationBlock */
struct temp;       /* TCGTemp */

typedef void store_function(char *state, uint64_t va, uint64_t value, uint32_t how, uint64_t return_address);

/* What the library itself does; the same for all engines. */
struct calls {
    uint64_t (*load[4])(char *state, uint64_t va, uint32_t how, uint64_t return_address);
    store_function *store[4];
    void (*drop_blocks)(void *engine, void *pages, uint64_t offset, int bytes, uint64_t return_address);
    void (*set_dirty)(struct cpu *cpu, uint64_t va);
    void (*reset_dirty)(struct cpu *cpu, uint64_t host_address, uint64_t bytes);
    uint32_t (*fetch_half)(uint64_t *regs, uint64_t address);
    void (*exit_if_asked)(void *engine, uint32_t in_delay_slot);
    int (*access_csr)(uint64_t *regs, int csr, uint64_t *old, uint64_t value, uint64_t mask);
    void (*emit_call)(struct translator *, void *function, struct temp *result, int count, struct temp **arguments);
    void (*emit_1)(struct translator *, int operation, uint64_t);
    void (*emit_3)(struct translator *, int operation, uint64_t, uint64_t, uint64_t);
    uint64_t (*constant)(struct translator *, int64_t); /* gives the distance of a temporary from the translator */
    void (*fill_tlb)(struct cpu *, uint64_t va, uint64_t pa, int rights, int mode, uint64_t bytes);
    void (*flush_tlb)(struct cpu *, uint16_t modes);
    int (*generate)(struct translator *, struct block *); /* gives the bytes of host code, or an error below 0 */
};
static struct calls library;

static void stop(struct hart *h, enum reason reason)
{
    h->reason = reason;
    h->stop(h->engine);
}

/* Whether an interrupt is to be taken before the next instruction; says the same as
 * Hart.takeable_interrupt in emu/cpu/hart.py. */
static int interrupted(const uint64_t *regs)
{
    uint64_t pending = regs[MIP] & regs[MIE], priv, mstatus;

    if (!pending)
        return 0;
    priv = regs[PRIV];
    mstatus = regs[MSTATUS];
    if (pending & ~regs[MIDELEG] && (priv < MACHINE || mstatus & MSTATUS_MIE))
        return 1;
    return pending & regs[MIDELEG] && (priv < SUPERVISOR || (priv == SUPERVISOR && mstatus & MSTATUS_SIE));
}
#endif
