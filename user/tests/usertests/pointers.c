/* Cases: a bad pointer, in every call that takes one, is an error and nothing worse. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "kernel/memlayout.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "test.h"

/* None of these is the process's own memory: the kernel's, pages that only the kernel may use, the end
   of the address space, addresses that Sv39 has no translation for, and overflow. */
static const uint64 bad_addresses[] = {
    KERNBASE, KERNBASE + 0x1000000, UART0, PLIC, CLINT, TRAPFRAME, TRAMPOLINE, TRAMPOLINE + PGSIZE - 4,
    MAXVA, MAXVA * 2, 1ul << 40, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffc000000000,
    0xfffffffffffff000, 0xfffffffffffffffc, 0xffffffffffffffff,
};

#define BAD_COUNT ((int)(sizeof bad_addresses / sizeof bad_addresses[0]))
#define BAD(i) ((void *)bad_addresses[i])

static int lowest_free_fd(void)
{
    int fd = dup(1);
    close(fd);
    return fd;
}

static void write_from_bad(void)
{
    int fds[2];
    check(pipe(fds) == 0);
    int fd = open("badptr", O_CREATE | O_RDWR);
    check(fd >= 0);
    for (int i = 0; i < BAD_COUNT; i++) {
        check(write(fd, BAD(i), 1) == -1);
        check(write(fd, BAD(i), 8192) == -1);
        check(write(fds[1], BAD(i), 100) <= 0);
        check(write(1, BAD(i), 100) <= 0);
    }
    struct stat st;
    check(fstat(fd, &st) == 0 && st.size == 0);
    close(fd);
    check(unlink("badptr") == 0);
}

static void read_into_bad(void)
{
    int fds[2];
    check(pipe(fds) == 0);
    make_file("badptr", 5000, 1);
    for (int i = 0; i < BAD_COUNT; i++) {
        int fd = open("badptr", O_RDONLY);
        check(read(fd, BAD(i), 1) <= 0);
        check(read(fd, BAD(i), 5000) <= 0);
        close(fd);
        check(write(fds[1], "ab", 2) == 2);
        check(read(fds[0], BAD(i), 2) <= 0);
    }
    check_file("badptr", 5000, 1);
    check(unlink("badptr") == 0);
}

static void path_at_bad(void)
{
    char *argv[] = {"x", 0};
    for (int i = 0; i < BAD_COUNT; i++) {
        check(open(BAD(i), O_CREATE | O_WRONLY) == -1);
        check(unlink(BAD(i)) == -1);
        check(mkdir(BAD(i)) == -1);
        check(chdir(BAD(i)) == -1);
        check(mknod(BAD(i), 1, 1) == -1);
        check(link(BAD(i), "badptr") == -1);
        check(link("/echo", BAD(i)) == -1);
        check(exec(BAD(i), argv) == -1);
    }
    check(open("badptr", O_RDONLY) == -1);
}

static void argv_at_bad(void)
{
    for (int i = 0; i < BAD_COUNT; i++) {
        char *one_bad[] = {"echo", BAD(i), 0};
        check(exec("/echo", one_bad) == -1);
        check(exec("/echo", BAD(i)) == -1);
    }
}

static void fstat_into_bad(void)
{
    int fd = open("/echo", O_RDONLY);
    check(fd >= 0);
    for (int i = 0; i < BAD_COUNT; i++)
        check(fstat(fd, BAD(i)) == -1);
}

static void pipe_into_bad(void)
{
    int free_fd = lowest_free_fd();
    for (int i = 0; i < BAD_COUNT; i++)
        check(pipe(BAD(i)) == -1);
    check(lowest_free_fd() == free_fd);
}

static void nothing(void *unused)
{
}

static void wait_into_bad(void)
{
    for (int i = 0; i < BAD_COUNT; i++) {
        int pid = start(nothing, 0);
        check(wait(BAD(i)) == -1);
        check(wait(0) == pid); /* the child was not lost */
    }
}

/* A buffer that begins in the last page of the heap and ends in none. */
static void buffer_across_the_end(void)
{
    char *end = sbrk(0);
    check(sbrk(PGSIZE - (uint64)end % PGSIZE) == end);
    end = sbrk(0);
    memset(end - 16, 'a', 16);

    int fd = open("badptr", O_CREATE | O_RDWR);
    check(write(fd, end - 16, 17) == -1);
    check(write(fd, end - 16, 16) == 16);
    close(fd);
    make_file("badptr", 100, 3);
    fd = open("badptr", O_RDONLY);
    check(read(fd, end - 16, 17) == -1);
    close(fd);
    fd = open("badptr", O_RDONLY);
    check(read(fd, end - 16, 16) == 16);
    check(fstat(fd, (struct stat *)(end - sizeof(struct stat))) == 0);
    check(fstat(fd, (struct stat *)(end - 8)) == -1);
    close(fd);
    check(pipe((int *)(end - 4)) == -1);
    check(unlink("badptr") == 0);
}

/* The good bytes of a write that fails are stored, over what the file has, and the next write is there too. */
static void write_across_the_end(void)
{
    char *end = sbrk(0), byte;
    check(sbrk(PGSIZE - (uint64)end % PGSIZE) == end);
    end = sbrk(0);
    end[-1] = 'X';
    make_file("badptr", 1, 3);
    int fd = open("badptr", O_RDWR);
    check(write(fd, end - 1, 2) == -1);
    close(fd);
    fd = open("badptr", O_RDWR);
    check(read(fd, &byte, 1) == 1 && byte == 'X' && read(fd, &byte, 1) == 0);
    check(write(fd, end - 1, 2) == -1 && read(fd, &byte, 1) == 0);
    check(write(fd, "Y", 1) == 1);
    struct stat st;
    check(fstat(fd, &st) == 0 && st.size == 2);
    close(fd);
    check(unlink("badptr") == 0);
}

/* A path whose NUL lies beyond the heap is bad, one that ends with the heap's last byte is good. */
static void string_across_the_end(void)
{
    char *end = sbrk(0);
    check(sbrk(PGSIZE - (uint64)end % PGSIZE) == end);
    end = sbrk(0);
    memmove(end - 5, "/echo", 5);
    check(open(end - 5, O_RDONLY) == -1);
    memmove(end - 6, "/echo", 6);
    check(open(end - 6, O_RDONLY) >= 0);
}

/* Where the two pages of a string are not neighbours in physical memory. */
static void string_across_pages(void)
{
    char *end = sbrk(0);
    check(sbrk(2 * PGSIZE - (uint64)end % PGSIZE) == end);
    char *page = sbrk(0) - PGSIZE;
    for (int split = 0; split <= 6; split++) {
        strcpy(page - split, "/echo");
        int fd = open(page - split, O_RDONLY);
        check(fd >= 0);
        close(fd);
    }
}

/* Text is not writable for the kernel's copies either. */
static void read_into_text(void)
{
    if (!is_orrery())
        return;
    void *text = (void *)(uint64)read_into_text;
    uint before = *(uint *)text;
    int fds[2];
    check(pipe(fds) == 0);
    check(write(fds[1], "0123", 4) == 4);
    check(read(fds[0], text, 4) <= 0);
    int fd = open("/echo", O_RDONLY);
    check(read(fd, text, 4) <= 0);
    check(fstat(fd, text) == -1);
    check(pipe(text) == -1);
    check(*(uint *)text == before);
}

/* The guard page below the stack is there, but not for the user. */
static void read_into_guard_page(void)
{
    char *guard = STACK_BOTTOM - PGSIZE;
    int fd = open("/echo", O_RDONLY);
    check(read(fd, guard, 16) <= 0);
    check(fstat(fd, (struct stat *)guard) == -1);
    fd = open("badptr", O_CREATE | O_WRONLY);
    check(write(fd, guard, 16) == -1);
    close(fd);
    check(unlink("badptr") == 0);
}

static void negative_sizes(void)
{
    int fds[2];
    check(pipe(fds) == 0);
    int fd = open("badptr", O_CREATE | O_WRONLY);
    check(write(fd, buf, -1) == -1);
    check(write(fds[1], buf, -1) <= 0);
    struct stat st;
    check(fstat(fd, &st) == 0 && st.size == 0);
    close(fd);
    check(unlink("badptr") == 0);
}

const struct test pointer_tests[] = {
    {"write_from_bad", write_from_bad},
    {"read_into_bad", read_into_bad},
    {"path_at_bad", path_at_bad},
    {"argv_at_bad", argv_at_bad},
    {"fstat_into_bad", fstat_into_bad},
    {"pipe_into_bad", pipe_into_bad},
    {"wait_into_bad", wait_into_bad},
    {"buffer_across_the_end", buffer_across_the_end},
    {"write_across_the_end", write_across_the_end},
    {"string_across_the_end", string_across_the_end},
    {"string_across_pages", string_across_pages},
    {"read_into_text", read_into_text},
    {"read_into_guard_page", read_into_guard_page},
    {"negative_sizes", negative_sizes},
    {0},
};
