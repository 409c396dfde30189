/* Strings and blocks of memory.  Called by everyone, the compiler included: it may turn the copy
   of a structure into memcpy() or memset(), so these must be real functions of these names. */

#include "user/user.h"

char *strcpy(char *to, const char *from)
{
    char *start = to;
    while ((*to++ = *from++) != 0)
        ;
    return start;
}

/* Unlike the C standard's, this one does not find the terminating NUL; xv6's programs count on it. */
char *strchr(const char *s, char c)
{
    for (; *s; s++)
        if (*s == c)
            return (char *)s;
    return 0;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (uchar)*a - (uchar)*b;
}

uint strlen(const char *s)
{
    const char *end = s;
    while (*end)
        end++;
    return end - s;
}

/* Decimal digits up to the first other character; no sign. */
int atoi(const char *s)
{
    int value = 0;
    for (; *s >= '0' && *s <= '9'; s++)
        value = value * 10 + (*s - '0');
    return value;
}

void *memset(void *to, int c, uint n)
{
    char *p = to;
    while (n-- > 0)
        *p++ = c;
    return to;
}

/* The two ranges may overlap: copy from the end that is not overwritten first. */
void *memmove(void *to, const void *from, int n)
{
    char *t = to;
    const char *f = from;
    if (t <= f) {
        while (n-- > 0)
            *t++ = *f++;
    } else {
        while (n-- > 0)
            t[n] = f[n];
    }
    return to;
}

void *memcpy(void *to, const void *from, uint n)
{
    char *t = to;
    const char *f = from;
    while (n-- > 0)
        *t++ = *f++;
    return to;
}

int memcmp(const void *a, const void *b, uint n)
{
    const uchar *p = a, *q = b;
    for (; n > 0; n--, p++, q++)
        if (*p != *q)
            return *p - *q;
    return 0;
}
