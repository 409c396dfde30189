/* mapped CASE: for the tests of the lab.  Prints "ok", or what is wrong. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/stat.h"
#include "user/user.h"

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)
#define NONE ((char *)-1)
#define must(condition) ((condition) ? (void)0 : wrong(#condition, __LINE__))

static void wrong(const char *what, int line)
{
    printf("line %d: not so: %s\n", line, what);
    exit(1);
}

static char letter(int at)
{
    return 'a' + (at / 7 + at / PAGE) % 26;
}

/* The file "f", of that many bytes. */
static int make(int bytes, int mode)
{
    char block[512];
    unlink("f");
    int fd = open("f", O_CREATE | O_RDWR);
    for (int at = 0; at < bytes; at += sizeof block) {
        int n = bytes - at < (int)sizeof block ? bytes - at : (int)sizeof block;
        for (int i = 0; i < n; i++)
            block[i] = letter(at + i);
        must(write(fd, block, n) == n);
    }
    close(fd);
    return open("f", mode);
}

/* What is at an offset of the file now, by read(). */
static char in_file(int at)
{
    char block[512];
    int fd = open("f", O_RDONLY);
    for (; at >= (int)sizeof block; at -= sizeof block)
        must(read(fd, block, sizeof block) == sizeof block);
    must(read(fd, block, at + 1) == at + 1);
    close(fd);
    return block[at];
}

static int status_of(void (*body)(char *), char *argument)
{
    int status = 0;
    if (fork() == 0) {
        body(argument);
        exit(0);
    }
    wait(&status);
    return status;
}

static void load(char *at)
{
    (void)*(volatile char *)at;
}

static void store(char *at)
{
    *(volatile char *)at = '!';
}

static void reads(void)
{
    int fd = make(2 * PAGE + 100, O_RDONLY);
    char *m = mmap(0, 2 * PAGE + 100, PROT_READ, MAP_PRIVATE, fd, 0);
    must(m != NONE);
    close(fd);
    for (int i = 0; i < 2 * PAGE + 100; i++)
        must(m[i] == letter(i));
    for (int i = 2 * PAGE + 100; i < 3 * PAGE; i++)
        must(m[i] == 0);
    must(status_of(store, m) == -1);
    must(munmap(m, 3 * PAGE) == 0);
    must(status_of(load, m) == -1);
    fd = open("f", O_RDONLY);
    char *n = mmap(0, 4 * PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
    must(n != NONE && n[5] == letter(PAGE + 5) && n[PAGE] == letter(2 * PAGE));
    must(status_of(load, n + 2 * PAGE) == -1);
}

static void shares(void)
{
    int fd = make(3 * PAGE, O_RDWR);
    char *m = mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0), *n = mmap(0, 3 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    must(m != NONE && n != NONE && m != n);
    m[10] = 'X';
    must(n[10] == 'X' && in_file(10) == 'X');
    must(write(fd, "YZ", 2) == 2 && m[0] == 'Y' && n[1] == 'Z');
    must(status_of(store, m + PAGE) == 0 && m[PAGE] == '!' && n[PAGE] == '!');
    must(munmap(m, 3 * PAGE) == 0 && in_file(PAGE) == '!' && in_file(PAGE + 1) == letter(PAGE + 1));
}

static void keeps(void)
{
    int fd = make(2 * PAGE, O_RDWR);
    char *m = mmap(0, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
    must(m != NONE);
    m[10] = 'X';
    must(in_file(10) == letter(10) && m[11] == letter(11));
    must(status_of(store, m + 20) == 0 && m[20] == letter(20));
    must(munmap(m, 2 * PAGE) == 0 && in_file(10) == letter(10));
    fd = open("f", O_RDONLY);
    m = mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0);
    must(m != NONE);
    m[0] = 'X';
    must(in_file(0) == letter(0));
}

static void parts(void)
{
    int fd = make(5 * PAGE, O_RDWR);
    char *m = mmap(0, 5 * PAGE, RW, MAP_SHARED, fd, 0);
    for (int i = 0; i < 5; i++)
        m[i * PAGE] = '0' + i;
    must(munmap(m, PAGE) == 0 && munmap(m + 4 * PAGE, PAGE) == 0 && munmap(m + 2 * PAGE, PAGE) == 0);
    must(status_of(load, m) == -1 && status_of(load, m + 2 * PAGE) == -1 && status_of(load, m + 4 * PAGE) == -1);
    must(m[PAGE] == '1' && m[3 * PAGE] == '3');
    m[3 * PAGE + 1] = 'Q';
    must(munmap(m + PAGE, PAGE) == 0 && munmap(m + 3 * PAGE, PAGE) == 0);
    for (int i = 0; i < 5; i++)
        must(in_file(i * PAGE) == '0' + i);
    must(in_file(3 * PAGE + 1) == 'Q');
}

static void ends(void)
{
    int fd = make(PAGE + 50, O_RDWR), status;
    if (fork() == 0) {
        char *m = mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0);
        unlink("f");
        close(fd);
        m[3] = 'U';
        exit(m[4] == letter(4) ? 0 : 1);
    }
    wait(&status);
    must(status == 0);
    fd = make(PAGE + 50, O_RDWR);
    if (fork() == 0) {
        char *m = mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0);
        m[3] = 'E';
        m[PAGE + 49] = 'E';
        m[PAGE + 50] = 'E'; /* behind the end: of the memory, not of the file */
        exit(0);
    }
    wait(&status);
    struct stat st;
    must(stat("f", &st) == 0 && st.size == PAGE + 50);
    must(in_file(3) == 'E' && in_file(PAGE + 49) == 'E');
}

static void refuses(void)
{
    int fd = make(PAGE, O_RDONLY), fds[2];
    pipe(fds);
    must(mmap(0, PAGE, RW, MAP_SHARED, fd, 0) == (void *)-1);
    must(mmap(0, PAGE, PROT_READ, MAP_SHARED, 9, 0) == (void *)-1);
    must(mmap(0, PAGE, PROT_READ, MAP_SHARED, fds[0], 0) == (void *)-1);
    must(mmap(0, 0, PROT_READ, MAP_SHARED, fd, 0) == (void *)-1);
    must(mmap(0, PAGE, PROT_READ, 0, fd, 0) == (void *)-1);
    must(mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 5) == (void *)-1);
    must(mmap(0, PAGE, PROT_READ, MAP_SHARED, open("f", O_WRONLY), 0) == (void *)-1);
    must(mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0) != (void *)-1);
}

static void calls(void)
{
    int fd = make(2 * PAGE, O_RDWR), fds[2];
    char *m = mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0), buffer[8];
    pipe(fds);
    must(m != NONE && write(fds[1], m + PAGE - 2, 4) == 4 && read(fds[0], buffer, 4) == 4);
    for (int i = 0; i < 4; i++)
        must(buffer[i] == letter(PAGE - 2 + i));
    must(write(fds[1], "kern", 4) == 4 && read(fds[0], m + PAGE - 2, 4) == 4);
    must(munmap(m, 2 * PAGE) == 0 && in_file(PAGE - 2) == 'k' && in_file(PAGE + 1) == 'n');
}

static void zeroes(void)
{
    char *m = mmap(0, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *n = mmap(0, 3 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(m != NONE && n != NONE && m[5] == 0 && n[PAGE] == 0);
    must(status_of(store, m) == 0 && m[0] == 0);
    must(status_of(store, n) == 0 && n[0] == '!');
    must(munmap(m, 3 * PAGE) == 0 && munmap(n, 3 * PAGE) == 0);
}

static void again(void)
{
    for (int i = 0; i < 60; i++)
        if (fork() == 0) {
            shares();
            keeps();
            exit(0);
        } else {
            int status;
            wait(&status);
            must(status == 0);
        }
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {{"reads", reads},     {"shares", shares}, {"keeps", keeps},   {"parts", parts}, {"ends", ends},
             {"refuses", refuses}, {"calls", calls},   {"zeroes", zeroes}, {"again", again}};

int main(int argc, char **argv)
{
    for (int i = 0; argc == 2 && i < (int)(sizeof cases / sizeof cases[0]); i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            printf("ok\n");
            return 0;
        }
    printf("usage: mapped CASE\n");
    return 2;
}
