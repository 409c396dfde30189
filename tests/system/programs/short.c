/* short: forks, runs a program, moves its heap, touches what it was promised, and changes mappings, each
   until it works.  The test lets memory run out at the first allocation, then at the second, and so on.

   Prints a line for each: how many attempts it took. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"

#define EAGER 1
#define SUPER (2L << 20)
#define LARGE (3 * SUPER)
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

/* Two processes share page tables, so the one that changes a part of its mapping needs tables of its own. */
static void maps(char *large)
{
    char *inner = (char *)(((uint64)large + SUPER - 1) & -SUPER); /* a piece of 2 MiB, mapped whole */
    int attempts = 1, pid = fork();
    if (pid == 0) {
        sleep(1000);
        exit(0);
    }
    while (mprotect(inner + PGSIZE, 16 * PGSIZE, PROT_READ) < 0)
        attempts++;
    printf("mprotect %d\n", attempts);
    attempts = 1;
    while (munmap(inner + SUPER - PGSIZE, 2 * PGSIZE) < 0)
        attempts++;
    printf("munmap %d\n", attempts);
    kill(pid);
    wait(0);
}

int main(void)
{
    char *large = mmap(0, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long at = 0; at < LARGE; at += 16 * PGSIZE)
        large[at] = 1;
    forks();
    execs();
    maps(large);
    grows();
    reads();
    return 0;
}
