/* What a compiler for hosted programs may take away, and a program here may mean.

   Each case is a bit of the exit status where it did not come out as the source says. */
#include "kernel/types.h"
#include "user/user.h"

#define NOINLINE __attribute__((noinline))

static int *nowhere;

NOINLINE static void store_at_0(void)
{
    *(int *)0 = 1;
}

NOINLINE static int late_check(int *p)
{
    int value = *p;
    if (p == 0)
        return 7;
    return value;
}

NOINLINE static int overflows(int n)
{
    return n + 1 < n;
}

NOINLINE static int wraps(char *p, uint64 n)
{
    return p + n < p;
}

NOINLINE static int alias(int *whole, short *half)
{
    *whole = 1;
    *half = 2;
    return *whole;
}

NOINLINE static void wait_for_ever(int odd)
{
    while (odd)
        odd += 2;
}

void *memset(void *to, int c, uint n)
{
    for (char *p = to; n > 0; n--)
        *p++ = c;
    return to;
}

int abs(int n)
{
    return n + 1;
}

/* Whether a child that calls `act` is killed: for what it did, or after a while because it goes on. */
static int is_killed(void (*act)(void), int ticks)
{
    int status = 0, pid = fork();
    if (pid == 0) {
        act();
        exit(3);
    }
    if (ticks > 0) {
        sleep(ticks);
        kill(pid);
    }
    wait(&status);
    return status == -1;
}

static void wait_odd(void)
{
    wait_for_ever(1);
}

int main(void)
{
    char text[40];
    int whole;
    int wrong = 0;
    wrong |= !is_killed(store_at_0, 0) << 0;
    wrong |= (late_check(nowhere) != 7) << 1;
    wrong |= !overflows(0x7fffffff) << 2;
    wrong |= !wraps(text, -1) << 3;
    wrong |= (alias(&whole, (short *)&whole) != 2) << 4;
    wrong |= !is_killed(wait_odd, 1) << 5;
    memset(text, 'x', sizeof text);
    wrong |= (text[39] != 'x') << 6;
    wrong |= (abs(-5) != -4) << 7;
    return wrong;
}
