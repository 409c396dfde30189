/* hostile_calls.h: carries out a table of system calls that mean harm, in several processes at once.
 *
 * test_hostile_calls.py writes the table and the program around it.  Each attacker works through the whole
 * table from a place of its own, in a directory of its own; it may hang or die on the way.  The parent kills
 * those that hang.
 */
#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "kernel/memlayout.h"
#include "kernel/riscv.h"
#include "user/user.h"

struct call {
    int number;
    uint64 args[6];
};

static char good[3 * PGSIZE];       /* writable memory */
static char unended[PGSIZE];        /* a page that holds no NUL, and is followed by more of the same */
static char *arguments[] = {"echo", "x", 0};
static char *bad_arguments[] = {(char *)1, (char *)0x80000000, 0};

static uint64 raw_call(int number, const uint64 *args)
{
    register uint64 a0 asm("a0") = args[0];
    register uint64 a1 asm("a1") = args[1];
    register uint64 a2 asm("a2") = args[2];
    register uint64 a3 asm("a3") = args[3];
    register uint64 a4 asm("a4") = args[4];
    register uint64 a5 asm("a5") = args[5];
    register uint64 a7 asm("a7") = number;

    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
    return a0;
}

static void attack(const struct call *calls, int count, int first)
{
    for (int fd = 0; fd < 3; fd++)
        close(fd);      /* a read from the console would hang, and a write would only fill the screen */
    for (int i = 0; i < count; i++) {
        const struct call *call = &calls[(first + i) % count];
        int me = getpid();
        raw_call(call->number, call->args);
        if (getpid() != me)
            exit(0);    /* a child that the call made */
    }
    exit(0);
}

static int run_attackers(const struct call *calls, int count, int attackers)
{
    int pids[8];

    for (int i = 0; i < sizeof unended; i++)
        unended[i] = 'x';
    for (int i = 0; i < attackers; i++) {
        pids[i] = fork();
        if (pids[i] < 0)
            return 1;
        if (pids[i] == 0)
            attack(calls, count, i * count / attackers);
    }
    sleep(20);
    for (int i = 0; i < attackers; i++)
        kill(pids[i]);
    while (wait(0) > 0)
        ;
    printf("attacked\n");
    return 0;
}
