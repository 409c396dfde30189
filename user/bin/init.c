/* init: process 1.  Opens the console, starts the one program that the machine is for, and reaps
   every process whose parent has gone.

       init                a shell, and another one whenever it exits
       init prog arg ...   that program once; the machine is switched off with its status */

#include "kernel/types.h"
#include "kernel/file.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define NOT_STARTED 0x17f /* status 127, with a bit that no program's & 255 has */

/* Descriptors 0, 1 and 2 are the console, here and in every process to come. */
static void open_console(void)
{
    if (open("console", O_RDWR) < 0) {
        mknod("console", CONSOLE, 0);
        open("console", O_RDWR);
    }
    dup(0);
    dup(0);
}

/* Runs one program as a child and waits for it, among the orphans.  Its exit status. */
static int run(char **argv)
{
    int pid = fork();
    if (pid < 0) {
        fprintf(2, "init: fork failed\n");
        return NOT_STARTED;
    }
    if (pid == 0) {
        exec(argv[0], argv);
        fprintf(2, "init: exec %s failed\n", argv[0]);
        exit(NOT_STARTED);
    }

    int status, reaped;
    do
        reaped = wait(&status);
    while (reaped != pid);
    return status;
}

int main(int argc, char **argv)
{
    static char *shell[] = {"sh", 0};
    int status;

    open_console();
    if (argc > 1) {
        status = run(argv + 1);
    } else {
        do {
            printf("init: starting sh\n");
            status = run(shell);
        } while (status != NOT_STARTED);
    }
    poweroff(status & 255);
    fprintf(2, "init: power-off refused\n");
    return 1;
}
