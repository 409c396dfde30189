/* What the files of usertests share: how a case is declared, how it checks, and how it runs what it
   expects to be killed.

   Each case runs in a child of its own, in the directory where usertests was started, and leaves
   no file behind.  A case fails by check(), or by being killed; otherwise it has passed. */

#include "kernel/types.h"
#include "user/user.h"

enum { QUICK = 0, SLOW = 1 }; /* a slow case is left out with -q */

struct test {
    const char *name; /* 0 ends a list */
    void (*run)(void);
    int slow;
};

extern const struct test pointer_tests[], trap_tests[], process_tests[], memory_tests[], pipe_tests[], exec_tests[],
    file_tests[], directory_tests[], disk_tests[];

/* Ends the case as failed, unless the condition holds. */
#define check(condition) ((condition) ? (void)0 : check_failed(__FILE_NAME__, __LINE__, #condition))
void check_failed(const char *file, int line, const char *condition) __attribute__((noreturn));

#define KILLED (-1)        /* status of a process that the kernel ended */
#define FAILED_SBRK ((char *)-1)

/* Starts body(argument) in a child, which exits with 0 when it returns.  The child's pid. */
int start(void (*body)(void *), void *argument);

/* The same, and waits for it.  Its status. */
int status_of(void (*body)(void *), void *argument);

/* Waits for one child and checks that it was `pid` (any, where this is 0).  Its status. */
int reap(int pid);

/* Whether this is our kernel; stock ones lack poweroff() and ps(), check the destination of copyout()
   less, and know no lazy memory before 2025. */
int is_orrery(void);

#define BUF_BYTES 4096
extern char buf[BUF_BYTES];

/* Creates a file of `size` bytes, which depend on the seed; checks that it holds them. */
void make_file(const char *name, int size, int seed);
void check_file(const char *name, int size, int seed);

/* Writes the digits of n to name[0..1]: 10 * 10 names of one pattern. */
void number_name(char *name, int n);

/* How many pages the system can give to one process. */
int free_pages(void);

/* One byte through a pipe: lets processes wait for each other. */
void send_byte(int fd);
void await_byte(int fd);
