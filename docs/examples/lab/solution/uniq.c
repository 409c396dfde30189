/* uniq: prints its input but for lines that repeat the line before them.  See statement.md. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

/* A line without its newline; begins as {0}, and grows. */
struct line {
    char *bytes;
    int length, capacity;
};

/* What was read of a file and is not taken yet. */
struct input {
    int fd, at, end;
    int over; /* the file has no more: it is not asked again, as it could be a keyboard */
    char bytes[1024];
};

static void fail(const char *why)
{
    fprintf(2, "uniq: %s\n", why);
    exit(1);
}

static void append(struct line *line, char c)
{
    if (line->length == line->capacity) {
        int capacity = line->capacity ? 2 * line->capacity : 64;
        char *bytes = malloc(capacity);
        if (bytes == 0)
            fail("out of memory");
        memmove(bytes, line->bytes, line->length);
        free(line->bytes);
        line->bytes = bytes;
        line->capacity = capacity;
    }
    line->bytes[line->length++] = c;
}

/* The next byte, or -1 at the end. */
static int next_byte(struct input *in)
{
    if (in->at == in->end && !in->over) {
        in->at = 0;
        in->end = read(in->fd, in->bytes, sizeof in->bytes);
        if (in->end < 0)
            fail("cannot read");
        in->over = in->end == 0;
    }
    return in->over ? -1 : (uchar)in->bytes[in->at++];
}

/* Reads the next line; 0 where there is none. */
static int read_line(struct input *in, struct line *line)
{
    int c;

    line->length = 0;
    while ((c = next_byte(in)) >= 0 && c != '\n')
        append(line, c);
    return c == '\n' || line->length > 0;
}

static int same(const struct line *a, const struct line *b)
{
    return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

static void print(struct line *line, int times, int counting)
{
    if (counting)
        printf("%d ", times);
    append(line, '\n');
    if (write(1, line->bytes, line->length) != line->length)
        fail("cannot write");
    line->length--;
}

static void uniq(int fd, int counting)
{
    static struct input in;
    struct line last = {0}, line = {0};
    int times = 0;

    in.fd = fd;
    while (read_line(&in, &line)) {
        if (times > 0 && same(&line, &last)) {
            times++;
            continue;
        }
        if (times > 0)
            print(&last, times, counting);
        struct line free_one = last;
        last = line;
        line = free_one;
        times = 1;
    }
    if (times > 0)
        print(&last, times, counting);
}

int main(int argc, char **argv)
{
    int counting = argc > 1 && strcmp(argv[1], "-c") == 0;
    char **operands = argv + 1 + counting;
    int fd = 0;

    if (operands[0] != 0 && (operands[0][0] == '-' || operands[1] != 0)) {
        fprintf(2, "usage: uniq [-c] [file]\n");
        return 1;
    }
    if (operands[0] != 0 && (fd = open(operands[0], O_RDONLY)) < 0) {
        fprintf(2, "uniq: cannot open %s\n", operands[0]);
        return 1;
    }
    uniq(fd, counting);
    return 0;
}
