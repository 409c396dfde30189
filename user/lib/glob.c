/* Patterns for names of files, and the paths that they stand for.  user/glob.h says how they are written. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/param.h"
#include "kernel/stat.h"
#include "user/user.h"
#include "user/glob.h"

int glob_is_pattern(const char *pattern)
{
    for (const char *at = pattern; *at; at++) {
        if (*at == GLOB_QUOTE && at[1])
            at++;
        else if (*at == '*' || *at == '?' || (*at == '[' && strchr(at, ']')))
            return 1;
    }
    return 0;
}

/* Whether the set at `p`, which begins with '[', has c; where it ends.  One that does not end is an ordinary
   '['. */
static int in_set(const char *p, uchar c, const char **end)
{
    const char *at = p + 1;
    int negated = *at == '!' || *at == '^', found = 0, first = 1;
    if (negated)
        at++;
    for (; *at && (first || *at != ']'); first = 0) {
        uchar low = *at == GLOB_QUOTE && at[1] ? *++at : *at;
        uchar high = low;
        at++;
        if (*at == '-' && at[1] && at[1] != ']') {
            at++;
            high = *at == GLOB_QUOTE && at[1] ? *++at : *at;
            at++;
        }
        found = found || (low <= c && c <= high);
    }
    if (*at == 0) {
        *end = p + 1;
        return c == '[';
    }
    *end = at + 1;
    return found != negated;
}

int glob_match(const char *pattern, const char *name)
{
    const char *star = 0, *from = 0; /* behind the last *, and what it has not taken of the name */

    if (*name == '.' && *pattern != '.' && !(*pattern == GLOB_QUOTE && pattern[1] == '.'))
        return 0;
    for (;;) {
        const char *rest = pattern + 1;
        int same;
        if (*pattern == '*') {
            star = pattern = rest;
            from = name;
            continue;
        }
        if (*name == 0 && *pattern == 0)
            return 1;
        if (*name == 0) {
            same = 0;
        } else if (*pattern == '?') {
            same = 1;
            while ((name[1] & 0xc0) == 0x80) /* the rest of a character of UTF-8 */
                name++;
        } else if (*pattern == '[') {
            same = in_set(pattern, *name, &rest);
        } else {
            if (*pattern == GLOB_QUOTE && pattern[1])
                rest = ++pattern + 1;
            same = *pattern == *name;
        }
        if (same) {
            pattern = rest;
            name++;
        } else if (star && *from) {
            pattern = star;
            name = ++from;
        } else {
            return 0;
        }
    }
}

void glob_unquote(char *to, const char *from)
{
    for (; *from; from++) {
        if (*from == GLOB_QUOTE && from[1])
            from++;
        *to++ = *from;
    }
    *to = 0;
}

#define DEPTH_MAX 8 /* directories that are open at once: each level costs stack, and a descriptor */

static struct {
    int depth;
    char path[MAXPATH];
    void (*found)(const char *path, int is_directory);
    int count;
} search;

/* Finds what `rest` describes below the path of which search.path has n bytes, a slash at their end. */
static void expand_below(int n, const char *rest)
{
    char part[MAXPATH / 2];
    int length = 0;
    struct dirent entry;
    struct stat st;

    for (; rest[length] && rest[length] != '/'; length++)
        if (length + 1 == sizeof part)
            return;
    memmove(part, rest, length);
    part[length] = 0;
    rest += length;
    while (*rest == '/')
        rest++;

    search.path[n] = 0;
    int fd = search.depth < DEPTH_MAX ? open(n ? search.path : ".", O_RDONLY) : -1;
    if (fd < 0)
        return;
    search.depth++;
    int is_directory = fstat(fd, &st) == 0 && st.type == T_DIR;
    while (is_directory && read(fd, &entry, sizeof entry) == sizeof entry) {
        char name[DIRSIZ + 1];
        memmove(name, entry.name, DIRSIZ);
        name[DIRSIZ] = 0;
        int end = n + strlen(name);
        if (entry.inum == 0 || end + 2 > MAXPATH || !glob_match(part, name))
            continue;
        strcpy(search.path + n, name);
        if (stat(search.path, &st) < 0)
            continue;
        if (*rest && st.type == T_DIR) {
            search.path[end] = '/';
            expand_below(end + 1, rest);
        } else if (*rest == 0) {
            search.count++;
            search.found(search.path, st.type == T_DIR);
        }
    }
    close(fd);
    search.depth--;
}

int glob_expand(const char *pattern, void (*found)(const char *path, int is_directory))
{
    search.found = found;
    search.count = 0;
    search.path[0] = '/';
    int absolute = *pattern == '/';
    while (*pattern == '/')
        pattern++;
    expand_below(absolute, pattern);
    return search.count;
}
