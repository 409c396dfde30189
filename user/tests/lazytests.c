/* lazytests: memory that is promised by sbrklazy() and comes with the first touch.  What a program, a system
   call and a child see of pages that are not there yet; and which addresses nobody promised.
   The kernel's copying into such pages goes by copyout(), out of them by copyin(), of names by copyinstr(). */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/memlayout.h"
#include "kernel/riscv.h"
#include "kernel/stat.h"
#include "user/user.h"
#include "user/testing.h"

#define MIB (1 << 20)
#define GIB (1 << 30)
#define STRIDE (16 * MIB + 3 * PGSIZE) /* so that every table level sees other indices */
#define FILE_NAME "lazyfile"

/* Promised memory of n bytes that begins on a page. */
static char *promise(int n)
{
    char *end = sbrk(0);
    check(sbrk(-(uint64)end % PGSIZE) == end);
    char *start = sbrklazy(n);
    check(start != FAILED_SBRK && (uint64)start % PGSIZE == 0);
    return start;
}

static int all_zero(const char *bytes, int n)
{
    for (int i = 0; i < n; i++)
        if (bytes[i])
            return 0;
    return 1;
}

/* -- touching ------------------------------------------------------------------------------------------ */

/* Eight times the memory of the machine, of which one page in four thousand is used. */
static void sparse_touch(void)
{
    char *heap = promise(GIB);
    for (long at = 0; at < GIB; at += STRIDE)
        *(long *)(heap + at) = at + 1;
    for (long at = 0; at < GIB; at += STRIDE) {
        check(*(long *)(heap + at) == at + 1);
        check(all_zero(heap + at + sizeof(long), PGSIZE - sizeof(long)));
    }
}

static void first_and_last_byte(void)
{
    char *heap = promise(3 * PGSIZE);
    heap[3 * PGSIZE - 1] = 7;
    check(heap[0] == 0); /* a read brings the page too */
    heap[0] = 8;
    check(all_zero(heap + 1, 3 * PGSIZE - 2));
    check(heap[0] == 8 && heap[3 * PGSIZE - 1] == 7);
}

static void word_across_two_pages(void)
{
    char *heap = promise(2 * PGSIZE);
    volatile uint *word = (uint *)(heap + PGSIZE - 2);
    *word = 0x12345678;
    check(*word == 0x12345678 && heap[PGSIZE - 1] == 0x56 && heap[PGSIZE] == 0x34);
}

/* Many promises of less than a page. */
static void promised_by_bytes(void)
{
    char *start_of_it = promise(0), *p = start_of_it;
    for (int i = 0; i < 3000; i++, p += 5) {
        check(sbrklazy(5) == p);
        p[4] = i;
    }
    for (int i = 0; i < 3000; i++)
        check(start_of_it[5 * i + 4] == (char)i && start_of_it[5 * i] == 0);
}

/* Eager memory behind lazy memory and the other way round. */
static void both_kinds_of_growth(void)
{
    char *lazy = promise(10 * PGSIZE);
    char *eager = sbrk(10 * PGSIZE);
    char *more = sbrklazy(10 * PGSIZE);
    check(eager == lazy + 10 * PGSIZE && more == eager + 10 * PGSIZE);
    check(all_zero(lazy, 30 * PGSIZE));
    memset(lazy, 1, 30 * PGSIZE);
    check(sbrk(-25 * PGSIZE) == more + 10 * PGSIZE);
    check(lazy[5 * PGSIZE - 1] == 1);
    check(status_of(peek, lazy + 5 * PGSIZE) == KILLED);
}

/* -- giving back --------------------------------------------------------------------------------------- */

static void shrink_what_was_touched(void)
{
    char *heap = promise(64 * PGSIZE);
    memset(heap, 0xee, 64 * PGSIZE);
    check(sbrk(-32 * PGSIZE) == heap + 64 * PGSIZE);
    check(sbrk(0) == heap + 32 * PGSIZE);
    check(heap[32 * PGSIZE - 1] == (char)0xee);
    check(status_of(peek, heap + 32 * PGSIZE) == KILLED);
    check(sbrklazy(32 * PGSIZE) == heap + 32 * PGSIZE);
    check(all_zero(heap + 32 * PGSIZE, 32 * PGSIZE));
}

static void shrink_what_was_not_touched(void)
{
    char *heap = promise(GIB);
    heap[5 * PGSIZE] = 5;
    check(sbrk(-(GIB - 4 * MIB)) == heap + GIB);
    check(status_of(peek, heap + 4 * MIB) == KILLED);
    check(status_of(peek, heap + 4 * MIB - 1) == 0);
    check(heap[5 * PGSIZE] == 5);
    check(sbrk(-4 * MIB) == heap + 4 * MIB);
    check(status_of(peek, heap + 5 * PGSIZE) == KILLED);
}

/* The page that the end falls into stays. */
static void shrink_within_a_page(void)
{
    char *heap = promise(2 * PGSIZE);
    heap[PGSIZE + 1] = 3;
    check(sbrk(-(PGSIZE - 10)) == heap + 2 * PGSIZE);
    check(heap[PGSIZE + 1] == 3);
    check(sbrk(-10) == heap + PGSIZE + 10);
    check(status_of(peek, heap + PGSIZE) == KILLED);
    check(sbrklazy(1) == heap + PGSIZE && heap[PGSIZE] == 0 && heap[PGSIZE + 1] == 0);
}

static void shrink_too_far(void)
{
    char *heap = promise(PGSIZE), *end = heap + PGSIZE;
    check(sbrk(-(int)(uint64)end - 1) == end);
    check(sbrk(0) == end);
    check(sbrklazy(-0x7fffffff - 1) == end);
    check(sbrk(0) == end);
    heap[0] = 1;
}

/* -- system calls on promised pages --------------------------------------------------------------------- */

static void write_from_pages_not_there(void)
{
    char *heap = promise(8 * PGSIZE), *back = heap + 4 * PGSIZE;
    heap[2 * PGSIZE - 1] = 9; /* of the pages written only the middle one is there */
    int fd = open(FILE_NAME, O_CREATE | O_RDWR);
    check(write(fd, heap + 1, 3 * PGSIZE - 1) == 3 * PGSIZE - 1);
    close(fd);
    fd = open(FILE_NAME, O_RDONLY);
    check(read(fd, back, 4 * PGSIZE) == 3 * PGSIZE - 1);
    close(fd);
    check(unlink(FILE_NAME) == 0);
    check(back[2 * PGSIZE - 2] == 9);
    back[2 * PGSIZE - 2] = 0;
    check(all_zero(back, 4 * PGSIZE));
}

static void read_into_pages_not_there(void)
{
    char *heap = promise(4 * PGSIZE), text[] = "not there yet";
    int fd = open(FILE_NAME, O_CREATE | O_RDWR);
    check(write(fd, text, sizeof text) == sizeof text);
    close(fd);
    fd = open(FILE_NAME, O_RDONLY);
    check(read(fd, heap + 2 * PGSIZE - 5, sizeof text) == sizeof text);
    close(fd);
    check(unlink(FILE_NAME) == 0);
    check(strcmp(heap + 2 * PGSIZE - 5, text) == 0);
    check(all_zero(heap, 2 * PGSIZE - 5));
}

static void pipe_into_pages_not_there(void)
{
    char *heap = promise(4 * PGSIZE);
    int *fds = (int *)(heap + PGSIZE - sizeof(int)); /* one descriptor in each of two pages */
    check(pipe(fds) == 0);
    check(fds[0] > 2 && fds[1] > fds[0]);
    check(write(fds[1], heap + 2 * PGSIZE, 100) == 100);
    check(read(fds[0], heap + 3 * PGSIZE, 100) == 100);
    check(all_zero(heap + 3 * PGSIZE, 100));
}

static void exit_with_seven(void *unused)
{
    exit(7);
}

static void wait_and_fstat_into_pages_not_there(void)
{
    char *heap = promise(2 * PGSIZE);
    int *status = (int *)heap;
    int pid = start(exit_with_seven, 0);
    check(wait(status) == pid && *status == 7);
    struct stat *st = (struct stat *)(heap + PGSIZE);
    check(stat("/", st) == 0 && st->type == T_DIR);
}

static void exec_from_pages_not_there(void *heap)
{
    char **argv = (char **)((char *)heap + PGSIZE);
    exec("/echo", argv); /* an argv of zeros: no words */
    exit(1);
}

/* An empty word: echo ends its line behind it. */
static void exec_with_a_name_not_there(void *heap)
{
    char *argv[] = {"/echo", heap, 0};
    exec("/echo", argv);
    exit(3);
}

static void argv_in_pages_not_there(void)
{
    char *heap = promise(2 * PGSIZE);
    check(status_of(exec_from_pages_not_there, heap) == 0);
    check(status_of(exec_with_a_name_not_there, heap + PGSIZE) == 0);
}

/* A name that nobody has written is empty, which names the current directory and nothing in it. */
static void names_in_pages_not_there(void)
{
    char *heap = promise(4 * PGSIZE);
    int here = open(heap, O_RDONLY);
    struct stat st, cwd;
    check(here >= 0 && fstat(here, &st) == 0 && stat(".", &cwd) == 0 && st.ino == cwd.ino);
    close(here);
    check(unlink(heap) == -1 && mkdir(heap) == -1 && chdir(heap) == 0);
    check(link("/", heap + PGSIZE) == -1 && link(heap + PGSIZE, "/lazyname") == -1);
    strcpy(heap + 2 * PGSIZE - 5, "/echo"); /* its NUL is in the page behind */
    int fd = open(heap + 2 * PGSIZE - 5, O_RDONLY);
    check(fd >= 0);
    close(fd);
    heap = promise(2 * PGSIZE);
    heap[PGSIZE - 1] = '/'; /* and the NUL is in a page that nobody has written */
    fd = open(heap + PGSIZE - 1, O_RDONLY);
    check(fd >= 0 && fstat(fd, &st) == 0 && st.type == T_DIR);
    close(fd);
    heap = promise(PGSIZE);
    memset(heap, 'x', PGSIZE); /* it goes on where memory ends */
    check(open(heap + PGSIZE - 3, O_RDONLY) == -1);
}

/* -- fork ---------------------------------------------------------------------------------------------- */

#define HOLES (256 * MIB)

static void look_and_touch(void *argument)
{
    char *heap = argument;
    check(heap[0] == 1 && heap[100 * MIB] == 2 && heap[50 * MIB] == 0);
    check(sbrk(0) == heap + HOLES);
    heap[0] = 11;
    heap[50 * MIB] = 13; /* a hole of its own */
    check(sbrk(-150 * MIB) == heap + HOLES);
    check(heap[100 * MIB] == 2);
}

static void fork_over_holes(void)
{
    char *heap = promise(HOLES);
    heap[0] = 1;
    heap[100 * MIB] = 2;
    for (int round = 0; round < 3; round++) {
        check(status_of(look_and_touch, heap) == 0);
        check(heap[0] == 1 && heap[100 * MIB] == 2);
    }
    check(heap[50 * MIB] == 0 && heap[200 * MIB] == 0);
}

static void grandchild(void *heap)
{
    ((char *)heap)[PGSIZE] = 2;
    check(status_of(touch, (char *)heap + 2 * PGSIZE) == 0);
    check(((char *)heap)[2 * PGSIZE] == 0);
}

static void holes_stay_holes_in_grandchildren(void)
{
    char *heap = promise(GIB);
    check(status_of(grandchild, heap) == 0);
    check(heap[PGSIZE] == 0);
}

/* A child that is only to run a program must not cost what the parent was promised. */
static void run_true(void *unused)
{
    char *argv[] = {"/echo", 0};
    close(1);
    exec("/echo", argv);
    exit(1);
}

static void exec_from_a_huge_process(void)
{
    char *heap = promise(GIB);
    heap[GIB - 1] = 1;
    check(status_of(run_true, 0) == 0);
    check(heap[GIB - 1] == 1);
}

/* -- what was not promised -------------------------------------------------------------------------------- */

static void below_the_stack(void)
{
    char *stack = STACK_BOTTOM;
    check(status_of(peek, stack) == 0);
    check(status_of(peek, stack - 1) == KILLED);
    check(status_of(touch, stack - 1) == KILLED);
    check(status_of(touch, stack - PGSIZE) == KILLED);
    int fds[2];
    check(pipe(fds) == 0);
    check(write(fds[1], stack - 1, 1) <= 0);
    check(write(fds[1], "abc", 3) == 3);
    check(read(fds[0], stack - PGSIZE, 3) == -1);
    check(open(stack - PGSIZE, O_RDONLY) == -1);
}

static void recurse(void *depth)
{
    volatile char frame[200];
    frame[0] = (long)depth;
    recurse((void *)((long)depth + frame[0] + 1));
}

static void stack_overflow(void)
{
    check(status_of(recurse, 0) == KILLED);
}

static void past_the_end(void)
{
    char *end = promise(2 * PGSIZE) + 2 * PGSIZE;
    check(status_of(touch, end - 1) == 0);
    check(status_of(peek, end) == KILLED);
    check(status_of(touch, end) == KILLED);
    check(status_of(touch, end + 100 * MIB) == KILLED);
    check(pipe((int *)end) == -1 && pipe((int *)(end - 4)) == -1);
    check(dup(1) == 3); /* the failed calls left no descriptor */
}

static void nobodys_addresses(void)
{
    uint64 addresses[] = {TRAPFRAME,  TRAPFRAME - 1, TRAMPOLINE,   MAXVA - 1,       MAXVA,
                          MAXVA << 1, KERNBASE,      1UL << 63, (uint64)-PGSIZE, (uint64)-1};
    for (uint i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        char *address = (char *)addresses[i];
        check(status_of(peek, address) == KILLED);
        check(status_of(touch, address) == KILLED);
        check(write(1, address, 1) <= 0); /* how many bytes got there before it failed: none */
        check(stat("/", (struct stat *)address) == -1);
    }
}

static void more_than_there_are_addresses(void)
{
    char *start_of_it = sbrk(0), *end = start_of_it;
    while (sbrklazy(GIB) != FAILED_SBRK)
        end += GIB;
    check(sbrk(0) == end && (uint64)end <= TRAPFRAME);
    end[-1] = 1;
    start_of_it[0] = 2;
    check(sbrklazy(0x7fffffff) == FAILED_SBRK && sbrk(0) == end);
    check(end[-1] == 1);
}

/* -- no more memory --------------------------------------------------------------------------------------- */

struct appetite {
    char *heap;
    int pages;
    int by_write;
};

static void eat(void *argument)
{
    struct appetite *a = argument;
    for (long i = 0; i < a->pages; i++)
        (a->by_write ? touch : peek)(a->heap + i * PGSIZE);
}

/* Whoever takes a promise at its word when memory is gone is killed; the others and the machine live on. */
static void out_of_memory_in_a_fault(void)
{
    int all = free_pages();
    struct appetite a = {promise(GIB), GIB / PGSIZE, 1};
    check(a.pages > all);
    check(status_of(eat, &a) == KILLED);
    check(free_pages() + 50 >= all); /* this process has some of it: tables for its own promise */
    a.by_write = 0;
    check(status_of(eat, &a) == KILLED);
    a.pages = all / 2;
    check(status_of(eat, &a) == 0);
}

static void take_the_rest(void)
{
    for (int step = 256; step > 0; step /= 4)
        while (sbrk(step * PGSIZE) != FAILED_SBRK)
            ;
}

/* In a system call there is no instruction to blame: the call fails. */
static void call_without_memory(void *unused)
{
    char *heap = promise(64 * PGSIZE);
    int fds[2];
    check(pipe(fds) == 0);
    heap[0] = 'a';
    take_the_rest();
    check(write(fds[1], heap, 1) == 1);
    for (int i = 1; i < 64; i++) /* what was left over for tables may do for some */
        if (read(fds[0], heap + i * PGSIZE, 1) == -1)
            exit(5);
        else
            check(write(fds[1], heap, 1) == 1);
}

static void out_of_memory_in_a_call(void)
{
    check(status_of(call_without_memory, 0) == 5);
}

static void promise_without_memory(void *unused)
{
    take_the_rest();
    char *heap = sbrklazy(10 * MIB);
    check(heap != FAILED_SBRK);
    check(sbrk(-20 * MIB) == heap + 10 * MIB);
    check(sbrklazy(20 * MIB) == heap - 10 * MIB);
    eat(&(struct appetite){heap - 10 * MIB, 9 * MIB / PGSIZE, 1});
}

/* A promise costs nothing, and what is given back can keep it. */
static void promises_without_memory(void)
{
    check(status_of(promise_without_memory, 0) == 0);
}

static const struct test tests[] = {
    {"sparse_touch", sparse_touch},
    {"first_and_last_byte", first_and_last_byte},
    {"word_across_two_pages", word_across_two_pages},
    {"promised_by_bytes", promised_by_bytes},
    {"both_kinds_of_growth", both_kinds_of_growth},
    {"shrink_what_was_touched", shrink_what_was_touched},
    {"shrink_what_was_not_touched", shrink_what_was_not_touched},
    {"shrink_within_a_page", shrink_within_a_page},
    {"shrink_too_far", shrink_too_far},
    {"write_from_pages_not_there", write_from_pages_not_there},
    {"read_into_pages_not_there", read_into_pages_not_there},
    {"pipe_into_pages_not_there", pipe_into_pages_not_there},
    {"wait_and_fstat_into_pages_not_there", wait_and_fstat_into_pages_not_there},
    {"argv_in_pages_not_there", argv_in_pages_not_there},
    {"names_in_pages_not_there", names_in_pages_not_there},
    {"fork_over_holes", fork_over_holes},
    {"holes_stay_holes_in_grandchildren", holes_stay_holes_in_grandchildren},
    {"exec_from_a_huge_process", exec_from_a_huge_process},
    {"below_the_stack", below_the_stack},
    {"stack_overflow", stack_overflow},
    {"past_the_end", past_the_end},
    {"nobodys_addresses", nobodys_addresses},
    {"more_than_there_are_addresses", more_than_there_are_addresses},
    {"out_of_memory_in_a_fault", out_of_memory_in_a_fault},
    {"out_of_memory_in_a_call", out_of_memory_in_a_call},
    {"promises_without_memory", promises_without_memory},
    {0},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, (const struct test *const[]){tests, 0});
}
