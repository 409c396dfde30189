/* forever: prints its number and waits for what never comes, a byte from its own pipe. */

#include "kernel/types.h"
#include "user/user.h"

int main(void)
{
    int fds[2];
    char byte;
    printf("%d\n", getpid());
    close(1);
    pipe(fds);
    read(fds[0], &byte, 1);
    return 1;
}
