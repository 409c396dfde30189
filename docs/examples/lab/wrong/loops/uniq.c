/* Wrong: it does not look whether the input has ended. */

#include "user/user.h"

int main(void)
{
    char c;

    for (;;) {
        do
            read(0, &c, 1);
        while (c != '\n');
        printf(".");
    }
}
