/* dirty: stores to two of four pages of a file, and waits for a line before it unmaps them, for the chapter on
 * mmap.
 *
 *      .venv/bin/orrery run docs/examples/dirty.c
 */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define PAGE 4096
#define PAGES 4

static char page[PAGE];

int main(void)
{
    int fd = open("data", O_CREATE | O_RDWR);

    for (int i = 0; i < PAGES; i++) {
        memset(page, 'a' + i, PAGE);
        write(fd, page, PAGE);
    }
    char *p = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (int i = 0; i < PAGES; i++)
        page[i] = p[i * PAGE];
    p[0 * PAGE] = 'A';
    p[1 * PAGE] = 'B';
    read(0, page, PAGE);
    munmap(p, PAGES * PAGE);
    return 0;
}
