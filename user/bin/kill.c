/* kill: ends the processes with the given numbers. */

#include "user/user.h"

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(2, "usage: kill pid...\n");
        return 1;
    }
    int status = 0;
    for (int i = 1; i < argc; i++) {
        int pid = atoi(argv[i]);
        if (pid <= 0 || kill(pid) < 0) {
            fprintf(2, "kill: no process %s\n", argv[i]);
            status = 1;
        }
    }
    return status;
}
