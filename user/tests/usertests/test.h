/* What the files of usertests share, above user/testing.h. */

#include "kernel/types.h"
#include "user/user.h"
#include "user/testing.h"

extern const struct test pointer_tests[], trap_tests[], process_tests[], memory_tests[], pipe_tests[], exec_tests[],
    file_tests[], directory_tests[], disk_tests[];

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
