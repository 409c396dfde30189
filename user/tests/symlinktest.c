/* symlinktest: symbolic links.  Where they lead and what is met on the way; what open() makes of those that
   lead nowhere or in a circle; that all calls but open() with O_NOFOLLOW, unlink() and the like go through
   them; and that several processes may make and remove them at once. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/param.h"
#include "kernel/stat.h"
#include "user/user.h"
#include "user/testing.h"

#define DIR "/slt" /* what the cases make lies in here */

/* -- help ------------------------------------------------------------------------------------------------ */

/* The file holds these bytes, as seen through `path`. */
static int holds(const char *path, const char *text)
{
    char buf[64];
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return 0;
    int n = read(fd, buf, sizeof buf);
    close(fd);
    return n == (int)strlen(text) && memcmp(buf, text, n) == 0;
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_CREATE | O_TRUNC | O_WRONLY);
    check(fd >= 0);
    check(write(fd, text, strlen(text)) == (int)strlen(text));
    close(fd);
}

static int can_open(const char *path, int mode)
{
    int fd = open(path, mode);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Type of what `path` leads to, or of the link itself; -1 where it cannot be opened. */
static int type_through(const char *path, int mode)
{
    struct stat st;
    int fd = open(path, mode);
    if (fd < 0)
        return -1;
    check(fstat(fd, &st) == 0);
    close(fd);
    return st.type;
}

static int link_type(const char *path)
{
    return type_through(path, O_RDONLY | O_NOFOLLOW);
}

/* Removes what a case left in the directory `path`, and that. */
static void remove_tree(const char *path)
{
    struct dirent entry;
    char name[MAXPATH];
    for (int left = 1; left;) {
        left = 0;
        int fd = open(path, O_RDONLY | O_NOFOLLOW);
        check(fd >= 0);
        while (read(fd, &entry, sizeof entry) == sizeof entry) {
            if (entry.inum == 0 || strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
                continue;
            check(strlen(path) + 1 + DIRSIZ < sizeof name);
            memset(name, 0, sizeof name);
            strcpy(name, path);
            name[strlen(path)] = '/';
            memcpy(name + strlen(path) + 1, entry.name, DIRSIZ);
            left = 1;
            break;
        }
        close(fd);
        if (left && link_type(name) == T_DIR)
            remove_tree(name);
        else if (left)
            check(unlink(name) == 0);
    }
    check(unlink(path) == 0);
}

/* The directory of the cases, empty, whatever the last one has left in it. */
static void begin(void)
{
    if (can_open(DIR, O_RDONLY))
        remove_tree(DIR);
    check(mkdir(DIR) == 0);
}

/* -- following -------------------------------------------------------------------------------------------- */

static void follows_to_a_file(void)
{
    begin();
    put(DIR "/a", "text");
    check(symlink(DIR "/a", DIR "/l") == 0);
    check(holds(DIR "/l", "text"));
    check(type_through(DIR "/l", O_RDONLY) == T_FILE);
    put(DIR "/l", "other"); /* O_CREATE and O_TRUNC go through the link */
    check(holds(DIR "/a", "other"));
    check(unlink(DIR "/l") == 0);
    check(holds(DIR "/a", "other"));
}

static void nofollow_opens_the_link(void)
{
    struct stat st;
    begin();
    put(DIR "/a", "text");
    check(symlink(DIR "/a", DIR "/l") == 0);
    int fd = open(DIR "/l", O_RDONLY | O_NOFOLLOW);
    check(fd >= 0 && fstat(fd, &st) == 0);
    check(st.type == T_SYMLINK && st.nlink == 1);
    close(fd);
    check(link_type(DIR "/a") == T_FILE); /* for what is no link the flag says nothing */
    check(stat(DIR "/l", &st) == 0 && st.type == T_FILE);
}

static void follows_to_a_directory(void)
{
    begin();
    check(mkdir(DIR "/d") == 0);
    put(DIR "/d/f", "deep");
    check(symlink(DIR "/d", DIR "/l") == 0);
    check(type_through(DIR "/l", O_RDONLY) == T_DIR);
    check(holds(DIR "/l/f", "deep"));
    check(holds(DIR "/l/../d/./f", "deep"));
    put(DIR "/l/g", "made");
    check(holds(DIR "/d/g", "made"));
    check(!can_open(DIR "/l", O_RDWR)); /* a directory cannot be written */
}

static void changes_directory_through_links(void)
{
    begin();
    check(mkdir(DIR "/d") == 0);
    put(DIR "/d/f", "here");
    check(symlink(DIR "/d", DIR "/l") == 0);
    check(chdir(DIR "/l") == 0);
    check(holds("f", "here"));
    check(holds("../d/f", "here")); /* .. is the directory's, not the link's */
    check(chdir("/") == 0);
}

static void runs_programs_through_links(void)
{
    char *argv[] = {"echo", 0};
    begin();
    check(symlink("/echo", DIR "/l") == 0);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        close(1);
        exec(DIR "/l", argv);
        exit(1);
    }
    check(reap(pid) == 0);
}

/* A target that begins without a slash is meant from where the link lies, not from where the caller is. */
static void relative_targets(void)
{
    begin();
    check(mkdir(DIR "/d") == 0 && mkdir(DIR "/d/e") == 0);
    put(DIR "/d/f", "d's");
    put(DIR "/f", "top");
    check(symlink("f", DIR "/d/l") == 0);
    check(symlink("../f", DIR "/d/up") == 0);
    check(symlink("e/../l", DIR "/d/long") == 0);
    check(symlink("d/l", DIR "/twice") == 0);
    check(symlink(".", DIR "/d/self") == 0);
    check(holds(DIR "/d/l", "d's"));
    check(holds(DIR "/d/up", "top"));
    check(holds(DIR "/d/long", "d's"));
    check(holds(DIR "/twice", "d's"));
    check(holds(DIR "/d/self/self/self/f", "d's"));
    check(chdir(DIR "/d/e") == 0);
    check(holds("../l", "d's") && holds("../up", "top"));
    check(chdir("/") == 0);
}

static void links_are_files_that_have_names(void)
{
    begin();
    put(DIR "/a", "text");
    check(symlink(DIR "/a", DIR "/l") == 0);
    check(link(DIR "/a", DIR "/b") == 0);
    check(symlink("a", DIR "/l") == -1); /* there is one */
    check(symlink("a", DIR "/a") == -1);
    check(mkdir(DIR "/l") == -1);
    check(link(DIR "/b", DIR "/l") == -1);
    check(unlink(DIR "/a") == 0);
    check(!can_open(DIR "/l", O_RDONLY) && link_type(DIR "/l") == T_SYMLINK);
    put(DIR "/a", "new");
    check(holds(DIR "/l", "new") && holds(DIR "/b", "text"));
}

/* -- leading nowhere ---------------------------------------------------------------------------------------- */

static void dangling(void)
{
    begin();
    check(symlink(DIR "/nothing", DIR "/l") == 0); /* what it leads to need not be there */
    check(!can_open(DIR "/l", O_RDONLY));
    check(!can_open(DIR "/l/x", O_RDONLY) && chdir(DIR "/l") == -1);
    check(link_type(DIR "/l") == T_SYMLINK);
    put(DIR "/nothing", "something");
    check(holds(DIR "/l", "something"));
    check(!can_open(DIR "/l/x", O_RDONLY)); /* a file is no directory */
    check(symlink("", DIR "/empty") == -1 || !can_open(DIR "/empty", O_RDONLY));
}

static void circles(void)
{
    begin();
    check(symlink(DIR "/l", DIR "/l") == 0);
    check(!can_open(DIR "/l", O_RDONLY) && !can_open(DIR "/l/x", O_RDONLY));
    check(symlink(DIR "/b", DIR "/a") == 0 && symlink("c", DIR "/b") == 0 && symlink("a", DIR "/c") == 0);
    check(!can_open(DIR "/a", O_RDONLY) && !can_open(DIR "/b", O_RDWR) && !can_open(DIR "/c", O_CREATE | O_RDWR));
    check(chdir(DIR "/a") == -1);
    check(link_type(DIR "/a") == T_SYMLINK);
    check(unlink(DIR "/b") == 0);
    put(DIR "/b", "opened");
    check(holds(DIR "/a", "opened") && holds(DIR "/c", "opened"));
}

/* Names of one pattern: DIR/<letter>. */
static char *letter_name(int i)
{
    static char name[] = DIR "/x";
    name[sizeof name - 2] = 'a' + i;
    return name;
}

/* l0 is the file, each link leads to the one before. */
static void depth(void)
{
    begin();
    put(letter_name(0), "at the end");
    for (int i = 1; i <= SYMLINKS_MAX + 2; i++) {
        char target[] = DIR "/x";
        strcpy(target, letter_name(i - 1));
        check(symlink(target, letter_name(i)) == 0);
    }
    for (int i = 1; i <= SYMLINKS_MAX; i++)
        check(holds(letter_name(i), "at the end"));
    for (int i = SYMLINKS_MAX + 1; i <= SYMLINKS_MAX + 2; i++) { /* taken for a circle */
        check(!can_open(letter_name(i), O_RDONLY));
        check(link_type(letter_name(i)) == T_SYMLINK);
    }
}

static void wrong_arguments(void)
{
    static char long_name[MAXPATH + 10];
    begin();
    memset(long_name, 'x', sizeof long_name - 1);
    check(symlink(long_name, DIR "/l") == -1);
    check(symlink("a", long_name) == -1);
    check(symlink("a", DIR "/no/l") == -1);
    check(symlink("a", "") == -1);
    check(symlink((char *)0x5000000000, DIR "/l") == -1);
    check(symlink("a", (char *)0x5000000000) == -1);
    check(!can_open(DIR "/l", O_RDONLY | O_NOFOLLOW));

    long_name[MAXPATH - 1] = 0; /* the longest that is a path */
    check(symlink(long_name, DIR "/l") == 0);
    check(!can_open(DIR "/l", O_RDONLY));
    check(link_type(DIR "/l") == T_SYMLINK);
}

/* -- several at once -------------------------------------------------------------------------------------------- */

#define PROCESSES 4
#define ROUNDS 40

/* Makes and removes links of the same few names as the others do; what can be opened is what it should be. */
static void make_and_remove(void *seed)
{
    uint x = (long)seed * 97 + 1;
    for (int i = 0; i < ROUNDS; i++) {
        x = x * 1664525 + 1013904223;
        char *name = letter_name(1 + (x >> 16) % 4);
        if ((x >> 24) % 3 == 0)
            unlink(name);
        else
            symlink(DIR "/a", name);
        int type = link_type(name);
        check(type == -1 || type == T_SYMLINK);
        check(!can_open(name, O_RDONLY) || holds(name, "a") || link_type(name) == -1);
    }
}

static void make_and_remove_at_once(void)
{
    begin();
    put(DIR "/a", "a");
    for (long i = 0; i < PROCESSES; i++)
        start(make_and_remove, (void *)i);
    for (int i = 0; i < PROCESSES; i++)
        check(reap(0) == 0);
    check(holds(DIR "/a", "a"));
}

/* Of several that make the same link, one does. */
static void make_the_same(void *winners)
{
    for (int i = 0; i < 10; i++)
        if (symlink(DIR "/nothing", letter_name(i)) == 0)
            send_byte((int)(long)winners);
}

static void one_makes_it(void)
{
    int fds[2];
    char c;
    begin();
    check(pipe(fds) == 0);
    for (int i = 0; i < PROCESSES; i++)
        start(make_the_same, (void *)(long)fds[1]);
    for (int i = 0; i < PROCESSES; i++)
        check(reap(0) == 0);
    close(fds[1]);
    for (int i = 0; i < 10; i++) {
        check(read(fds[0], &c, 1) == 1);
        check(link_type(letter_name(i)) == T_SYMLINK);
    }
    check(read(fds[0], &c, 1) == 0);
}

static const struct test tests[] = {
    {"follows_to_a_file", follows_to_a_file},
    {"nofollow_opens_the_link", nofollow_opens_the_link},
    {"follows_to_a_directory", follows_to_a_directory},
    {"changes_directory_through_links", changes_directory_through_links},
    {"runs_programs_through_links", runs_programs_through_links},
    {"relative_targets", relative_targets},
    {"links_are_files_that_have_names", links_are_files_that_have_names},
    {"dangling", dangling},
    {"circles", circles},
    {"depth", depth},
    {"wrong_arguments", wrong_arguments},
    {"make_and_remove_at_once", make_and_remove_at_once},
    {"one_makes_it", one_makes_it},
    {0},
};

int main(int argc, char **argv)
{
    int status = test_main(argc, argv, (const struct test *const[]){tests, 0});
    if (can_open(DIR, O_RDONLY))
        remove_tree(DIR);
    return status;
}
