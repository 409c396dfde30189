/* membench: what memory costs, on a kernel that has all of it: fork, first touches, mappings, coroutines.

       membench ROW SIZE N

   Does one thing N times, of a size that each row counts in units of its own, and says when it is done, as
   bench.c does.  Whoever measures (bench/memory.py) runs it twice, with a small and a large N, and divides. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "user/co.h"

#define MIB (1 << 20)
#define PIECE (512 * PGSIZE) /* what one superpage maps */
#define DATA_FILE "data"     /* is there; at least as long as `size` says */
#define SPREAD_PAGES 16      /* that `wide` touches */
#define RW (PROT_READ | PROT_WRITE)

static void die(const char *message)
{
    fprintf(2, "membench: %s\n", message);
    exit(1);
}

static int open_data(int mode)
{
    int fd = open(DATA_FILE, mode);
    if (fd < 0)
        die("no file " DATA_FILE);
    return fd;
}

static char *map(uint64 bytes, int prot, int flags, int fd)
{
    char *memory = mmap(0, bytes, prot, flags, fd, 0);
    if (memory == (char *)-1)
        die("mmap failed");
    return memory;
}

static void touch(char *memory, uint64 bytes, uint64 step)
{
    for (uint64 i = 0; i < bytes; i += step)
        *(volatile char *)(memory + i) = 1;
}

static uint64 sum_of(const char *memory, uint64 bytes)
{
    const uint64 *word = (const uint64 *)memory, *end = (const uint64 *)(memory + bytes);
    uint64 sum = 0;
    while (word < end)
        sum += *word++;
    return sum;
}

static void check_sum(uint64 sum)
{
    static uint64 first;
    if (first && sum != first)
        die("the file is another one");
    first = sum;
}

/* -- fork ------------------------------------------------------------------------------------------------ */

static void fork_and_wait(int n)
{
    while (n-- > 0) {
        int status, pid = fork();
        if (pid == 0)
            exit(0);
        if (pid < 0 || wait(&status) != pid || status != 0)
            die("fork failed");
    }
}

/* The end of the heap, at the begin of a piece. */
static char *align_heap(void)
{
    sbrklazy(-(uint64)sbrk(0) % PIECE);
    return sbrk(0);
}

/* With so many MiB that came page by page. */
static void row_fork(int size, int n)
{
    char *memory = align_heap();
    if (sbrklazy(size * MIB) != memory)
        die("sbrk failed");
    touch(memory, (uint64)size * MIB, PGSIZE);
    fork_and_wait(n);
}

/* The same, and each child stores to each page. */
static void row_forkstore(int size, int n)
{
    char *memory = align_heap();
    if (sbrklazy(size * MIB) != memory)
        die("sbrk failed");
    touch(memory, (uint64)size * MIB, PGSIZE);
    while (n-- > 0) {
        int pid = fork();
        if (pid == 0) {
            touch(memory, (uint64)size * MIB, PGSIZE);
            exit(0);
        }
        if (pid < 0 || wait(0) != pid)
            die("fork failed");
    }
}

/* With so many MiB in superpages. */
static void row_superfork(int size, int n)
{
    char *memory = align_heap();
    if (sbrk(size * MIB) != memory)
        die("sbrk failed");
    touch(memory, (uint64)size * MIB, PGSIZE);
    fork_and_wait(n);
}

/* -- the first touch ------------------------------------------------------------------------------------- */

static void take_and_touch(char *take(int), int size, int n)
{
    while (n-- > 0) {
        char *memory = take(size * PGSIZE);
        if (memory == (char *)-1)
            die("sbrk failed");
        touch(memory, size * PGSIZE, PGSIZE);
        sbrk(-size * PGSIZE);
    }
}

/* So many pages of heap that come when they are touched, and are given back. */
static void row_lazy(int size, int n)
{
    take_and_touch(sbrklazy, size, n);
}

/* The same with pages that are there when sbrk returns. */
static void row_eager(int size, int n)
{
    take_and_touch(sbrk, size, n);
}

/* -- files ----------------------------------------------------------------------------------------------- */

/* The sum of so many MiB of a file, by way of a mapping. */
static void row_mapped(int size, int n)
{
    uint64 bytes = (uint64)size * MIB;
    int fd = open_data(O_RDONLY);
    while (n-- > 0) {
        char *memory = map(bytes, PROT_READ, MAP_SHARED, fd);
        check_sum(sum_of(memory, bytes));
        munmap(memory, bytes);
    }
}

/* The same by read(), a page at a time. */
static void row_read(int size, int n)
{
    static char chunk[PGSIZE] __attribute__((aligned(8)));
    while (n-- > 0) {
        uint64 sum = 0;
        int fd = open_data(O_RDONLY);
        for (int i = 0; i < size * MIB / PGSIZE; i++) {
            if (read(fd, chunk, PGSIZE) != PGSIZE)
                die("read failed");
            sum += sum_of(chunk, PGSIZE);
        }
        close(fd);
        check_sum(sum);
    }
}

/* Stores to so many pages of a file that stays mapped, and writes them back. */
static void row_sync(int size, int n)
{
    uint64 bytes = size * PGSIZE;
    char *memory = map(bytes, RW, MAP_SHARED, open_data(O_RDWR));
    while (n-- > 0) {
        touch(memory, bytes, PGSIZE);
        if (msync(memory, bytes, MS_SYNC) < 0)
            die("msync failed");
    }
}

/* Writes so many pages of the same file by write(). */
static void row_write(int size, int n)
{
    static char chunk[PGSIZE];
    while (n-- > 0) {
        int fd = open_data(O_RDWR);
        for (int i = 0; i < size; i++)
            if (write(fd, chunk, PGSIZE) != PGSIZE)
                die("write failed");
        close(fd);
    }
}

/* -- munmap ---------------------------------------------------------------------------------------------- */

/* A mapping of so many pages, each touched. */
static void row_dense(int size, int n)
{
    while (n-- > 0) {
        char *memory = map((uint64)size * PGSIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);
        touch(memory, (uint64)size * PGSIZE, PGSIZE);
        munmap(memory, (uint64)size * PGSIZE);
    }
}

/* A mapping of so many MiB, of which SPREAD_PAGES are touched. */
static void row_wide(int size, int n)
{
    uint64 bytes = (uint64)size * MIB;
    while (n-- > 0) {
        char *memory = map(bytes, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);
        touch(memory, bytes, bytes / SPREAD_PAGES);
        munmap(memory, bytes);
    }
}

/* -- coroutines ------------------------------------------------------------------------------------------ */

static int yields;

static void yield_often(void *unused)
{
    for (int i = 0; i < yields; i++)
        co_yield();
}

/* So many coroutines that yield in turns, N times each. */
static void row_yield(int size, int n)
{
    struct co *others[size];
    yields = n;
    for (int i = 0; i < size; i++)
        if ((others[i] = co_create("other", yield_often, 0, CO_STACK_BYTES)) == 0)
            die("co_create failed");
    for (int i = 0; i < size; i++)
        co_join(others[i]);
}

static const struct {
    const char *name;
    void (*run)(int size, int n);
} rows[] = {
    {"fork", row_fork}, {"superfork", row_superfork}, {"forkstore", row_forkstore}, {"lazy", row_lazy},   {"eager", row_eager},
    {"mapped", row_mapped}, {"read", row_read},       {"sync", row_sync},   {"write", row_write},
    {"dense", row_dense},   {"wide", row_wide},       {"yield", row_yield},
};

#define ROWS ((int)(sizeof rows / sizeof rows[0]))

int main(int argc, char **argv)
{
    if (argc == 4) {
        for (int i = 0; i < ROWS; i++) {
            if (strcmp(argv[1], rows[i].name) == 0) {
                rows[i].run(atoi(argv[2]), atoi(argv[3]));
                printf("membench: %s %s %s done\n", argv[1], argv[2], argv[3]);
                exit(0);
            }
        }
    }
    fprintf(2, "usage: membench ROW SIZE N; ROW is one of");
    for (int i = 0; i < ROWS; i++)
        fprintf(2, " %s", rows[i].name);
    fprintf(2, "\n");
    exit(1);
}
