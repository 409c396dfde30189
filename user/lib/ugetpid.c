/* The caller's number from the page that the kernel maps at USYSCALL.  Where it does not (the machine was
   started without --usyscall), the caller is killed. */

#include "kernel/types.h"
#include "kernel/memlayout.h"
#include "user/user.h"

int ugetpid(void)
{
    return ((const volatile struct usyscall *)USYSCALL)->pid;
}
