/* traced CASE: makes calls under trace, for the tests of the lab. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define BIT(n) (1 << (n))
enum { FORK = 1, READ = 5, DUP = 10, GETPID = 11, UPTIME = 14, OPEN = 15, CLOSE = 21, TRACE = 22, INTERPOSE = 23 };

int main(int argc, char **argv)
{
    char c = argc == 2 ? argv[1][0] : 0;
    if (c == 'p') { /* plain: results of three kinds */
        trace(BIT(OPEN) | BIT(CLOSE));
        int fd = open("README", O_RDONLY);
        open("no such file", O_RDONLY);
        close(fd);
        getpid();
        trace(0);
        close(fd);
    } else if (c == 'c') { /* child: inherits, and changes only its own */
        trace(BIT(DUP));
        int pid = fork();
        if (pid == 0) {
            dup(77);
            trace(BIT(UPTIME));
            dup(77);
            exit(0);
        }
        wait(0);
        dup(78);
    } else if (c == 'e') { /* exec keeps it */
        char *args[] = {"echo", "x", 0};
        trace(BIT(16));
        exec("echo", args);
    } else if (c == 'i') { /* itself */
        trace(BIT(TRACE));
    } else if (c == 'r') { /* refused */
        trace(BIT(DUP));
        interpose(BIT(DUP), "-");
        dup(0);
    } else if (c == 'n') { /* nobody else */
        if (fork() == 0) {
            trace(-1);
            exit(0);
        }
        wait(0);
        dup(77);
    } else
        return 2;
    return 0;
}
