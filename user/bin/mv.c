/* mv: renames a file, or moves files into a directory.

       mv old new                 a file that has the new name already is replaced
       mv file ... directory

   The kernel has no call for it: a file gets its new name as a second one, and then loses the old one.  So
   it cannot vanish on the way, only be found under both names.  A directory cannot have a second name,
   and is refused. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "user/user.h"
#include "user/tool.h"

static int complain(const char *what, const char *path)
{
    fprintf(2, "mv: %s %s\n", what, path);
    return 1;
}

static int rename(const char *old, const char *new)
{
    if (is_same_file(old, new)) {
        fprintf(2, "mv: %s and %s are the same file\n", old, new);
        return 1;
    }
    if (is_directory(new))
        return complain("cannot replace directory", new);
    /* What is replaced leaves an entry in its directory that link() can use: a full disk does no harm. */
    unlink(new);
    if (link(old, new) < 0)
        return complain("cannot create", new);
    if (unlink(old) < 0)
        return complain("cannot remove", old);
    return 0;
}

static int move(const char *source, const char *target)
{
    struct stat st;
    if (stat(source, &st) < 0) /* asked first, or a target would be lost for nothing */
        return complain("cannot open", source);
    if (st.type == T_DIR) {
        fprintf(2, "mv: %s is a directory (copy it with cp -r, then remove it)\n", source);
        return 1;
    }
    char *path = path_in_target(source, target);
    if (path == 0)
        return complain("out of memory at", source);
    int status = rename(source, path);
    free(path);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {argv + 1};
    int wrong = next_option(&options, "") != 0;
    char **sources = options.argv, **end = argv + argc;
    if (wrong || end - sources < 2) {
        fprintf(2, "usage: mv source ... target\n");
        return 1;
    }

    int status = 0;
    char *target = strip_slashes(end[-1]);
    if (end - sources > 2 && !is_directory(target))
        return complain("no directory:", target);
    for (; sources < end - 1; sources++)
        status |= move(strip_slashes(*sources), target);
    return status;
}
