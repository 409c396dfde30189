/* hostile_calls.h: carries out a table of system calls that mean harm, in several processes at once.
 *
 * test_hostile_calls.py writes the table and the program around it.  Each attacker works through the whole
 * table from a place of its own; it may hang or die on the way, or leave children.  The parent kills those
 * that are left.  All share what it has mapped.
 */
#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "kernel/memlayout.h"
#include "kernel/param.h"
#include "kernel/riscv.h"
#include "user/user.h"

/* What each attacker has mapped when it begins, at fixed addresses. */
#define MAPPED 0x30000000UL         /* 4 pages of the file "mapped", which has two and a half, shared */
#define PRIVATE (MAPPED + 8 * PGSIZE)      /* the same file, private */
#define READABLE (MAPPED + 16 * PGSIZE)    /* the same, only for reading */
#define COMMON (MAPPED + 24 * PGSIZE)      /* memory that all attackers share */
#define ZEROES (MAPPED + 32 * PGSIZE)      /* 3 MiB of the attacker's own */
#define NONE (MAPPED - PGSIZE)             /* a page without rights */
#define MAPPED_PAGES 4
#define BATCH 40
#define ZEROES_SIZE (3UL << 20)
#define MAP_TOP (USYSCALL - PGSIZE)
#define STACK ((uint64)__builtin_frame_address(0) & -PGSIZE)

struct call {
    int number;
    uint64 args[6];
};

static char good[3 * PGSIZE];       /* writable memory */
static char unended[PGSIZE];        /* a page that holds no NUL, and is followed by more of the same */
static char *arguments[] = {"echo", "x", 0};
static char *bad_arguments[] = {(char *)1, (char *)0x80000000, 0};

static void set(struct call *call, int number, uint64 a, uint64 b, uint64 c, uint64 d, uint64 e, uint64 f)
{
    *call = (struct call){number, {a, b, c, d, e, f}};
}

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

static void map_at(uint64 at, uint64 size, int prot, int flags, int fd)
{
    if (mmap((void *)at, size, prot, flags | MAP_FIXED, fd, 0) != (void *)at)
        exit(1);
}

static void map_what_is_attacked(void)
{
    const int rw = PROT_READ | PROT_WRITE;
    int fd = open("mapped", O_CREATE | O_RDWR);
    for (int i = 0; i < 5; i++)
        write(fd, good, PGSIZE / 2);
    map_at(MAPPED, MAPPED_PAGES * PGSIZE, rw, MAP_SHARED, fd);
    map_at(PRIVATE, MAPPED_PAGES * PGSIZE, rw, MAP_PRIVATE, fd);
    map_at(READABLE, MAPPED_PAGES * PGSIZE, PROT_READ, MAP_SHARED, fd);
    map_at(COMMON, MAPPED_PAGES * PGSIZE, rw, MAP_SHARED | MAP_ANONYMOUS, -1);
    map_at(ZEROES, ZEROES_SIZE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    map_at(NONE, PGSIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    for (uint64 at = ZEROES; at < ZEROES + ZEROES_SIZE; at += 16 * PGSIZE)
        *(char *)at = 1;
    *(char *)MAPPED = *(char *)PRIVATE = *(char *)COMMON = 'm';
    close(fd);
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

/* All that came after `first`, whatever they have become; pids only grow.  Until no new ones come. */
static void end_all(int first)
{
    int last = first, before;
    do {
        before = last;
        int pid = fork();
        if (pid == 0)
            exit(0);
        last = pid > 0 ? pid : last + NPROC; /* -1: there are too many */
        for (pid = first; pid < last; pid++)
            kill(pid);
        sleep(1);
        while (wait(0) > 0)
            ;
    } while (last != before + 1);
}

/* Each call of the table in a process of its own, some at a time, which then uses its memory. */
static int run_each(const struct call *calls, int count)
{
    for (int i = 0; i < sizeof unended; i++)
        unended[i] = 'x';
    map_what_is_attacked();
    for (int i = 0; i < count; i += BATCH) {
        int first = fork();
        if (first == 0)
            exit(0);
        for (int n = i; n < i + BATCH && n < count; n++) {
            if (fork() == 0) {
                for (int fd = 0; fd < 3; fd++)
                    close(fd);
                raw_call(calls[n].number, calls[n].args);
                *(char *)MAPPED = *(char *)PRIVATE = *(char *)COMMON = n;
                exit(*(char *)READABLE + *(char *)ZEROES);
            }
        }
        end_all(first);
    }
    printf("attacked\n");
    return 0;
}

static int run_attackers(const struct call *calls, int count, int attackers)
{
    int first = fork();

    if (first == 0)
        exit(0);
    for (int i = 0; i < sizeof unended; i++)
        unended[i] = 'x';
    map_what_is_attacked();
    for (int i = 0; i < attackers; i++) {
        int pid = fork();
        if (pid < 0)
            return 1;
        if (pid == 0)
            attack(calls, count, i * count / attackers);
    }
    sleep(20);
    end_all(first);
    printf("attacked\n");
    return 0;
}
