/* Lines in and bytes out, gathered so that a system call moves many; and text that grows. */

#include "user/user.h"
#include "user/stream.h"

#define TEXT_BYTES_MIN 64
#define TEXT_BYTES_MAX (1 << 29) /* more than the machine has, and no sum overflows */

/* 0, or -1 where there is no memory; the text is then as it was. */
int text_add(struct text *t, const char *bytes, int n)
{
    if (n < 0 || n >= TEXT_BYTES_MAX - t->length)
        return -1;
    int needed = t->length + n + 1;
    if (needed > t->capacity) {
        int capacity = t->capacity ? t->capacity : TEXT_BYTES_MIN;
        while (capacity < needed)
            capacity *= 2;
        char *larger = malloc(capacity);
        if (larger == 0)
            return -1;
        if (t->bytes)
            memcpy(larger, t->bytes, t->length);
        free(t->bytes);
        t->bytes = larger;
        t->capacity = capacity;
    }
    memcpy(t->bytes + t->length, bytes, n);
    t->length += n;
    t->bytes[t->length] = 0;
    return 0;
}

/* Makes it empty and keeps its memory. */
void text_clear(struct text *t)
{
    t->length = 0;
    if (t->bytes)
        t->bytes[0] = 0;
}

/* Reads the next line, of any length, in place of what `line` holds, and leaves its newline out; at the
   end of the file the newline may be missing.  After an end of file it can be called again: on the
   console more may come. */
int read_line(struct reader *r, struct text *line)
{
    int started = 0;
    text_clear(line);
    for (;;) {
        if (r->at == r->end) {
            r->at = 0;
            r->end = read(r->fd, r->bytes, sizeof r->bytes);
            if (r->end <= 0) {
                int failed = r->end < 0;
                r->end = 0;
                return failed ? LINE_READ_ERROR : started ? LINE_READ : LINE_END_OF_FILE;
            }
        }
        started = 1;
        int stop = r->at;
        while (stop < r->end && r->bytes[stop] != '\n')
            stop++;
        if (text_add(line, r->bytes + r->at, stop - r->at) < 0)
            return LINE_NO_MEMORY;
        r->at = stop;
        if (stop < r->end) {
            r->at++;
            return LINE_READ;
        }
    }
}

static void send(struct writer *w)
{
    if (w->used > 0 && write(w->fd, w->bytes, w->used) != w->used)
        w->failed = 1;
    w->used = 0;
}

void put_bytes(struct writer *w, const char *bytes, int n)
{
    while (n > 0 && !w->failed) {
        int part = STREAM_BYTES - w->used < n ? STREAM_BYTES - w->used : n;
        memcpy(w->bytes + w->used, bytes, part);
        w->used += part;
        bytes += part;
        n -= part;
        if (w->used == STREAM_BYTES)
            send(w);
    }
}

/* Sends what was put.  0, or -1 where that or something before failed. */
int put_flush(struct writer *w)
{
    send(w);
    return w->failed ? -1 : 0;
}
