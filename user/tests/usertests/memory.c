/* Cases: a process's memory, how it grows and shrinks, and what happens when there is no more. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "kernel/memlayout.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "test.h"

#define MIB (1 << 20)

static char uninitialised[10000];

static void bss_is_zero(void)
{
    for (uint i = 0; i < sizeof uninitialised; i++)
        check(uninitialised[i] == 0);
}

/* Ends the heap at a page boundary, and returns it. */
static char *align_break(void)
{
    char *end = sbrk(0);
    check(sbrk(-(uint64)end % PGSIZE) == end);
    return sbrk(0);
}

static void sbrk_by_bytes(void)
{
    char *end = sbrk(0);
    for (int i = 0; i < 5000; i++) {
        check(sbrk(1) == end);
        check(sbrk(0) == end + 1);
        *end++ = 1;
    }
}

static void sbrk_is_zero(void)
{
    char *dirty = sbrk(20 * PGSIZE);
    memset(dirty, 0xff, 20 * PGSIZE);
    sbrk(-20 * PGSIZE);
    char *fresh = align_break();
    check(sbrk(20 * PGSIZE) == fresh);
    for (int i = 0; i < 20 * PGSIZE; i += 8)
        check(*(uint64 *)(fresh + i) == 0);
}

static void sbrk_grows_and_shrinks(void)
{
    char *end = align_break();
    check(sbrk(MIB) == end);
    for (int i = 0; i < MIB; i += PGSIZE)
        *(int *)(end + i) = i;
    check(sbrk(-PGSIZE) == end + MIB);
    check(sbrk(0) == end + MIB - PGSIZE);
    check(status_of(touch, end + MIB - PGSIZE - 1) == 0);
    check(status_of(touch, end + MIB - PGSIZE) == KILLED);
    for (int i = 0; i < MIB - PGSIZE; i += PGSIZE)
        check(*(int *)(end + i) == i);
    check(sbrk(-(MIB - PGSIZE)) == end + MIB - PGSIZE);
    check(status_of(touch, end) == KILLED);
}

/* A break inside of a page keeps that page. */
static void sbrk_within_a_page(void)
{
    char *end = align_break();
    check(sbrk(PGSIZE + 1) == end);
    end[PGSIZE] = 7;
    check(sbrk(10) == end + PGSIZE + 1);
    check(end[PGSIZE] == 7);
    check(sbrk(-10) == end + PGSIZE + 11);
    check(end[PGSIZE] == 7);
    check(sbrk(-1) == end + PGSIZE + 1);
    check(status_of(touch, end + PGSIZE) == KILLED);
    end[PGSIZE - 1] = 1;
}

static void sbrk_too_far_back(void)
{
    char *end = sbrk(0);
    check(sbrk(-(int)(uint64)end - 1) == end);
    check(sbrk(0) == end);
    check(sbrk(-0x7fffffff) == end);
    check(sbrk(0) == end);
}

static void give_all_back(void *unused)
{
    sbrk(-(int)(uint64)sbrk(0));
    exit(0); /* not reached: the text is gone */
}

/* Keeps the text's first bytes, and loses the stack that it stands on. */
static void shrink_into_image(void *keep)
{
    volatile int on_stack;
    sbrk((int)((long)keep - (long)sbrk(0)));
    on_stack = 1;
    exit(on_stack);
}

static void sbrk_takes_the_image(void)
{
    check(status_of(give_all_back, 0) == KILLED);
    check(status_of(shrink_into_image, (void *)1) == KILLED);
    check(status_of(shrink_into_image, (void *)3500) == KILLED);
}

/* The kernel reads and writes memory that the program itself has not touched yet. */
static void sbrk_then_system_call(void)
{
    char *fresh = sbrk(2 * PGSIZE);
    int fd = open("sbrkfile", O_CREATE | O_RDWR);
    check(write(fd, fresh, 2 * PGSIZE) == 2 * PGSIZE);
    close(fd);
    fresh = sbrk(2 * PGSIZE);
    fd = open("sbrkfile", O_RDONLY);
    check(read(fd, fresh, 2 * PGSIZE) == 2 * PGSIZE);
    close(fd);
    check(unlink("sbrkfile") == 0);
    fresh = sbrk(PGSIZE);
    check(pipe((int *)fresh) == 0);
    check(((int *)fresh)[0] > 2);
}

/* Enough to need new page tables on every level, at least one of which is then given back. */
static void sbrk_much(void)
{
    char *start_of_it = sbrk(0);
    check(sbrk(64 * MIB) == start_of_it);
    for (int i = 0; i < 64 * MIB; i += 4 * PGSIZE)
        *(int *)(start_of_it + i + 4096 - (uint64)start_of_it % 4096) = i;
    for (int i = 0; i < 64 * MIB; i += 4 * PGSIZE)
        check(*(int *)(start_of_it + i + 4096 - (uint64)start_of_it % 4096) == i);
    check(sbrk(-64 * MIB) == start_of_it + 64 * MIB);
}

/* -- no more memory ------------------------------------------------------------------------------------ */

static int take_all(void)
{
    int pages = 0;
    for (int step = 256; step > 0; step /= 4)
        while (sbrk(step * PGSIZE) != FAILED_SBRK)
            pages += step;
    return pages;
}

static void take_all_and_write(void *unused)
{
    char *end = align_break();
    int pages = take_all();
    check(pages > 100);
    for (int i = 0; i < pages; i++)
        end[(uint64)i * PGSIZE] = i;
    for (int i = 0; i < pages; i++)
        check(end[(uint64)i * PGSIZE] == (char)i);
    char *top = sbrk(0);
    check(sbrk(PGSIZE) == FAILED_SBRK && sbrk(0) == top);
    check(sbrk(-10 * PGSIZE) == top); /* what is given back can be had again */
    check(sbrk(10 * PGSIZE) == top - 10 * PGSIZE);
}

static void out_of_memory(void)
{
    int before = free_pages();
    check(status_of(take_all_and_write, 0) == 0);
    check(free_pages() >= before);
}

/* When memory is short fork() may fail, and gives back what it had taken. */
static void fork_without_memory(void *unused)
{
    take_all();
    sbrk(-20 * PGSIZE);
    for (int i = 0; i < 10; i++) {
        int pid = fork();
        if (pid == 0)
            exit(0);
        if (pid > 0)
            check(reap(pid) == 0);
    }
    check(sbrk(10 * PGSIZE) != FAILED_SBRK);
}

static void out_of_memory_in_fork(void)
{
    check(status_of(fork_without_memory, 0) == 0);
}

static void exec_without_memory(void *spare)
{
    char *argv[] = {"echo", 0};
    take_all();
    sbrk(-(int)(long)spare * PGSIZE);
    close(1);
    exec("/echo", argv);
    exit(0);
}

/* With ever more memory left, exec() fails at each of its steps once. */
static void out_of_memory_in_exec(void)
{
    for (long spare = 0; spare < 15; spare++)
        check(status_of(exec_without_memory, (void *)spare) == 0);
}

static void pipe_without_memory(void *unused)
{
    int fds[2];
    take_all();
    if (pipe(fds) == 0)
        exit(0);
    check(dup(1) == 3); /* no descriptor was left behind */
}

static void out_of_memory_in_pipe(void)
{
    check(status_of(pipe_without_memory, 0) == 0);
}

static void hold_all(void *argument)
{
    int *fds = argument;
    while (sbrk(16 * PGSIZE) != FAILED_SBRK)
        ;
    send_byte(fds[1]);
    sleep(1000000);
}

/* Memory comes back from processes that are killed, too. */
static void killed_memory_comes_back(void)
{
    int fds[2], before = free_pages();
    check(pipe(fds) == 0);
    int pid = start(hold_all, fds);
    await_byte(fds[0]);
    check(kill(pid) == 0);
    check(reap(pid) == KILLED);
    close(fds[0]);
    close(fds[1]);
    check(free_pages() >= before);
}

/* -- lazy memory ----------------------------------------------------------------------------------------- */

static char *lazy_gib;

static void touch_lazy_copy(void *unused)
{
    check(lazy_gib[0] == 1 && lazy_gib[500 * MIB] == 2);
    check(lazy_gib[600 * MIB] == 0);
    lazy_gib[700 * MIB] = 9;
}

static void lazy_is_cheap(void)
{
    if (!is_orrery())
        return;
    lazy_gib = sbrklazy(1024 * MIB);
    check(lazy_gib != FAILED_SBRK);
    check(sbrk(0) == lazy_gib + 1024 * MIB);
    lazy_gib[0] = 1;
    lazy_gib[500 * MIB] = 2;
    check(lazy_gib[1024 * MIB - 1] == 0);
    check(status_of(touch_lazy_copy, 0) == 0);
    check(lazy_gib[700 * MIB] == 0);
    check(status_of(touch, lazy_gib + 1024 * MIB + PGSIZE) == KILLED);
    check(sbrklazy(-1024 * MIB) == lazy_gib + 1024 * MIB);
    check(status_of(touch, lazy_gib + PGSIZE) == KILLED);
}

static void lazy_in_system_calls(void)
{
    if (!is_orrery())
        return;
    align_break();
    char *lazy = sbrklazy(20 * PGSIZE);
    int fd = open("sbrkfile", O_CREATE | O_RDWR);
    check(write(fd, lazy + 100, 2 * PGSIZE) == 2 * PGSIZE);
    close(fd);
    make_file("sbrkfile", 3000, 1);
    fd = open("sbrkfile", O_RDONLY);
    check(read(fd, lazy + 9 * PGSIZE - 1000, 3000) == 3000);
    check(lazy[9 * PGSIZE - 1000] == 31);
    close(fd);
    check(pipe((int *)(lazy + 12 * PGSIZE)) == 0);
    check(wait((int *)(lazy + 14 * PGSIZE)) == -1);
    lazy[17 * PGSIZE - 1] = '/'; /* and the NUL behind it is promised */
    struct stat st;
    fd = open(lazy + 17 * PGSIZE - 1, O_RDONLY);
    check(fd >= 0 && fstat(fd, &st) == 0 && st.type == T_DIR);
    close(fd);
    check(unlink("sbrkfile") == 0);
}

static void touch_everything(void *pages)
{
    char *lazy = sbrklazy((int)(long)pages * PGSIZE);
    for (long i = 0; i < (long)pages; i++)
        touch(lazy + i * PGSIZE);
}

static void read_everything(void *pages)
{
    char *lazy = sbrklazy((int)(long)pages * PGSIZE);
    int sum = 0;
    for (long i = 0; i < (long)pages; i++)
        sum += ((volatile char *)lazy)[i * PGSIZE];
    exit(sum);
}

/* A promise of more memory than there is can be made, but who takes it at its word is killed. */
static void lazy_too_much(void)
{
    if (!is_orrery())
        return;
    long all = free_pages();
    check(status_of(touch_everything, (void *)(all - 200)) == 0);
    check(status_of(touch_everything, (void *)(all + 200)) == KILLED);
    check(status_of(read_everything, (void *)(all + 200)) == KILLED);
    check(free_pages() >= all);
}

/* The heap ends below the trapframe. */
static void lazy_limit(void)
{
    if (!is_orrery())
        return;
    for (int step = 0x40000000; step >= PGSIZE; step /= 2)
        while (sbrklazy(step) != FAILED_SBRK)
            ;
    check((uint64)sbrk(0) <= TRAPFRAME && (uint64)sbrk(0) > TRAPFRAME - MIB);
    check(sbrklazy(0x7fffffff) == FAILED_SBRK);
    check(status_of(touch, (void *)TRAPFRAME) == KILLED);
    touch(sbrk(0) - PGSIZE);
}

static void huge_eager(void)
{
    char *end = sbrk(0);
    check(sbrk(0x7ffff000) == FAILED_SBRK);
    check(sbrk(0) == end);
}

/* -- malloc ---------------------------------------------------------------------------------------------- */

#define BLOCKS 64

static uint block_size(int i)
{
    return (i * 7919) % 3000 + 1;
}

static void check_block(const char *block, int i)
{
    for (uint k = 0; k < block_size(i); k++)
        check(block[k] == (char)(i + k));
}

static void malloc_and_free(void)
{
    static char *blocks[BLOCKS];
    for (int round = 0; round < 4 * BLOCKS; round++) {
        int i = round * 37 % BLOCKS;
        if (blocks[i]) {
            check_block(blocks[i], i);
            free(blocks[i]);
        }
        blocks[i] = malloc(block_size(i));
        check(blocks[i] && (uint64)blocks[i] % 16 == 0);
        for (uint k = 0; k < block_size(i); k++)
            blocks[i][k] = i + k;
    }
    for (int i = 0; i < BLOCKS; i++) {
        check_block(blocks[i], i);
        free(blocks[i]);
    }
    char *end = sbrk(0);
    check(malloc(BLOCKS * 1000) != 0); /* the pieces have become one again */
    check(sbrk(0) == end);
    free(0);
}

static void malloc_until_it_fails(void *unused)
{
    void *list = 0, *block;
    while ((block = malloc(100001)) != 0) {
        *(void **)block = list;
        list = block;
    }
    check(list);
    while (list) {
        block = *(void **)list;
        free(list);
        list = block;
    }
    check(malloc(1000000) != 0);
    check(malloc(0xfffffff0) == 0);
}

static void malloc_runs_out(void)
{
    check(status_of(malloc_until_it_fails, 0) == 0);
}

const struct test memory_tests[] = {
    {"bss_is_zero", bss_is_zero},
    {"sbrk_by_bytes", sbrk_by_bytes},
    {"sbrk_is_zero", sbrk_is_zero},
    {"sbrk_grows_and_shrinks", sbrk_grows_and_shrinks},
    {"sbrk_within_a_page", sbrk_within_a_page},
    {"sbrk_too_far_back", sbrk_too_far_back},
    {"sbrk_takes_the_image", sbrk_takes_the_image},
    {"sbrk_then_system_call", sbrk_then_system_call},
    {"sbrk_much", sbrk_much},
    {"huge_eager", huge_eager},
    {"out_of_memory", out_of_memory},
    {"out_of_memory_in_fork", out_of_memory_in_fork},
    {"out_of_memory_in_exec", out_of_memory_in_exec, SLOW},
    {"out_of_memory_in_pipe", out_of_memory_in_pipe},
    {"killed_memory_comes_back", killed_memory_comes_back},
    {"lazy_is_cheap", lazy_is_cheap},
    {"lazy_in_system_calls", lazy_in_system_calls},
    {"lazy_too_much", lazy_too_much},
    {"lazy_limit", lazy_limit},
    {"malloc_and_free", malloc_and_free},
    {"malloc_runs_out", malloc_runs_out},
    {0},
};
