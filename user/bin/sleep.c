/* sleep: does nothing for so many ticks of the kernel's clock.  A tick is a tenth of a second: sleep 10
   takes one second. */

#include "user/user.h"
#include "user/tool.h"

int main(int argc, char **argv)
{
    int ticks = argc == 2 ? parse_number(argv[1]) : -1;
    if (ticks < 0) {
        fprintf(2, "usage: sleep ticks (10 are a second)\n");
        return 1;
    }
    return sleep(ticks) < 0;
}
