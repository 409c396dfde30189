/* superpage: when 2 MiB are mapped by one entry, for the chapter on lazy allocation.
 *
 *      .venv/bin/orrery run docs/examples/superpage.c
 */

#include "kernel/types.h"
#include "kernel/riscv.h"
#include "user/user.h"

int main(void)
{
    uint64 end = (uint64)sbrk(0);

    sbrklazy(SUPERPGROUNDUP(end) - end);
    char *first = sbrklazy(SUPERPGSIZE);
    char *second = sbrklazy(SUPERPGSIZE);
    sbrk(SUPERPGSIZE);
    printf("the third at once\n");
    *first = 1;
    printf("the first touched\n");
    pgpte(second);
    printf("the second asked for\n");
    sbrk(-PGSIZE);
    printf("a page less\n");
    return 0;
}
