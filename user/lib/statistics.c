/* What a kernel counts of its locks, for the programs of the lab on locks.  There it is a device, "statistics",
   in the current directory; without one a program cannot go on, and ends as with the course's library. */

#include "kernel/fcntl.h"
#include "user/user.h"

int statistics(void *buf, int size)
{
    int done = 0, n = 1, fd = open("statistics", O_RDONLY);
    if (fd < 0) {
        fprintf(2, "stats: open failed\n");
        exit(1);
    }
    while (done < size && (n = read(fd, (char *)buf + done, size - done)) > 0)
        done += n;
    close(fd);
    return done;
}
