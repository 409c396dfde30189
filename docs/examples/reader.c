/* reader: makes a file and reads it, a page at a time, for the chapter on mmap.
 *
 *      .venv/bin/orrery run docs/examples/reader.c PAGES
 */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define PAGE 4096

static char page[PAGE];

int main(int argc, char **argv)
{
    int pages = atoi(argv[1]);
    int fd = open("data", O_CREATE | O_RDWR);

    for (int i = 0; i < pages; i++)
        write(fd, page, PAGE);
    printf("written\n");
    close(fd);
    fd = open("data", O_RDONLY);
    while (read(fd, page, PAGE) == PAGE)
        ;
    printf("read\n");
    return 0;
}
