/* Wrong: there is no room for the last line. */

#include "user/user.h"

static char *last;

static void take(char *line)
{
    if (strcmp(line, last) != 0)
        printf("%s", line);
    strcpy(last, line);
}

int main(void)
{
    static char line[100];

    while (gets(line, sizeof line)[0])
        take(line);
    return 0;
}
