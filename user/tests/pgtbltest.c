/* pgtbltest: page tables as the labs look at them.  Which entries a program has (pgpte, kpgtbl); the page at
   USYSCALL, if the machine was started with --usyscall; superpages of the heap, 2 MiB each in one entry; and
   in the years until 2023, which have pgaccess instead of pgpte, which pages were touched. */

#include "kernel/types.h"
#include "kernel/memlayout.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "user/testing.h"

#define RX (PTE_V | PTE_R | PTE_X)
#define RW (PTE_V | PTE_R | PTE_W)
#define RIGHTS (RX | RW | PTE_U)
#define PAGES (SUPERPGSIZE / PGSIZE)
#define SUPERPAGES 3
#define UNKNOWN (-1UL) /* what a call gives that the kernel does not know */

static uint64 entry(const void *va)
{
    return pgpte((void *)va);
}

/* -- entries ------------------------------------------------------------------------------------------- */

static void entries_of_a_program(void)
{
    int on_stack;
    char *stack = (char *)PGROUNDDOWN((uint64)&on_stack);
    check((entry(0) & RIGHTS) == (RX | PTE_U));
    check((entry(stack) & RIGHTS) == (RW | PTE_U));
    check((entry(stack - PGSIZE) & (PTE_V | PTE_U)) == PTE_V); /* the guard: there, and not the user's */
    check((entry((void *)TRAPFRAME) & RIGHTS) == RW);
    check((entry((void *)TRAMPOLINE) & RIGHTS) == RX);
    check(entry(sbrk(0) + PGSIZE) == 0);
    check(entry((void *)MAXVA) == 0 && entry((void *)-1UL) == 0);
}

static void entry_brings_its_page(void)
{
    char *page = (char *)PGROUNDUP((uint64)sbrklazy(3 * PGSIZE));
    check((entry(page + 5) & RIGHTS) == (RW | PTE_U));
    check(page[0] == 0 && page[PGSIZE - 1] == 0);
    page[0] = 1;
    check(entry(page) & PTE_D);
    check(entry(page + PGSIZE) != entry(page));
}

static void printed(void)
{
    printf("\n");
    kpgtbl();
}

/* -- superpages ---------------------------------------------------------------------------------------- */

/* Memory for SUPERPAGES superpages, and something on both sides. */
static char *super(char *(*grow)(int))
{
    char *start = grow((SUPERPAGES + 1) * SUPERPGSIZE + PGSIZE);
    check(start != FAILED_SBRK);
    return (char *)SUPERPGROUNDUP((uint64)start);
}

/* One entry for all of the 2 MiB at `start`, with all rights. */
static int is_super(char *start)
{
    uint64 first = entry(start);
    if ((first & RIGHTS) != (RW | PTE_U) || PTE2PA(first) % SUPERPGSIZE)
        return 0;
    for (int i = 1; i < PAGES; i++)
        if (entry(start + i * PGSIZE) != first)
            return 0;
    return 1;
}

static void mark(char *start, int pages, long salt)
{
    for (int i = 0; i < pages; i++)
        *(long *)(start + (long)i * PGSIZE + 8) = i + salt;
}

static int is_marked(char *start, int pages, long salt)
{
    for (int i = 0; i < pages; i++)
        if (*(long *)(start + (long)i * PGSIZE + 8) != i + salt || *(long *)(start + (long)i * PGSIZE + 16) != 0)
            return 0;
    return 1;
}

static void of_promised_heap(void)
{
    char *heap = super(sbrklazy);
    for (int i = 0; i < SUPERPAGES; i++)
        check(is_super(heap + i * SUPERPGSIZE));
    check(entry(heap - PGSIZE) != entry(heap));
    mark(heap - PGSIZE, SUPERPAGES * PAGES, 1);
    check(is_marked(heap - PGSIZE, SUPERPAGES * PAGES, 1));
    check(is_super(heap));
}

static void of_heap_taken_at_once(void)
{
    char *heap = super(sbrk);
    for (int i = 0; i < SUPERPAGES; i++)
        check(is_super(heap + i * SUPERPGSIZE));
    mark(heap, SUPERPAGES * PAGES, 1);
    check(is_marked(heap, SUPERPAGES * PAGES, 1));
}

static void change_and_see(void *heap)
{
    check(is_marked(heap, SUPERPAGES * PAGES, 1));
    for (int i = 0; i < SUPERPAGES; i++)
        check(is_super((char *)heap + i * SUPERPGSIZE));
    mark((char *)heap + SUPERPGSIZE, PAGES, 1000);
    check(is_marked(heap, PAGES, 1));
    check(is_marked((char *)heap + SUPERPGSIZE, PAGES, 1000));
    check(is_marked((char *)heap + 2 * SUPERPGSIZE, PAGES, 1 + 2 * PAGES));
}

static void over_fork(void)
{
    char *heap = super(sbrk);
    mark(heap, SUPERPAGES * PAGES, 1);
    for (int i = 0; i < 2; i++)
        check(status_of(change_and_see, heap) == 0);
    check(is_marked(heap, SUPERPAGES * PAGES, 1));
    check(is_super(heap) && is_super(heap + SUPERPGSIZE));
    mark(heap, SUPERPAGES * PAGES, 7);
    check(is_marked(heap, SUPERPAGES * PAGES, 7));
}

static void parent_writes_first(void)
{
    char *heap = super(sbrk);
    int fds[2];
    mark(heap, SUPERPAGES * PAGES, 1);
    check(pipe(fds) == 0);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        await_byte(fds[0]);
        check(is_marked(heap, SUPERPAGES * PAGES, 1));
        exit(0);
    }
    mark(heap, SUPERPAGES * PAGES, 2);
    send_byte(fds[1]);
    check(reap(pid) == 0);
    check(is_marked(heap, SUPERPAGES * PAGES, 2));
}

/* Giving back the last page of a superpage leaves all others as they are. */
static void split_by_one_page(void)
{
    char *heap = super(sbrk);
    mark(heap, SUPERPAGES * PAGES, 1);
    char *end = heap + 2 * SUPERPGSIZE;
    check(sbrk(end - sbrk(0)) != FAILED_SBRK && is_super(end - SUPERPGSIZE));
    check(status_of(peek, end) == KILLED);
    end -= PGSIZE;
    sbrk(-PGSIZE);
    check(entry(end) == 0 && entry(end - PGSIZE) != 0 && entry(end - PGSIZE) != entry(end - 2 * PGSIZE));
    check(is_super(heap) && !is_super(heap + SUPERPGSIZE));
    check(status_of(peek, end) == KILLED);
    check(is_marked(heap, 2 * PAGES - 1, 1));
    mark(heap, 2 * PAGES - 1, 5);
    check(is_marked(heap, 2 * PAGES - 1, 5));
    check(sbrk(PGSIZE) == end && *(long *)(end + 8) == 0); /* a new page, without what was there */
}

static void give_back_half(void *heap)
{
    char *middle = (char *)heap + SUPERPGSIZE + SUPERPGSIZE / 2;
    check(sbrk(middle - sbrk(0)) != FAILED_SBRK);
    check(is_marked(heap, PAGES + PAGES / 2, 1));
    mark(heap, PAGES + PAGES / 2, 9);
    check(status_of(touch, middle) == KILLED);
}

/* What a child splits is whole for the parent, and the other way round. */
static void split_while_shared(void)
{
    char *heap = super(sbrk);
    mark(heap, SUPERPAGES * PAGES, 1);
    check(status_of(give_back_half, heap) == 0);
    check(is_marked(heap, SUPERPAGES * PAGES, 1) && is_super(heap + SUPERPGSIZE));
    int pid = start(change_and_see, heap);
    sbrk(heap + SUPERPGSIZE + PGSIZE - sbrk(0));
    check(reap(pid) == 0);
    check(is_marked(heap, PAGES + 1, 1) && is_super(heap) && entry(heap + SUPERPGSIZE + PGSIZE) == 0);
}

static void given_back_whole(void)
{
    char *old = sbrk(0), *heap = super(sbrk);
    mark(heap, SUPERPAGES * PAGES, 1);
    check(sbrk(old - sbrk(0)) != FAILED_SBRK);
    check(entry(heap) == 0 && status_of(touch, heap) == KILLED);
    heap = super(sbrk);
    check(is_marked(heap, 0, 0) && *(long *)(heap + 8) == 0);
}

/* System calls read and write across the pages of a superpage. */
static void in_system_calls(void)
{
    char *heap = super(sbrklazy);
    int fds[2];
    check(is_super(heap) && pipe(fds) == 0);
    memset(heap + PGSIZE - 100, 'x', 200);
    check(write(fds[1], heap + PGSIZE - 100, 200) == 200);
    check(read(fds[0], heap + 5 * PGSIZE - 100, 200) == 200);
    check(memcmp(heap + 5 * PGSIZE - 100, heap + PGSIZE - 100, 200) == 0);
    check(is_super(heap));
}

static const struct test tests[] = {
    {"entries_of_a_program", entries_of_a_program},
    {"entry_brings_its_page", entry_brings_its_page},
    {"printed", printed},
    {"of_promised_heap", of_promised_heap},
    {"of_heap_taken_at_once", of_heap_taken_at_once},
    {"over_fork", over_fork},
    {"parent_writes_first", parent_writes_first},
    {"split_by_one_page", split_by_one_page},
    {"split_while_shared", split_while_shared},
    {"given_back_whole", given_back_whole},
    {"in_system_calls", in_system_calls},
    {0},
};

/* -- the page at USYSCALL ------------------------------------------------------------------------------ */

static char *program;

static void is_mine(void *unused)
{
    (void)unused;
    check(ugetpid() == getpid());
}

static void number_without_a_trap(void)
{
    for (int i = 0; i < 20; i++) {
        is_mine(0);
        check(status_of(is_mine, 0) == 0);
    }
}

static void run_itself(void *unused)
{
    char *argv[] = {program, "-pid", 0};
    (void)unused;
    exec(program, argv);
}

static void same_after_exec(void)
{
    check(status_of(run_itself, 0) == 3);
}

static void to_be_read_only(void)
{
    check((entry((void *)USYSCALL) & RIGHTS) == (PTE_V | PTE_R | PTE_U));
    check(status_of(touch, (void *)USYSCALL) == KILLED);
    check(pipe((int *)USYSCALL) == -1);
    is_mine(0);
}

static const struct test usyscall_tests[] = {
    {"number_without_a_trap", number_without_a_trap},
    {"same_after_exec", same_after_exec},
    {"to_be_read_only", to_be_read_only},
    {0},
};

/* -- pages that were touched --------------------------------------------------------------------------- */

static uint touched(char *start)
{
    uint mask = 0x5a5a5a5a;
    check(pgaccess(start, 32, &mask) == 0);
    return mask;
}

static void by_the_program(void)
{
    char *heap = sbrk(32 * PGSIZE);
    check(touched(heap) == 0);
    touch(heap + PGSIZE);
    peek(heap + 30 * PGSIZE);
    check(touched(heap) == (1U << 1 | 1U << 30));
    check(touched(heap) == 0);
}

static void by_system_calls(void)
{
    char *heap = sbrk(32 * PGSIZE);
    int fds[2];
    check(pipe(fds) == 0 && write(fds[1], "xyz", 3) == 3 && touched(heap) == 0);
    check(read(fds[0], heap + 3 * PGSIZE - 1, 2) == 2);
    check(touched(heap) == (1U << 2 | 1U << 3));
}

static void touch_second(void *heap)
{
    check(touched(heap) == 1);
    touch((char *)heap + PGSIZE);
    check(touched(heap) == 2);
}

/* Each of parent and child has a record of its own. */
static void by_each_for_itself(void)
{
    char *heap = sbrk(32 * PGSIZE);
    touch(heap);
    check(status_of(touch_second, heap) == 0);
    check(touched(heap) == 1);
}

static const struct test pgaccess_tests[] = {
    {"by_the_program", by_the_program},
    {"by_system_calls", by_system_calls},
    {"by_each_for_itself", by_each_for_itself},
    {0},
};

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1 && strcmp(argv[1], "-pid") == 0) /* see same_after_exec */
        return ugetpid() == getpid() ? 3 : 4;
    if (entry(0) == UNKNOWN)
        return test_main(argc, argv, (const struct test *const[]){pgaccess_tests, 0});
    const struct test *usyscall = entry((void *)USYSCALL) ? usyscall_tests : 0;
    return test_main(argc, argv, (const struct test *const[]){tests, usyscall, 0});
}
