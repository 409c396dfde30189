/* Cases: exec(), what it passes on, and the files that it must refuse. */

#include "kernel/types.h"
#include "kernel/param.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "test.h"

/* Runs argv with its output in the file "execout".  Its status; -2 where it cannot be run. */
static int run(const char *path, char **argv)
{
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        close(1);
        check(open("execout", O_CREATE | O_TRUNC | O_WRONLY) == 1);
        exec(path, argv);
        exit(-2);
    }
    return reap(pid);
}

/* The output of the last run is exactly this. */
static void check_output(const char *expected)
{
    int fd = open("execout", O_RDONLY);
    int n = read(fd, buf, BUF_BYTES);
    check(n == strlen(expected) && memcmp(buf, expected, n) == 0);
    close(fd);
    check(unlink("execout") == 0);
}

static void runs_echo(void)
{
    char *argv[] = {"echo", "OK", "and", "more", 0};
    check(run("/echo", argv) == 0);
    check_output("OK and more\n");
}

static void argv_is_aligned_and_whole(void)
{
    char *argv[] = {"echo", "1", "", "333", "4444", "55555", "666666", "7777777", "88888888", 0};
    check(run("/echo", argv) == 0);
    check_output("1  333 4444 55555 666666 7777777 88888888\n");
}

static void no_arguments(void)
{
    char *argv[] = {0};
    check(run("/echo", argv) == 0);
    check_output("");
}

static void argument_limit(void)
{
    char *argv[MAXARG + 2];
    for (int i = 0; i < MAXARG + 1; i++)
        argv[i] = "x";
    argv[MAXARG + 1] = 0;
    check(exec("/echo", argv) == -1);
    argv[MAXARG] = 0;
    check(exec("/echo", argv) == -1);
    argv[MAXARG - 1] = 0;
    check(run("/echo", argv) == 0);
    int fd = open("execout", O_RDONLY);
    check(read(fd, buf, BUF_BYTES) == 2 * (MAXARG - 2));
    close(fd);
    check(unlink("execout") == 0);
}

/* What does not fit on the stack, together or alone, or has no end. */
static void arguments_too_large(void)
{
    static char large[PGSIZE];
    char *argv[MAXARG];

    memset(large, 'x', sizeof large);
    large[400] = 0;
    for (int i = 0; i < MAXARG - 1; i++)
        argv[i] = large;
    argv[MAXARG - 1] = 0;
    check(exec("/echo", argv) == -1);

    memset(large, 'x', sizeof large);
    large[PGSIZE - 1] = 0;
    argv[1] = 0;
    check(exec("/echo", argv) == -1);

    sbrk(-(uint64)sbrk(0) % PGSIZE);
    char *end = sbrk(2 * PGSIZE) + 2 * PGSIZE;
    memset(end - 2 * PGSIZE, 'x', 2 * PGSIZE);
    argv[0] = end - PGSIZE - 100; /* longer than any argument may be */
    check(exec("/echo", argv) == -1);
    argv[0] = end - 100; /* up to the end of memory, without a NUL */
    check(exec("/echo", argv) == -1);
}

/* The stack holds one page; what fits there is passed on whole. */
static void arguments_just_fit(void)
{
    static char large[2000];
    char *argv[] = {"echo", large, 0};
    memset(large, 'y', sizeof large - 1);
    check(run("/echo", argv) == 0);
    int fd = open("execout", O_RDONLY);
    check(read(fd, buf, BUF_BYTES) == sizeof large);
    for (uint i = 0; i < sizeof large - 1; i++)
        check(buf[i] == 'y');
    close(fd);
    check(unlink("execout") == 0);
}

static void not_a_program(void)
{
    char *argv[] = {"x", 0};
    check(exec("no-such-file", argv) == -1);
    check(exec("", argv) == -1);
    check(exec("/", argv) == -1);
    check(exec("/echo/x", argv) == -1);
    make_file("execfile", 0, 0);
    check(exec("execfile", argv) == -1);
    make_file("execfile", 30, 0);
    check(exec("execfile", argv) == -1);
    make_file("execfile", 5000, 0);
    check(exec("execfile", argv) == -1);
    check(unlink("execfile") == 0);
}

/* -- damaged programs ------------------------------------------------------------------------------------ */

/* Places in an ELF file: the file's header, and the program headers that follow it. */
#define E_PHOFF 32
#define E_PHNUM 56
#define PH_BYTES 56
#define P_TYPE 0
#define P_OFFSET 8
#define P_VADDR 16
#define P_FILESZ 32
#define P_MEMSZ 40
#define PT_LOAD 1

/* Copies a program, up to `length` bytes of it. */
static void copy_program(const char *from, const char *to, int length)
{
    int in = open(from, O_RDONLY), out = open(to, O_CREATE | O_TRUNC | O_WRONLY), n;
    check(in >= 0 && out >= 0);
    while (length > 0 && (n = read(in, buf, length < BUF_BYTES ? length : BUF_BYTES)) > 0) {
        check(write(out, buf, n) == n);
        length -= n;
    }
    close(in);
    close(out);
}

/* The start of a program, in `buf`; the place of its first PT_LOAD program header. */
static int load_header(void)
{
    int fd = open("/echo", O_RDONLY);
    check(read(fd, buf, 1024) > 500);
    close(fd);
    int at = *(uint64 *)(buf + E_PHOFF);
    while (*(uint *)(buf + at + P_TYPE) != PT_LOAD)
        at += PH_BYTES;
    check(at + PH_BYTES <= 1024);
    return at;
}

/* Writes echo with one 64-bit field of its first loaded segment changed, and checks that it is refused. */
static void check_refused(int field, uint64 value)
{
    char *argv[] = {"x", 0};
    copy_program("/echo", "execfile", 1 << 20);
    int at = load_header();
    int fd = open("execfile", O_WRONLY);
    *(uint64 *)(buf + at + field) = value;
    check(write(fd, buf, 500) == 500);
    close(fd);
    check(run("execfile", argv) == -2);
}

static void bad_segments(void)
{
    int at = load_header();
    uint64 filesz = *(uint64 *)(buf + at + P_FILESZ);
    check_refused(P_MEMSZ, filesz - 1);
    check_refused(P_MEMSZ, 0);
    check_refused(P_MEMSZ, -1ul);
    check_refused(P_MEMSZ, 1ul << 38);
    check_refused(P_VADDR, 1);
    check_refused(P_VADDR, 0x800);
    check_refused(P_VADDR, -4096ul);
    check_refused(P_VADDR, 0x80000000 - 1);
    check_refused(P_OFFSET, 1 << 24);
    check_refused(P_OFFSET, -1ul);
    check(unlink("execfile") == 0 && unlink("execout") == 0);
}

static void bad_header(void)
{
    char *argv[] = {"x", 0};
    load_header();
    int fd = open("execfile", O_CREATE | O_TRUNC | O_WRONLY);
    *(uint64 *)(buf + E_PHOFF) = 1 << 24;
    check(write(fd, buf, 500) == 500);
    close(fd);
    check(run("execfile", argv) == -2);
    load_header();
    fd = open("execfile", O_WRONLY);
    *(uint *)buf = 0x7f454c46; /* the magic number, back to front */
    check(write(fd, buf, 500) == 500);
    close(fd);
    check(run("execfile", argv) == -2);
    check(unlink("execfile") == 0 && unlink("execout") == 0);
}

static void truncated_program(void)
{
    static const int lengths[] = {4, 63, 64, 100, 200, 500};
    char *argv[] = {"x", 0};
    for (uint i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        copy_program("/echo", "execfile", lengths[i]);
        check(run("execfile", argv) == -2);
    }
    check(unlink("execfile") == 0 && unlink("execout") == 0);
}

/* -- what stays, and what changes ---------------------------------------------------------------------- */

/* Descriptors and the directory stay.  cat reads what is left of an open file. */
static void descriptors_stay(void)
{
    char *argv[] = {"cat", 0};
    make_file("execfile", 100, 5);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        close(0);
        check(open("execfile", O_RDONLY) == 0);
        check(read(0, buf, 40) == 40);
        exit(run("/cat", argv));
    }
    check(reap(pid) == 0);
    make_file("execfile", 100, 5); /* fills buf anew */
    int fd = open("execout", O_RDONLY);
    static char rest[100];
    check(read(fd, rest, 100) == 60);
    check(memcmp(rest, buf + 40, 60) == 0);
    close(fd);
    check(unlink("execfile") == 0 && unlink("execout") == 0);
}

static void relative_to_directory(void)
{
    char *argv[] = {"echo", "here", 0};
    check(mkdir("execdir") == 0);
    copy_program("/echo", "execdir/prog", 1 << 20);
    check(chdir("execdir") == 0);
    check(run("/prog", argv) == -2);
    check(run("prog", argv) == 0);
    check_output("here\n");
    check(run("./../execdir/prog", argv) == 0);
    check_output("here\n");
    check(unlink("prog") == 0);
    check(chdir("..") == 0 && unlink("execdir") == 0);
}

/* New code under an old name: what the processor kept of the old one must not run. */
static void replaced_program(void)
{
    char *argv[] = {"prog", "text", 0};
    for (int i = 0; i < 6; i++) {
        copy_program("/echo", "execfile", 1 << 20);
        check(run("execfile", argv) == 0);
        check_output("text\n");
        copy_program("/mkdir", "execfile", 1 << 20);
        check(run("execfile", argv) == 0); /* makes the directory "text" */
        check_output("");
        check(unlink("text") == 0);
    }
    check(unlink("execfile") == 0);
}

/* A program outlives its file. */
static void unlinked_program(void)
{
    char *argv[] = {"prog", 0};
    int fds[2];
    copy_program("/cat", "execfile", 1 << 20);
    check(pipe(fds) == 0);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        close(0);
        dup(fds[0]);
        close(fds[0]);
        close(fds[1]);
        exit(run("execfile", argv));
    }
    close(fds[0]);
    sleep(2);
    check(unlink("execfile") == 0);
    check(write(fds[1], "still here\n", 11) == 11);
    close(fds[1]);
    check(reap(pid) == 0);
    check_output("still here\n");
}

/* Many that fail lose nothing; the free pages are counted at the end. */
static void fails_often(void)
{
    char *argv[] = {"x", 0};
    copy_program("/echo", "execfile", 500);
    for (int i = 0; i < 200; i++)
        check(exec("execfile", argv) == -1);
    check(unlink("execfile") == 0);
}

const struct test exec_tests[] = {
    {"runs_echo", runs_echo},
    {"argv_is_aligned_and_whole", argv_is_aligned_and_whole},
    {"no_arguments", no_arguments},
    {"argument_limit", argument_limit},
    {"arguments_too_large", arguments_too_large},
    {"arguments_just_fit", arguments_just_fit},
    {"not_a_program", not_a_program},
    {"bad_segments", bad_segments},
    {"bad_header", bad_header},
    {"truncated_program", truncated_program},
    {"descriptors_stay", descriptors_stay},
    {"relative_to_directory", relative_to_directory},
    {"replaced_program", replaced_program},
    {"unlinked_program", unlinked_program},
    {"fails_often", fails_often},
    {0},
};
