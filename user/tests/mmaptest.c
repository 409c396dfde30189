/* mmaptest: files and shared memory in the address space.  What a program sees of mmap(), munmap(), mprotect()
   and msync(): what is in the pages, who else sees a store, when it is in the file, which access kills, and
   which call fails.  That nothing is read too early, and nothing written that need not be, a program cannot
   see: tests/system/test_mmap.py looks from outside. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/memlayout.h"
#include "kernel/param.h"
#include "kernel/riscv.h"
#include "kernel/stat.h"
#include "user/user.h"
#include "user/testing.h"

#define NAME "mapped"
#define HALF (PGSIZE / 2)
#define RW (PROT_READ | PROT_WRITE)
#define ANON_PRIVATE (MAP_ANONYMOUS | MAP_PRIVATE)
#define ANON_SHARED (MAP_ANONYMOUS | MAP_SHARED)
#define TOP (USYSCALL - PGSIZE) /* the first address that mmap does not give */

static char page[PGSIZE];

/* The byte at offset i of a file made by make(). */
static char pattern(int i)
{
    return 'a' + i / 7 % 26;
}

/* Makes the file, `size` bytes long, and opens it in a mode. */
static int make(int size, int mode)
{
    unlink(NAME);
    int fd = open(NAME, O_CREATE | O_WRONLY);
    check(fd >= 0);
    for (int done = 0; done < size;) {
        int n = size - done < PGSIZE ? size - done : PGSIZE;
        for (int i = 0; i < n; i++)
            page[i] = pattern(done + i);
        check(write(fd, page, n) == n);
        done += n;
    }
    close(fd);
    fd = open(NAME, mode);
    check(fd >= 0);
    return fd;
}

/* Maps all of what make() makes, and leaves only the mapping. */
static char *make_mapped(int size, int prot, int flags)
{
    int fd = make(size, prot & PROT_WRITE && flags & MAP_SHARED ? O_RDWR : O_RDONLY);
    char *p = mmap(0, size, prot, flags, fd, 0);
    check(p != MAP_FAILED && (uint64)p % PGSIZE == 0);
    close(fd);
    return p;
}

static char *anonymous(int size, int prot, int flags)
{
    char *p = mmap(0, size, prot, flags | MAP_ANONYMOUS, -1, 0);
    check(p != MAP_FAILED && (uint64)p % PGSIZE == 0);
    return p;
}

static int fails(void *result)
{
    return result == MAP_FAILED;
}

/* Whether the n bytes at p are those from offset `at` of the file that make() makes. */
static int is_pattern(const char *p, int at, int n)
{
    for (int i = 0; i < n; i++)
        if (p[i] != pattern(at + i))
            return 0;
    return 1;
}

static int all(const char *p, char c, int n)
{
    for (int i = 0; i < n; i++)
        if (p[i] != c)
            return 0;
    return 1;
}

/* Reads the file: n bytes from offset `at` must be there. */
static char *file_bytes(int at, int n)
{
    static char bytes[PGSIZE];
    int fd = open(NAME, O_RDONLY);
    check(fd >= 0 && n <= PGSIZE);
    for (int skip = at; skip > 0;) {
        int got = read(fd, bytes, skip < PGSIZE ? skip : PGSIZE);
        check(got > 0);
        skip -= got;
    }
    check(read(fd, bytes, n) == n);
    close(fd);
    return bytes;
}

static int file_size(void)
{
    struct stat st;
    check(stat(NAME, &st) == 0);
    return st.size;
}

static int killed_by(void (*body)(void *), void *address)
{
    return status_of(body, address) == KILLED;
}

/* -- files --------------------------------------------------------------------------------------------- */

static void private_to_read(void)
{
    char *p = make_mapped(PGSIZE + HALF, PROT_READ, MAP_PRIVATE);
    check(is_pattern(p, 0, PGSIZE + HALF));
    check(all(p + PGSIZE + HALF, 0, HALF));
    check(munmap(p, PGSIZE + HALF) == 0);
    check(killed_by(peek, p) && killed_by(peek, p + PGSIZE));
    unlink(NAME);
}

static void private_to_write(void)
{
    char *p = make_mapped(2 * PGSIZE, RW, MAP_PRIVATE);
    p[0] = '1';             /* the first touch is a store */
    check(p[PGSIZE] == pattern(PGSIZE));
    p[PGSIZE] = '2';        /* a load came first */
    check(p[0] == '1' && is_pattern(p + 1, 1, PGSIZE - 1));
    check(p[PGSIZE] == '2' && is_pattern(p + PGSIZE + 1, PGSIZE + 1, PGSIZE - 1));
    check(msync(p, 2 * PGSIZE, MS_SYNC) == 0);
    check(munmap(p, 2 * PGSIZE) == 0);
    check(is_pattern(file_bytes(0, PGSIZE), 0, PGSIZE) && file_bytes(PGSIZE, 1)[0] == pattern(PGSIZE));
    unlink(NAME);
}

static void shared_to_write(void)
{
    char *p = make_mapped(3 * PGSIZE + 100, RW, MAP_SHARED);
    memset(p, '1', PGSIZE);
    p[2 * PGSIZE + 5] = '2';
    memset(p + 3 * PGSIZE, '3', PGSIZE); /* most of it behind the end */
    check(munmap(p, 3 * PGSIZE + 100) == 0);
    check(file_size() == 3 * PGSIZE + 100);
    check(all(file_bytes(0, PGSIZE), '1', PGSIZE));
    check(is_pattern(file_bytes(PGSIZE, PGSIZE), PGSIZE, PGSIZE));
    check(file_bytes(2 * PGSIZE + 5, 1)[0] == '2' && file_bytes(2 * PGSIZE + 6, 1)[0] == pattern(2 * PGSIZE + 6));
    check(all(file_bytes(3 * PGSIZE, 100), '3', 100));
    int fd = open(NAME, O_RDONLY);
    p = mmap(0, 4 * PGSIZE, PROT_READ, MAP_SHARED, fd, 0);
    check(all(p + 3 * PGSIZE, '3', 100) && all(p + 3 * PGSIZE + 100, 0, PGSIZE - 100));
    unlink(NAME);
}

/* read() and write() see what is stored, and stores what they write, at once. */
static void one_truth(void)
{
    char *p = make_mapped(2 * PGSIZE, RW, MAP_SHARED);
    p[PGSIZE - 1] = '1';
    p[PGSIZE] = '2';
    check(memcmp(file_bytes(PGSIZE - 1, 2), "12", 2) == 0);
    int fd = open(NAME, O_RDWR);
    check(write(fd, "hello", 5) == 5);
    check(memcmp(p, "hello", 5) == 0 && p[5] == pattern(5));
    check(write(fd, p + PGSIZE, 1) == 1 && p[5] == '2');
    close(fd);
    check(munmap(p, 2 * PGSIZE) == 0);
    check(memcmp(file_bytes(0, 6), "hello2", 6) == 0);
    unlink(NAME);
}

/* A file that grows is seen to grow by those who mapped more than there was. */
static void growing_file(void)
{
    int fd = make(100, O_RDWR);
    char *p = mmap(0, 2 * PGSIZE, PROT_READ, MAP_SHARED, fd, 0);
    check(p[99] == pattern(99) && p[100] == 0 && killed_by(peek, p + PGSIZE));
    memset(page, 'g', PGSIZE);
    check(read(fd, page, 100) == 100);
    memset(page, 'g', PGSIZE);
    check(write(fd, page, PGSIZE) == PGSIZE);
    check(p[99] == pattern(99) && all(p + 100, 'g', PGSIZE) && p[PGSIZE + 100] == 0);
    unlink(NAME);
}

static void mapped_twice(void)
{
    int fd = make(2 * PGSIZE, O_RDWR);
    char *a = mmap(0, 2 * PGSIZE, RW, MAP_SHARED, fd, 0);
    char *b = mmap(0, PGSIZE, PROT_READ, MAP_SHARED, fd, PGSIZE);
    char *c = mmap(0, PGSIZE, RW, MAP_PRIVATE, fd, PGSIZE);
    check(b[0] == pattern(PGSIZE) && c[0] == pattern(PGSIZE));
    c[1] = 'c';
    a[PGSIZE] = a[PGSIZE + 1] = 'a';
    check(b[0] == 'a' && b[1] == 'a' && c[0] == pattern(PGSIZE) && c[1] == 'c');
    check(munmap(a, 2 * PGSIZE) == 0 && b[0] == 'a');
    unlink(NAME);
}

static void from_an_offset(void)
{
    int fd = make(5 * PGSIZE, O_RDONLY);
    char *p = mmap(0, 2 * PGSIZE, PROT_READ, MAP_PRIVATE, fd, 3 * PGSIZE);
    check(is_pattern(p, 3 * PGSIZE, 2 * PGSIZE));
    unlink(NAME);
}

static void two_files(void)
{
    char *a = make_mapped(PGSIZE, PROT_READ, MAP_SHARED);
    char *b = make_mapped(HALF, PROT_READ, MAP_PRIVATE); /* takes the name of the first */
    check(is_pattern(a, 0, PGSIZE) && is_pattern(b, 0, HALF) && all(b + HALF, 0, HALF));
    check(munmap(a, PGSIZE) == 0 && is_pattern(b, 0, HALF));
    unlink(NAME);
}

static void behind_the_end(void)
{
    int fd = make(PGSIZE + 1, O_RDWR);
    char *p = mmap(0, 4 * PGSIZE, RW, MAP_SHARED, fd, 0);
    check(p != MAP_FAILED && p[PGSIZE] == pattern(PGSIZE));
    check(killed_by(peek, p + 2 * PGSIZE) && killed_by(touch, p + 3 * PGSIZE));
    char *q = mmap(0, PGSIZE, RW, MAP_PRIVATE, fd, 2 * PGSIZE);
    check(q != MAP_FAILED && killed_by(peek, q) && killed_by(touch, q));
    check(write(fd, p + 2 * PGSIZE, 1) == -1);
    check(file_size() == PGSIZE + 1);
    unlink(NAME);
}

/* What is stored behind the end, in the last page, is not kept: a later mapping has zeroes there. */
static void behind_the_end_in_the_last_page(void)
{
    char *p = make_mapped(100, RW, MAP_SHARED);
    memset(p, 'x', PGSIZE);
    check(munmap(p, PGSIZE) == 0 && file_size() == 100);
    int fd = open(NAME, O_RDWR);
    p = mmap(0, PGSIZE, PROT_READ, MAP_SHARED, fd, 0);
    check(all(p, 'x', 100) && all(p + 100, 0, PGSIZE - 100));
    unlink(NAME);
}

static void empty_file(void)
{
    int fd = make(0, O_RDWR);
    char *p = mmap(0, PGSIZE, RW, MAP_SHARED, fd, 0);
    check(p != MAP_FAILED && killed_by(peek, p));
    check(write(fd, "x", 1) == 1 && p[0] == 'x' && p[1] == 0);
    unlink(NAME);
}

static void truncated_file(void)
{
    char *shared = make_mapped(3 * PGSIZE, RW, MAP_SHARED);
    int fd = open(NAME, O_RDWR);
    char *private = mmap(0, 3 * PGSIZE, RW, MAP_PRIVATE, fd, 0);
    shared[PGSIZE] = private[PGSIZE] = 'x';
    close(open(NAME, O_WRONLY | O_TRUNC));
    check(killed_by(peek, shared) && killed_by(peek, shared + PGSIZE));
    check(killed_by(peek, private) && killed_by(touch, private + PGSIZE));
    check(write(fd, "new", 3) == 3);
    check(memcmp(shared, "new", 4) == 0 && memcmp(private, "new", 4) == 0);
    check(munmap(shared, 3 * PGSIZE) == 0 && file_size() == 3);
    unlink(NAME);
}

static void closed_and_unlinked(void)
{
    char *p = make_mapped(2 * PGSIZE, RW, MAP_SHARED);
    check(unlink(NAME) == 0 && open(NAME, O_RDONLY) == -1);
    check(is_pattern(p, 0, 2 * PGSIZE));
    p[PGSIZE] = 'x';
    check(msync(p, 2 * PGSIZE, MS_SYNC) == 0 && p[PGSIZE] == 'x');
    int pid = start(touch, p);
    check(reap(pid) == 0 && p[0] == 1);
    check(munmap(p, 2 * PGSIZE) == 0);
}

/* -- rights -------------------------------------------------------------------------------------------- */

static void rights_of_the_file(void)
{
    int fd = make(PGSIZE, O_RDONLY);
    check(fails(mmap(0, PGSIZE, RW, MAP_SHARED, fd, 0)));
    check(fails(mmap(0, PGSIZE, PROT_WRITE, MAP_SHARED, fd, 0)));
    char *p = mmap(0, PGSIZE, PROT_READ, MAP_SHARED, fd, 0);
    check(p != MAP_FAILED && mprotect(p, PGSIZE, RW) == -1 && killed_by(touch, p));
    check(mmap(0, PGSIZE, RW, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    close(fd);
    check(mprotect(p, PGSIZE, RW) == -1);
    fd = open(NAME, O_WRONLY);
    check(fails(mmap(0, PGSIZE, PROT_READ, MAP_SHARED, fd, 0)));
    check(fails(mmap(0, PGSIZE, PROT_READ, MAP_PRIVATE, fd, 0)));
    check(fails(mmap(0, PGSIZE, PROT_NONE, MAP_PRIVATE, fd, 0)));
    unlink(NAME);
}

static void rights_of_the_pages(void)
{
    int fd = make(PGSIZE, O_RDWR);
    char *none = mmap(0, PGSIZE, PROT_NONE, MAP_SHARED, fd, 0);
    char *reads = mmap(0, PGSIZE, PROT_READ, MAP_SHARED, fd, 0);
    char *writes = mmap(0, PGSIZE, PROT_WRITE, MAP_SHARED, fd, 0);
    check(killed_by(peek, none) && killed_by(touch, none));
    check(reads[0] == 'a' && killed_by(touch, reads));
    writes[0] = 'w'; /* what can be written can be read */
    check(writes[0] == 'w' && reads[0] == 'w');
    check(write(fd, none, 1) == -1 && read(fd, reads, 1) == -1 && write(fd, reads, 1) == 1);
    unlink(NAME);
}

static void call(void *address)
{
    ((void (*)(void))address)();
}

/* Code comes into memory that can be written, and runs when it cannot any more. */
static void code_in_a_mapping(void)
{
    static const uint code[] = {0x00008067}; /* ret */
    char *p = anonymous(PGSIZE, RW, MAP_PRIVATE);
    memcpy(p, code, sizeof code);
    check(killed_by(call, p));
    check(mprotect(p, PGSIZE, PROT_READ | PROT_EXEC) == 0);
    check(status_of(call, p) == 0 && killed_by(touch, p));
    check(mprotect(p, PGSIZE, PROT_EXEC) == 0);
    check(status_of(call, p) == 0 && killed_by(peek, p));
    check(mprotect(p, PGSIZE, RW | PROT_EXEC) == -1 && fails(mmap(0, PGSIZE, RW | PROT_EXEC, ANON_PRIVATE, -1, 0)));
    int fd = make(0, O_RDWR);
    check(write(fd, code, sizeof code) == sizeof code);
    p = mmap(0, PGSIZE, PROT_EXEC, MAP_SHARED, fd, 0);
    check(status_of(call, p) == 0);
    unlink(NAME);
}

static void mprotect_pages(void)
{
    char *p = anonymous(5 * PGSIZE, RW, MAP_PRIVATE);
    memset(p, 'x', 3 * PGSIZE);
    check(mprotect(p + PGSIZE, 3 * PGSIZE, PROT_READ) == 0);
    p[0] = 'y';
    p[4 * PGSIZE] = 'y';
    for (int i = 1; i < 4; i++)
        check(p[i * PGSIZE] == (i < 3 ? 'x' : 0) && killed_by(touch, p + i * PGSIZE));
    check(mprotect(p + 2 * PGSIZE, PGSIZE, PROT_NONE) == 0);
    check(killed_by(peek, p + 2 * PGSIZE) && p[PGSIZE] == 'x' && p[3 * PGSIZE] == 0);
    check(mprotect(p, 5 * PGSIZE, RW) == 0);
    check(p[2 * PGSIZE] == 'x');
    for (int i = 0; i < 5; i++)
        p[i * PGSIZE] = 'z';
    check(munmap(p, 5 * PGSIZE) == 0);
}

/* A private page of a file stays private whatever its rights were meanwhile. */
static void mprotect_private(void)
{
    int fd = make(2 * PGSIZE, O_RDWR);
    char *shared = mmap(0, 2 * PGSIZE, RW, MAP_SHARED, fd, 0);
    char *p = mmap(0, 2 * PGSIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    check(p[0] == 'a');
    check(mprotect(p, 2 * PGSIZE, RW) == 0);
    p[0] = '1';
    p[PGSIZE] = '2';
    check(shared[0] == 'a' && shared[PGSIZE] == pattern(PGSIZE));
    check(mprotect(p, 2 * PGSIZE, PROT_NONE) == 0 && mprotect(p, 2 * PGSIZE, RW) == 0);
    check(p[0] == '1');
    p[0] = '3';
    check(shared[0] == 'a' && p[PGSIZE] == '2');
    unlink(NAME);
}

/* What was stored while it was allowed is written back, though it is not allowed any more. */
static void mprotect_dirty(void)
{
    char *p = make_mapped(2 * PGSIZE, RW, MAP_SHARED);
    p[0] = '1';
    p[PGSIZE] = '2';
    check(mprotect(p, PGSIZE, PROT_READ) == 0 && mprotect(p + PGSIZE, PGSIZE, PROT_NONE) == 0);
    check(munmap(p, 2 * PGSIZE) == 0);
    check(file_bytes(0, 1)[0] == '1' && file_bytes(PGSIZE, 1)[0] == '2');
    unlink(NAME);
}

/* -- addresses ----------------------------------------------------------------------------------------- */

static void munmap_parts(void)
{
    char *p = make_mapped(7 * PGSIZE, RW, MAP_SHARED);
    for (int i = 0; i < 7; i++)
        p[i * PGSIZE] = '0' + i;
    check(munmap(p + 3 * PGSIZE, PGSIZE) == 0); /* from the middle, */
    check(munmap(p, 1) == 0);                   /* the beginning, a whole page, */
    check(munmap(p + 6 * PGSIZE, PGSIZE) == 0); /* and the end */
    for (int i = 0; i < 7; i++)
        if (i % 3 == 0)
            check(killed_by(peek, p + i * PGSIZE) && file_bytes(i * PGSIZE, 1)[0] == '0' + i);
        else
            check(p[i * PGSIZE] == '0' + i && is_pattern(p + i * PGSIZE + 1, i * PGSIZE + 1, PGSIZE - 1));
    check(munmap(p, 7 * PGSIZE) == 0); /* over holes */
    check(munmap(p, 7 * PGSIZE) == 0); /* over nothing */
    for (int i = 0; i < 7; i++)
        check(killed_by(peek, p + i * PGSIZE) && file_bytes(i * PGSIZE, 1)[0] == '0' + i);
    unlink(NAME);
}

static void highest_first(void)
{
    char *a = anonymous(PGSIZE, RW, MAP_PRIVATE), *b = anonymous(3 * PGSIZE, PROT_READ, MAP_PRIVATE);
    check(a + PGSIZE == (char *)TOP && b + 3 * PGSIZE == a);
    check(killed_by(peek, (char *)TOP) && killed_by(peek, b - 1));
    char *c = anonymous(PGSIZE, RW, MAP_PRIVATE);
    check(munmap(b, 3 * PGSIZE) == 0);
    check(anonymous(4 * PGSIZE, RW, MAP_PRIVATE) == c - 4 * PGSIZE);
    check(anonymous(2 * PGSIZE, RW, MAP_PRIVATE) == a - 2 * PGSIZE);
    check(anonymous(PGSIZE, RW, MAP_PRIVATE) == b);
}

static void hints(void)
{
    char *at = (char *)0x1000000000;
    check(mmap(at, PGSIZE, RW, ANON_PRIVATE, -1, 0) == at);
    check(mmap(at + PGSIZE + 1, PGSIZE, RW, ANON_PRIVATE, -1, 0) == at + 2 * PGSIZE);
    at[0] = 'x';
    char *other = mmap(at - PGSIZE, 2 * PGSIZE, RW, ANON_PRIVATE, -1, 0); /* taken in part */
    check(other + 2 * PGSIZE == (char *)TOP && at[0] == 'x');
    check(mmap((char *)TOP, PGSIZE, RW, ANON_PRIVATE, -1, 0) == other - PGSIZE);
    check(mmap((char *)PGSIZE, PGSIZE, RW, ANON_PRIVATE, -1, 0) == other - 2 * PGSIZE);
    check(mmap((char *)-1, PGSIZE, RW, ANON_PRIVATE, -1, 0) == other - 3 * PGSIZE);
}

static void fixed(void)
{
    char *p = make_mapped(4 * PGSIZE, RW, MAP_SHARED);
    p[PGSIZE] = '1';
    p[2 * PGSIZE] = '2';
    int flags = ANON_PRIVATE | MAP_FIXED;
    check(mmap(p + PGSIZE, PGSIZE, RW, flags, -1, 0) == p + PGSIZE);
    check(all(p + PGSIZE, 0, PGSIZE) && p[2 * PGSIZE] == '2' && p[0] == 'a');
    check(file_bytes(PGSIZE, 1)[0] == '1'); /* written back before it was replaced */
    check(mmap(p - PGSIZE, 6 * PGSIZE, RW, flags, -1, 0) == MAP_FAILED && p[2 * PGSIZE] == '2'); /* above TOP */
    check(mmap(p - PGSIZE, 5 * PGSIZE, RW, flags, -1, 0) == p - PGSIZE && all(p - PGSIZE, 0, 5 * PGSIZE));
    check(fails(mmap(p + 1, PGSIZE, RW, flags, -1, 0)));
    check(fails(mmap(0, PGSIZE, RW, flags, -1, 0)));
    check(fails(mmap((void *)(TRAPFRAME), PGSIZE, RW, flags, -1, 0)));
    check(fails(mmap((void *)(TOP), PGSIZE, RW, flags, -1, 0)));
    check(fails(mmap((void *)(MAXVA), PGSIZE, RW, flags, -1, 0)));
    check(fails(mmap((void *)-PGSIZE, PGSIZE, RW, flags, -1, 0)));
    check(fails(mmap((void *)((uint64)sbrk(0) - PGSIZE & -PGSIZE), PGSIZE, RW, flags, -1, 0)));
    unlink(NAME);
}

/* The heap ends where a mapping begins. */
static void heap_and_mapping(void)
{
    char *end = sbrk(0), *at = (char *)(((uint64)end + PGSIZE - 1 & -PGSIZE) + 4 * PGSIZE);
    check(mmap(at, PGSIZE, RW, ANON_PRIVATE | MAP_FIXED, -1, 0) == at);
    at[0] = 'm';
    check(sbrk(at - end + 1) == FAILED_SBRK && sbrklazy(5 * PGSIZE) == FAILED_SBRK);
    check(sbrk(at - end) == end);
    at[-1] = 'h';
    check(at[0] == 'm');
    check(munmap(at - PGSIZE, 2 * PGSIZE) == -1 && munmap(0, PGSIZE) == -1);
    check(sbrk(end - at) == at && at[0] == 'm');
    check(munmap(at, PGSIZE) == 0 && sbrklazy(at - end + PGSIZE) == end && at[0] == 0);
}

static void too_many(void)
{
    char *p = anonymous((2 * NVMA + 1) * PGSIZE, RW, MAP_PRIVATE);
    for (int i = 0; i < 2 * NVMA + 1; i++)
        p[i * PGSIZE] = i;
    for (int i = 1; i < NVMA; i++)
        check(munmap(p + (2 * i - 1) * PGSIZE, PGSIZE) == 0); /* now there are i + 1 */
    char *rest = p + (2 * NVMA - 2) * PGSIZE;                 /* the last one has three pages */
    check(munmap(rest + PGSIZE, PGSIZE) == -1 && rest[PGSIZE] == (char)(2 * NVMA - 1));
    check(mprotect(rest, PGSIZE, PROT_READ) == -1 && mprotect(rest + PGSIZE, PGSIZE, PROT_NONE) == -1);
    rest[0] = rest[PGSIZE] = 'x';
    check(fails(mmap(0, PGSIZE, PROT_READ, ANON_PRIVATE, -1, 0)));
    check(fails(mmap(0, PGSIZE, RW, ANON_SHARED, -1, 0)));
    check(p - PGSIZE == mmap(p - PGSIZE, PGSIZE, RW, ANON_PRIVATE, -1, 0)); /* makes the first one longer */
    check(munmap(rest + 2 * PGSIZE, PGSIZE) == 0);                         /* and this the last one shorter */
    int pid = start(peek, rest);
    check(reap(pid) == 0);
    check(munmap(p - PGSIZE, (2 * NVMA + 2) * PGSIZE) == 0);
    check(!fails(mmap(0, PGSIZE, PROT_READ, ANON_PRIVATE, -1, 0)));
}

static void bad_calls(void)
{
    int fd = make(PGSIZE, O_RDWR), fds[2], console = open("console", O_RDWR), dir = open("/", O_RDONLY);
    check(console >= 0 && dir >= 0 && pipe(fds) == 0);
    check(fails(mmap(0, 0, RW, MAP_SHARED, fd, 0)));
    check(fails(mmap(0, -1, RW, MAP_SHARED, fd, 0)));
    check(fails(mmap(0, MAXVA, RW, ANON_PRIVATE, -1, 0)));
    check(fails(mmap(0, -PGSIZE, RW, ANON_PRIVATE, -1, 0)));
    check(fails(mmap(0, PGSIZE, RW, 0, fd, 0)));
    check(fails(mmap(0, PGSIZE, RW, MAP_SHARED | MAP_PRIVATE, fd, 0)));
    check(fails(mmap(0, PGSIZE, RW, MAP_SHARED | 4, fd, 0)));
    check(fails(mmap(0, PGSIZE, RW, MAP_SHARED | 1 << 31, fd, 0)));
    check(fails(mmap(0, PGSIZE, 8, MAP_SHARED, fd, 0)));
    check(fails(mmap(0, PGSIZE, -1, MAP_SHARED, fd, 0)));
    check(fails(mmap(0, PGSIZE, RW, MAP_SHARED, fd, 1)));
    check(fails(mmap(0, PGSIZE, RW, MAP_SHARED, fd, -1)));
    check(fails(mmap(0, PGSIZE, RW, MAP_SHARED, -1, 0)));
    check(fails(mmap(0, PGSIZE, RW, MAP_SHARED, NOFILE, 0)));
    check(fails(mmap(0, PGSIZE, RW, MAP_SHARED, NOFILE - 1, 0)));
    check(fails(mmap(0, PGSIZE, PROT_READ, MAP_PRIVATE, dir, 0)));
    check(fails(mmap(0, PGSIZE, PROT_READ, MAP_PRIVATE, console, 0)));
    check(fails(mmap(0, PGSIZE, PROT_READ, MAP_PRIVATE, fds[0], 0)));
    char *p = mmap(0, 2 * PGSIZE, RW, MAP_SHARED, fd, 0);
    check(p != MAP_FAILED);
    check(munmap(p + 1, PGSIZE) == -1 && munmap(p, 0) == -1 && munmap(p, -1) == -1);
    check(munmap((void *)TOP, PGSIZE) == -1 && munmap(p, (char *)TOP - p + 1) == -1);
    check(munmap((void *)TRAPFRAME, PGSIZE) == -1 && munmap((void *)-PGSIZE, PGSIZE) == -1);
    check(mprotect(p + 1, PGSIZE, RW) == -1 && mprotect(p, PGSIZE, 8) == -1 && mprotect(p, -1, RW) == -1);
    check(mprotect(p - PGSIZE, 2 * PGSIZE, PROT_READ) == -1 && mprotect(0, PGSIZE, PROT_READ) == -1);
    check(msync(p + 1, PGSIZE, MS_SYNC) == -1 && msync(p, PGSIZE, 8) == -1);
    check(msync(p, PGSIZE, MS_SYNC | MS_ASYNC) == -1 && msync(p - PGSIZE, 2 * PGSIZE, MS_SYNC) == -1);
    check(msync(p, PGSIZE, MS_ASYNC | MS_INVALIDATE) == 0);
    p[0] = 'x'; /* all of this did it no harm */
    unlink(NAME);
}

/* -- anonymous memory ---------------------------------------------------------------------------------- */

static void zeroes(void)
{
    char *p = anonymous(10 * PGSIZE, RW, MAP_PRIVATE), *q = anonymous(10 * PGSIZE, RW, MAP_SHARED);
    check(all(p, 0, 10 * PGSIZE) && all(q, 0, 10 * PGSIZE));
    memset(p, 'x', 10 * PGSIZE);
    check(munmap(p, 10 * PGSIZE) == 0);
    p = anonymous(10 * PGSIZE, PROT_READ, MAP_PRIVATE);
    check(all(p, 0, 10 * PGSIZE) && killed_by(touch, p));
}

static void huge(void)
{
    long size = 64L << 30;
    char *p = mmap(0, size, RW, ANON_PRIVATE, -1, 0);
    check(p != MAP_FAILED);
    for (long at = 0; at < size; at += size / 16)
        p[at + 5] = at >> 32;
    for (long at = 0; at < size; at += size / 16)
        check(p[at + 5] == (char)(at >> 32));
    check(munmap(p + PGSIZE, size - PGSIZE) == 0 && p[5] == 0 && killed_by(peek, p + size / 2));
}

static void shared_memory(void *memory)
{
    int *words = memory;
    check(words[0] == 17);
    words[PGSIZE] = 1; /* pages that nobody touched before */
    check(status_of(touch, words + 2 * PGSIZE) == 0);
    words[0] = 18;
}

static void shared_with_children(void)
{
    int *words = (int *)anonymous(16 * PGSIZE, RW, MAP_SHARED);
    words[0] = 17;
    check(status_of(shared_memory, words) == 0);
    check(words[0] == 18 && words[PGSIZE] == 1 && words[2 * PGSIZE] == 1);
    int pid = fork();
    if (pid == 0) {
        munmap(words, 16 * PGSIZE);
        exit(0);
    }
    check(reap(pid) == 0 && words[0] == 18);
    check(munmap(words, PGSIZE) == 0 && words[PGSIZE] == 1);
}

static void eat(void *memory)
{
    for (long i = 0;; i++)
        ((char *)memory)[i * PGSIZE] = 1;
}

static void out_of_memory(void)
{
    int before = free_pages();
    char *p = mmap(0, 1L << 30, RW, ANON_PRIVATE, -1, 0), *q = mmap(0, 1L << 30, RW, ANON_SHARED, -1, 0);
    check(p != MAP_FAILED && q != MAP_FAILED && killed_by(eat, p) && free_pages() + 50 >= before);
    int pid = fork();
    if (pid == 0) {
        eat(q);
        exit(0);
    }
    check(reap(pid) == KILLED && munmap(q, 1L << 30) == 0); /* the last one who has it */
    check(free_pages() + 50 >= before);
}

/* -- processes and calls ------------------------------------------------------------------------------- */

static void fork_private(void)
{
    char *p = make_mapped(3 * PGSIZE, RW, MAP_PRIVATE), *q = anonymous(2 * PGSIZE, RW, MAP_PRIVATE);
    p[0] = q[0] = '1';
    int pid = fork();
    if (pid == 0) {
        check(p[0] == '1' && q[0] == '1' && p[PGSIZE] == pattern(PGSIZE));
        p[0] = q[0] = p[PGSIZE] = q[PGSIZE] = 'c';
        exit(munmap(p, PGSIZE));
    }
    check(reap(pid) == 0);
    check(p[0] == '1' && q[0] == '1' && p[PGSIZE] == pattern(PGSIZE) && q[PGSIZE] == 0);
    unlink(NAME);
}

static void fork_shared(void)
{
    char *p = make_mapped(3 * PGSIZE, RW, MAP_SHARED);
    p[0] = '1';
    int pid = fork();
    if (pid == 0) {
        check(p[0] == '1');
        p[1] = p[PGSIZE] = '2';
        check(munmap(p, PGSIZE) == 0 && killed_by(peek, p) && p[PGSIZE] == '2');
        exit(0);
    }
    check(reap(pid) == 0);
    check(p[0] == '1' && p[1] == '2' && p[PGSIZE] == '2' && file_bytes(PGSIZE, 1)[0] == '2');
    p[2] = '3';
    check(munmap(p, 3 * PGSIZE) == 0 && memcmp(file_bytes(0, 4), "123a", 4) == 0);
    unlink(NAME);
}

static void store_and_exit(void *mapping)
{
    ((char *)mapping)[0] = 'e';
}

static void store_and_crash(void *mapping)
{
    ((char *)mapping)[PGSIZE] = 'c';
    peek((void *)TOP);
}

static void store_and_wait(void *mapping)
{
    ((char *)mapping)[2 * PGSIZE] = 'k';
    for (;;)
        sleep(1000);
}

static void store_and_exec(void *mapping)
{
    ((char *)mapping)[3 * PGSIZE] = 'x';
    char *argv[] = {"echo", 0};
    exec("nothing", argv);
    check(((char *)mapping)[3 * PGSIZE] == 'x');
    close(1);
    exec("/echo", argv);
    exit(1);
}

/* However a process ends, what it stored is in the file. */
static void ends(void)
{
    char *p = make_mapped(4 * PGSIZE, RW, MAP_SHARED);
    volatile char *seen = p;
    check(status_of(store_and_exit, p) == 0 && status_of(store_and_crash, p) == KILLED);
    int pid = start(store_and_wait, p);
    while (seen[2 * PGSIZE] != 'k')
        sleep(1);
    check(kill(pid) == 0 && reap(pid) == KILLED);
    check(status_of(store_and_exec, p) == 0);
    check(munmap(p, 4 * PGSIZE) == 0);
    for (int i = 0; i < 4; i++)
        check(file_bytes(i * PGSIZE, 1)[0] == "ecxk"[i == 2 ? 3 : i == 3 ? 2 : i]);
    unlink(NAME);
}

/* Calls whose buffers are pages that nobody has touched. */
static void calls_fault_pages_in(void)
{
    int fd = make(8 * PGSIZE, O_RDWR), fds[2];
    char *p = mmap(0, 8 * PGSIZE, RW, MAP_SHARED, fd, 0), *q = mmap(0, 8 * PGSIZE, RW, MAP_PRIVATE, fd, 0);
    check(read(fd, p + 4 * PGSIZE, 2 * PGSIZE) == 2 * PGSIZE); /* the file into itself */
    check(is_pattern(p + 4 * PGSIZE, 0, 2 * PGSIZE));
    check(read(fd, q, 10) == 10 && is_pattern(q, 2 * PGSIZE, 10) && is_pattern(p, 0, 10));
    check(pipe(fds) == 0);
    check(write(fds[1], p + 3 * PGSIZE - 5, 10) == 10 && read(fds[0], q + 7 * PGSIZE - 5, 10) == 10);
    check(is_pattern(q + 7 * PGSIZE - 5, 3 * PGSIZE - 5, 10) && is_pattern(p + 7 * PGSIZE - 5, 7 * PGSIZE - 5, 10));
    int status, pid = fork();
    if (pid == 0)
        exit(0x11223344);
    check(wait((int *)(q + PGSIZE)) == pid && *(int *)(q + PGSIZE) == 0x11223344);
    check(wait(&status) == -1);
    check(munmap(p, 8 * PGSIZE) == 0 && is_pattern(file_bytes(4 * PGSIZE, PGSIZE), 0, PGSIZE));
    unlink(NAME);
}

/* A path in a file, across two pages of a mapping that nobody has touched; one without an end; no rights. */
static void paths_in_a_mapping(void)
{
    int fd = make(3 * PGSIZE, O_RDWR);
    char *p = mmap(0, 3 * PGSIZE, RW, MAP_SHARED, fd, 0);
    strcpy(p + PGSIZE - 3, NAME);
    check(munmap(p, 3 * PGSIZE) == 0);
    p = mmap(0, 4 * PGSIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    int same = open(p + PGSIZE - 3, O_RDONLY);
    check(same >= 0 && close(same) == 0);
    check(open(p + 3 * PGSIZE - 3, O_RDONLY) == -1 && open(p + 3 * PGSIZE, O_RDONLY) == -1);
    check(mmap(p, PGSIZE, PROT_NONE, MAP_PRIVATE | MAP_FIXED, fd, 0) == p && open(p, O_RDONLY) == -1);
    check(munmap(p, 4 * PGSIZE) == 0 && open(p, O_RDONLY) == -1);
    close(fd);
    unlink(NAME);
}

static void stack_in_a_mapping(void)
{
    char *stack = anonymous(2 * PGSIZE, RW, MAP_PRIVATE);
    long *top = (long *)(stack + 2 * PGSIZE) - 2, result;
    asm volatile("mv s2, sp; mv sp, %1; li t0, 42; sd t0, 8(sp); ld %0, 8(sp); mv sp, s2"
                 : "=r"(result)
                 : "r"(top)
                 : "s2", "t0", "memory");
    check(result == 42 && top[1] == 42);
}

static const struct test tests[] = {
    {"private_to_read", private_to_read},
    {"private_to_write", private_to_write},
    {"shared_to_write", shared_to_write},
    {"one_truth", one_truth},
    {"growing_file", growing_file},
    {"mapped_twice", mapped_twice},
    {"from_an_offset", from_an_offset},
    {"two_files", two_files},
    {"behind_the_end", behind_the_end},
    {"behind_the_end_in_the_last_page", behind_the_end_in_the_last_page},
    {"empty_file", empty_file},
    {"truncated_file", truncated_file},
    {"closed_and_unlinked", closed_and_unlinked},
    {"rights_of_the_file", rights_of_the_file},
    {"rights_of_the_pages", rights_of_the_pages},
    {"code_in_a_mapping", code_in_a_mapping},
    {"mprotect_pages", mprotect_pages},
    {"mprotect_private", mprotect_private},
    {"mprotect_dirty", mprotect_dirty},
    {"munmap_parts", munmap_parts},
    {"highest_first", highest_first},
    {"hints", hints},
    {"fixed", fixed},
    {"heap_and_mapping", heap_and_mapping},
    {"too_many", too_many},
    {"bad_calls", bad_calls},
    {"zeroes", zeroes},
    {"huge", huge},
    {"shared_with_children", shared_with_children},
    {"out_of_memory", out_of_memory},
    {"fork_private", fork_private},
    {"fork_shared", fork_shared},
    {"ends", ends},
    {"calls_fault_pages_in", calls_fault_pages_in},
    {"paths_in_a_mapping", paths_in_a_mapping},
    {"stack_in_a_mapping", stack_in_a_mapping},
    {0},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, (const struct test *const[]){tests, 0});
}
