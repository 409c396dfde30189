/* Cases: directories, paths, and inodes that lose their last name while somebody holds them. */

#include "kernel/types.h"
#include "kernel/param.h"
#include "kernel/stat.h"
#include "kernel/fs.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "test.h"

static int exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static uint inode_of(const char *path)
{
    struct stat st;
    check(stat(path, &st) == 0);
    return st.ino;
}

static int links_of(const char *path)
{
    struct stat st;
    check(stat(path, &st) == 0);
    return st.nlink;
}

static void make_and_remove(void)
{
    check(mkdir("dir") == 0);
    check(mkdir("dir") == -1);
    check(chdir("dir") == 0);
    check(chdir("..") == 0);
    check(unlink("dir") == 0);
    check(unlink("dir") == -1);
    check(chdir("dir") == -1);
    make_file("dir", 10, 1);
    check(mkdir("dir") == -1);
    check(chdir("dir") == -1);
    check(mkdir("dir/sub") == -1);
    check(open("dir/file", O_CREATE | O_RDWR) == -1);
    check(unlink("dir") == 0);
}

static void opened_as_a_file(void)
{
    check(mkdir("dir") == 0);
    check(open("dir", O_WRONLY) == -1);
    check(open("dir", O_RDWR) == -1);
    check(open("dir", O_CREATE | O_RDONLY) == -1);
    int fd = open("dir", O_RDONLY);
    check(fd >= 0);
    check(write(fd, "x", 1) == -1);
    struct dirent entry[3];
    check(read(fd, entry, sizeof entry) == 2 * sizeof entry[0]);
    check(strcmp(entry[0].name, ".") == 0 && entry[0].inum == inode_of("dir"));
    check(strcmp(entry[1].name, "..") == 0 && entry[1].inum == inode_of("."));
    close(fd);
    check(unlink("dir") == 0);
}

static void dots(void)
{
    check(mkdir("dir") == 0 && chdir("dir") == 0);
    check(unlink(".") == -1);
    check(unlink("..") == -1);
    check(unlink("../dir/.") == -1);
    check(unlink("../dir/..") == -1);
    check(mkdir(".") == -1 && mkdir("..") == -1);
    check(inode_of(".") == inode_of("../dir"));
    check(chdir("/") == 0);
    check(inode_of("..") == ROOTINO && inode_of(".") == ROOTINO);
    check(unlink("/") == -1);
    check(mkdir("/") == -1);
    check(unlink("/dir") == 0);
}

static void only_empty_ones_go(void)
{
    check(mkdir("dir") == 0);
    make_file("dir/file", 10, 1);
    check(unlink("dir") == -1);
    check(unlink("dir/file") == 0);
    check(mkdir("dir/sub") == 0);
    check(unlink("dir") == -1);
    check(unlink("dir/sub") == 0);
    check(unlink("dir") == 0);
}

/* A directory has a link from its parent; each directory in it adds one. */
static void link_counts(void)
{
    check(mkdir("dir") == 0);
    int alone = links_of("dir");
    check(mkdir("dir/one") == 0 && links_of("dir") == alone + 1);
    check(mkdir("dir/two") == 0 && links_of("dir") == alone + 2);
    make_file("dir/file", 0, 0);
    check(links_of("dir") == alone + 2);
    check(unlink("dir/one") == 0 && links_of("dir") == alone + 1);
    check(unlink("dir/two") == 0 && unlink("dir/file") == 0);
    check(links_of("dir") == alone);
    check(unlink("dir") == 0);
}

static void paths(void)
{
    check(mkdir("dir") == 0 && mkdir("dir/sub") == 0);
    make_file("dir/sub/file", 50, 2);
    check_file("dir/sub/file", 50, 2);
    check_file("dir//sub///file", 50, 2);
    check_file("./dir/./sub/../sub/file", 50, 2);
    check_file("dir/../dir/sub/../../dir/sub/file", 50, 2);
    check(chdir("dir/sub/") == 0);
    check_file("file", 50, 2);
    check_file("../sub/file", 50, 2);
    check(chdir("..") == 0);
    check(exists("sub") && !exists("file") && exists(""));
    check(!exists("sub/file/x") && !exists("none/../sub"));
    check(chdir("..") == 0);
    check(link("dir/sub/file", "dir/file") == 0 && inode_of("dir/file") == inode_of("dir/sub/file"));
    check(unlink("dir/file") == 0 && unlink("dir/sub/file") == 0);
    check(unlink("dir/sub") == 0 && unlink("dir") == 0);
}

/* Names are cut off at DIRSIZ bytes, silently. */
static void long_names(void)
{
    check(mkdir("12345678901234") == 0);
    check(mkdir("123456789012345") == -1);
    make_file("12345678901234/abcdefghijklmnop", 10, 3);
    check_file("123456789012345/abcdefghijklmn", 10, 3);
    check(!exists("12345678901234/abcdefghijklm"));
    check(unlink("12345678901234567/abcdefghijklmnxyz") == 0);
    check(unlink("12345678901234") == 0);
}

/* MAXPATH counts the NUL. */
static void long_paths(void)
{
    static char path[MAXPATH + 10];
    memset(path, '/', sizeof path);
    strcpy(path + MAXPATH - 5, "echo");
    check(strlen(path) == MAXPATH - 1);
    check(exists(path));
    memset(path, '/', sizeof path);
    strcpy(path + MAXPATH - 4, "echo");
    check(!exists(path));
    check(open(path, O_CREATE | O_RDWR) == -1 && unlink(path) == -1 && chdir(path) == -1 && mkdir(path) == -1);
}

static void go_elsewhere(void *unused)
{
    check(chdir("dir") == 0);
    make_file("made-by-child", 5, 1);
}

static void directory_is_inherited(void)
{
    check(mkdir("dir") == 0);
    check(status_of(go_elsewhere, 0) == 0);
    check(!exists("made-by-child"));
    check_file("dir/made-by-child", 5, 1);
    check(unlink("dir/made-by-child") == 0 && unlink("dir") == 0);
}

static void deep(void)
{
    for (int i = 0; i < 20; i++) {
        check(mkdir("deeper") == 0);
        check(chdir("deeper") == 0);
    }
    for (int i = 0; i < 20; i++) {
        check(chdir("..") == 0);
        check(unlink("deeper") == 0);
    }
}

/* As many failures as there are inodes in memory, none of which may keep one. */
static void failures_keep_no_inode(void)
{
    for (int i = 0; i < NINODE + 1; i++) {
        check(mkdir("") == -1);
        check(link("/echo", "") == -1);
        check(open("", O_CREATE) == -1);
        check(open("/echo/x", O_RDONLY) == -1);
        check(open("/none/x", O_CREATE) == -1);
        check(mkdir("/echo") == -1 && unlink("/.") == -1 && chdir("/echo") == -1);
        check(link("/", "root") == -1 && link("/echo", "/cat") == -1);
    }
    int fd = open("/echo", O_RDONLY);
    check(fd >= 0);
}

#define MANY 300

static void many_entries(void)
{
    char name[] = "e000";
    make_file("bigdir", 5, 1);
    int links = links_of("bigdir");
    for (int i = 0; i < MANY; i++) {
        name[1] = '0' + i / 100;
        number_name(name + 2, i % 100);
        check(link("bigdir", name) == 0);
    }
    check(links_of("bigdir") == links + MANY);
    check(unlink("bigdir") == 0);
    for (int i = MANY - 1; i >= 0; i--) {
        name[1] = '0' + i / 100;
        number_name(name + 2, i % 100);
        check(unlink(name) == 0);
        check(!exists(name));
    }
}

/* A free entry is used again, so the directory does not grow. */
static void entries_are_reused(void)
{
    struct stat before, after;
    check(mkdir("dir") == 0);
    make_file("dir/a", 0, 0);
    check(stat("dir", &before) == 0);
    for (int i = 0; i < 20; i++) {
        make_file("dir/b", 0, 0);
        check(unlink("dir/a") == 0);
        make_file("dir/a", 0, 0);
        check(unlink("dir/b") == 0);
    }
    check(stat("dir", &after) == 0);
    check(after.size <= before.size + sizeof(struct dirent));
    check(unlink("dir/a") == 0 && unlink("dir") == 0);
}

/* -- the last name goes while the inode is in use -------------------------------------------------------- */

static void remove_where_one_stands(void)
{
    check(mkdir("dir") == 0 && chdir("dir") == 0);
    check(unlink("../dir") == 0);
    check(!exists("../dir"));
    check(chdir("/") == 0);
}

static void exit_there(void *unused)
{
    check(mkdir("dir") == 0 && chdir("dir") == 0);
    check(unlink("../dir") == 0);
}

static void exit_in_removed(void)
{
    check(status_of(exit_there, 0) == 0);
    check(!exists("dir"));
}

static void open_for_writing(void *unused)
{
    for (int i = 0; i < 20; i++)
        check(open("dir", O_RDWR) == -1);
}

static void open_while_removed(void)
{
    for (int i = 0; i < 5; i++) {
        check(mkdir("dir") == 0);
        int pid = start(open_for_writing, 0);
        if (i % 2)
            sleep(1);
        check(unlink("dir") == 0);
        check(reap(pid) == 0);
    }
}

static void look_up(void *unused)
{
    for (int i = 0; i < 50; i++)
        exists("dir/sub/file");
}

static void make_and_remove_often(void *unused)
{
    for (int i = 0; i < 10; i++) {
        check(mkdir("dir") == 0 && mkdir("dir/sub") == 0);
        make_file("dir/sub/file", 10, 1);
        check(unlink("dir/sub/file") == 0 && unlink("dir/sub") == 0 && unlink("dir") == 0);
    }
}

static void look_up_while_removed(void)
{
    start(look_up, 0);
    start(look_up, 0);
    start(make_and_remove_often, 0);
    for (int i = 0; i < 3; i++)
        check(reap(0) == 0);
    check(!exists("dir"));
}

/* ".." of a removed directory still leads up, even where that one is removed as well. */
static void dotdot_of_removed(void)
{
    check(mkdir("dir") == 0 && mkdir("dir/sub") == 0);
    check(chdir("dir/sub") == 0);
    check(unlink("../sub") == 0);
    check(unlink("../../dir") == 0);
    check(chdir("/") == 0);
    check(!exists("dir"));
}

const struct test directory_tests[] = {
    {"make_and_remove", make_and_remove},
    {"opened_as_a_file", opened_as_a_file},
    {"dots", dots},
    {"only_empty_ones_go", only_empty_ones_go},
    {"link_counts", link_counts},
    {"paths", paths},
    {"long_names", long_names},
    {"long_paths", long_paths},
    {"directory_is_inherited", directory_is_inherited},
    {"deep", deep},
    {"failures_keep_no_inode", failures_keep_no_inode},
    {"many_entries", many_entries, SLOW},
    {"entries_are_reused", entries_are_reused},
    {"remove_where_one_stands", remove_where_one_stands},
    {"exit_in_removed", exit_in_removed},
    {"open_while_removed", open_while_removed},
    {"look_up_while_removed", look_up_while_removed},
    {"dotdot_of_removed", dotdot_of_removed},
    {0},
};
