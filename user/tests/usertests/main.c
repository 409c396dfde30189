/* usertests: the kernel's proof.  What it takes and prints is told in user/testing.h. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "test.h"

static const struct test *const lists[] = {
    pointer_tests, trap_tests, process_tests,   memory_tests, pipe_tests,
    exec_tests,    file_tests, directory_tests, disk_tests,   0,
};

char buf[BUF_BYTES];

/* -- for the cases ---------------------------------------------------------------------------------- */

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

int main(int argc, char **argv)
{
    orrery = ps(0, 0) > 0;
    return test_main(argc, argv, lists);
}
