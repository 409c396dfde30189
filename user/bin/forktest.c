/* forktest: forks until there is no process left, then reaps them all.  fork() must fail and say so,
   and the machine must go on.  Small, for a fork copies all of it. */

#include "user/user.h"

#define FORKS_MAX 1000

static void die(const char *message)
{
    printf("%s\n", message);
    exit(1);
}

int main(void)
{
    int children = 0;

    printf("fork test\n");
    for (;; children++) {
        int pid = fork();
        if (pid < 0)
            break;
        if (pid == 0)
            exit(0);
        if (children == FORKS_MAX)
            die("fork claimed to work too often!");
    }
    for (int i = 0; i < children; i++)
        if (wait(0) < 0)
            die("wait stopped early");
    if (wait(0) != -1)
        die("wait got too many");
    printf("fork test OK\n");
    return 0;
}
