/* What programs of tests share: how a case is declared, how it checks, how it runs what it expects to be
   killed, and a main() for all of them.

   Each case runs in a child of its own, in the directory where the program was started, and leaves no file
   behind.  A case fails by check(), or by being killed; otherwise it has passed. */

#ifndef USER_TESTING_H
#define USER_TESTING_H

enum { QUICK = 0, SLOW = 1 }; /* a slow case is left out with -q */

struct test {
    const char *name; /* 0 ends a list */
    void (*run)(void);
    int slow;
};

/* Runs the cases of all lists (0 ends them), and compares the free memory before and after.

       PROGRAM              all cases
       PROGRAM -q           those that are quick
       PROGRAM NAME ...     these only
       PROGRAM -l           prints the names

   Prints a line a case and the verdict.  0 where all passed, else 1: what main() returns. */
int test_main(int argc, char **argv, const struct test *const *lists);

/* Ends the case as failed, unless the condition holds. */
#define check(condition) ((condition) ? (void)0 : check_failed(__FILE_NAME__, __LINE__, #condition))
void check_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

#define KILLED (-1) /* status of a process that the kernel ended */
/* Where the stack ends, however many pages it has: above the guard page, which is above the program. */
extern char end[];
#define STACK_BOTTOM ((char *)(((unsigned long)end + 4095 & -4096L) + 4096))

#define FAILED_SBRK ((char *)-1)

/* Starts body(argument) in a child, which exits with 0 when it returns.  The child's pid. */
int start(void (*body)(void *), void *argument);

/* The same, and waits for it.  Its status. */
int status_of(void (*body)(void *), void *argument);

/* Waits for one child and checks that it was `pid` (any, where this is 0).  Its status. */
int reap(int pid);

/* How many pages the system can give to one process. */
int free_pages(void);

/* One byte through a pipe: lets processes wait for each other. */
void send_byte(int fd);
void await_byte(int fd);

/* Bodies for status_of(): read and write one byte at an address. */
void peek(void *address);
void touch(void *address);

#endif
