/* spin N TICKS: N processes compute until so many ticks are over; whether all got as far.  spin sleep: three
   compute while this one sleeps; whether a sleep of one tick ended in time.  spin kill: one that computes is
   killed. */

#include "kernel/types.h"
#include "user/user.h"

static void count_until(int end, int fd)
{
    long n = 0;
    while (uptime() < end)
        for (volatile int i = 0; i < 2000; i++)
            n++;
    write(fd, &n, sizeof n);
    exit(0);
}

static int equal(int processes, int ticks)
{
    int fds[2], end = uptime() + ticks;
    long least = 0, most = 0;
    pipe(fds);
    for (int i = 0; i < processes; i++)
        if (fork() == 0)
            count_until(end, fds[1]);
    for (int i = 0; i < processes; i++) {
        long n;
        if (read(fds[0], &n, sizeof n) != sizeof n)
            return 1;
        least = i == 0 || n < least ? n : least;
        most = n > most ? n : most;
    }
    while (wait(0) > 0)
        ;
    printf(least * 10 >= most * 7 ? "fair\n" : "not fair: %ld and %ld\n", least, most);
    return 0;
}

static int sleeper(void)
{
    int fds[2], worst = 0, end = uptime() + 30;
    pipe(fds);
    for (int i = 0; i < 3; i++)
        if (fork() == 0)
            count_until(end, fds[1]);
    for (int i = 0; i < 5; i++) {
        int before = uptime();
        sleep(1);
        if (uptime() - before > worst)
            worst = uptime() - before;
    }
    while (wait(0) > 0)
        ;
    printf(worst <= 5 ? "in time\n" : "late: %d ticks\n", worst);
    return 0;
}

static int killed(void)
{
    int status = 0, pid = fork();
    if (pid == 0)
        for (;;)
            ;
    sleep(2);
    kill(pid);
    printf(wait(&status) == pid && status == -1 ? "ended\n" : "status %d\n", status);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "sleep") == 0)
        return sleeper();
    if (argc == 2 && strcmp(argv[1], "kill") == 0)
        return killed();
    return argc == 3 ? equal(atoi(argv[1]), atoi(argv[2])) : 2;
}
