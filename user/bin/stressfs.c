/* stressfs: five processes write a file each at the same time, and read it back. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define PROCESSES 5
#define CHUNKS 20

static char data[512];

/* Writes file number i and reads it back.  Whether all of it was there. */
static int stress(int i)
{
    char path[] = "stressfs0";
    path[8] += i;

    printf("write %d\n", i);
    int fd = open(path, O_CREATE | O_RDWR);
    for (int k = 0; k < CHUNKS; k++)
        if (write(fd, data, sizeof data) != sizeof data)
            return 0;
    close(fd);

    printf("read %d\n", i);
    fd = open(path, O_RDONLY);
    for (int k = 0; k < CHUNKS; k++)
        if (read(fd, data, sizeof data) != sizeof data || data[0] != 'a' || data[sizeof data - 1] != 'a')
            return 0;
    close(fd);
    return 1;
}

int main(void)
{
    printf("stressfs starting\n");
    memset(data, 'a', sizeof data);

    int i = 0; /* this process has number 0 or, in a child, the one it was forked for */
    for (int n = 1; n < PROCESSES && i == 0; n++)
        if (fork() == 0)
            i = n;
    int status = stress(i) ? 0 : 1;
    if (status)
        fprintf(2, "stressfs: file %d is not as written\n", i);

    int child;
    while (i == 0 && wait(&child) >= 0)
        status |= child;
    return status;
}
