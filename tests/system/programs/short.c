/* short: forks, runs a program, moves its heap and touches what it was promised, each until it works.  The
   test lets memory run out at the first allocation, then at the second, and so on.

   Prints a line for each: how many attempts it took. */

#include "kernel/types.h"
#include "user/user.h"

#define EAGER 1
#define HEAP (5 * 4096)

static void forks(void)
{
    int attempts = 1, pid;
    while ((pid = fork()) < 0)
        attempts++;
    if (pid == 0)
        exit(0);
    wait(0);
    printf("fork %d\n", attempts);
}

static void execs(void)
{
    char *argv[] = {"echo", "exec", 0};
    int pid = fork();
    if (pid == 0) {
        for (;;)
            exec("/echo", argv);
    }
    wait(0);
}

static void grows(void)
{
    int attempts = 1;
    while (sys_sbrk(HEAP, EAGER) == (char *)-1)
        attempts++;
    printf("sbrk %d\n", attempts);
}

/* The kernel faults the pages in, on behalf of read(). */
static void reads(void)
{
    int fds[2], attempts = 1;
    char *promised = sbrk(0);
    sys_sbrk(HEAP, 0);
    pipe(fds);
    write(fds[1], "0123456789", 10);
    while (read(fds[0], promised + 4096 - 5, 10) != 10) {
        write(fds[1], "0123456789", 10);
        attempts++;
    }
    printf("read %d\n", attempts);
}

int main(void)
{
    forks();
    execs();
    grows();
    reads();
    return 0;
}
