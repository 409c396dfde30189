/* cowtest: fork() that shares pages until somebody writes.  That memory is enough for what eager copying could
   not do; that nobody sees what another one wrote, whichever way the write came; and that the last owner of a
   page, and who runs out of memory, get what is theirs. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "kernel/stat.h"
#include "user/user.h"
#include "user/testing.h"

#define FILE_NAME "cowfile"

/* Memory that begins on a page; it is there when this returns. */
static char *take_pages(int pages)
{
    char *end = sbrk(0);
    check(sbrk(-(uint64)end % PGSIZE) == end);
    char *memory = sbrk(pages * PGSIZE);
    check(memory != FAILED_SBRK);
    return memory;
}

/* All that there is, with nothing left for a page table. */
static void take_the_rest(void)
{
    for (int step = 256; step > 0; step /= 4)
        while (sbrk(step * PGSIZE) != FAILED_SBRK)
            ;
}

struct area {
    char *memory;
    int pages;
    int mark;
};

/* Marks each page; whether each has a mark. */
static void fill(struct area *a, int mark)
{
    a->mark = mark;
    for (long i = 0; i < a->pages; i++)
        *(int *)(a->memory + i * PGSIZE) = mark + i;
}

static int is_filled(struct area *a)
{
    for (long i = 0; i < a->pages; i++)
        if (*(int *)(a->memory + i * PGSIZE) != a->mark + i)
            return 0;
    return 1;
}

/* An area of that many hundredths of the free memory, filled. */
static struct area *new_area(int percent)
{
    static struct area area;
    area.pages = free_pages() / 100 * percent;
    check(area.pages > 10);
    area.memory = take_pages(area.pages);
    fill(&area, 1000);
    return &area;
}

/* -- enough memory ----------------------------------------------------------------------------------------- */

static void look_only(void *area)
{
    check(is_filled(area));
}

static void fork_with_two_thirds(void)
{
    struct area *a = new_area(66);
    for (int i = 0; i < 5; i++)
        check(status_of(look_only, a) == 0);
    check(is_filled(a));
}

static void many_children_at_once(void)
{
    struct area *a = new_area(66);
    int fds[2], children = 20;
    check(pipe(fds) == 0);
    for (int i = 0; i < children; i++) {
        int pid = fork();
        check(pid >= 0);
        if (pid == 0) {
            await_byte(fds[0]); /* all are there before one goes on */
            check(is_filled(a));
            *(int *)a->memory = i;
            check(*(int *)a->memory == i);
            exit(0);
        }
    }
    for (int i = 0; i < children; i++)
        send_byte(fds[1]);
    for (int i = 0; i < children; i++)
        check(reap(0) == 0);
    check(is_filled(a));
}

static void run_echo(void *area)
{
    char *argv[] = {"/echo", 0};
    check(is_filled(area));
    close(1);
    exec("/echo", argv);
    exit(1);
}

static void run_a_program(void)
{
    struct area *a = new_area(80);
    for (int i = 0; i < 3; i++)
        check(status_of(run_echo, a) == 0);
    check(is_filled(a));
}

/* -- everybody has his own ------------------------------------------------------------------------------------- */

/* A process, its child and its grandchild write the same pages, each his mark, and look again and again. */
static void write_as_third(void *area)
{
    struct area *a = area;
    check(is_filled(a));
    fill(a, 3000);
    for (int i = 0; i < 5; i++) {
        sleep(1);
        check(is_filled(a));
    }
}

static void write_as_second(void *area)
{
    struct area *a = area;
    check(is_filled(a));
    int third = start(write_as_third, a);
    fill(a, 2000);
    for (int i = 0; i < 5; i++) {
        sleep(1);
        check(is_filled(a));
    }
    check(reap(third) == 0);
    check(is_filled(a));
}

static void three_writers(void)
{
    struct area *a = new_area(25);
    for (int round = 0; round < 2; round++) {
        int second = start(write_as_second, a);
        fill(a, 5000 + round);
        check(reap(second) == 0);
        check(is_filled(a));
    }
}

/* Each in a line of descendants changes one page more, and sees what all before him changed. */
static void descend(void *area)
{
    static int depth;
    struct area *a = area;
    depth++;
    for (int i = 0; i < 12; i++)
        check(*(int *)(a->memory + i * PGSIZE) == a->mark + i + (i < depth - 1 ? 1 : 0));
    ++*(int *)(a->memory + (depth - 1) * PGSIZE);
    if (depth < 10)
        check(status_of(descend, a) == 0);
    for (int i = 0; i < 12; i++)
        check(*(int *)(a->memory + i * PGSIZE) == a->mark + i + (i < depth ? 1 : 0));
}

static void ten_generations(void)
{
    struct area a = {take_pages(12), 12};
    fill(&a, 100);
    check(status_of(descend, &a) == 0);
    check(is_filled(&a));
}

static int in_data = 1;
static int in_bss;

static void change_data_and_stack(void *on_stack)
{
    check(in_data == 1 && in_bss == 0 && *(int *)on_stack == 2);
    in_data = in_bss = *(int *)on_stack = 9;
}

static void data_and_stack(void)
{
    volatile int on_stack = 2;
    check(status_of(change_data_and_stack, (void *)&on_stack) == 0);
    check(in_data == 1 && in_bss == 0 && on_stack == 2);
    int second = start(change_data_and_stack, (void *)&on_stack);
    in_data = 4; /* before the child has run */
    check(reap(second) == 0);
    check(in_data == 4 && on_stack == 2);
}

static void shrink_and_grow(void *area)
{
    struct area *a = area;
    check(is_filled(a));
    int bytes = a->pages / 2 * PGSIZE;
    check(sbrk(-bytes) == a->memory + a->pages * PGSIZE);
    char *fresh = sbrk(bytes);
    check(fresh != FAILED_SBRK && *(int *)fresh == 0);
    memset(fresh, 0xff, bytes);
}

static void pages_given_back(void)
{
    struct area *a = new_area(30);
    check(status_of(shrink_and_grow, a) == 0);
    check(is_filled(a));
    int child = start(look_only, a), pages = a->pages;
    a->pages = pages / 3;
    check(sbrk(-(pages - a->pages) * PGSIZE) == a->memory + pages * PGSIZE);
    check(reap(child) == 0); /* it had them still */
    check(is_filled(a));
}

/* -- the kernel writes, too -------------------------------------------------------------------------------------- */

struct target {
    char *shared; /* a page */
    int fd;
};

/* Each call writes to a page that the parent has as well, and to which the child has not written. */
static void let_the_kernel_write(void *argument)
{
    struct target *t = argument;
    check(read(t->fd, t->shared + 100, 5) == 5);
    check(memcmp(t->shared + 100, "hello", 5) == 0);
    check(stat("/", (struct stat *)(t->shared + PGSIZE)) == 0);
    check(pipe((int *)(t->shared + 3 * PGSIZE - 4)) == 0); /* across two pages */
    int pid = start(touch, t->shared);
    check(wait((int *)(t->shared + 4 * PGSIZE)) == pid);
    check(((struct stat *)(t->shared + PGSIZE))->type == T_DIR);
    check(*(int *)(t->shared + 4 * PGSIZE) == 0);
}

static int is_all(const char *bytes, int n, char value)
{
    for (int i = 0; i < n; i++)
        if (bytes[i] != value)
            return 0;
    return 1;
}

static void system_calls_copy(void)
{
    int fds[2];
    struct target t = {take_pages(5)};
    memset(t.shared, 'p', 5 * PGSIZE);
    check(pipe(fds) == 0);
    t.fd = fds[0];
    for (int i = 0; i < 3; i++) {
        check(write(fds[1], "hello", 5) == 5);
        check(status_of(let_the_kernel_write, &t) == 0);
        check(is_all(t.shared, 5 * PGSIZE, 'p'));
    }
}

/* The other way round: the child looks at what the parent's calls write. */
static void look_at_page(void *argument)
{
    struct target *t = argument;
    await_byte(t->fd);
    check(is_all(t->shared, PGSIZE, 'p'));
}

static void system_calls_of_the_parent_copy(void)
{
    int fds[2];
    struct target t = {take_pages(1)};
    memset(t.shared, 'p', PGSIZE);
    check(pipe(fds) == 0);
    t.fd = fds[0];
    int child = start(look_at_page, &t);
    int fd = open("/echo", O_RDONLY);
    check(read(fd, t.shared, PGSIZE) > 1000);
    close(fd);
    send_byte(fds[1]);
    check(reap(child) == 0);
    check(!is_all(t.shared, PGSIZE, 'p'));
}

/* -- text ----------------------------------------------------------------------------------------------------------- */

static void read_into_text(void *fd)
{
    char before = *(char *)read_into_text;
    check(read((int)(long)fd, (void *)read_into_text, 1) == -1);
    check(*(char *)read_into_text == before);
    check(pipe((int *)read_into_text) == -1);
    check(stat("/", (struct stat *)((uint64)read_into_text & ~15ul)) == -1);
}

/* The text is shared by all, and nobody's: neither a process nor a call that it makes may write to it. */
static void text_cannot_be_written(void)
{
    int fds[2];
    char before = *(char *)read_into_text;
    check(status_of(touch, (void *)read_into_text) == KILLED);
    check(status_of(touch, 0) == KILLED);
    check(status_of(touch, "a constant") == KILLED);
    check(pipe(fds) == 0);
    check(write(fds[1], "z", 1) == 1);
    read_into_text((void *)(long)fds[0]);
    check(write(fds[1], "z", 1) == 1);
    check(status_of(read_into_text, (void *)(long)fds[0]) == 0);
    check(*(char *)read_into_text == before);
}

/* -- the last owner, and no memory --------------------------------------------------------------------------------- */

static void do_nothing(void *unused)
{
}

/* When the others have gone, pages are their last owner's: to write to them takes no memory. */
static void write_without_memory(void *area)
{
    struct area *a = area;
    for (int i = 0; i < 3; i++)
        check(status_of(do_nothing, 0) == 0);
    take_the_rest();
    fill(a, 7);
    check(is_filled(a));
}

static void last_owner_takes_the_page(void)
{
    struct area *a = new_area(40);
    a->pages -= 20;
    check(status_of(do_nothing, 0) == 0);
    /* in this process: its parent, the one that runs all cases, has none of these pages */
    write_without_memory(a);
}

static void child_is_last(void *argument)
{
    struct target *t = argument;
    await_byte(t->fd);
    check(is_all(t->shared, 8 * PGSIZE, 'p'));
    take_the_rest();
    memset(t->shared, 'c', 8 * PGSIZE);
    exit(6);
}

/* The parent has given its pages back. */
static void last_owner_is_the_child(void)
{
    int fds[2];
    struct target t = {take_pages(8)};
    memset(t.shared, 'p', 8 * PGSIZE);
    check(pipe(fds) == 0);
    t.fd = fds[0];
    int child = start(child_is_last, &t);
    check(sbrk(-8 * PGSIZE) == t.shared + 8 * PGSIZE);
    send_byte(fds[1]);
    check(reap(child) == 6);
}

static void overwrite(void *area)
{
    fill(area, 8);
}

/* Two copies do not fit: who writes is killed, and the other one has lost nothing. */
static void out_of_memory_kills_the_writer(void)
{
    struct area *a = new_area(60);
    check(status_of(overwrite, a) == KILLED);
    check(is_filled(a));
    check(status_of(look_only, a) == 0);
}

/* In a call there is nobody to kill: it fails, and the page is as it was. */
static void call_without_memory(void *argument)
{
    struct target *t = argument;
    take_the_rest();
    for (int i = 0; i < 64; i++) { /* what is too little for sbrk() may do for some pages */
        if (read(t->fd, t->shared + i * PGSIZE, 1) == -1) {
            check(t->shared[i * PGSIZE] == 'p');
            exit(5);
        }
        check(t->shared[i * PGSIZE] == 'x');
    }
}

static void out_of_memory_in_a_call(void)
{
    int fds[2];
    struct target t = {take_pages(64)};
    memset(t.shared, 'p', 64 * PGSIZE);
    check(pipe(fds) == 0);
    for (int i = 0; i < 64; i++)
        send_byte(fds[1]);
    t.fd = fds[0];
    check(status_of(call_without_memory, &t) == 5);
    check(is_all(t.shared, 64 * PGSIZE, 'p'));
}

static const struct test tests[] = {
    {"fork_with_two_thirds", fork_with_two_thirds},
    {"many_children_at_once", many_children_at_once},
    {"run_a_program", run_a_program},
    {"three_writers", three_writers},
    {"ten_generations", ten_generations},
    {"data_and_stack", data_and_stack},
    {"pages_given_back", pages_given_back},
    {"system_calls_copy", system_calls_copy},
    {"system_calls_of_the_parent_copy", system_calls_of_the_parent_copy},
    {"text_cannot_be_written", text_cannot_be_written},
    {"last_owner_takes_the_page", last_owner_takes_the_page},
    {"last_owner_is_the_child", last_owner_is_the_child},
    {"out_of_memory_kills_the_writer", out_of_memory_kills_the_writer},
    {"out_of_memory_in_a_call", out_of_memory_in_a_call},
    {0},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, (const struct test *const[]){tests, 0});
}
