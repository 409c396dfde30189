/* cutoff: a file that is cut off while it is mapped, for the chapter on mmap.
 *
 *      .venv/bin/orrery run docs/examples/cutoff.c
 */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define PAGE 4096

int main(void)
{
    int fd = open("short", O_CREATE | O_RDWR);

    write(fd, "hello", 5);
    char *p = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    p[5] = '!';
    printf("page 0 stored to\n");
    open("short", O_RDWR | O_TRUNC);
    printf("cut off\n");
    return p[0];
}
