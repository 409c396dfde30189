/* grep: prints the lines of files, or of its input, in which a pattern is found; user/regex.h says what
   a pattern may be.

   Exits with 0 where a line was found, 1 where none was, 2 where something went wrong. */

#include "kernel/fcntl.h"
#include "user/user.h"
#include "user/regex.h"

enum { FOUND = 0, NOT_FOUND = 1, TROUBLE = 2 };

static struct regex pattern;

/* Prints the line in [start, end), which a newline ends, if it matches. */
static int check_line(char *start, char *end)
{
    struct match m;
    if (!regex_find(&pattern, start, end, start, &m))
        return NOT_FOUND;
    *end = '\n';
    write(1, start, end + 1 - start);
    return FOUND;
}

/* A line that does not fit into the buffer is taken in pieces.  FOUND or NOT_FOUND. */
static int search(int fd)
{
    static char buf[1024 + 1]; /* and a byte for a last newline, where the file has none */
    int used = 0, n, result = NOT_FOUND;

    for (;;) {
        n = read(fd, buf + used, sizeof buf - 1 - used);
        if (n <= 0)
            break;
        used += n;
        char *line = buf;
        for (char *p = buf; p < buf + used; p++) {
            if (*p == '\n') {
                result &= check_line(line, p);
                line = p + 1;
            }
        }
        used -= line - buf;
        memmove(buf, line, used);
        if (used == sizeof buf - 1) {
            result &= check_line(buf, buf + used);
            used = 0;
        }
    }
    if (used > 0)
        result &= check_line(buf, buf + used);
    return result;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(2, "usage: grep pattern [file ...]\n");
        return TROUBLE;
    }
    if (regex_compile(&pattern, argv[1]) < 0) {
        fprintf(2, "grep: pattern too long\n");
        return TROUBLE;
    }
    if (argc == 2)
        return search(0);

    int result = NOT_FOUND, trouble = 0;
    for (int i = 2; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        if (fd < 0) {
            fprintf(2, "grep: cannot open %s\n", argv[i]);
            trouble = 1;
            continue;
        }
        result &= search(fd);
        close(fd);
    }
    return trouble ? TROUBLE : result;
}
