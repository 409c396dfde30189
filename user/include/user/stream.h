/* Lines in and bytes out, gathered so that a system call moves many; and text that grows. */

#ifndef USER_STREAM_H
#define USER_STREAM_H

#define STREAM_BYTES 1024

/* Bytes of any value; a NUL follows them that is not counted.  Begins as {0}. */
struct text {
    char *bytes; /* from malloc(), or 0 as long as nothing was added */
    int length, capacity;
};

/* Begins as {.fd = ...}. */
struct reader {
    int fd;
    int at, end; /* what was read and not taken yet */
    char bytes[STREAM_BYTES];
};

/* Begins as {.fd = ...}. */
struct writer {
    int fd;
    int used;
    int failed;
    char bytes[STREAM_BYTES];
};

int text_add(struct text *t, const char *bytes, int n);
void text_clear(struct text *t);

enum { LINE_READ = 0, LINE_END_OF_FILE = 1, LINE_READ_ERROR = -1, LINE_NO_MEMORY = -2 };
int read_line(struct reader *r, struct text *line);

void put_bytes(struct writer *w, const char *bytes, int n);
int put_flush(struct writer *w);

#endif
