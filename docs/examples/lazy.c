/* lazy: asks for memory and touches some of it, for the chapter on page tables.
 *
 *      .venv/bin/orrery run docs/examples/lazy.c
 *
 * Of four pages that sbrk only promises, the program touches the second; the kernel, on its behalf, the
 * third, when pipe() stores two descriptors there.  Then it reads where nothing was promised, and dies. */

#include "kernel/types.h"
#include "user/user.h"

#define PAGE 4096

int main(void)
{
    char *heap = sbrklazy(4 * PAGE);

    heap[1 * PAGE] = 'x';
    pipe((int *)(heap + 2 * PAGE));
    return heap[4 * PAGE];
}
