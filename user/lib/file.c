/* Two small helpers above the file calls. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "user/user.h"

/* fstat() of a file that is not open.  0, or -1 where it cannot be opened. */
int stat(const char *path, struct stat *st)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    int result = fstat(fd, st);
    close(fd);
    return result;
}

/* Reads one line of standard input into buf, its newline included, at most max - 1 bytes, and ends
   it with a NUL.  An empty string means end of file.  It asks for one byte at a time, so that what
   follows the line is left for the next reader, a child perhaps. */
char *gets(char *buf, int max)
{
    int n = 0;
    while (n + 1 < max) {
        if (read(0, &buf[n], 1) != 1)
            break;
        n++;
        if (buf[n - 1] == '\n' || buf[n - 1] == '\r')
            break;
    }
    buf[n] = 0;
    return buf;
}
