/* forks: what the tests of the lab ask of fork.  Each subcommand prints "ok", or what is wrong. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define PAGE 4096

static void fail(const char *what)
{
    printf("wrong: %s\n", what);
    exit(1);
}

static char *take(long bytes)
{
    char *memory = sbrk(bytes);
    if (memory == (char *)-1)
        fail("no memory");
    return memory;
}

static void mark(char *memory, int pages, int salt)
{
    for (int i = 0; i < pages; i++)
        *(int *)(memory + (long)i * PAGE) = salt + i;
}

static int has(char *memory, int pages, int salt)
{
    for (int i = 0; i < pages; i++)
        if (*(int *)(memory + (long)i * PAGE) != salt + i)
            return 0;
    return 1;
}

static int child(void)
{
    int pid = fork();
    if (pid < 0)
        fail("fork failed");
    return pid == 0;
}

static int status(void)
{
    int value = -2;
    if (wait(&value) < 0)
        fail("no child");
    return value;
}

/* How many pages there are to have: a child takes them all, and tells. */
static int free_pages(void)
{
    int fds[2], n = 0;
    pipe(fds);
    if (child()) {
        while (1) {
            char *page = sbrk(PAGE);
            if (page == (char *)-1)
                break;
            n++;
        }
        write(fds[1], &n, sizeof n);
        exit(0);
    }
    read(fds[0], &n, sizeof n);
    wait(0);
    close(fds[0]);
    close(fds[1]);
    return n;
}

/* A process that has two thirds of memory forks, five times. */
static void large(void)
{
    int pages = free_pages() / 3 * 2;
    char *memory = take((long)pages * PAGE);
    mark(memory, pages, 7);
    for (int i = 0; i < 5; i++) {
        if (child())
            exit(has(memory, pages, 7) ? 0 : 1);
        if (status())
            fail("the child sees other memory");
    }
}

/* Parent, child and grandchild write, each its own. */
static void apart(void)
{
    int pages = 40;
    char *memory = take((long)pages * PAGE);
    mark(memory, pages, 100);
    if (child()) {
        if (child()) {
            mark(memory, pages, 300);
            exit(has(memory, pages, 300) ? 0 : 1);
        }
        mark(memory, pages, 200);
        int wrong = status();
        exit(wrong || !has(memory, pages, 200));
    }
    if (status())
        fail("a child sees what another one wrote");
    if (!has(memory, pages, 100))
        fail("the parent sees what a child wrote");
    if (child())
        exit(has(memory, pages, 100) ? 0 : 1);
    mark(memory, pages, 400);
    if (status())
        fail("the child sees what the parent wrote");
}

/* The kernel writes: read() from a pipe into a shared page, also across two pages, and wait(). */
static void calls(void)
{
    char *memory = take(4 * PAGE), *across = memory + PAGE - 3;
    int fds[2];
    memset(memory, 'p', 4 * PAGE);
    pipe(fds);
    if (child()) {
        if (read(fds[0], across, 6) != 6 || memcmp(across, "abcdef", 6) || across[6] != 'p')
            exit(1);
        if (child())
            exit(0x1234);
        exit(wait((int *)(memory + 2 * PAGE)) < 0 || *(int *)(memory + 2 * PAGE) != 0x1234);
    }
    write(fds[1], "abcdef", 6);
    if (status())
        fail("a call of the child's did not write");
    for (int i = 0; i < 4 * PAGE; i++)
        if (memory[i] != 'p')
            fail("a call of the child's wrote to its parent's memory");
}

static void text(void)
{
    if (child()) {
        *(volatile char *)text = 0;
        exit(0);
    }
    if (status() != -1)
        fail("a store to text does not kill");
}

/* All writers go out of memory; what they had comes back. */
static void exhausted(void)
{
    int before = free_pages(), pages = before / 3 * 2;
    if (child()) {
        char *memory = take((long)pages * PAGE);
        mark(memory, pages, 1);
        if (child()) {
            mark(memory, pages, 2); /* there is no room for all of it */
            exit(0);
        }
        if (status() != -1)
            fail("there was memory that cannot be");
        exit(has(memory, pages, 1) ? 0 : 1);
    }
    if (status())
        fail("the parent lost its memory");
    int after = free_pages();
    if (after < before - 8)
        printf("%d pages of %d\n", after, before);
}

/* Forks and ends, many times. */
static void leaks(void)
{
    char *memory = take(200 * PAGE);
    mark(memory, 200, 5);
    int before = free_pages();
    for (int i = 0; i < 30; i++) {
        if (child()) {
            mark(memory, i * 5, 6);
            exit(0);
        }
        status();
    }
    int after = free_pages();
    if (after < before - 8)
        printf("%d pages of %d\n", after, before);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {{"large", large}, {"apart", apart}, {"calls", calls}, {"text", text}, {"exhausted", exhausted}, {"leaks", leaks}};

int main(int argc, char **argv)
{
    for (int i = 0; argc == 2 && i < (int)(sizeof cases / sizeof cases[0]); i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            printf("ok\n");
            return 0;
        }
    printf("usage: forks CASE\n");
    return 2;
}
