/* tail: prints the last lines of files, or of its input: ten, or as many as -n N (or -N) says.

   The kernel has no seek, so all is read, and what may still be wanted is kept. */

#include "user/user.h"
#include "user/stream.h"
#include "user/tool.h"

#define KEPT_BYTES_MIN (64 * 1024)

static int lines = 10;
static struct text kept;

/* Where the last lines of what is kept begin. */
static int start_of_last(void)
{
    int start = kept.length, left = lines;
    if (left == 0)
        return start;
    for (; start > 0; start--) /* a newline ends the line before it; the very last one begins no other */
        if (kept.bytes[start - 1] == '\n' && start != kept.length && --left == 0)
            break;
    return start;
}

/* Drops what is not among the last lines. */
static void drop_others(void)
{
    int start = start_of_last();
    kept.length -= start;
    memmove(kept.bytes, kept.bytes + start, kept.length);
}

/* Each time that it has doubled, what is kept is looked through, so that this costs little. */
static int print_last(int fd, const char *name)
{
    static char buf[1024];
    int limit = KEPT_BYTES_MIN, n;

    text_clear(&kept);
    while ((n = read(fd, buf, sizeof buf)) > 0) {
        if (text_add(&kept, buf, n) < 0) {
            fprintf(2, "tail: out of memory\n");
            return 1;
        }
        if (kept.length > limit) {
            drop_others();
            limit = KEPT_BYTES_MIN + 2 * kept.length;
        }
    }
    if (n < 0) {
        fprintf(2, "tail: cannot read %s\n", name);
        return 1;
    }
    drop_others();
    if (kept.length > 0 && write(1, kept.bytes, kept.length) != kept.length)
        exit(output_failed("tail"));
    return 0;
}

int main(int argc, char **argv)
{
    struct options options = {argv + 1};
    int option;

    while ((option = next_option(&options, "n:#")) != 0) {
        lines = option == '?' ? -1 : parse_number(options.value);
        if (lines < 0) {
            fprintf(2, "usage: tail [-n lines] [file ...]\n");
            return 1;
        }
    }
    return each_input("tail", options.argv, 1, print_last);
}
