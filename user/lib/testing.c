/* What programs of tests share; user/testing.h says what for.  A program that does not call test_main() and
   the like has none of it linked in. */

#include "kernel/types.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "user/testing.h"

#define PAGES_AT_ONCE 256

void check_failed(const char *file, int line, const char *condition)
{
    printf("\n  %s:%d: not so: %s\n", file, line, condition);
    exit(1);
}

int start(void (*body)(void *), void *argument)
{
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        body(argument);
        exit(0);
    }
    return pid;
}

int reap(int pid)
{
    int status = 0x5a5a;
    int reaped = wait(&status);
    check(reaped > 0 && (pid == 0 || reaped == pid));
    return status;
}

int status_of(void (*body)(void *), void *argument)
{
    return reap(start(body, argument));
}

void send_byte(int fd)
{
    check(write(fd, "x", 1) == 1);
}

void await_byte(int fd)
{
    char c;
    check(read(fd, &c, 1) == 1);
}

void peek(void *address)
{
    (void)*(volatile char *)address;
}

void touch(void *address)
{
    *(volatile char *)address = 1;
}

/* A child takes memory in ever smaller pieces until there is none, and reports how much it got. */
int free_pages(void)
{
    int fds[2], pages = 0;
    check(pipe(fds) == 0);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        for (int step = PAGES_AT_ONCE; step > 0; step /= 4)
            while (sbrk(step * PGSIZE) != FAILED_SBRK)
                pages += step;
        write(fds[1], &pages, sizeof pages);
        exit(0);
    }
    close(fds[1]);
    check(read(fds[0], &pages, sizeof pages) == sizeof pages);
    close(fds[0]);
    check(reap(pid) == 0);
    return pages;
}

/* -- running the cases -------------------------------------------------------------------------------- */

static void run_body(void *argument)
{
    const struct test *test = argument;
    test->run();
}

static int passes(const struct test *test)
{
    printf("test %s: ", test->name);
    int passed = status_of(run_body, (void *)test) == 0;
    printf("%s\n", passed ? "OK" : "FAILED");
    return passed;
}

static int is_wanted(const struct test *test, int quick, char **names)
{
    if (names[0] == 0)
        return !(quick && test->slow);
    for (; *names; names++)
        if (strcmp(*names, test->name) == 0)
            return 1;
    return 0;
}

/* How many of the wanted cases failed, or -1 where none was wanted. */
static int run_wanted(const struct test *const *lists, int quick, char **names)
{
    int failures = 0, ran = 0;
    for (; *lists; lists++) {
        for (const struct test *test = *lists; test->name; test++) {
            if (is_wanted(test, quick, names)) {
                ran++;
                failures += !passes(test);
            }
        }
    }
    return ran ? failures : -1;
}

static int print_names(const struct test *const *lists)
{
    for (; *lists; lists++)
        for (const struct test *test = *lists; test->name; test++)
            printf("%s%s\n", test->name, test->slow ? " (slow)" : "");
    return 0;
}

int test_main(int argc, char **argv, const struct test *const *lists)
{
    if (argc > 1 && strcmp(argv[1], "-l") == 0)
        return print_names(lists);
    int quick = argc > 1 && strcmp(argv[1], "-q") == 0;
    const char *program = argv[0];
    for (const char *p = program; *p; p++)
        if (*p == '/')
            program = p + 1;

    printf("%s starting\n", program);
    int before = free_pages();
    int failures = run_wanted(lists, quick, argv + 1 + quick);
    sleep(2); /* init may still have orphans to reap */
    int after = free_pages();

    if (failures < 0) {
        printf("NO TESTS EXECUTED\n");
        return 1;
    }
    if (after < before)
        printf("FAILED -- lost some free pages %d (out of %d)\n", after, before);
    if (failures > 0 || after < before) {
        printf("SOME TESTS FAILED\n");
        return 1;
    }
    printf("ALL TESTS PASSED\n");
    return 0;
}
