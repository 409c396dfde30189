/* ln: gives a file a second name, or with -s makes a name that stands for a path. */

#include "kernel/types.h"
#include "user/user.h"

int main(int argc, char **argv)
{
    int symbolic = argc == 4 && strcmp(argv[1], "-s") == 0;

    if (argc != 3 + symbolic) {
        fprintf(2, "Usage: ln [-s] old new\n");
        return 1;
    }
    char *old = argv[argc - 2], *new = argv[argc - 1];
    if ((symbolic ? symlink(old, new) : link(old, new)) < 0) {
        fprintf(2, "link %s %s: failed\n", old, new);
        return 1;
    }
    return 0;
}
