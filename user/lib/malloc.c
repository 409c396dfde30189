/* malloc() and free(): one list of free blocks in order of address.

   Every block, free or not, begins with a header; the caller gets what follows it:

       +------+------+------------------------+
       | next | size | what malloc() returned |     size counts the header too, a multiple of 16
       +------+------+------------------------+

   malloc() takes the front of the first free block that is large enough; what is left of the last one
   adjoins the memory that the kernel gives next.  free() puts a block back where its address belongs
   and joins it with the neighbours that it touches. */

#include "user/user.h"

struct block {
    struct block *next; /* the next free one; without meaning while the block is in use */
    uint64 size;
};

#define GROW_BYTES_MIN (16384 - 16) /* with the 16 below, whole pages are asked for */
#define GROW_BYTES_MAX (1u << 30)   /* sbrk() takes an int */

static struct block *free_list;

static struct block *end_of(struct block *b)
{
    return (struct block *)((char *)b + b->size);
}

/* Takes `size` bytes off the front of the free block *link, which has as many. */
static void *take(struct block **link, uint64 size)
{
    struct block *b = *link, *rest = b->next;
    if (b->size - size >= 2 * sizeof(struct block)) {
        rest = (struct block *)((char *)b + size);
        rest->next = b->next;
        rest->size = b->size - size;
        b->size = size;
    }
    *link = rest;
    return b + 1;
}

/* Adds at least `size` bytes of fresh memory to the list.  0, or -1 where the kernel has no more. */
static int grow(uint64 size)
{
    if (size < GROW_BYTES_MIN)
        size = GROW_BYTES_MIN;
    if (size > GROW_BYTES_MAX)
        return -1;
    size += 16; /* the program may have moved the break to an odd address */
    char *fresh = sbrk(size);
    if (fresh == (char *)-1)
        return -1;
    uint64 skipped = -(uint64)fresh & 15;
    struct block *b = (struct block *)(fresh + skipped);
    b->size = (size - skipped) & ~15ul;
    free(b + 1);
    return 0;
}

void *malloc(uint n)
{
    uint64 size = ((uint64)n + sizeof(struct block) + 15) & ~15ul;
    do {
        for (struct block **link = &free_list; *link; link = &(*link)->next)
            if ((*link)->size >= size)
                return take(link, size);
    } while (grow(size) == 0);
    return 0;
}

void free(void *p)
{
    if (p == 0)
        return;
    struct block *b = (struct block *)p - 1;
    struct block *before = 0, *after = free_list;
    while (after && after < b) {
        before = after;
        after = after->next;
    }

    b->next = after;
    if (before)
        before->next = b;
    else
        free_list = b;

    if (after && end_of(b) == after) {
        b->size += after->size;
        b->next = after->next;
    }
    if (before && end_of(before) == b) {
        before->size += b->size;
        before->next = b->next;
    }
}
