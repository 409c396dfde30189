/* Cases: the disk fills up, its blocks and inodes come back, and many write at once. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fs.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "test.h"

/* Sets the last `digits` characters of name to the decimal digits of n. */
static char *numbered(char *name, int digits, int n)
{
    char *end = name + strlen(name);
    for (int i = 1; i <= digits; i++, n /= 10)
        end[-i] = '0' + n % 10;
    return name;
}

/* Writes one file until it or the disk is full.  Its blocks. */
static int fill_file(const char *name)
{
    struct stat st;
    int fd = open(name, O_CREATE | O_WRONLY | O_TRUNC);
    if (fd < 0)
        return 0;
    while (write(fd, buf, BUF_BYTES) == BUF_BYTES)
        ;
    check(fstat(fd, &st) == 0 && st.size % BSIZE == 0);
    close(fd);
    return st.size / BSIZE;
}

/* Writes files "full0000", ... until the disk is full.  How many blocks went into them, and how many
   files there are. */
static int fill_disk(int *files)
{
    char name[] = "full0000";
    int blocks, total = 0;
    *files = 0;
    do {
        blocks = fill_file(numbered(name, 4, *files));
        total += blocks;
        ++*files;
    } while (blocks == MAXFILE);
    return total;
}

static void empty_disk(int files)
{
    char name[] = "full0000";
    for (int i = 0; i < files; i++)
        unlink(numbered(name, 4, i)); /* the last one may not have been created */
}

/* A full disk is an error for who writes; what is removed can be written again. */
static void full_disk(void)
{
    int files, again;
    int blocks = fill_disk(&files);
    check(blocks > 0);
    int fd = open("fullfile", O_CREATE | O_WRONLY); /* an inode may be left, or not */
    if (fd >= 0) {
        check(write(fd, buf, BSIZE) < BSIZE);
        close(fd);
        check(unlink("fullfile") == 0);
    }
    if (mkdir("fulldir") == 0)
        check(unlink("fulldir") == 0);
    empty_disk(files);
    check(fill_disk(&again) >= blocks - 1); /* the directory may have grown by a block */
    check(again == files);
    empty_disk(again);
    make_file("full0000", 20000, 1);
    check_file("full0000", 20000, 1);
    check(unlink("full0000") == 0);
}

/* Creates empty files until there is no inode left.  How many. */
static int use_all_inodes(void)
{
    char name[] = "ino00000";
    for (int i = 0;; i++) {
        int fd = open(numbered(name, 5, i), O_CREATE | O_WRONLY);
        if (fd < 0)
            return i;
        close(fd);
    }
}

static void no_inode_left(void)
{
    char name[] = "ino00000";
    int created = use_all_inodes();
    check(created > 0);
    check(mkdir("fulldir") == -1 && mknod("fulldev", 1, 1) == -1);
    check(unlink(numbered(name, 5, 0)) == 0);
    check(mkdir("fulldir") == 0 && unlink("fulldir") == 0); /* one came back */
    for (int i = 1; i < created; i++)
        check(unlink(numbered(name, 5, i)) == 0);
    make_file("full0000", 100, 2);
    check(unlink("full0000") == 0);
}

/* A write that fails after a block was allocated for it must not keep the block. */
static void failed_writes(void)
{
    for (int i = 0; i < 300; i++) {
        int fd = open("junk", O_CREATE | O_WRONLY);
        check(fd >= 0);
        check(write(fd, (char *)0xffffffffff, 1) == -1);
        close(fd);
        check(unlink("junk") == 0);
    }
    int fd = open("junk", O_CREATE | O_WRONLY);
    check(write(fd, "x", 1) == 1);
    close(fd);
    check(unlink("junk") == 0);
}

/* -- the log ------------------------------------------------------------------------------------------- */

#define WRITERS 5

static void write_and_check_often(void *number)
{
    char name[] = "log0";
    numbered(name, 1, (long)number);
    for (int i = 0; i < 4; i++) {
        make_file(name, 4000 + i * 3000, (long)number + i);
        check_file(name, 4000 + i * 3000, (long)number + i);
    }
    check(unlink(name) == 0);
}

/* More operations at once than the log has room for, so that some wait for a commit. */
static void many_operations(void)
{
    for (long i = 0; i < WRITERS; i++)
        start(write_and_check_often, (void *)i);
    for (int i = 0; i < WRITERS; i++)
        check(reap(0) == 0);
}

static void write_for_ever(void *unused)
{
    for (;;) {
        make_file("logkill", 20000, 1);
        unlink("logkill");
    }
}

/* Whoever is killed in the midst of an operation finishes it first. */
static void killed_writer(void)
{
    for (int i = 0; i < 3; i++) {
        int pid = start(write_for_ever, 0);
        sleep(1);
        check(kill(pid) == 0);
        check(reap(pid) == KILLED);
        make_file("log0", 3000, i);
        check_file("log0", 3000, i);
    }
    check(unlink("log0") == 0);
    unlink("logkill");
}

/* Blocks of removed files go to other files while the old ones are still being read. */
static void blocks_change_hands(void)
{
    for (int i = 0; i < 10; i++) {
        make_file("hand0", 15000, i);
        int fd = open("hand0", O_RDONLY);
        check(unlink("hand0") == 0);
        make_file("hand1", 15000, i + 1);
        static char first[1024], second[1024];
        check(read(fd, first, sizeof first) == sizeof first);
        close(fd);
        fd = open("hand1", O_RDONLY);
        check(read(fd, second, sizeof second) == sizeof second);
        close(fd);
        check(first[0] == (char)(i * 31) && second[0] == (char)((i + 1) * 31));
    }
    check(unlink("hand1") == 0);
}

static void many_small_files(void)
{
    char name[] = "small00";
    for (int i = 0; i < 60; i++)
        make_file(numbered(name, 2, i), i * 10, i);
    for (int i = 0; i < 60; i++)
        check_file(numbered(name, 2, i), i * 10, i);
    for (int i = 0; i < 60; i++)
        check(unlink(numbered(name, 2, i)) == 0);
}

const struct test disk_tests[] = {
    {"many_small_files", many_small_files},
    {"blocks_change_hands", blocks_change_hands},
    {"many_operations", many_operations},
    {"killed_writer", killed_writer},
    {"failed_writes", failed_writes},
    {"full_disk", full_disk, SLOW},
    {"no_inode_left", no_inode_left, SLOW},
    {0},
};
