/* head: prints the first lines of files, or of its input: ten, or as many as -n N (or -N) says. */

#include "user/user.h"
#include "user/tool.h"

static int lines = 10;

/* As many lines from fd as wanted; what is left when they are found stays unread, or unused. */
static int print_first(int fd, const char *name)
{
    static char buf[1024];
    int left = lines, n = 0;

    while (left > 0 && (n = read(fd, buf, sizeof buf)) > 0) {
        int end = 0;
        while (end < n && left > 0)
            if (buf[end++] == '\n')
                left--;
        if (write(1, buf, end) != end)
            exit(output_failed("head"));
    }
    if (n < 0)
        fprintf(2, "head: cannot read %s\n", name);
    return n < 0;
}

int main(int argc, char **argv)
{
    struct options options = {argv + 1};
    int option;

    while ((option = next_option(&options, "n:#")) != 0) {
        lines = option == '?' ? -1 : parse_number(options.value);
        if (lines < 0) {
            fprintf(2, "usage: head [-n lines] [file ...]\n");
            return 1;
        }
    }
    return each_input("head", options.argv, 1, print_first);
}
