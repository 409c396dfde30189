/* gigabyte: reserves more memory than the machine has and uses five pages, for the chapter on lazy allocation.
 *
 *      .venv/bin/orrery run docs/examples/gigabyte.c
 */

#include "kernel/types.h"
#include "user/user.h"

#define PAGE 4096
#define GIB (1 << 30)

int main(void)
{
    char *heap = sbrklazy(GIB);

    printf("promised\n");
    for (int i = 0; i < 4; i++)
        heap[i * (GIB / 4)] = i;
    printf("touched\n");
    if (fork() == 0) {
        heap[PAGE] = 5;
        printf("in the child\n");
        exit(0);
    }
    wait(0);
    sbrk(-(GIB / 2));
    printf("half given back\n");
    sbrklazy(GIB / 2);
    if (heap[GIB / 2] == 0)
        printf("zero again\n");
    return 0;
}
