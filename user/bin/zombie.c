/* zombie: leaves a child unreaped for half a second, to be looked at with ps, and exits before reaping
   it, so that init has to. */

#include "user/user.h"

int main(void)
{
    if (fork() > 0)
        sleep(5);
    return 0;
}
