/* Cases: pipes, their ends, what they hold, and who waits at them. */

#include "kernel/types.h"
#include "kernel/param.h"
#include "kernel/stat.h"
#include "user/user.h"
#include "test.h"

static int ends[2]; /* of the pipe of the case */

static void make_pipe(void)
{
    check(pipe(ends) == 0);
    check(ends[0] != ends[1]);
}

#define SEQUENCE_BYTES (5 * 1033)

static void write_sequence(void *unused)
{
    close(ends[0]);
    for (int at = 0; at < SEQUENCE_BYTES; at += 1033) {
        for (int i = 0; i < 1033; i++)
            buf[i] = at + i;
        check(write(ends[1], buf, 1033) == 1033);
    }
}

/* Bytes come in their order, however many are asked for. */
static void bytes_keep_their_order(void)
{
    make_pipe();
    int pid = start(write_sequence, 0);
    close(ends[1]);
    int at = 0, ask = 1, n;
    while ((n = read(ends[0], buf, ask)) > 0) {
        check(n <= ask);
        for (int i = 0; i < n; i++)
            check(buf[i] == (char)at++);
        ask = ask * 2 > BUF_BYTES ? BUF_BYTES : ask * 2;
    }
    check(n == 0 && at == SEQUENCE_BYTES);
    check(reap(pid) == 0);
}

static void read_takes_what_is_there(void)
{
    make_pipe();
    check(write(ends[1], "hello", 5) == 5);
    check(read(ends[0], buf, 100) == 5);
    check(memcmp(buf, "hello", 5) == 0);
    check(write(ends[1], "abcdef", 6) == 6);
    check(read(ends[0], buf, 2) == 2 && memcmp(buf, "ab", 2) == 0);
    check(read(ends[0], buf, 0) == 0);
    check(write(ends[1], buf, 0) == 0);
    check(read(ends[0], buf, 100) == 4 && memcmp(buf, "cdef", 4) == 0);
}

static void end_of_file(void)
{
    make_pipe();
    check(write(ends[1], "last", 4) == 4);
    int copy = dup(ends[1]);
    close(ends[1]);
    check(read(ends[0], buf, 2) == 2);
    close(copy);
    check(read(ends[0], buf, 100) == 2);
    check(read(ends[0], buf, 100) == 0);
    check(read(ends[0], buf, 100) == 0);
}

static void write_without_reader(void)
{
    make_pipe();
    check(write(ends[1], "x", 1) == 1);
    close(ends[0]);
    check(write(ends[1], "x", 1) == -1);
}

static void fill_until_refused(void *unused)
{
    close(ends[0]);
    while (write(ends[1], buf, sizeof buf) == sizeof buf)
        ;
    exit(7);
}

/* The reader goes while a writer waits for room. */
static void reader_goes_away(void)
{
    make_pipe();
    int pid = start(fill_until_refused, 0);
    close(ends[1]);
    sleep(1);
    check(read(ends[0], buf, 10) == 10);
    close(ends[0]);
    check(reap(pid) == 7);
}

static void wrong_end(void)
{
    make_pipe();
    check(read(ends[1], buf, 1) == -1);
    check(write(ends[0], buf, 1) == -1);
    struct stat st;
    check(fstat(ends[0], &st) == -1);
}

static void write_one_more(void *unused)
{
    check(write(ends[1], "x", 1) == 1);
    exit(4);
}

/* PIPESIZE bytes fit without a reader; one more waits until there is room. */
static void capacity(void)
{
    make_pipe();
    check(write(ends[1], buf, PIPESIZE) == PIPESIZE);
    int pid = start(write_one_more, 0);
    sleep(2);
    check(kill(pid) == 0); /* so it still waits */
    check(reap(pid) == KILLED);
    check(read(ends[0], buf, 1) == 1);
    check(status_of(write_one_more, 0) == 4);
    check(read(ends[0], buf, BUF_BYTES) == PIPESIZE);
}

#define LARGE_BYTES (256 * 1024)

static void write_large(void *unused)
{
    close(ends[0]);
    uint x = 1;
    for (int at = 0; at < LARGE_BYTES; at += BUF_BYTES) {
        for (int i = 0; i < BUF_BYTES; i++) {
            x = x * 1664525 + 1013904223;
            buf[i] = x >> 24;
        }
        check(write(ends[1], buf, BUF_BYTES) == BUF_BYTES);
    }
}

static void large_transfer(void)
{
    make_pipe();
    int pid = start(write_large, 0);
    close(ends[1]);
    uint x = 1;
    int at = 0, n;
    while ((n = read(ends[0], buf, 1000)) > 0) {
        for (int i = 0; i < n; i++) {
            x = x * 1664525 + 1013904223;
            check(buf[i] == (char)(x >> 24));
        }
        at += n;
    }
    check(n == 0 && at == LARGE_BYTES);
    check(reap(pid) == 0);
}

#define WRITERS 4
#define RECORDS 200

/* Records of 8 bytes, small enough to go into the pipe in one piece or wait. */
static void write_records(void *number)
{
    char record[8];
    close(ends[0]);
    memset(record, 'a' + (long)number, sizeof record);
    for (int i = 0; i < RECORDS; i++)
        check(write(ends[1], record, sizeof record) == sizeof record);
}

static void many_writers(void)
{
    int bytes[WRITERS] = {0}, n;
    make_pipe();
    for (long i = 0; i < WRITERS; i++)
        start(write_records, (void *)i);
    close(ends[1]);
    while ((n = read(ends[0], buf, BUF_BYTES)) > 0) {
        for (int i = 0; i < n; i++) {
            check(buf[i] >= 'a' && buf[i] < 'a' + WRITERS);
            bytes[buf[i] - 'a']++;
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        check(bytes[i] == RECORDS * 8);
        check(reap(0) == 0);
    }
}

static void count_input(void *unused)
{
    int total = 0, n;
    close(ends[1]);
    while ((n = read(ends[0], buf, 16)) > 0)
        total += n;
    exit(total);
}

static void many_readers(void)
{
    make_pipe();
    for (int i = 0; i < 3; i++)
        start(count_input, 0);
    close(ends[0]);
    for (int i = 0; i < 100; i++)
        check(write(ends[1], buf, 30) == 30);
    close(ends[1]);
    int total = 0;
    for (int i = 0; i < 3; i++)
        total += reap(0);
    check(total == 3000);
}

static void ping_pong(void)
{
    int to[2], from[2];
    check(pipe(to) == 0 && pipe(from) == 0);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        close(to[1]);
        char c;
        while (read(to[0], &c, 1) == 1) {
            c++;
            check(write(from[1], &c, 1) == 1);
        }
        exit(0);
    }
    for (int i = 0; i < 200; i++) {
        char c = i;
        check(write(to[1], &c, 1) == 1);
        check(read(from[0], &c, 1) == 1);
        check(c == (char)(i + 1));
    }
    close(to[1]);
    check(reap(pid) == 0);
}

/* Drops the multiples of the first number that comes in, and hands the others to a child that does the
   same.  Exits with the number of processes from here on. */
static void sieve(int in)
{
    int prime, n, out[2];
    while (read(in, &prime, sizeof prime) == sizeof prime) {
        check(pipe(out) == 0);
        int pid = fork();
        check(pid >= 0);
        if (pid > 0) {
            close(out[0]);
            while (read(in, &n, sizeof n) == sizeof n)
                if (n % prime)
                    check(write(out[1], &n, sizeof n) == sizeof n);
            close(out[1]);
            exit(reap(pid) + 1);
        }
        close(in);
        close(out[1]);
        in = out[0];
    }
    exit(0);
}

static void primes(void)
{
    make_pipe();
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        close(ends[1]);
        sieve(ends[0]);
    }
    close(ends[0]);
    for (int n = 2; n <= 100; n++)
        check(write(ends[1], &n, sizeof n) == sizeof n);
    close(ends[1]);
    check(reap(pid) == 25);
}

/* pipe() needs two descriptors, and takes none where there is only one. */
static void no_descriptor_left(void)
{
    int fds[2], first = dup(1), last = first, fd;
    while ((fd = dup(1)) >= 0)
        last = fd;
    check(last == NOFILE - 1);
    check(pipe(fds) == -1);
    close(last);
    check(pipe(fds) == -1);
    check(dup(1) == last);
    close(last);
    close(first);
    check(pipe(fds) == 0 && fds[0] == first && fds[1] == last);
}

/* Holds as many pipes as one process can until the parent closes ends[1]. */
static void hold_pipes(void *report)
{
    int fds[2], made = 0;
    close(ends[1]);
    while (pipe(fds) == 0)
        made++;
    check(write((int)(long)report, &made, sizeof made) == sizeof made);
    char c;
    read(ends[0], &c, 1);
    exit(0);
}

/* The table of open files is shared by all: who finds it full gets -1, and it empties again. */
static int fill_file_table(void)
{
    int report[2], made, total = 0, children = NFILE / (NOFILE - 6) + 2;
    make_pipe();
    check(pipe(report) == 0);
    for (int i = 0; i < children; i++)
        start(hold_pipes, (void *)(long)report[1]);
    for (int i = 0; i < children; i++) {
        check(read(report[0], &made, sizeof made) == sizeof made);
        total += made;
    }
    close(ends[1]);
    for (int i = 0; i < children; i++)
        check(reap(0) == 0);
    close(ends[0]);
    close(report[0]);
    close(report[1]);
    return total;
}

static void no_file_left(void)
{
    int total = fill_file_table();
    check(total > 10 && total <= NFILE / 2);
    check(fill_file_table() >= total - 1); /* two that fail together may have had one file each */
}

const struct test pipe_tests[] = {
    {"bytes_keep_their_order", bytes_keep_their_order},
    {"read_takes_what_is_there", read_takes_what_is_there},
    {"end_of_file", end_of_file},
    {"write_without_reader", write_without_reader},
    {"reader_goes_away", reader_goes_away},
    {"wrong_end", wrong_end},
    {"capacity", capacity},
    {"large_transfer", large_transfer},
    {"many_writers", many_writers},
    {"many_readers", many_readers},
    {"ping_pong", ping_pong},
    {"primes", primes},
    {"no_descriptor_left", no_descriptor_left},
    {"no_file_left", no_file_left},
    {0},
};
