/* trace: runs a command and has the kernel print its system calls, those of its children too, that are in
   the mask: bit n for the call of number n, as kernel/syscall.h has them. */

#include "user/user.h"

int main(int argc, char **argv)
{
    if (argc < 3 || argv[1][0] < '0' || argv[1][0] > '9') {
        fprintf(2, "usage: trace mask command [arg...]\n");
        return 2;
    }
    if (trace(atoi(argv[1])) < 0) {
        fprintf(2, "trace: the kernel does not trace\n");
        return 1;
    }
    exec(argv[2], argv + 2);
    fprintf(2, "trace: cannot run %s\n", argv[2]);
    return 127;
}
