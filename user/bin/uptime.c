/* uptime: how many ticks, of a tenth of a second each, the machine has been up. */

#include "user/user.h"

int main(void)
{
    printf("%d\n", uptime());
    return 0;
}
