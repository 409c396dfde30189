/* kinds: the four kinds of mappings, across a fork, for the chapter on mmap.
 *
 *      .venv/bin/orrery run docs/examples/kinds.c
 */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)

int main(void)
{
    int fd = open("letters", O_CREATE | O_RDWR);
    char *kinds[4];

    write(fd, "....", 4);
    kinds[0] = mmap(0, PAGE, RW, MAP_SHARED, fd, 0);
    kinds[1] = mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0);
    kinds[2] = mmap(0, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    kinds[3] = mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 4; i++)
        kinds[i][i] = 'p';
    printf("the parent has stored\n");
    if (fork() == 0) {
        for (int i = 0; i < 4; i++)
            kinds[i][i] = 'c';
        printf("the child has stored\n");
        exit(0);
    }
    wait(0);
    printf("the parent finds %c %c %c %c\n", kinds[0][0], kinds[1][1], kinds[2][2], kinds[3][3]);
    return 0;
}
