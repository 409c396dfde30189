/* hostile_memory: processes that share memory and files do everything wrong with them that a program can.

       hostile_memory SEED CHILDREN

   Each child makes random calls of mmap, munmap, mprotect, msync, sbrk, of the labs' calls and of those that
   change files, with arguments at all borders, and touches the memory between them; some fork, exec this
   program again, or kill a neighbour.  After a few ticks all are killed.  The kernel has to be as it was
   afterwards; that is for whoever runs this to see.  Prints "hostile_memory: done". */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/memlayout.h"
#include "kernel/param.h"
#include "kernel/riscv.h"
#include "kernel/stat.h"
#include "kernel/syscall.h"
#include "user/user.h"

#define OPS 250
#define BATCH 5 /* children at a time */
#define KNOWN_MAX 24
#define SUPER (2UL << 20)
#define MAP_TOP (USYSCALL - PGSIZE)

static uint64 state;
static int first_pid; /* of the batch: nobody below it may be killed */
static struct {
    char *at;
    uint64 size;
    uint64 usable; /* bytes that can be touched without dying, unless another process cuts the file off */
    int prot;
} known[KNOWN_MAX];
static char *heap;
static char *names[] = {"f", "g", "h", "l", "d/f", "", "hostile_memory", "/hm/f"};
static char buffer[2 * PGSIZE];

static uint64 next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545F4914F6CDD1D;
}

static uint below(uint n)
{
    return (uint)(next() >> 33) % n;
}

static int one_in(uint n)
{
    return below(n) == 0;
}

static uint64 system_call(int number, uint64 a, uint64 b, uint64 c, uint64 d, uint64 e, uint64 f)
{
    register uint64 a0 asm("a0") = a;
    register uint64 a1 asm("a1") = b;
    register uint64 a2 asm("a2") = c;
    register uint64 a3 asm("a3") = d;
    register uint64 a4 asm("a4") = e;
    register uint64 a5 asm("a5") = f;
    register uint64 a7 asm("a7") = number;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
    return a0;
}

/* An address at a border: of a mapping, the heap, the stack, what the kernel maps, or of all addresses. */
static uint64 border(void)
{
    static const uint64 edges[] = {
        0, PGSIZE, 0x100000, SUPER, 1UL << 30, KERNBASE, MAP_TOP, USYSCALL, TRAPFRAME, TRAMPOLINE, MAXVA,
        MAXVA - SUPER, 1UL << 39, 1UL << 63, -1UL, -PGSIZE, -SUPER, 0xffffffff, 0x100000000,
    };
    static const int offsets[] = {0, 0, 0, 0, 1, -1, 8, -8, PGSIZE, -PGSIZE};
    uint64 at = edges[below(sizeof edges / sizeof edges[0])];
    int i = below(KNOWN_MAX);
    switch (below(6)) {
    case 0:
        at = (uint64)sbrk(0);
        break;
    case 1: /* this frame's page, and the guard below it */
        at = (uint64)&at & -PGSIZE;
        break;
    case 2:
        at = (uint64)known[i].at + known[i].size;
        break;
    case 3:
    case 4:
        at = (uint64)known[i].at + below(known[i].size / PGSIZE + 1) * PGSIZE;
        break;
    }
    return at + offsets[below(sizeof offsets / sizeof offsets[0])];
}

static uint64 length(void)
{
    static const uint64 lengths[] = {
        0, 1, PGSIZE - 1, PGSIZE, PGSIZE + 1, 3 * PGSIZE, 16 * PGSIZE, SUPER, 2 * SUPER + PGSIZE, 1UL << 30,
        MAP_TOP, MAXVA, 1UL << 63, -1UL, -PGSIZE, -4097UL, 0x100000000,
    };
    return one_in(3) ? lengths[below(sizeof lengths / sizeof lengths[0])] : (1 + below(8)) * PGSIZE;
}

/* Memory of this process, if it has any: a page of a mapping it made, or of the heap. */
static char *some_page(void)
{
    int i = below(KNOWN_MAX);
    if (one_in(12))
        return (char *)border();
    if (known[i].size == 0 || one_in(4))
        return sbrk(0) > heap ? heap + next() % (sbrk(0) - heap) : buffer;
    return known[i].at + below(known[i].size / PGSIZE) * PGSIZE + below(2) * (PGSIZE - 8);
}

static char *name(void)
{
    return names[below(sizeof names / sizeof names[0])];
}

static int descriptor(void)
{
    return one_in(10) ? (int)next() : (int)below(8);
}

/* What is no longer as it was known: the entries that [at, at+size) meets. */
static void forget(uint64 at, uint64 size)
{
    for (int i = 0; i < KNOWN_MAX; i++)
        if ((uint64)known[i].at < at + size && at < (uint64)known[i].at + known[i].size)
            known[i].usable = 0;
}

/* How many bytes of a file there are from `offset` on. */
static uint64 bytes_of(int fd, uint64 offset)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.size > offset ? st.size - offset : 0;
}

static void map(void)
{
    int flags = one_in(12) ? (int)next() : (one_in(2) ? MAP_SHARED : MAP_PRIVATE);
    int prot = one_in(12) ? (int)next() : (int)below(4), fd = descriptor();
    uint64 size = one_in(40) ? 2 * SUPER : length(), offset = one_in(6) ? border() : below(3) * PGSIZE;
    if (one_in(3))
        flags |= MAP_ANONYMOUS;
    if (one_in(6))
        flags |= MAP_FIXED;
    uint64 at = system_call(SYS_mmap, one_in(3) ? border() : 0, size, prot, flags, fd, offset);
    if (at == -1UL)
        return;
    forget(at, size);
    int i = below(KNOWN_MAX);
    known[i].at = (char *)at;
    known[i].size = size + PGSIZE - 1 & -PGSIZE;
    known[i].prot = prot;
    uint64 usable = flags & MAP_ANONYMOUS ? size : bytes_of(fd, offset);
    known[i].usable = usable < size ? usable : size;
}

/* At a border or within what is mapped. */
static void range(int number, int extra)
{
    uint64 at = one_in(3) ? border() : (uint64)some_page() & -PGSIZE, size = length();
    if (system_call(number, at, size, extra, 0, 0, 0) == 0 && number != SYS_msync)
        forget(at, size);
}

/* Mostly what may be touched. */
static void touch(void)
{
    for (int n = 0; n < 6; n++) {
        int i = below(KNOWN_MAX), may_write = known[i].prot & PROT_WRITE;
        volatile char *p = known[i].at + (known[i].usable ? next() % known[i].usable : 0);
        if (one_in(200)) {
            p = some_page();
            may_write = 1;
        } else if (one_in(4) && sbrk(0) > heap) {
            p = heap + next() % (sbrk(0) - heap);
            may_write = 1;
        } else if (!known[i].usable || !known[i].prot) {
            continue;
        }
        if (may_write && one_in(2))
            *p = n;
        else
            buffer[0] += *p;
    }
}

static void move_heap(void)
{
    static const int steps[] = {1, PGSIZE, 5 * PGSIZE, SUPER, 3 * SUPER, 0x7fffffff, -1, -PGSIZE, -SUPER, -0x7fffffff};
    int n = one_in(2) ? (int)below(20 * PGSIZE) - 8 * PGSIZE : steps[below(sizeof steps / sizeof steps[0])];
    if (n < 0 && sbrk(0) + n < heap && !one_in(50))
        n = heap - sbrk(0); /* what is below holds the program and its stack */
    sys_sbrk(n, n > 1 << 30 ? 2 : (int)below(3));
}

static void change_files(void)
{
    int fd;
    switch (below(8)) {
    case 0:
    case 1:
        open(name(), O_CREATE | O_RDWR | (one_in(3) ? O_TRUNC : 0));
        break;
    case 2:
        open(name(), below(4) | (one_in(8) ? (int)next() & 0xe00 : 0));
        break;
    case 3:
        close(descriptor());
        break;
    case 4:
        unlink(name());
        break;
    case 5:
        symlink(name(), name());
        break;
    case 6:
        link(name(), name());
        break;
    case 7: /* something to map, page by page */
        fd = open(name(), O_CREATE | O_RDWR);
        for (int i = below(5); i >= 0; i--)
            write(fd, buffer, one_in(3) ? 100 : PGSIZE);
        break;
    }
}

/* The kernel copies into mappings, out of them, and from one to another through a file. */
static void copy(void)
{
    int fds[2];
    uint n = one_in(8) ? (uint)next() : below(3 * PGSIZE);
    if (one_in(20) || (int)n > 4 * PGSIZE)
        n = below(4) * PGSIZE;
    switch (below(6)) {
    case 0:
        write(descriptor(), some_page(), n);
        break;
    case 1:
        read(descriptor(), some_page(), n);
        break;
    case 2:
        if (pipe(fds) == 0) {
            write(fds[1], some_page(), n % PIPESIZE);
            read(fds[0], some_page(), 1 + n % PIPESIZE ? n % PIPESIZE : 0);
            close(fds[0]);
            close(fds[1]);
        }
        break;
    case 3:
        fstat(descriptor(), (struct stat *)some_page());
        break;
    case 4:
        open(some_page(), below(4));
        break;
    case 5:
        pipe((int *)some_page());
        break;
    }
}

static void handler(void)
{
    sigreturn();
}

static void labs(void)
{
    switch (below(7)) {
    case 0:
        system_call(SYS_pgpte, one_in(2) ? border() : (uint64)some_page(), 0, 0, 0, 0, 0);
        break;
    case 1: /* of other years: interpose in 2025 */
        system_call(SYS_sysinfo, (uint64)some_page() & ~0xffffffffUL, border(), 0, 0, 0, 0);
        break;
    case 2:
        system_call(SYS_pgaccess, one_in(2) ? border() : (uint64)some_page(), below(70) - 2, (uint64)some_page(),
                    0, 0, 0);
        break;
    case 3:
        sigalarm((int)below(4) - 1, one_in(8) ? (void (*)(void))border() : handler);
        break;
    case 4:
        if (one_in(4))
            sigreturn();
        break;
    case 5:
        trace(1 << below(32) & ~(1 << SYS_mmap | 1 << SYS_munmap));
        break;
    case 6:
        if (one_in(20))
            kpgtbl();
        break;
    }
}

static void children(const char *self)
{
    char seed[20] = "1", first[12] = {'0' + first_pid / 10000 % 10, '0' + first_pid / 1000 % 10,
                                      '0' + first_pid / 100 % 10, '0' + first_pid / 10 % 10, '0' + first_pid % 10};
    char *argv[] = {(char *)self, "again", seed, first, 0};
    if (one_in(2) && getpid() - first_pid < 60) {
        if (fork() == 0)
            next();
        state += getpid();
    } else if (one_in(5)) {
        kill(first_pid + below(12));
    } else if (one_in(6)) {
        for (int i = 0; i < 8; i++)
            seed[i] = '1' + below(9);
        exec(one_in(8) ? some_page() : (char *)self, one_in(8) ? (char **)some_page() : argv);
    } else if (one_in(10)) {
        exit(1);
    } else if (one_in(3)) {
        sleep(1);
    }
}

static void run(const char *self)
{
    for (int i = 0; i < OPS; i++) {
        switch (below(16)) {
        case 0:
        case 1:
        case 2:
            map();
            break;
        case 3:
            range(SYS_munmap, 0);
            break;
        case 4:
            range(SYS_mprotect, one_in(8) ? (int)next() : (int)below(4));
            break;
        case 5:
            range(SYS_msync, one_in(4) ? (int)next() : MS_SYNC);
            break;
        case 6:
            move_heap();
            break;
        case 7:
        case 8:
            change_files();
            break;
        case 9:
        case 10:
            copy();
            break;
        case 11:
            labs();
            break;
        case 12:
            children(self);
            break;
        default:
            touch();
        }
    }
    exit(0);
}

static void begin(const char *self, uint64 seed)
{
    state = seed * 0x9E3779B97F4A7C15 + 1;
    next();
    for (int fd = 0; fd < NOFILE; fd++)
        close(fd);
    for (int i = 0; i < 3; i++) {
        int fd = open(names[i], O_CREATE | O_RDWR);
        for (int k = 0; k <= i && bytes_of(fd, 0) < 3 * PGSIZE; k++)
            write(fd, buffer, sizeof buffer);
    }
    heap = sbrk(0);
    run(self);
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
        while (wait(0) >= 0)
            ;
    } while (last != before + 1);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "again") == 0) {
        first_pid = atoi(argv[3]);
        begin(argv[0], atoi(argv[2]));
    }
    if (argc != 3) {
        fprintf(2, "usage: hostile_memory seed children\n");
        return 2;
    }
    int seed = atoi(argv[1]), children = atoi(argv[2]);
    mkdir("/hm");
    chdir("/hm");
    mkdir("d");
    for (int i = 0; i < children; i += BATCH) {
        first_pid = fork();
        if (first_pid == 0)
            exit(0);
        for (int n = i; n < i + BATCH && n < children; n++)
            if (fork() == 0)
                begin(argv[0], seed * 1000003UL + n);
        sleep(2);
        end_all(first_pid);
    }
    for (int i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(names[i]);
    unlink("d/f");
    chdir("/");
    unlink("hm/d");
    unlink("hm");
    printf("hostile_memory: done\n");
    return 0;
}
