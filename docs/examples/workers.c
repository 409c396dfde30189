// Two workers square numbers that come through a pipe: docs/gdb.md looks at all three processes at once.
#include "kernel/types.h"
#include "user/user.h"

static int square(int n)
{
    return n * n;
}

static void work(int jobs, int results)
{
    int n;
    while (read(jobs, &n, sizeof(n)) == sizeof(n)) {
        n = square(n);
        write(results, &n, sizeof(n));
    }
    exit(0);
}

int main(void)
{
    int jobs[2], results[2], n, sum = 0;
    pipe(jobs);
    pipe(results);
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            close(jobs[1]);
            work(jobs[0], results[1]);
        }
    for (int i = 1; i <= 6; i++)
        write(jobs[1], &i, sizeof(i));
    close(jobs[1]);
    for (int i = 1; i <= 6; i++) {
        read(results[0], &n, sizeof(n));
        sum += n;
    }
    printf("the sum of the squares is %d\n", sum);
    return 0;
}
