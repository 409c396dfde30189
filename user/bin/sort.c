/* sort: prints the lines of files, or of its input, in order.

       -n    by the number at their start, a decimal one perhaps; a line without one counts as 0
       -r    the other way round
       -u    of lines that compare equal only the first

   Otherwise by the values of their bytes; so are lines with the same number, except with -u. */

#include "user/user.h"
#include "user/stream.h"
#include "user/tool.h"

#define GROW_BYTES (64 * 1024)

struct line {
    const char *start;
    uint64 length; /* without its newline */
};

static int by_number, reverse, unique;

/* All text is in one piece, from `text` to `text_end`; the heap behind it is as far as `room_end`. */
static char *text, *text_end, *room_end;

/* More heap, adjacent to what there is, or the end of the program. */
static char *grow(int n)
{
    char *fresh = sbrk(n);
    if (fresh == (char *)-1) {
        fprintf(2, "sort: out of memory\n");
        exit(1);
    }
    return fresh;
}

static int read_all(int fd, const char *name)
{
    int n;
    do {
        if (text_end == room_end) {
            grow(GROW_BYTES);
            room_end += GROW_BYTES;
        }
        n = read(fd, text_end, room_end - text_end);
        if (n > 0)
            text_end += n;
    } while (n > 0);
    if (n < 0) {
        fprintf(2, "sort: cannot read %s\n", name);
        return 1;
    }
    /* The last line of a file may lack its newline; there is always room for one. */
    if (text_end > text && text_end[-1] != '\n')
        *text_end++ = '\n';
    return 0;
}

/* -- comparing ------------------------------------------------------------------------------------ */

struct number {
    int negative;
    const char *digits; /* in front of the point, without leading zeros */
    long length;
    const char *fraction; /* behind it, without zeros at the end */
    long fraction_length;
};

static int is_digit(const char *s, const char *end)
{
    return s < end && *s >= '0' && *s <= '9';
}

static struct number number_of(const struct line *line)
{
    struct number number = {0};
    const char *s = line->start, *end = s + line->length;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    if (s < end && *s == '-') {
        number.negative = 1;
        s++;
    }
    while (s < end && *s == '0')
        s++;
    for (number.digits = s; is_digit(s, end);)
        s++;
    number.length = s - number.digits;
    if (s < end && *s == '.') {
        for (number.fraction = ++s; is_digit(s, end);)
            s++;
        while (s > number.fraction && s[-1] == '0')
            s--;
        number.fraction_length = s - number.fraction;
    }
    if (number.length == 0 && number.fraction_length == 0)
        number.negative = 0; /* -0 is 0 */
    return number;
}

static int compare_bytes(const char *a, uint64 a_length, const char *b, uint64 b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

/* Digit strings, so that no number is too long. */
static int compare_numbers(const struct line *a, const struct line *b)
{
    struct number x = number_of(a), y = number_of(b);
    if (x.negative != y.negative)
        return y.negative - x.negative;
    int order = (x.length > y.length) - (x.length < y.length);
    if (order == 0)
        order = memcmp(x.digits, y.digits, x.length);
    if (order == 0)
        order = compare_bytes(x.fraction, x.fraction_length, y.fraction, y.fraction_length);
    return x.negative ? -order : order;
}

static int compare(const struct line *a, const struct line *b)
{
    int order = by_number ? compare_numbers(a, b) : 0;
    if (order == 0 && !(by_number && unique))
        order = compare_bytes(a->start, a->length, b->start, b->length);
    return reverse ? -order : order;
}

/* -- sorting -------------------------------------------------------------------------------------- */

/* Merges from[start, middle) and from[middle, end), each in order, into to[start, end).  Of equal lines
   those of the first half come first. */
static void merge(struct line *from, struct line *to, long start, long middle, long end)
{
    long a = start, b = middle;
    for (long i = start; i < end; i++)
        to[i] = b == end || (a < middle && compare(&from[a], &from[b]) <= 0) ? from[a++] : from[b++];
}

/* Sorts by merging runs of 1, 2, 4, ... lines from one of the two arrays to the other.  Returns the one
   that holds the result. */
static struct line *merge_sort(struct line *lines, struct line *other, long count)
{
    for (long run = 1; run < count; run *= 2) {
        for (long start = 0; start < count; start += 2 * run) {
            long middle = start + run < count ? start + run : count;
            long end = middle + run < count ? middle + run : count;
            merge(lines, other, start, middle, end);
        }
        struct line *merged = other;
        other = lines;
        lines = merged;
    }
    return lines;
}

static struct line *allocate_lines(long count)
{
    uint64 size = count * sizeof(struct line);
    if (size > 0x7fffffff) { /* sbrk() takes an int; there is no such memory anyway */
        fprintf(2, "sort: out of memory\n");
        exit(1);
    }
    return (struct line *)grow(size);
}

static int print(const struct line *lines, long count)
{
    static struct writer out = {.fd = 1};
    for (long i = 0; i < count; i++)
        if (!unique || i == 0 || compare(&lines[i - 1], &lines[i]) != 0)
            put_bytes(&out, lines[i].start, lines[i].length + 1);
    return put_flush(&out) < 0 ? output_failed("sort") : 0;
}

static int sort(void)
{
    long count = 0;
    for (char *p = text; p < text_end; p++)
        count += *p == '\n';
    grow(-(uint64)sbrk(0) & 15); /* what follows is aligned */
    struct line *lines = allocate_lines(count), *other = allocate_lines(count);

    const char *start = text;
    for (long i = 0; i < count; i++) {
        const char *end = start;
        while (*end != '\n')
            end++;
        lines[i] = (struct line){start, end - start};
        start = end + 1;
    }
    return print(merge_sort(lines, other, count), count);
}

int main(int argc, char **argv)
{
    struct options options = {argv + 1};
    int option;

    while ((option = next_option(&options, "nru")) != 0) {
        if (option == '?') {
            fprintf(2, "usage: sort [-nru] [file ...]\n");
            return 1;
        }
        by_number |= option == 'n';
        reverse |= option == 'r';
        unique |= option == 'u';
    }
    text = text_end = room_end = sbrk(0);
    int status = each_input("sort", options.argv, 0, read_all);
    return sort() | status;
}
