/* mmap: a file of six pages in memory, page by page, for the chapter on mmap.
 *
 *      .venv/bin/orrery run docs/examples/mmap.c
 */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define PAGE 4096
#define PAGES 6

static char page[PAGE];

int main(void)
{
    int fd = open("data", O_CREATE | O_RDWR);

    for (int i = 0; i < PAGES; i++) {
        memset(page, 'a' + i, PAGE);
        write(fd, page, PAGE);
    }
    char *p = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    printf("mapped\n");
    char letter = p[0];
    printf("page 0 loaded: %c\n", letter);
    int other = open("data", O_RDONLY);
    for (int i = 0; i < 2; i++)
        read(other, page, PAGE);
    printf("page 1 read: %c\n", page[0]);
    p[2 * PAGE] = 'C';
    printf("page 2 stored to\n");
    read(other, page, PAGE);
    printf("page 2 read: %c\n", page[0]);
    munmap(p + 2 * PAGE, PAGE);
    printf("page 2 unmapped\n");
    mprotect(p + 4 * PAGE, PAGE, PROT_READ);
    printf("page 4 protected\n");
    return 0;
}
