/* sync: stores to pages of a mapped file, and writes them back until that works; then the same by munmap.  The
   test lets reads of the disk fail.  Prints how many attempts it took. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"

#define PAGES 20
#define FIRST 5 /* its blocks, and those of the pages behind it, are numbered in a table */
#define RW (PROT_READ | PROT_WRITE)

static char bytes[PGSIZE];

int main(void)
{
    int attempts = 1, fd = open("file", O_CREATE | O_RDWR);
    for (int i = 0; i < PAGES; i++)
        write(fd, bytes, PGSIZE);
    char *p = mmap(0, PAGES * PGSIZE, RW, MAP_SHARED, fd, 0);
    for (int i = FIRST; i < PAGES; i += 5)
        p[i * PGSIZE] = 'm';
    while (msync(p, PAGES * PGSIZE, MS_SYNC) < 0)
        attempts++;
    printf("msync %d\n", attempts);
    for (int i = FIRST + 1; i < PAGES; i += 5)
        p[i * PGSIZE] = 'u';
    printf("munmap %d\n", munmap(p, PAGES * PGSIZE));
    read(fd, bytes, 1);
    return 0;
}
