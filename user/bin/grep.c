/* grep: prints the lines of files, or of its input, in which a pattern is found.

       c    that character            ^    the start of the line, as the first character only
       .    any character             $    the end of the line, as the last character only
       x*   none or more of x, a character or "."

   Exits with 0 where a line was found, 1 where none was, 2 where something went wrong. */

#include "kernel/fcntl.h"
#include "user/user.h"

enum { FOUND = 0, NOT_FOUND = 1, TROUBLE = 2 };

/* Whether the text begins with the pattern.  Of the characters that a star may take, as few as the
   rest of the pattern allows. */
static int match_here(const char *pattern, const char *s)
{
    for (;;) {
        if (pattern[0] == 0)
            return 1;
        if (pattern[0] == '$' && pattern[1] == 0)
            return *s == 0;
        int same = *s && (pattern[0] == '.' || pattern[0] == *s);
        if (pattern[1] == '*') {
            if (match_here(pattern + 2, s))
                return 1;
        } else {
            pattern++;
        }
        if (!same)
            return 0;
        s++;
    }
}

static int match(const char *pattern, const char *s)
{
    if (*pattern == '^')
        return match_here(pattern + 1, s);
    do
        if (match_here(pattern, s))
            return 1;
    while (*s++);
    return 0;
}

/* Prints the line in [start, end), which a newline ends, if it matches. */
static int check_line(const char *pattern, char *start, char *end)
{
    *end = 0;
    if (!match(pattern, start))
        return NOT_FOUND;
    *end = '\n';
    write(1, start, end + 1 - start);
    return FOUND;
}

/* A line that does not fit into the buffer is taken in pieces.  FOUND or NOT_FOUND. */
static int search(const char *pattern, int fd)
{
    static char buf[1024 + 1]; /* and a byte for a last newline, where the file has none */
    int used = 0, n, result = NOT_FOUND;

    for (;;) {
        n = read(fd, buf + used, sizeof buf - 1 - used);
        if (n <= 0)
            break;
        used += n;
        buf[used] = 0;
        char *line = buf;
        for (char *p = buf; p < buf + used; p++) {
            if (*p == '\n') {
                result &= check_line(pattern, line, p);
                line = p + 1;
            }
        }
        used -= line - buf;
        memmove(buf, line, used);
        if (used == sizeof buf - 1) {
            result &= check_line(pattern, buf, buf + used);
            used = 0;
        }
    }
    if (used > 0)
        result &= check_line(pattern, buf, buf + used);
    return result;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(2, "usage: grep pattern [file ...]\n");
        return TROUBLE;
    }
    if (argc == 2)
        return search(argv[1], 0);

    int result = NOT_FOUND, trouble = 0;
    for (int i = 2; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        if (fd < 0) {
            fprintf(2, "grep: cannot open %s\n", argv[i]);
            trouble = 1;
            continue;
        }
        result &= search(argv[1], fd);
        close(fd);
    }
    return trouble ? TROUBLE : result;
}
