/* tee: copies its input to its output and to files; with -a it adds to what is in them. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/param.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "user/tool.h"

static char buf[1024];

/* A file to write to; there is no append mode and no seek, so for -a it is read to its end.  -1, after a
   message, where that fails. */
static int open_output(const char *path, int append)
{
    struct stat st;
    int fd = open(path, append ? O_RDWR | O_CREATE : O_WRONLY | O_CREATE | O_TRUNC);
    if (fd < 0)
        fprintf(2, "tee: cannot open %s\n", path);
    else if (append && fstat(fd, &st) == 0 && st.type == T_FILE)
        while (read(fd, buf, sizeof buf) > 0)
            ;
    return fd;
}

int main(int argc, char **argv)
{
    struct options options = {argv + 1};
    int option, append = 0, status = 0;

    while ((option = next_option(&options, "a")) != 0) {
        if (option == '?') {
            fprintf(2, "usage: tee [-a] [file ...]\n");
            return 1;
        }
        append = 1;
    }

    int fds[NOFILE + 1] = {1}, n_fds = 1;
    const char *names[NOFILE + 1] = {0};
    for (char **file = options.argv; *file; file++) {
        int fd = open_output(*file, append); /* there is room: NOFILE at most can be open */
        if (fd < 0) {
            status = 1;
            continue;
        }
        names[n_fds] = *file;
        fds[n_fds++] = fd;
    }

    int n;
    while ((n = read(0, buf, sizeof buf)) > 0) {
        for (int i = 0; i < n_fds; i++) {
            if (fds[i] < 0 || write(fds[i], buf, n) == n)
                continue;
            fds[i] = -1; /* the others go on */
            status = 1;
            if (i == 0)
                output_failed("tee");
            else
                fprintf(2, "tee: cannot write %s\n", names[i]);
        }
    }
    if (n < 0)
        fprintf(2, "tee: cannot read input\n");
    return status | (n < 0);
}
