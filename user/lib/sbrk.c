/* The heap's end, and a second name for sleep().  The kernel has one call for both kinds of growth. */

#include "kernel/types.h"
#include "kernel/vm.h"
#include "user/user.h"

char *sbrk(int n)
{
    return sys_sbrk(n, SBRK_EAGER);
}

char *sbrklazy(int n)
{
    return sys_sbrk(n, SBRK_LAZY);
}

int pause(int ticks)
{
    return sleep(ticks);
}
