/* code_pages.h: code that the guest writes.
 *
 * Included by hooks.c.
 *
 * The engine marks a page in its TLB as `dirty` at the first store through an entry; from then on stores
 * through it are fast, and drop no blocks.  That is right until blocks are made of the page, and wrong
 * then: in this library the steps that would look for other entries to the same page are empty.  They are
 * put back here, by redirecting four calls within the library.  Its table of calls is one for the process,
 * so an engine that has no hart here is served as before.
 */
#include "hart.h"

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
