/* race: one process writes a page of a shared mapping back, again and again, while another stores to it.
   Prints "kept", or "lost" when the other finds an old value where it stored a new one. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"

#define PAGES 20
#define PAGE 15 /* its blocks are numbered in a table, which is read from disk when it is written */
#define ROUNDS 10

static char bytes[PGSIZE];

/* Words of the page. */
enum { WRITTEN_BACK, DONE, COUNTER };

static int count(volatile uint64 *page)
{
    for (uint64 i = 1; !page[DONE]; i++) {
        page[COUNTER] = i;
        for (volatile int k = 0; k < 1000; k++)
            ;
        if (page[COUNTER] != i)
            return 0;
    }
    return 1;
}

int main(void)
{
    int fd = open("file", O_CREATE | O_RDWR);
    for (int i = 0; i < PAGES; i++)
        write(fd, bytes, PGSIZE);
    char *p = mmap(0, PAGES * PGSIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    volatile uint64 *page = (uint64 *)(p + PAGE * PGSIZE);
    if (fork() == 0) {
        printf(count(page) ? "kept\n" : "lost\n");
        exit(0);
    }
    while (!page[COUNTER])
        ;
    for (int i = 0; i < ROUNDS; i++) {
        page[WRITTEN_BACK] = i;
        msync((void *)page, PGSIZE, MS_SYNC);
    }
    page[DONE] = 1;
    wait(0);
    return 0;
}
