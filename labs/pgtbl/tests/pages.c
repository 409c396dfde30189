/* pages CASE: for the tests of the lab. */

#include "kernel/types.h"
#include "kernel/riscv.h"
#include "kernel/memlayout.h"
#include "kernel/sysinfo.h"
#include "user/user.h"

#define finish(...) (printf(__VA_ARGS__), exit(0))

static void used(void)
{
    char *memory = (char *)PGROUNDUP((uint64)sbrk(70 * PGSIZE));
    unsigned mask = 1;
    uint64 wide = 1;
    if (pgaccess(memory, 32, &mask) || mask)
        finish("untouched: %x\n", mask);
    memory[0] = memory[5 * PGSIZE] = 1;
    memory[31 * PGSIZE] = 1;
    if (pgaccess(memory, 32, &mask) || mask != (1u << 31 | 1 << 5 | 1))
        finish("touched: %x\n", mask);
    if (pgaccess(memory, 32, &mask) || mask)
        finish("not forgotten: %x\n", mask);
    if (*(volatile char *)(memory + 5 * PGSIZE) != 1 || pgaccess(memory, 32, &mask) || mask != 1 << 5)
        finish("read again: %x\n", mask);
    memory[2 * PGSIZE] = 1;
    if (pgaccess(memory, 4, (void *)-1) != -1 || pgaccess(memory, 4, &mask) || mask != 4)
        finish("after a bad address: %x\n", mask);
    memory[40 * PGSIZE] = 1;
    if (pgaccess(memory, 64, &wide) || wide != 1UL << 40)
        finish("wide: %lx\n", wide);
    if (pgaccess(memory, 65, &wide) != -1 || pgaccess(memory, -1, &wide) != -1 || pgaccess((void *)MAXVA, 1, &wide) != -1)
        finish("limits\n");
    finish("ok\n");
}

static void page(void)
{
    if (ugetpid() != getpid())
        finish("%d is told %d\n", getpid(), ugetpid());
    for (int i = 0; i < 3; i++) {
        int status, pid = fork();
        if (pid == 0)
            exit(ugetpid() != getpid());
        if (wait(&status) != pid || status)
            finish("wrong in a child\n");
    }
    if (ugetpid() != getpid())
        finish("wrong after fork\n");
    int status;
    if (fork() == 0) {
        *(volatile int *)USYSCALL = 1;
        exit(0);
    }
    wait(&status);
    finish(status == -1 ? "ok\n" : "it can be written\n");
}

static void leak(void)
{
    struct sysinfo before, after;
    for (int i = 0; i < 60; i++) {
        if (i == 10)
            sysinfo(&before);
        if (fork() == 0)
            exit(0);
        wait(0);
    }
    sysinfo(&after);
    finish(after.freemem + 4 * PGSIZE >= before.freemem ? "ok\n" : "%lu bytes are lost\n", before.freemem - after.freemem);
}

int main(int argc, char **argv)
{
    switch (argc == 2 ? argv[1][0] : 0) {
    case 'u':
        used();
        break;
    case 'p':
        page();
        break;
    case 'l':
        leak();
        break;
    case 'n':
        printf("%d\n", *(volatile int *)USYSCALL);
        break;
    case 't':
        kpgtbl();
        break;
    default:
        return 2;
    }
    return 0;
}
