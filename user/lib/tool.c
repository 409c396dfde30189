/* What the tools share: options, numbers, names of files. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "user/tool.h"

/* -- the command line ----------------------------------------------------------------------------- */

static int is_number(const char *s)
{
    do
        if (*s < '0' || *s > '9')
            return 0;
    while (*++s);
    return 1;
}

/* The letter of the next option, 0 behind the last one, '?' where it is not known or lacks its value.

   Options come before the operands, in words like -r, -rn, -n5 or -n 5; "--" ends them, and "-" is an
   operand.  In `known` a colon follows a letter that takes a value.  A '#' there is for words like -5:
   '#' is returned, and the digits are the value. */
int next_option(struct options *o, const char *known)
{
    o->value = 0;
    if (o->rest == 0 || *o->rest == 0) {
        char *word = *o->argv;
        if (word == 0 || word[0] != '-' || word[1] == 0)
            return 0;
        o->argv++;
        if (strcmp(word, "--") == 0)
            return 0;
        if (strchr(known, '#') && is_number(word + 1)) {
            o->value = word + 1;
            return '#';
        }
        o->rest = word + 1;
    }

    char letter = *o->rest++;
    const char *found = letter == ':' || letter == '#' ? 0 : strchr(known, letter);
    if (found == 0)
        return '?';
    if (found[1] == ':') {
        o->value = *o->rest ? (char *)o->rest : *o->argv ? *o->argv++ : 0;
        o->rest = 0;
        if (o->value == 0)
            return '?';
    }
    return letter;
}

/* A number from 0 to 2^31 - 1, or -1 where `digits` is anything else. */
int parse_number(const char *digits)
{
    long value = 0;
    if (!is_number(digits))
        return -1;
    for (; *digits; digits++) {
        value = value * 10 + (*digits - '0');
        if (value > 0x7fffffff)
            return -1;
    }
    return value;
}

/* -- files ---------------------------------------------------------------------------------------- */

/* Opens a file to read it to its end; "-" is the standard input.  -1 after a message in the name of
   `tool` where there is no such file, or where it is a directory. */
int open_input(const char *tool, const char *path)
{
    struct stat st;
    int fd = strcmp(path, "-") == 0 ? dup(0) : open(path, O_RDONLY);
    if (fd < 0) {
        fprintf(2, "%s: cannot open %s\n", tool, path);
        return -1;
    }
    if (fstat(fd, &st) == 0 && st.type == T_DIR) {
        fprintf(2, "%s: %s is a directory\n", tool, path);
        close(fd);
        return -1;
    }
    return fd;
}

/* Calls use() for each file named, in order, or for the standard input where none is; with `headers`, and
   more files than one, a line with its name is printed before each.  use() gives 0, or 1 after a message.
   1 where something went wrong. */
int each_input(const char *tool, char **files, int headers, int (*use)(int fd, const char *name))
{
    int status = 0, several = files[0] && files[1];
    const char *gap = "";

    if (files[0] == 0)
        return use(0, "input");
    for (; *files; files++) {
        int fd = open_input(tool, *files);
        if (fd < 0) {
            status = 1;
            continue;
        }
        if (headers && several)
            printf("%s==> %s <==\n", gap, *files);
        gap = "\n";
        status |= use(fd, *files);
        close(fd);
    }
    return status;
}

/* Says that the standard output takes no more, and returns 1.  Silent where that is a pipe: its reader has
   seen enough, as in `sort | head`, and Unix would have ended the program with SIGPIPE. */
int output_failed(const char *tool)
{
    struct stat st;
    if (fstat(1, &st) == 0) /* a pipe has no status */
        fprintf(2, "%s: write error\n", tool);
    return 1;
}

int is_directory(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.type == T_DIR;
}

/* Whether both are there and are names of one file. */
int is_same_file(const char *a, const char *b)
{
    struct stat sa, sb;
    return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.dev == sb.dev && sa.ino == sb.ino;
}

/* -- paths ---------------------------------------------------------------------------------------- */

/* Takes the slashes off the end of a path, which the kernel does not look at, and returns the path. */
char *strip_slashes(char *path)
{
    uint length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = 0;
    return path;
}

/* What follows the last slash. */
const char *last_name(const char *path)
{
    const char *name = path;
    for (const char *p = path; *p; p++)
        if (*p == '/')
            name = p + 1;
    return name;
}

/* directory/name in memory of its own, or 0 where there is none. */
char *join_path(const char *directory, const char *name)
{
    uint length = strlen(directory);
    char *path = malloc(length + 1 + strlen(name) + 1);
    if (path == 0)
        return 0;
    strcpy(path, directory);
    if (length > 0 && path[length - 1] != '/')
        path[length++] = '/';
    strcpy(path + length, name);
    return path;
}

/* Where a copy of `source` goes: into `target` under its own name if that is a directory, else to
   `target`.  Names that say nothing (/, ., ..) stand for the target itself.  As join_path(). */
char *path_in_target(const char *source, const char *target)
{
    const char *name = last_name(source);
    if (is_directory(target) && name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        return join_path(target, name);
    char *path = malloc(strlen(target) + 1);
    return path ? strcpy(path, target) : 0;
}
