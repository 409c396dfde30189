/* find: prints the paths of files in trees of directories, each directory before what it holds.

       find [path ...] [-name pattern] [-type f|d|c]
       find path name                                  as in the MIT labs, for -name name

   All paths are printed where nothing is asked for, and the tree is that of "." where none is named.
   In a pattern * stands for any characters and ? for one.  Types: file, directory, character device. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "user/user.h"
#include "user/stream.h"
#include "user/tool.h"
#include "user/walk.h"

static struct {
    const char *pattern; /* 0: any name */
    short type;          /* 0: any type */
} wanted;

static struct writer out = {.fd = 1};

/* 1; what was found before comes before the message. */
static int complain(const char *what, const char *path)
{
    put_flush(&out);
    fprintf(2, "find: %s %s\n", what, path);
    return 1;
}

/* Whether the pattern fits the whole name.  Where something after a star does not fit, the star takes one
   more character; an earlier star need not be tried again, for the later one can take as much. */
static int fits(const char *pattern, const char *name)
{
    const char *star = 0, *star_end = 0;
    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            star_end = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++star_end;
        } else {
            return 0;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

static void print(const char *path)
{
    put_bytes(&out, path, strlen(path));
    put_bytes(&out, "\n", 1);
}

static int find(const char *root)
{
    struct walk w = {0};
    struct stat st;
    const char *path;
    int status = 0;

    if (walk_from(&w, root) < 0)
        return complain("out of memory at", root);
    while ((path = walk_next(&w)) != 0) {
        if (stat(path, &st) < 0) {
            status = complain("cannot open", path);
            continue;
        }
        int named = wanted.pattern == 0 || fits(wanted.pattern, last_name(path));
        if (named && (wanted.type == 0 || wanted.type == st.type))
            print(path);
        if (st.type == T_DIR && walk_into(&w) < 0)
            status = complain("cannot read", path);
    }
    return status;
}

static short type_of(const char *letter)
{
    if (letter == 0 || letter[0] == 0 || letter[1])
        return 0;
    return letter[0] == 'f' ? T_FILE : letter[0] == 'd' ? T_DIR : letter[0] == 'c' ? T_DEVICE : 0;
}

/* What stands behind the paths.  0, or -1 where it cannot be understood. */
static int parse_conditions(char **words)
{
    for (; *words; words += 2) {
        if (strcmp(words[0], "-name") == 0 && words[1])
            wanted.pattern = words[1];
        else if (strcmp(words[0], "-type") == 0 && type_of(words[1]))
            wanted.type = type_of(words[1]);
        else
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int paths = 0, status = 0;
    while (argv[1 + paths] && argv[1 + paths][0] != '-')
        paths++;
    if (parse_conditions(argv + 1 + paths) < 0) {
        fprintf(2, "usage: find [path ...] [-name pattern] [-type f|d|c]\n");
        return 1;
    }
    if (paths == 2 && argc == 3) {
        wanted.pattern = argv[2];
        paths = 1;
    }
    if (paths == 0)
        status = find(".");
    for (int i = 1; i <= paths; i++)
        status |= find(strip_slashes(argv[i]));
    return put_flush(&out) < 0 ? output_failed("find") : status;
}
