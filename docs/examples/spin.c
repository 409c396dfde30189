/* spin: two processes that never give the hart away, for the chapter on processes.
 *
 *      .venv/bin/orrery run --max-time 1 docs/examples/spin.c */

#include "kernel/types.h"
#include "user/user.h"

int main(void)
{
    fork();
    for (;;)
        ;
}
