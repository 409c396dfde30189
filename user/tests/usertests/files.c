/* Cases: files, descriptors, links and devices. */

#include "kernel/types.h"
#include "kernel/param.h"
#include "kernel/stat.h"
#include "kernel/fs.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "test.h"

#define BAD_MAJOR (NDEV + 5)
#define UNUSED_MAJOR (NDEV - 1)

static uint64 size_of(const char *name)
{
    struct stat st;
    check(stat(name, &st) == 0);
    return st.size;
}

static int links_of(const char *name)
{
    struct stat st;
    check(stat(name, &st) == 0);
    return st.nlink;
}

static void write_and_read(void)
{
    static const int sizes[] = {0, 1, 10, 511, 512, 1023, 1024, 1025, 5000, 20000};
    for (uint i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        make_file("file", sizes[i], i);
        check(size_of("file") == sizes[i]);
        check_file("file", sizes[i], i);
    }
    check(unlink("file") == 0);
    check(open("file", O_RDONLY) == -1);
}

static void open_modes(void)
{
    check(open("file", O_RDONLY) == -1);
    check(open("file", O_RDWR) == -1);
    check(open("nodir/file", O_CREATE | O_RDWR) == -1);
    int fd = open("file", O_CREATE | O_WRONLY);
    check(fd >= 0);
    check(write(fd, "abc", 3) == 3);
    check(read(fd, buf, 3) == -1);
    close(fd);
    fd = open("file", O_RDONLY);
    check(write(fd, "abc", 3) == -1);
    check(read(fd, buf, 100) == 3 && memcmp(buf, "abc", 3) == 0);
    check(read(fd, buf, 100) == 0);
    close(fd);
    fd = open("file", O_RDWR);
    check(write(fd, "X", 1) == 1);
    check(read(fd, buf, 100) == 2 && memcmp(buf, "bc", 2) == 0);
    close(fd);
    fd = open("file", O_CREATE | O_RDWR); /* it exists: nothing is lost */
    check(read(fd, buf, 100) == 3 && memcmp(buf, "Xbc", 3) == 0);
    close(fd);
    check(unlink("file") == 0);
}

static void truncation(void)
{
    make_file("file", 3000, 1);
    int reader = open("file", O_RDONLY);
    check(read(reader, buf, 1000) == 1000);
    int writer = open("file", O_WRONLY | O_TRUNC);
    check(writer >= 0 && size_of("file") == 0);
    check(read(reader, buf, 1000) == 0);
    memset(buf, 'n', 1500);
    check(write(writer, buf, 1500) == 1500);
    check(read(reader, buf, 1000) == 500 && buf[0] == 'n');
    int again = open("file", O_RDWR | O_TRUNC | O_CREATE);
    check(read(again, buf, 100) == 0);
    check(write(writer, "x", 1) == -1); /* its offset lies behind the end now */
    check(size_of("file") == 0);
    close(reader);
    close(writer);
    close(again);
    check(unlink("file") == 0);
}

static void truncate_in_a_loop(void *unused)
{
    for (int i = 0; i < 50; i++) {
        int fd = open("file", O_CREATE | O_WRONLY | O_TRUNC);
        check(fd >= 0);
        int n = write(fd, "0123456789", 10);
        check(n == 10);
        close(fd);
    }
}

static void truncation_while_reading(void)
{
    make_file("file", 10, 1);
    int pid = start(truncate_in_a_loop, 0);
    for (int i = 0; i < 50; i++) {
        int fd = open("file", O_RDONLY);
        int n = read(fd, buf, 100);
        check(n >= 0 && n <= 10);
        close(fd);
    }
    check(reap(pid) == 0);
    check(unlink("file") == 0);
}

static void offset_is_shared(void)
{
    make_file("file", 100, 2);
    int fd = open("file", O_RDONLY);
    int copy = dup(fd), other = open("file", O_RDONLY);
    check(copy >= 0 && copy != fd);
    check(read(fd, buf, 10) == 10);
    check(read(copy, buf + 10, 10) == 10);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        check(read(fd, buf + 20, 10) == 10);
        exit(0);
    }
    check(reap(pid) == 0);
    close(fd);
    check(read(copy, buf + 30, BUF_BYTES) == 70);
    check(read(other, buf + 200, BUF_BYTES) == 100);
    check(memcmp(buf, buf + 200, 20) == 0);
    check(memcmp(buf + 30, buf + 230, 70) == 0);
    check(unlink("file") == 0);
}

static void append_to_shared(void *fd)
{
    char record[10];
    memset(record, 'c', sizeof record);
    for (int i = 0; i < 200; i++)
        check(write((int)(long)fd, record, sizeof record) == sizeof record);
}

/* Parent and child write to one open file: no record falls on another. */
static void shared_descriptor(void)
{
    int fd = open("file", O_CREATE | O_WRONLY);
    check(fd >= 0);
    int pid = start(append_to_shared, (void *)(long)fd);
    for (int i = 0; i < 200; i++)
        check(write(fd, "pppppppppp", 10) == 10);
    check(reap(pid) == 0);
    close(fd);
    fd = open("file", O_RDONLY);
    int c = 0, p = 0, n;
    while ((n = read(fd, buf, BUF_BYTES)) > 0) {
        for (int i = 0; i < n; i++) {
            c += buf[i] == 'c';
            p += buf[i] == 'p';
        }
    }
    check(c == 2000 && p == 2000);
    check(unlink("file") == 0);
}

static void unlinked_but_open(void)
{
    struct stat st;
    make_file("file", 2000, 3);
    int fd = open("file", O_RDWR);
    check(unlink("file") == 0);
    check(unlink("file") == -1);
    check(open("file", O_RDONLY) == -1);
    check(fstat(fd, &st) == 0 && st.nlink == 0 && st.size == 2000);
    check(read(fd, buf, 1000) == 1000);
    make_file("file", 10, 4); /* a new file of the old name is another one */
    check(read(fd, buf, 3000) == 1000);
    check(write(fd, "more", 4) == 4);
    close(fd);
    check_file("file", 10, 4);
    check(unlink("file") == 0);
}

static void links(void)
{
    struct stat first, second;
    make_file("file", 1234, 5);
    check(links_of("file") == 1);
    check(link("file", "other") == 0);
    check(stat("file", &first) == 0 && stat("other", &second) == 0);
    check(first.ino == second.ino && first.nlink == 2 && second.size == 1234);
    check(link("file", "other") == -1);
    check(link("file", "file") == -1);
    check(link("none", "third") == -1);
    check(link("file", "nodir/third") == -1);
    check(link(".", "third") == -1);
    check(links_of("file") == 2); /* what failed left no trace */
    check(unlink("file") == 0);
    check(links_of("other") == 1);
    check_file("other", 1234, 5);
    check(link("other", "file") == 0 && unlink("other") == 0);
    check_file("file", 1234, 5);
    check(unlink("file") == 0);
    check(link("file", "other") == -1);
}

static void fstat_says_what_it_is(void)
{
    struct stat st, same;
    make_file("file", 77, 6);
    check(stat("file", &st) == 0);
    check(st.type == T_FILE && st.nlink == 1 && st.size == 77 && st.dev == ROOTDEV && st.ino > 1);
    int fd = open("file", O_RDONLY);
    check(fstat(fd, &same) == 0 && same.ino == st.ino);
    close(fd);
    check(stat("/", &st) == 0);
    check(st.type == T_DIR && st.ino == ROOTINO && st.size % sizeof(struct dirent) == 0);
    check(stat("/console", &st) == 0 && st.type == T_DEVICE);
    check(unlink("file") == 0);
}

/* -- large files --------------------------------------------------------------------------------------- */

static void big_file(void)
{
    int fd = open("largefile", O_CREATE | O_RDWR);
    check(fd >= 0);
    for (int i = 0; i < MAXFILE; i++) {
        *(int *)buf = i;
        check(write(fd, buf, BSIZE) == BSIZE);
    }
    check(write(fd, buf, BSIZE) == -1);
    check(write(fd, buf, 1) == -1);
    close(fd);
    check(size_of("largefile") == MAXFILE * BSIZE);
    fd = open("largefile", O_RDONLY);
    for (int i = 0; i < MAXFILE; i++) {
        check(read(fd, buf, BSIZE) == BSIZE);
        check(*(int *)buf == i);
    }
    check(read(fd, buf, BSIZE) == 0);
    close(fd);
    check(unlink("largefile") == 0);
}

/* One write() of more than the log takes in one piece, and one of more than a file can hold. */
static void big_write(void)
{
    int bytes = (MAXFILE + 2) * BSIZE;
    char *large = sbrk(bytes);
    check(large != FAILED_SBRK);
    for (int i = 0; i < bytes; i += BSIZE)
        *(int *)(large + i) = i;
    int fd = open("largefile", O_CREATE | O_RDWR);
    check(write(fd, large, 100 * BSIZE + 77) == 100 * BSIZE + 77);
    check(write(fd, large, bytes) == -1);
    close(fd);
    fd = open("largefile", O_RDWR | O_TRUNC);
    check(write(fd, large, MAXFILE * BSIZE) == MAXFILE * BSIZE);
    close(fd);
    memset(large, 0, bytes);
    fd = open("largefile", O_RDONLY);
    check(read(fd, large, bytes) == MAXFILE * BSIZE);
    for (int i = 0; i < MAXFILE * BSIZE; i += BSIZE)
        check(*(int *)(large + i) == i);
    close(fd);
    check(unlink("largefile") == 0);
}

static void odd_sizes(void)
{
    for (int size = 499; size < 12 * BSIZE; size += 1471) {
        char *data = sbrk(size);
        int fd = open("largefile", O_CREATE | O_RDWR);
        check(fd >= 0);
        for (int i = 0; i < 2; i++) {
            memset(data, 'a' + i, size);
            check(write(fd, data, size) == size);
        }
        close(fd);
        fd = open("largefile", O_RDONLY);
        for (int i = 0; i < 2; i++) {
            check(read(fd, data, size) == size);
            check(data[0] == 'a' + i && data[size - 1] == 'a' + i);
        }
        check(read(fd, data, 1) == 0);
        close(fd);
        check(unlink("largefile") == 0);
        sbrk(-size);
    }
}

/* -- descriptors --------------------------------------------------------------------------------------- */

static void descriptors_are_lowest(void)
{
    int a = dup(1), b = dup(1), c = dup(1);
    check(b == a + 1 && c == b + 1);
    close(b);
    check(open("/echo", O_RDONLY) == b);
    close(a);
    close(b);
    check(dup(c) == a && dup(c) == b);
}

static void descriptor_limit(void)
{
    int fd, first = dup(1), opened = 1;
    while ((fd = open("/echo", O_RDONLY)) >= 0) {
        check(fd == first + opened);
        opened++;
    }
    check(first + opened == NOFILE);
    check(dup(1) == -1);
    check(open("file", O_CREATE | O_WRONLY) == -1);
    close(first);
    check(dup(1) == first);
    unlink("file"); /* whether it was created before the descriptor was missing is left open */
}

static void bad_descriptors(void)
{
    static const int bad[] = {-1, NOFILE - 1, NOFILE, NOFILE + 1, 1000, -0x7fffffff, 0x7fffffff};
    struct stat st;
    for (uint i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        check(read(bad[i], buf, 1) == -1);
        check(write(bad[i], buf, 1) == -1);
        check(close(bad[i]) == -1);
        check(dup(bad[i]) == -1);
        check(fstat(bad[i], &st) == -1);
    }
    int fd = dup(1);
    check(close(fd) == 0 && close(fd) == -1);
}

static void zero_bytes(void)
{
    int fd = open("file", O_CREATE | O_RDWR);
    check(write(fd, buf, 0) == 0 && read(fd, buf, 0) == 0);
    check(size_of("file") == 0);
    check(read(fd, buf, 10) == 0);
    close(fd);
    check(unlink("file") == 0);
}

/* -- devices ------------------------------------------------------------------------------------------- */

static void devices(void)
{
    struct stat st;
    check(mknod("device", UNUSED_MAJOR, 0) == 0);
    check(mknod("device", 1, 0) == -1);
    check(stat("device", &st) == 0 && st.type == T_DEVICE && st.size == 0);
    int fd = open("device", O_RDWR);
    check(fd >= 0);
    check(read(fd, buf, 1) == -1);
    check(write(fd, buf, 1) == -1);
    close(fd);
    check(unlink("device") == 0);
    check(mknod("device", BAD_MAJOR, 0) == 0);
    check(open("device", O_RDWR) == -1);
    check(unlink("device") == 0);
    check(mknod("nodir/device", 1, 0) == -1);
}

static void console(void)
{
    struct stat st;
    int fd = open("/console", O_RDWR);
    check(fd >= 0);
    check(fstat(fd, &st) == 0 && st.type == T_DEVICE);
    check(write(fd, "", 0) == 0);
    close(fd);
    fd = open("/console", O_RDONLY);
    check(write(fd, "x", 1) == -1);
    close(fd);
    fd = open("/console", O_WRONLY);
    check(read(fd, buf, 1) == -1);
}

/* -- several at a time --------------------------------------------------------------------------------- */

static void write_own_file(void *number)
{
    char name[] = "own00";
    number_name(name + 3, (long)number);
    unlink(name);
    int fd = open(name, O_CREATE | O_RDWR);
    check(fd >= 0);
    memset(buf, '0' + (long)number, 500);
    for (int i = 0; i < 12; i++)
        check(write(fd, buf, 500) == 500);
}

static void four_writers(void)
{
    for (long i = 0; i < 4; i++)
        start(write_own_file, (void *)i);
    for (int i = 0; i < 4; i++)
        check(reap(0) == 0);
    for (int i = 0; i < 4; i++) {
        char name[] = "own00";
        int total = 0, n;
        number_name(name + 3, i);
        int fd = open(name, O_RDONLY);
        while ((n = read(fd, buf, BUF_BYTES)) > 0) {
            for (int k = 0; k < n; k++)
                check(buf[k] == '0' + i);
            total += n;
        }
        check(total == 6000);
        close(fd);
        check(unlink(name) == 0);
    }
}

#define NAMES 20

static void create_and_delete(void *letter)
{
    char name[] = "x00";
    name[0] = (long)letter;
    for (int i = 0; i < NAMES; i++) {
        number_name(name + 1, i);
        int fd = open(name, O_CREATE | O_RDWR);
        check(fd >= 0);
        close(fd);
        if (i % 2) {
            number_name(name + 1, i / 2);
            check(unlink(name) == 0);
        }
    }
}

static void creators_and_deleters(void)
{
    char name[] = "x00";
    for (long letter = 'p'; letter <= 's'; letter++)
        start(create_and_delete, (void *)letter);
    for (int i = 0; i < 4; i++)
        check(reap(0) == 0);
    for (name[0] = 'p'; name[0] <= 's'; name[0]++) {
        for (int i = 0; i < NAMES; i++) {
            number_name(name + 1, i);
            int fd = open(name, O_RDONLY);
            check((fd >= 0) == (i >= NAMES / 2));
            close(fd);
            check(unlink(name) == (i >= NAMES / 2 ? 0 : -1));
        }
    }
}

static void link_and_unlink(void *seed)
{
    uint x = (long)seed;
    for (int i = 0; i < 100; i++) {
        x = x * 1103515245 + 12345;
        if ((x >> 16) % 3 == 0)
            close(open("shared", O_RDWR | O_CREATE));
        else if ((x >> 16) % 3 == 1)
            link("/cat", "shared");
        else
            unlink("shared");
    }
}

/* The file "shared" is now a new one, now another name of /cat. */
static void linkers_and_unlinkers(void)
{
    int before = links_of("/cat");
    unlink("shared");
    start(link_and_unlink, (void *)1);
    start(link_and_unlink, (void *)97);
    check(reap(0) == 0);
    check(reap(0) == 0);
    unlink("shared");
    check(links_of("/cat") == before);
}

/* Reads a directory: a bit for each name "C00" to "C31". */
static uint created_names(void)
{
    struct dirent entry;
    uint found = 0;
    int fd = open(".", O_RDONLY);
    check(fd >= 0);
    while (read(fd, &entry, sizeof entry) == sizeof entry) {
        if (entry.inum == 0 || entry.name[0] != 'C' || entry.name[3])
            continue;
        int i = (entry.name[1] - '0') * 10 + entry.name[2] - '0';
        check(i >= 0 && i < 32 && (found >> i & 1) == 0); /* no name twice */
        found |= 1u << i;
    }
    close(fd);
    return found;
}

static void create_one(void *name)
{
    int fd = open(name, O_CREATE | O_RDWR);
    check(fd >= 0);
    close(fd);
}

/* Two processes create the same name at the same time: there is one file. */
static void same_name_at_once(void)
{
    char name[] = "C00";
    for (int i = 0; i < 32; i++) {
        number_name(name + 1, i);
        unlink(name);
        int pid = start(create_one, name);
        if (i % 3 == 1)
            link("C00", name);
        else
            create_one(name);
        reap(pid);
    }
    check(created_names() == ~0u);
    for (int i = 0; i < 32; i++) {
        number_name(name + 1, i);
        int pid = fork();
        check(pid >= 0);
        unlink(name);
        if (pid == 0)
            exit(0);
        check(reap(pid) == 0);
    }
    check(created_names() == 0);
}

const struct test file_tests[] = {
    {"write_and_read", write_and_read},
    {"open_modes", open_modes},
    {"truncation", truncation},
    {"truncation_while_reading", truncation_while_reading},
    {"offset_is_shared", offset_is_shared},
    {"shared_descriptor", shared_descriptor},
    {"unlinked_but_open", unlinked_but_open},
    {"links", links},
    {"fstat_says_what_it_is", fstat_says_what_it_is},
    {"big_file", big_file},
    {"big_write", big_write},
    {"odd_sizes", odd_sizes},
    {"descriptors_are_lowest", descriptors_are_lowest},
    {"descriptor_limit", descriptor_limit},
    {"bad_descriptors", bad_descriptors},
    {"zero_bytes", zero_bytes},
    {"devices", devices},
    {"console", console},
    {"four_writers", four_writers},
    {"creators_and_deleters", creators_and_deleters},
    {"linkers_and_unlinkers", linkers_and_unlinkers},
    {"same_name_at_once", same_name_at_once},
    {0},
};
