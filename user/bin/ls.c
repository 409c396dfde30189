/* ls: a line for each file named, or for each file in each directory named ("." where none is):

       name, padded to 14 columns    type (see below)    inode    size in bytes

   Types are 1 directory, 2 file, 3 device, 4 symbolic link.  A link in a directory is listed itself, its size
   that of the path in it; one that is named is followed, if it leads anywhere. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fs.h"
#include "kernel/fcntl.h"
#include "user/user.h"

/* Room for a path that the kernel takes, its last name and the slash before it. */
#define PATH_BYTES 128

static void print_entry(const char *name, struct stat *st)
{
    char padded[DIRSIZ + 1];
    uint length = strlen(name);

    if (length < DIRSIZ) {
        memset(padded, ' ', DIRSIZ);
        memmove(padded, name, length);
        padded[DIRSIZ] = 0;
        name = padded;
    }
    printf("%s %d %d %d\n", name, st->type, st->ino, (int)st->size);
}

static const char *last_name(const char *path)
{
    const char *name = path;
    for (const char *p = path; *p; p++)
        if (*p == '/')
            name = p + 1;
    return name;
}

/* As stat(), but of a symbolic link itself. */
static int stat_entry(const char *path, struct stat *st)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    int result = fstat(fd, st);
    close(fd);
    return result;
}

static int list_directory(int fd, const char *path)
{
    char entry_path[PATH_BYTES + 1 + DIRSIZ + 1];
    struct dirent entry;
    struct stat st;
    int status = 0;
    uint length = strlen(path);

    if (length >= PATH_BYTES) {
        fprintf(2, "ls: path too long\n");
        return 1;
    }
    memmove(entry_path, path, length);
    entry_path[length++] = '/';
    while (read(fd, &entry, sizeof entry) == sizeof entry) {
        if (entry.inum == 0)
            continue;
        char *name = entry_path + length; /* a full name has no NUL of its own */
        memmove(name, entry.name, DIRSIZ);
        name[DIRSIZ] = 0;
        if (stat_entry(entry_path, &st) < 0) {
            fprintf(2, "ls: cannot stat %s\n", entry_path);
            status = 1;
            continue;
        }
        print_entry(name, &st);
    }
    return status;
}

static int list(const char *path)
{
    struct stat st;
    int status = 0;
    int fd = open(path, O_RDONLY);

    if (fd < 0)
        fd = open(path, O_RDONLY | O_NOFOLLOW);
    if (fd < 0) {
        fprintf(2, "ls: cannot open %s\n", path);
        return 1;
    }
    if (fstat(fd, &st) < 0) {
        fprintf(2, "ls: cannot stat %s\n", path);
        status = 1;
    } else if (st.type == T_DIR) {
        status = list_directory(fd, path);
    } else {
        print_entry(last_name(path), &st);
    }
    close(fd);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return list(".");

    int status = 0;
    for (int i = 1; i < argc; i++)
        status |= list(argv[i]);
    return status;
}
