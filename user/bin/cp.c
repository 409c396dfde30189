/* cp: copies files.

       cp file copy                  the copy is replaced if it is there
       cp file ... directory         into the directory, under the same names
       cp -r file-or-directory ...   a directory with all that it holds; into one that is there already */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "user/tool.h"
#include "user/walk.h"

static int complain(const char *what, const char *path)
{
    fprintf(2, "cp: %s %s\n", what, path);
    return 1;
}

/* All of one open file to another. */
static int copy_bytes(int from, const char *source, int to, const char *copy)
{
    static char buf[3 * 1024]; /* what the kernel writes in one transaction */
    int n;
    while ((n = read(from, buf, sizeof buf)) > 0)
        if (write(to, buf, n) != n)
            return complain("cannot write", copy);
    return n < 0 ? complain("cannot read", source) : 0;
}

static int copy_file(const char *source, const char *copy)
{
    if (is_same_file(source, copy)) {
        fprintf(2, "cp: %s and %s are the same file\n", source, copy);
        return 1;
    }
    if (is_directory(copy))
        return complain("cannot replace directory", copy);
    int from = open(source, O_RDONLY);
    if (from < 0)
        return complain("cannot open", source);
    int to = open(copy, O_WRONLY | O_CREATE | O_TRUNC);
    int status = to < 0 ? complain("cannot create", copy) : copy_bytes(from, source, to, copy);
    close(from);
    close(to);
    return status;
}

/* Copies one thing in a tree.  `top` is the inode of the directory that the whole copy goes to: where
   the walk meets it, it has come to what it made itself, which would never end. */
static int copy_entry(struct walk *w, const char *path, const char *copy, uint top)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return complain("cannot open", path);
    if (st.type == T_DEVICE)
        return complain("cannot copy device", path);
    if (st.type == T_FILE)
        return copy_file(path, copy);
    if (st.ino == top)
        return complain("cannot copy a directory into itself:", path);
    if (!is_directory(copy) && mkdir(copy) < 0)
        return complain("cannot create", copy);
    return walk_into(w) < 0 ? complain("cannot read", path) : 0;
}

/* `copy` is made first, so that its inode is known. */
static int copy_tree(const char *source, const char *copy)
{
    struct walk w = {0};
    struct stat st;
    const char *path;
    int status = 0;

    if (is_same_file(source, copy))
        return complain("cannot copy a directory into itself:", source);
    if ((!is_directory(copy) && mkdir(copy) < 0) || stat(copy, &st) < 0)
        return complain("cannot create", copy);
    if (walk_from(&w, source) < 0)
        return complain("out of memory at", source);
    while ((path = walk_next(&w)) != 0) {
        const char *below = path + strlen(source);
        while (*below == '/')
            below++;
        char *entry_copy = join_path(copy, below);
        if (entry_copy == 0)
            return complain("out of memory at", path);
        status |= copy_entry(&w, path, strip_slashes(entry_copy), st.ino);
        free(entry_copy);
    }
    return status;
}

static int copy(const char *source, const char *target, int recursive)
{
    if (is_directory(source) && !recursive) {
        fprintf(2, "cp: %s is a directory (cp -r copies it)\n", source);
        return 1;
    }
    char *path = path_in_target(source, target);
    if (path == 0)
        return complain("out of memory at", source);
    int status = is_directory(source) ? copy_tree(source, path) : copy_file(source, path);
    free(path);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {argv + 1};
    int option, recursive = 0, status = 0;

    while ((option = next_option(&options, "rR")) != 0) {
        if (option == '?') {
            fprintf(2, "usage: cp [-r] source ... target\n");
            return 1;
        }
        recursive = 1;
    }
    char **sources = options.argv, **end = argv + argc;
    if (end - sources < 2) {
        fprintf(2, "usage: cp [-r] source ... target\n");
        return 1;
    }
    char *target = strip_slashes(end[-1]);
    if (end - sources > 2 && !is_directory(target))
        return complain("no directory:", target);
    for (; sources < end - 1; sources++)
        status |= copy(strip_slashes(*sources), target, recursive);
    return status;
}
