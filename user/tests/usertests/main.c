/* usertests: the kernel's proof.  Runs every case in a child, and compares the free memory before and
   after all of them.

       usertests              all cases
       usertests -q           those that are quick
       usertests NAME ...     these only
       usertests -l           prints the names

   Exits with 0 where all passed, else with 1. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "test.h"

static const struct test *const lists[] = {
    pointer_tests, trap_tests, process_tests, memory_tests, pipe_tests, exec_tests, file_tests, directory_tests,
    disk_tests,
};

#define LISTS ((int)(sizeof lists / sizeof lists[0]))

char buf[BUF_BYTES];

/* -- for the cases ---------------------------------------------------------------------------------- */

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

static int orrery;

int is_orrery(void)
{
    return orrery;
}

static char expected_byte(int seed, int offset)
{
    return seed * 31 + offset + (offset >> 8);
}

void make_file(const char *name, int size, int seed)
{
    int fd = open(name, O_CREATE | O_TRUNC | O_WRONLY);
    check(fd >= 0);
    for (int at = 0; at < size;) {
        int n = size - at < BUF_BYTES ? size - at : BUF_BYTES;
        for (int i = 0; i < n; i++)
            buf[i] = expected_byte(seed, at + i);
        check(write(fd, buf, n) == n);
        at += n;
    }
    check(close(fd) == 0);
}

void check_file(const char *name, int size, int seed)
{
    int fd = open(name, O_RDONLY);
    check(fd >= 0);
    int at = 0, n;
    while ((n = read(fd, buf, BUF_BYTES)) > 0) {
        for (int i = 0; i < n; i++)
            check(buf[i] == expected_byte(seed, at + i));
        at += n;
    }
    check(n == 0);
    check(at == size);
    check(close(fd) == 0);
}

void number_name(char *name, int n)
{
    name[0] = '0' + n / 10;
    name[1] = '0' + n % 10;
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

/* A child takes memory in ever smaller pieces until there is none, and reports how much it got. */
int free_pages(void)
{
    int fds[2], pages = 0;
    check(pipe(fds) == 0);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        for (int step = 256; step > 0; step /= 4)
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

/* -- running them ----------------------------------------------------------------------------------- */

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
static int run_wanted(int quick, char **names)
{
    int failures = 0, ran = 0;
    for (int i = 0; i < LISTS; i++) {
        for (const struct test *test = lists[i]; test->name; test++) {
            if (is_wanted(test, quick, names)) {
                ran++;
                failures += !passes(test);
            }
        }
    }
    return ran ? failures : -1;
}

static int print_names(void)
{
    for (int i = 0; i < LISTS; i++)
        for (const struct test *test = lists[i]; test->name; test++)
            printf("%s%s\n", test->name, test->slow ? " (slow)" : "");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "-l") == 0)
        return print_names();
    int quick = argc > 1 && strcmp(argv[1], "-q") == 0;

    printf("usertests starting\n");
    orrery = ps(0, 0) > 0;
    int before = free_pages();
    int failures = run_wanted(quick, argv + 1 + quick);
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
