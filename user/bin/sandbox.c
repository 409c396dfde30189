/* sandbox: runs a command to which the kernel refuses the system calls in the mask (bit n for the call of
   number n), and to its children; open and exec it allows for one path, written exactly so. */

#include "user/user.h"

int main(int argc, char **argv)
{
    if (argc < 4 || argv[1][0] < '0' || argv[1][0] > '9') {
        fprintf(2, "usage: sandbox mask path command [arg...]\n");
        return 2;
    }
    if (interpose(atoi(argv[1]), argv[2]) < 0) {
        fprintf(2, "sandbox: the kernel does not confine\n");
        return 1;
    }
    exec(argv[3], argv + 3);
    fprintf(2, "sandbox: exec %s failed\n", argv[3]);
    return 127;
}
