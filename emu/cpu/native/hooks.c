/* hooks.c: what has to be native to be fast: entering the engine, and its callbacks.
 *
 * Built for the host by toolchain.hostlib.host_library and installed by emu/cpu/fast.py, which fills in
 * `struct hart`; emu/cpu/engine.py names its first fields, the reasons and the registers in the same way.
 * The hooks keep the virtual clock, stop the engine before a block that would cross the deadline or
 * before which an interrupt is due, and enter traps for exceptions as the hart does.  They only set
 * state and ask the engine to stop; no kernel code runs inside them.
 *
 * The clock counts the bytes of retired instructions.  A block is paid for when it is entered, and
 * when a trap leaves it in its middle, what was not retired is paid back:
 *
 *      start         pc of the trap          block_end
 *        |=== retired ======|----- paid back -----|
 */
#include <stdint.h>

enum reason { RAN, DEADLINE, GATE, ILLEGAL, STRADDLE, TRAPPED, INTERRUPT, TRAP_LOOP, TRAP, BREAK, WATCH };
enum reg { PC = 64, LOAD_RES = 65, BADADDR = 68, PRIV = 74, MSTATUS = 78, MIP = 79, MIE = 81, MIDELEG = 82, SATP = 84, SEPC = 89, MEPC = 92 };
enum cause {
    FETCH_ACCESS = 1, ILLEGAL_INSTRUCTION = 2, MISALIGNED_LOAD = 4, MISALIGNED_STORE = 6, ECALL = 8,
    FETCH_PAGE = 12, LOAD_PAGE = 13, STORE_PAGE = 15
};
enum { OPCODE = 0x7f, ATOMIC = 0x2f, FUNCT5_IN_HALF = 11, LR = 2 };
enum { LOADS = 1, STORES = 2, FETCHES = 4 };
enum { USER = 0, SUPERVISOR = 1, MACHINE = 3 };
enum { MSTATUS_SIE = 1 << 1, MSTATUS_MIE = 1 << 3, FS_SHIFT = 13, FS_OFF = 0, FS_DIRTY = 3 };
enum { STEPPED = -1, ONE_INSTRUCTION = 1, TRAP_TICKS = 4, PAGE_SIZE = 4096, C_JUMP_SIZE = 2 };
#define NOWHERE (-1UL) /* no address of an instruction */

/* Where a debugger wants a stop; Spot in emu/cpu/engine.py. */
struct spot {
    uint64_t low;
    uint64_t high;
    uint64_t kinds;
    uint64_t satp; /* of the one address space, or 0 */
};

struct hart {
    int64_t now;         /* ticks */
    int64_t deadline;    /* ticks; the first instruction boundary at or after it is a stop */
    int64_t reason;      /* why the engine was asked to stop */
    uint64_t block_end;  /* virtual address behind the block entered last */
    int64_t stepping;    /* not 0: to run one instruction; STEPPED once it has been entered */
    uint64_t gate_low;   /* an S-mode ecall in [gate_low, gate_high) is a gate */
    uint64_t gate_high;
    uint64_t cause;      /* used by emu/cpu/public.py alone */
    /* from here on known to emu/cpu/fast.py alone */
    uint64_t block;      /* address of the block entered last, in this run */
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
};

/* What the library itself does; the same for all engines. */
struct cpu;
struct calls {
    uint64_t (*load[4])(char *state, uint64_t va, uint32_t how, uint64_t return_address);
    void (*store[4])(char *state, uint64_t va, uint64_t value, uint32_t how, uint64_t return_address);
    void (*drop_blocks)(void *engine, void *pages, uint64_t offset, int bytes, uint64_t return_address);
    void (*set_dirty)(struct cpu *cpu, uint64_t va);
    void (*reset_dirty)(struct cpu *cpu, uint64_t host_address, uint64_t bytes);
    uint32_t (*fetch_half)(uint64_t *regs, uint64_t address);
};
static struct calls library;

void set_library_calls(const struct calls *calls)
{
    library = *calls;
}

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

/* A block of one compressed instruction that follows itself is a jump to itself, as in `for (;;);`: it
 * changes no state when it is done again, so time can go on without it. */
static void skip_spin(struct hart *h, int64_t bytes)
{
    int64_t left = h->deadline - h->now;

    if (left > 0)
        h->now += left - left % bytes;
}

/* Run from pc until something stops the engine, one instruction where `stepping` is set; gives the
 * engine's error number. */
int enter(struct hart *h)
{
    h->reason = RAN;
    h->block = NOWHERE;
    h->second_half = NOWHERE;
    /* Code looks for a stop behind each load and store too, because one may touch a device, and that
     * costs more than the access.  The guest code of a kernel that has gates touches none. */
    *h->no_exit_request = h->gate_high && !h->stepping;
    if (h->stepping)
        *h->next_block_size_max = ONE_INSTRUCTION;
    return h->start(h->engine, h->regs[PC], 0, 0, 0);
}

/* Whether the engine may go into a block of which on_block could not say so at a glance. */
static __attribute__((noinline)) int may_enter(struct hart *h, uint64_t address, int64_t bytes)
{
    if (h->stepping == STEPPED) {
        h->stop(h->engine);
        return 0;
    }
    if (h->stepping) {
        h->stepping = STEPPED;
        return 1;
    }
    if (interrupted(h->regs)) {
        stop(h, INTERRUPT);
        return 0;
    }
    if (address == h->block && bytes == C_JUMP_SIZE && h->regs[PRIV] == USER)
        skip_spin(h, bytes);
    if (h->now + bytes > h->deadline) {
        stop(h, DEADLINE);
        return 0;
    }
    return 1;
}

/* The hottest code of all: once a block. */
void on_block(void *engine, uint64_t address, uint32_t size, struct hart *h)
{
    int64_t bytes = size;
    int special = h->now + bytes > h->deadline || h->stepping || bytes == C_JUMP_SIZE ||
                  h->regs[MIP] & h->regs[MIE];

    (void)engine;
    if (__builtin_expect(special, 0) && !may_enter(h, address, bytes))
        return;
    h->block = address;
    h->now += bytes;
    h->block_end = address + bytes;
}

/* A fetch failed, with pc on the next instruction to be run: what is to be done instead of entering the
 * trap, or RAN.  No block was entered, so there is nothing to pay back. */
static enum reason fetch_fault(struct hart *h, uint64_t distance)
{
    if (!h->stepping) {
        if (interrupted(h->regs))
            return INTERRUPT;
        if (h->now >= h->deadline)
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
    h->now -= (int64_t)(h->block_end - pc);
    if (pc == h->block_end && h->now >= h->deadline && !h->stepping)
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
    h->now += TRAP_TICKS;
    if (h->regs[PC] == pc && h->regs[PRIV] == priv)
        stop(h, TRAP_LOOP);
    else if (h->stepping)
        stop(h, TRAPPED);
}

/* Breakpoints and watchpoints.
 *
 * The library calls on_break only from code that stands at a breakpoint, so other code pays nothing.  It
 * would call for a watchpoint from the slow path of an access to a page that has one, but both functions
 * that this needs are empty in it; they are redirected to here.  The engine leaves the block before the
 * instruction has done anything; what was paid for the rest of the block is for the loop to take back.
 */
enum { INTERRUPTED = 0x10000 }; /* as an exception: none, only leave */

static int in_space(const struct hart *h, const struct spot *spot)
{
    return !spot->satp || spot->satp == h->regs[SATP];
}

static void leave(struct hart *h, enum reason reason, uint64_t return_address)
{
    stop(h, reason);
    *h->cause_now = INTERRUPTED;
    h->leave_block(h->cpu, return_address);
}

void on_break(void *engine, uint64_t address, uint32_t size, struct hart *h)
{
    (void)engine, (void)size;
    for (uint64_t i = 0; i < h->spot_count && !h->stepping; i++)
        if (h->spots[i].kinds & FETCHES && h->spots[i].low == address && in_space(h, &h->spots[i])) {
            h->regs[PC] = address;
            leave(h, BREAK, 0);
        }
}

/* Code that the guest writes.
 *
 * The engine marks a page in its TLB as `dirty` at the first store through an entry; from then on stores
 * through it are fast, and drop no blocks.  That is right until blocks are made of the page, and wrong
 * then: in this library the steps that would look for other entries to the same page are empty.  They are
 * put back here, by redirecting four calls within the library.  Its table of calls is one for the process,
 * so an engine that has no hart here is served as before.
 */
struct cpu {
    char unknown[33136];
    struct hart *hart;
};

struct engine {
    char unknown[440];
    struct cpu *cpu;
};

enum { PAGE_BITS = 12 };

/* What is watched of a page of virtual addresses that enters the TLB. */
int on_page(struct cpu *cpu, uint64_t va, uint64_t bytes)
{
    struct hart *h = cpu->hart;
    uint64_t kinds = 0;

    for (uint64_t i = 0; h && i < h->spot_count; i++)
        if (h->spots[i].low < va + bytes && va < h->spots[i].high)
            kinds |= h->spots[i].kinds;
    return kinds & (LOADS | STORES);
}

/* An access to such a page. */
void on_access(struct cpu *cpu, uint64_t va, uint64_t bytes, uint32_t attributes, int kind, uint64_t return_address)
{
    struct hart *h = cpu->hart;

    (void)attributes;
    for (uint64_t i = 0; h && i < h->spot_count && !h->stepping; i++) {
        const struct spot *spot = &h->spots[i];

        if (spot->kinds & kind && spot->low < va + bytes && va < spot->high && in_space(h, spot))
            leave(h, WATCH, return_address);
    }
}

/* Accesses to a page with a watched place, all over the page.
 *
 * The library's TLB has such a page with a mark, so that translated code calls one of eight functions for
 * each access to it.  Theirs take some 80 ns, for things that none of our pages has.  So code that is
 * translated while places are watched calls ours, which do the plain access themselves: in RAM, on one page
 * whose only mark is this one, beside all watched places.  Everything else is for theirs.
 */
enum { ENTRY_BITS = 6, WATCHED = 0x100, CLEAN = 0x400, MODE = 0xf, ALIGNED = 0x700 };

struct entry {
    uint64_t load; /* the page and its marks, for each kind of access */
    uint64_t store;
    uint64_t fetch;
    uint64_t physical;
    uint64_t host; /* to be added to the virtual address */
    uint64_t unknown[3];
};

struct tlb {
    uint64_t mask;
    struct entry *entries;
};

enum { TLBS_BEFORE_STATE = 0x50, STATE_IN_CPU = 36112 };

static const struct entry *entry(const char *state, uint64_t va, uint32_t how)
{
    const struct tlb *tlb = (const struct tlb *)(state - TLBS_BEFORE_STATE) + (how & MODE);

    return (const struct entry *)((const char *)tlb->entries + (va >> PAGE_BITS << ENTRY_BITS & tlb->mask));
}

/* Whether an access is plain; `marked` is what the TLB has for accesses of its kind, `host` where it goes.
 * The library leaves a watched page marked as one that was not stored to; that matters where it has code. */
static int is_plain(const char *state, uint64_t va, uint64_t bytes, uint32_t how, uint64_t marked, uint64_t host, uint64_t kind)
{
    const struct hart *h = ((const struct cpu *)(state - STATE_IN_CPU))->hart;
    uint64_t marks = marked ^ (va & -PAGE_SIZE);

    if ((marks & ~CLEAN) != WATCHED || (va & (PAGE_SIZE - 1)) + bytes > PAGE_SIZE || how & ALIGNED || !h)
        return 0;
    if (marks & CLEAN && h->code_pages[(host - h->ram) >> PAGE_BITS])
        return 0;
    for (uint64_t i = 0; i < h->spot_count; i++)
        if (h->spots[i].kinds & kind && h->spots[i].low < va + bytes && va < h->spots[i].high)
            return 0;
    return 1;
}

/* Of 1 << `size` bytes; a value may have more than those, of which the rest means nothing. */
#define ACCESSES(size, type)                                                                                   \
    uint64_t on_load_##size(char *state, uint64_t va, uint32_t how, uint64_t return_address)                   \
    {                                                                                                          \
        const struct entry *e = entry(state, va, how);                                                         \
        type value;                                                                                            \
                                                                                                               \
        if (!is_plain(state, va, sizeof value, how, e->load, va + e->host, LOADS))                                    \
            return library.load[size](state, va, how, return_address);                                         \
        __builtin_memcpy(&value, (const char *)(va + e->host), sizeof value);                                  \
        return value;                                                                                          \
    }                                                                                                          \
    void on_store_##size(char *state, uint64_t va, uint64_t wide, uint32_t how, uint64_t return_address)       \
    {                                                                                                          \
        const struct entry *e = entry(state, va, how);                                                         \
        type value = (type)wide;                                                                               \
                                                                                                               \
        if (is_plain(state, va, sizeof value, how, e->store, va + e->host, STORES))                                    \
            __builtin_memcpy((char *)(va + e->host), &value, sizeof value);                                    \
        else                                                                                                   \
            library.store[size](state, va, wide, how, return_address);                                         \
    }

ACCESSES(0, uint8_t)
ACCESSES(1, uint16_t)
ACCESSES(2, uint32_t)
ACCESSES(3, uint64_t)

/* The first block was made of a page: from now on every store to it is to be seen. */
void on_first_block(struct engine *engine, uint64_t offset)
{
    struct hart *h = engine->cpu->hart;

    if (!h)
        return;
    h->code_pages[offset >> PAGE_BITS] = 1;
    library.reset_dirty(engine->cpu, h->ram + offset, PAGE_SIZE);
}

/* The last block of a page was dropped. */
void on_last_block(struct engine *engine, uint64_t offset)
{
    struct hart *h = engine->cpu->hart;

    if (h)
        h->code_pages[offset >> PAGE_BITS] = 0;
}

/* A store through an entry that is not dirty. */
void on_store(struct engine *engine, void *pages, uint64_t offset, int bytes, uint64_t return_address)
{
    struct hart *h = engine->cpu->hart;

    if (h)
        h->page_stored_to = offset >> PAGE_BITS;
    if (!h || h->code_pages[offset >> PAGE_BITS])
        library.drop_blocks(engine, pages, offset, bytes, return_address);
    else /* not done by the engine where the page can be executed, as all can without paging */
        library.set_dirty(engine->cpu, h->ram_base + offset);
}

/* The engine wants stores to the page that on_store was called for to be fast from now on. */
void on_set_dirty(struct cpu *cpu, uint64_t va)
{
    struct hart *h = cpu->hart;

    if (!h || !h->code_pages[h->page_stored_to])
        library.set_dirty(cpu, va);
}

/* Floating point that is switched off, or that is about to change state marked as unchanged.
 *
 * With FS off every floating-point instruction is illegal.  The library lets fsgnj.d pass, which even switches
 * it on, and does nothing for the compressed loads and stores.  With FS initial or clean it does not mark the
 * state as dirty for a comparison or a conversion, which set flags, and not SD for a write to fcsr.
 * So it gets something illegal of the same length to translate in their place: the hart stops there with pc on
 * the instruction, and Python (Exits._illegal) enters the trap or marks the state.  The library keeps blocks
 * of different FS apart.  is_float and may_write_float say the same as those of emu/cpu/decode.py.
 */
enum {
    LOAD_FP = 0x07, STORE_FP = 0x27, MADD = 0x43, MSUB = 0x47, NMSUB = 0x4b, NMADD = 0x4f, OP_FP = 0x53,
    SYSTEM = 0x73
};
enum { ILLEGAL_16 = 0, ILLEGAL_32 = 0xffff /* whatever its second half is */ };
enum { FMV_X_OR_FCLASS = 0x1c, FUNCT5_SHIFT = 27, CSR_SHIFT = 20, FCSR = 3, CSR_SEPC = 0x141 };

static int is_compressed(uint32_t word)
{
    return (word & 3) != 3;
}

static int is_float(uint32_t word)
{
    switch (word & OPCODE) {
    case LOAD_FP: case STORE_FP: case MADD: case MSUB: case NMSUB: case NMADD: case OP_FP:
        return 1;
    }
    return !(word & 1) && (word >> 13 & 3) == 1; /* c.fld, c.fsd, c.fldsp, c.fsdsp */
}

static int writes_fcsr(uint32_t word)
{
    uint32_t csr = word >> CSR_SHIFT, op = word >> 12 & 3, rs1 = word >> 15 & 31;

    return csr && csr <= FCSR && (op == 1 || (op && rs1));
}

static int may_write_float(uint32_t word)
{
    if (is_compressed(word))
        return is_float(word) && !(word >> 15 & 1); /* no store */
    switch (word & OPCODE) {
    case SYSTEM:
        return writes_fcsr(word);
    case OP_FP:
        return word >> FUNCT5_SHIFT != FMV_X_OR_FCLASS;
    case STORE_FP:
        return 0;
    }
    return is_float(word);
}

static int is_held_back(uint64_t *regs, uint64_t address, uint32_t half)
{
    uint64_t fs = regs[MSTATUS] >> FS_SHIFT & 3;

    if (fs == FS_DIRTY)
        return 0;
    if (fs == FS_OFF)
        return is_float(half);
    return may_write_float(is_compressed(half) ? half : half | library.fetch_half(regs, address + 2) << 16);
}

/* The library fetches 16 bits of code to translate them: one instruction after another, each from its first
 * half.  It does not come back from a fetch that faults. */
uint32_t on_fetch(uint64_t *regs, uint64_t address)
{
    struct hart *h = ((const struct cpu *)((const char *)regs - STATE_IN_CPU))->hart;
    uint32_t half;
    int is_second;

    if (!h)
        return library.fetch_half(regs, address);
    is_second = address == h->second_half;
    h->second_half = NOWHERE;
    half = library.fetch_half(regs, address);
    if (is_second)
        return half;
    if (is_held_back(regs, address, half))
        half = is_compressed(half) ? ILLEGAL_16 : ILLEGAL_32;
    if (!is_compressed(half))
        h->second_half = address + 2;
    return half;
}

/* sepc and mepc are addresses of instructions, and those are even; the library keeps what it is given.
 * The reservation is dropped because the public engine cannot write a CSR without. */
int write_epc(uint64_t *regs, int csr, uint64_t value)
{
    regs[csr == CSR_SEPC ? SEPC : MEPC] = value & -2;
    regs[LOAD_RES] = NOWHERE;
    return 0;
}
