/* cat: copies files, or its input where none is named, to its output. */

#include "kernel/fcntl.h"
#include "user/user.h"
#include "user/tool.h"

/* 0, or 1 where reading failed.  An output that takes nothing more ends the program. */
static int copy(int fd)
{
    static char buf[1024];
    int n;

    while ((n = read(fd, buf, sizeof buf)) > 0) {
        if (write(1, buf, n) != n)
            exit(output_failed("cat"));
    }
    if (n < 0)
        fprintf(2, "cat: read error\n");
    return n < 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return copy(0);

    int status = 0;
    for (int i = 1; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        if (fd < 0) {
            fprintf(2, "cat: cannot open %s\n", argv[i]);
            status = 1;
            continue;
        }
        status |= copy(fd);
        close(fd);
    }
    return status;
}
