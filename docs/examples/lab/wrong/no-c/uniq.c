/* Wrong: this is not C. */

#include "user/user.h"

int main(void)
{
    char *last = 0
    char line[100];

    while (gets(line, sizeof line)[0])
        printf("%s", line);
    return 0;
}
