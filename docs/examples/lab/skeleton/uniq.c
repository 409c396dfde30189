/* uniq: prints its input but for lines that repeat the line before them.  See statement.md. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

/* Copies fd to standard output.  Yours to do: leave out the lines that repeat, and count them. */
static void uniq(int fd, int counting)
{
    char buf[512];
    int n;

    while ((n = read(fd, buf, sizeof buf)) > 0)
        write(1, buf, n);
}

int main(int argc, char **argv)
{
    /* Yours to do: -c, and a file that cannot be opened. */
    int fd = argc > 1 ? open(argv[1], O_RDONLY) : 0;

    uniq(fd, 0);
    return 0;
}
