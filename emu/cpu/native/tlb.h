/* tlb.h: the library's cache of translated addresses, one for each mode, and how large it is.
 *
 * Included by hooks.c.  Translated code looks an address up in a table by the low bits of its page's number:
 *
 *      entries[page & mask]:  load | store | fetch | physical | host | ...
 *
 * Two pages at one place put each other out, and each time the library walks the page table.  It makes the table
 * larger when it is emptied and was full by 70 %, and smaller when it was hardly used for 100 ms of the host's
 * time.  Both are not for us: our kernel empties the table only where a translation has changed, so a program
 * that computes would keep the small table that an idle shell has left, and the host's clock has no business
 * here.  So the table is made smaller after FLUSHES without use, never below what it starts with, and is
 * emptied to be made larger where many more entries were made than it holds.
 */
#ifndef TLB_H
#define TLB_H
#include "hart.h"

enum { ENTRY_BITS = 6, FIRST_ENTRIES = 256, MAX_ENTRIES = 1 << 13, FLUSHES = 16, FILLS_PER_ENTRY = 4 };
enum { TLBS_BEFORE_STATE = 0x50, USES_BEFORE_STATE = 0xb30 };
#define NEVER INT64_C(0x3fffffffffffffff) /* no time of the host */

struct entry {
    uint64_t load; /* the page and its marks, for each kind of access */
    uint64_t store;
    uint64_t fetch;
    uint64_t physical;
    uint64_t host; /* to be added to the virtual address */
    uint64_t unknown[3];
};

struct tlb {
    uint64_t mask; /* in bytes */
    struct entry *entries;
};

/* What decides the size of a mode's table the next time that it is emptied. */
struct use {
    uint64_t large_page[2];
    int64_t begin_ns; /* of the time in which use is observed */
    uint64_t used_max;
    uint64_t used;
    char unknown[656];
};

static const struct tlb *tlb_of(const void *state, int mode)
{
    return (const struct tlb *)((const char *)state - TLBS_BEFORE_STATE) + mode;
}

static struct use *use_of(const void *state, int mode)
{
    return (struct use *)((char *)state - USES_BEFORE_STATE) + mode;
}

static uint64_t entries_of(const struct hart *h, int mode)
{
    return (tlb_of(h->regs, mode)->mask >> ENTRY_BITS) + 1;
}

/* The library is about to empty the tables of these modes, and may give them another size. */
void on_flush(struct cpu *cpu, uint16_t modes)
{
    struct hart *h = cpu->hart;

    for (int mode = 0; h && mode < MODES; mode++) {
        struct use *use = use_of(h->regs, mode);

        if (!(modes >> mode & 1))
            continue;
        h->tlb_fills[mode] = 0;
        use->begin_ns = ++h->tlb_flushes[mode] % FLUSHES ? NEVER : 0;
        if (use->used_max < FIRST_ENTRIES * 2 / 5)
            use->used_max = FIRST_ENTRIES * 2 / 5; /* not little enough to make the first size smaller */
        if (use->used_max > MAX_ENTRIES / 2 || use->used > MAX_ENTRIES / 2)
            use->used_max = use->used = MAX_ENTRIES / 2; /* not enough to make the last size larger */
    }
    library.flush_tlb(cpu, modes);
}

/* An entry is made. */
void on_fill(struct cpu *cpu, uint64_t va, uint64_t pa, int rights, int mode, uint64_t bytes)
{
    if (cpu->hart)
        cpu->hart->tlb_fills[mode]++;
    library.fill_tlb(cpu, va, pa, rights, mode, bytes);
}

/* The engine is about to run: make room where entries put each other out. */
static void grow_tlbs(struct hart *h)
{
    for (int mode = 0; mode < MODES; mode++) {
        uint64_t entries = entries_of(h, mode);

        if (h->tlb_fills[mode] > FILLS_PER_ENTRY * entries && entries < MAX_ENTRIES) {
            use_of(h->regs, mode)->used_max = entries;
            on_flush(h->cpu, 1 << mode);
        }
    }
}
#endif
