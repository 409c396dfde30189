/* touch: makes those of the files that are not there, empty.  Files have no time here that it could set. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "user/user.h"

int main(int argc, char **argv)
{
    struct stat st;
    int status = 0;

    if (argc < 2) {
        fprintf(2, "usage: touch file ...\n");
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        if (stat(argv[i], &st) == 0)
            continue;
        int fd = open(argv[i], O_WRONLY | O_CREATE);
        if (fd < 0) {
            fprintf(2, "touch: cannot create %s\n", argv[i]);
            status = 1;
        }
        close(fd);
    }
    return status;
}
