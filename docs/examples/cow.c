/* cow: what parent and child have in common after fork, and until when, for the chapter on copy-on-write.
 *
 *      .venv/bin/orrery run docs/examples/cow.c
 */

#include "kernel/types.h"
#include "user/user.h"

#define PAGE 4096
#define PAGES 4

int main(void)
{
    char *heap = sbrklazy(PAGES * PAGE);

    for (int i = 0; i < PAGES; i++)
        heap[i * PAGE] = i;
    if (fork() == 0) {
        printf("forked\n");
        heap[0] = 'c';
        printf("the child has stored\n");
        pipe((int *)(heap + PAGE));
        printf("the kernel has stored for it\n");
        exit(0);
    }
    wait(0);
    printf("the child is gone\n");
    heap[2 * PAGE] = 'p';
    printf("the parent has stored\n");
    return 0;
}
