/* echo: writes its arguments, with a blank between them and a newline at the end. */

#include "user/user.h"

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        printf("%s%s", argv[i], i + 1 < argc ? " " : "\n");
    return 0;
}
