/* Everything a program may call: the system calls, then the C library of user/lib.

   The system calls' prototypes are generated from the kernel's table.  The library keeps to the
   names and types of xv6's, of both vintages, so that a program that defines a helper of its own
   does not meet a second one here. */

#ifndef USER_USER_H
#define USER_USER_H

#include "kernel/types.h"

struct stat;   /* kernel/stat.h */
struct psinfo; /* kernel/ps.h */

#include "user/syscalls.h"

/* sbrk.c: move the end of the heap by n bytes; the old end, or (char *)-1 */
char *sbrk(int n);     /* with memory behind it when it returns */
char *sbrklazy(int n); /* memory comes when it is touched */
int pause(int ticks);  /* what sleep() is called since 2025 */

/* statistics.c: read the device of that name; without one, end with a message */
int statistics(void *buf, int size);

/* ugetpid.c: getpid() without a trap, where the machine was started with --usyscall */
int ugetpid(void);

/* file.c */
int stat(const char *path, struct stat *st);
char *gets(char *buf, int max);

/* string.c */
char *strcpy(char *to, const char *from);
char *strchr(const char *s, char c);
int strcmp(const char *a, const char *b);
uint strlen(const char *s);
int atoi(const char *s);
void *memset(void *to, int c, uint n);
void *memmove(void *to, const void *from, int n);
void *memcpy(void *to, const void *from, uint n);
int memcmp(const void *a, const void *b, uint n);

/* printf.c */
void printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void fprintf(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
void vprintf(int fd, const char *format, __builtin_va_list args) __attribute__((format(printf, 2, 0)));

/* malloc.c */
void *malloc(uint n);
void free(void *p);

#endif
