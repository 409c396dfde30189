/* Formatted output straight to a file descriptor.

   Nothing is kept between calls, so output stays in order with write() and nothing is lost at
   exit.  Within a call the text is gathered, and goes out in one write() where it fits.  The
   buffer is on the stack, which is a single page for most programs: keep it small. */

#include <stdarg.h>

#include "user/user.h"

struct output {
    int fd;
    int used;
    char text[128];
};

static void flush(struct output *out)
{
    if (out->used > 0)
        write(out->fd, out->text, out->used);
    out->used = 0;
}

static void put(struct output *out, char c)
{
    if (out->used == sizeof out->text)
        flush(out);
    out->text[out->used++] = c;
}

static void put_string(struct output *out, const char *s)
{
    if (s == 0)
        s = "(null)";
    while (*s)
        put(out, *s++);
}

/* Capital digits, as xv6 prints them. */
static void put_unsigned(struct output *out, uint64 value, uint base)
{
    char digits[20]; /* 2^64 - 1 has 20 in decimal */
    int n = 0;
    do
        digits[n++] = "0123456789ABCDEF"[value % base];
    while ((value /= base) != 0);
    while (n > 0)
        put(out, digits[--n]);
}

static void put_signed(struct output *out, long value)
{
    if (value < 0)
        put(out, '-');
    put_unsigned(out, value < 0 ? -(uint64)value : (uint64)value, 10);
}

static void put_pointer(struct output *out, uint64 value)
{
    put_string(out, "0x");
    for (int shift = 60; shift >= 0; shift -= 4)
        put(out, "0123456789ABCDEF"[value >> shift & 0xf]);
}

/* One conversion; f points behind its %.  Returns the first character that is not part of it. */
static const char *put_conversion(struct output *out, const char *f, va_list *args)
{
    int is_long = *f == 'l';
    while (*f == 'l')
        f++;
    switch (*f) {
    case 'd':
    case 'i':
        put_signed(out, is_long ? va_arg(*args, long) : va_arg(*args, int));
        return f + 1;
    case 'u':
    case 'x':
        put_unsigned(out, is_long ? va_arg(*args, uint64) : va_arg(*args, uint), *f == 'u' ? 10 : 16);
        return f + 1;
    case 'p':
        put_pointer(out, va_arg(*args, uint64));
        return f + 1;
    case 's':
        put_string(out, va_arg(*args, const char *));
        return f + 1;
    case 'c':
        put(out, va_arg(*args, int));
        return f + 1;
    case '%':
        put(out, '%');
        return f + 1;
    }
    if (is_long)
        put_unsigned(out, va_arg(*args, uint64), 10);
    else
        put(out, '%');
    return f;
}

/* Conversions: %d %i %u %x, each also with l or ll, and %p %s %c %%.  A lone %l is an unsigned long
   in decimal, as it was in 2022.  Anything else is printed as it stands. */
void vprintf(int fd, const char *format, va_list args)
{
    va_list rest;
    va_copy(rest, args);
    struct output out = {.fd = fd};
    for (const char *f = format; *f;) {
        if (*f == '%')
            f = put_conversion(&out, f + 1, &rest);
        else
            put(&out, *f++);
    }
    flush(&out);
    va_end(rest);
}

void fprintf(int fd, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(fd, format, args);
    va_end(args);
}

void printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(1, format, args);
    va_end(args);
}
