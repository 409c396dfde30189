/* wc: counts lines, words and bytes. */

#include "kernel/fcntl.h"
#include "user/user.h"

/* 0, or 1 where reading failed. */
static int count(int fd, const char *name)
{
    static char buf[512];
    int lines = 0, words = 0, bytes = 0, in_word = 0, n;

    while ((n = read(fd, buf, sizeof buf)) > 0) {
        bytes += n;
        for (int i = 0; i < n; i++) {
            if (buf[i] == '\n')
                lines++;
            /* a NUL counts as part of a word, hence no strchr() */
            if (buf[i] == ' ' || (buf[i] >= '\t' && buf[i] <= '\r')) {
                in_word = 0;
            } else if (!in_word) {
                in_word = 1;
                words++;
            }
        }
    }
    if (n < 0) {
        fprintf(2, "wc: read error\n");
        return 1;
    }
    printf("%d %d %d %s\n", lines, words, bytes, name);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return count(0, "");

    int status = 0;
    for (int i = 1; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY);
        if (fd < 0) {
            fprintf(2, "wc: cannot open %s\n", argv[i]);
            status = 1;
            continue;
        }
        status |= count(fd, argv[i]);
        close(fd);
    }
    return status;
}
