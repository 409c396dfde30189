/* greedy: uses memory until there is none, for the chapter on lazy allocation.
 *
 *      .venv/bin/orrery run docs/examples/greedy.c
 *
 * First it asks for more than there is, at once; then for as much as an address can name, as a promise. */

#include "kernel/types.h"
#include "user/user.h"

#define PAGE 4096
#define MORE_THAN_THERE_IS (1 << 30)

int main(void)
{
    if (sbrk(MORE_THAN_THERE_IS) == (char *)-1)
        printf("eager: no\n");

    char *heap = sbrklazy(MORE_THAN_THERE_IS);
    printf("lazy: at %p\n", heap);
    for (long at = 0; at < MORE_THAN_THERE_IS; at += PAGE)
        heap[at] = 1;
    printf("never printed\n");
    return 0;
}
