/* spots.h: breakpoints and watchpoints.
 *
 * Included by hooks.c; emu/cpu/fast.py sets the spots.
 *
 * The library calls on_break only from code that stands at a breakpoint, so other code pays nothing.  It
 * would call for a watchpoint from the slow path of an access to a page that has one, but both functions
 * that this needs are empty in it; they are redirected to here.  The engine leaves the block before the
 * instruction has done anything; what was paid for the rest of the block is for the loop to take back.
 */
#include "hart.h"
#include "tlb.h"

enum { LOADS = 1, STORES = 2, FETCHES = 4 };
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

static int is_break(const struct hart *h, uint64_t address)
{
    for (uint64_t i = 0; i < h->spot_count; i++)
        if (h->spots[i].kinds & FETCHES && h->spots[i].low == address && in_space(h, &h->spots[i]))
            return 1;
    return 0;
}

void on_break(void *engine, uint64_t address, uint32_t size, struct hart *h)
{
    (void)engine, (void)size;
    if (!h->stepping && is_break(h, address)) {
        h->regs[PC] = address;
        leave(h, BREAK, 0);
    }
}

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

/* Accesses that are not plain.
 *
 * The library's TLB has a page with a watched place marked, so that translated code calls one of eight functions
 * for each access to it.  Theirs take some 80 ns, for things that none of our pages has.  So ours are called,
 * which do the plain access themselves: in RAM, on one page whose only mark is this one, beside all watched
 * places.  Everything else is for theirs.  A store that the library has to give up, because there is no RAM, asks
 * for a stop, and returns; ours leave the block then.
 */
enum { WATCHED = 0x100, CLEAN = 0x400, MODE = 0xf, ALIGNED = 0x700 };

static const struct entry *entry(const char *state, uint64_t va, uint32_t how)
{
    const struct tlb *tlb = tlb_of(state, how & MODE);

    return (const struct entry *)((const char *)tlb->entries + (va >> PAGE_BITS << ENTRY_BITS & tlb->mask));
}

/* Whether an access is plain; `marked` is what the TLB has for accesses of its kind, `host` where it goes.
 * The library leaves a watched page marked as one that was not stored to; that matters where it has code. */
static int is_plain(
    const char *state, uint64_t va, uint64_t bytes, uint32_t how, uint64_t marked, uint64_t host, uint64_t kind)
{
    const struct hart *h = hart_of(state);
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

static int stop_is_asked(const char *state)
{
    return *(const int32_t *)(state - REQUEST_BEFORE_STATE) < 0;
}

static void store(
    char *state, uint64_t va, uint64_t value, uint32_t how, uint64_t return_address, store_function *theirs)
{
    const struct hart *h = hart_of(state);

    theirs(state, va, value, how, return_address);
    if (h && stop_is_asked(state))
        h->leave_block(h->cpu, return_address);
}

/* Of 1 << `size` bytes; a value may have more than those, of which the rest means nothing. */
#define ACCESSES(size, type) \
    uint64_t on_load_##size(char *state, uint64_t va, uint32_t how, uint64_t return_address) \
    { \
        const struct entry *e = entry(state, va, how); \
        type value; \
 \
        if (!is_plain(state, va, sizeof value, how, e->load, va + e->host, LOADS)) \
            return library.load[size](state, va, how, return_address); \
        __builtin_memcpy(&value, (const char *)(va + e->host), sizeof value); \
        return value; \
    } \
    void on_store_##size(char *state, uint64_t va, uint64_t wide, uint32_t how, uint64_t return_address) \
    { \
        const struct entry *e = entry(state, va, how); \
        type value = (type)wide; \
 \
        if (is_plain(state, va, sizeof value, how, e->store, va + e->host, STORES)) \
            __builtin_memcpy((char *)(va + e->host), &value, sizeof value); \
        else \
            store(state, va, wide, how, return_address, library.store[size]); \
    }

ACCESSES(0, uint8_t)
ACCESSES(1, uint16_t)
ACCESSES(2, uint32_t)
ACCESSES(3, uint64_t)

