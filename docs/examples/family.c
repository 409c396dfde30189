/* family: a process with so many pages forks, and its child stores to one of them, for the chapter on
 * copy-on-write.
 *
 *      .venv/bin/orrery run docs/examples/family.c PAGES
 *      .venv/bin/orrery run docs/examples/family.c PAGES at-once
 *
 * The pages come one by one, or, asked for at once, as superpages. */

#include "kernel/types.h"
#include "kernel/riscv.h"
#include "user/user.h"

int main(int argc, char **argv)
{
    int size = atoi(argv[1]) * PGSIZE;

    uint64 end = (uint64)sbrk(0);
    sbrklazy(SUPERPGROUNDUP(end) - end);
    char *heap = argc > 2 ? sbrk(size) : sbrklazy(size);
    for (int at = 0; at < size; at += PGSIZE)
        heap[at] = 1;
    printf("before\n");
    if (fork() == 0) {
        printf("forked\n");
        heap[size / 2] = 2;
        printf("one store\n");
        exit(0);
    }
    wait(0);
    printf("over\n");
    return 0;
}
