/* lazy: asks for memory and touches some of it, for the chapter on lazy allocation.
 *
 *      .venv/bin/orrery run docs/examples/lazy.c
 *
 * Of four pages that sbrk only promises, the program touches the second.  The others are touched by the
 * kernel, on its behalf: pipe() stores two descriptors in the third, write() takes a byte from the first, and
 * open() looks in the last for a name, which is empty and means the current directory.  Then the program reads
 * where nothing was promised, and dies. */

#include "kernel/types.h"
#include "user/user.h"

#define PAGE 4096

int main(void)
{
    char *heap = sbrklazy(4 * PAGE);
    int *ends = (int *)(heap + 2 * PAGE);

    heap[1 * PAGE] = 'x';
    pipe(ends);
    write(ends[1], heap, 1);
    open(heap + 3 * PAGE, 0);
    return heap[4 * PAGE];
}
