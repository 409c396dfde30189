/* Cases: fork, exit, wait, kill, sleep, and who gets the processor. */

#include "kernel/types.h"
#include "kernel/param.h"
#include "kernel/ps.h"
#include "user/user.h"
#include "test.h"

static void exit_with(void *status)
{
    exit((int)(long)status);
}

/* Keeps the processor busy.  Long stretches without a jump, so that a tick passes soon on an emulator. */
static void work(int rounds)
{
    for (int i = 0; i < rounds; i++)
        asm volatile(".rept 200\n xor t0, t1, t2\n .endr" : : : "t0");
}

static void spin(void *unused)
{
    for (;;)
        work(1000000);
}

static void exit_status(void)
{
    static const int statuses[] = {0, 1, 2, 100, 255, 256, 0x12345678, -2, -1000};
    for (uint i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        check(status_of(exit_with, (void *)(long)statuses[i]) == statuses[i]);
}

static void wait_without_children(void)
{
    int status = 77;
    check(wait(&status) == -1);
    check(status == 77);
    check(wait(0) == -1);
}

static void wait_for_any(void)
{
    int pids[8];
    for (int i = 0; i < 8; i++)
        pids[i] = start(exit_with, (void *)(long)(i + 10));
    for (int i = 0; i < 8; i++) {
        int status, known = 0;
        int pid = wait(&status);
        for (int k = 0; k < 8; k++) {
            if (pids[k] == pid) {
                known = 1;
                pids[k] = 0;
                check(status == k + 10);
            }
        }
        check(known);
    }
    check(wait(0) == -1);
}

static void exit_and_wait_often(void)
{
    for (int i = 0; i < 100; i++)
        check(status_of(exit_with, (void *)(long)i) == i);
}

static void pids(void)
{
    int fds[2], last = getpid();
    check(pipe(fds) == 0);
    for (int i = 0; i < 5; i++) {
        int pid = fork();
        check(pid >= 0);
        if (pid == 0) {
            int own = getpid();
            check(write(fds[1], &own, sizeof own) == sizeof own);
            exit(0);
        }
        int own;
        check(reap(pid) == 0);
        check(read(fds[0], &own, sizeof own) == sizeof own);
        check(own == pid && pid > last);
        last = pid;
    }
}

static int shared_or_not = 1;

static void change_memory(void *on_stack)
{
    check(shared_or_not == 1 && *(int *)on_stack == 2);
    shared_or_not = 3;
    *(int *)on_stack = 4;
    char *heap = sbrk(4096);
    memset(heap, 1, 4096);
}

static void fork_copies_memory(void)
{
    int on_stack = 2;
    char *end = sbrk(0);
    check(status_of(change_memory, &on_stack) == 0);
    check(shared_or_not == 1 && on_stack == 2 && sbrk(0) == end);
}

/* Forks until it fails, reaps all, and does so again: nothing may be lost on the way. */
static int fork_to_the_limit(void)
{
    int fds[2], children = 0, pid;
    char c;
    check(pipe(fds) == 0);
    while ((pid = fork()) > 0)
        children++;
    if (pid == 0) {
        close(fds[1]);
        read(fds[0], &c, 1); /* stay, until the parent closes its end */
        exit(0);
    }
    check(children < NPROC);
    close(fds[0]);
    close(fds[1]);
    for (int i = 0; i < children; i++)
        check(reap(0) == 0);
    check(wait(0) == -1);
    return children;
}

static void fork_limit(void)
{
    int children = fork_to_the_limit();
    check(children >= NPROC - 10);
    check(fork_to_the_limit() == children);
}

static void fork_limit_with_zombies(void)
{
    int children = 0, pid;
    while ((pid = fork()) > 0)
        children++;
    if (pid == 0)
        exit(3);
    check(children >= NPROC - 10);
    check(fork() == -1); /* a zombie still has its slot */
    for (int i = 0; i < children; i++)
        check(reap(0) == 3);
    check(status_of(exit_with, 0) == 0);
}

/* A tree of processes, each of which waits for its own two children. */
static void grow_tree(void *depth)
{
    long left = (long)depth - 1;
    if (left == 0)
        return;
    start(grow_tree, (void *)left);
    start(grow_tree, (void *)left);
    check(reap(0) == 0);
    check(reap(0) == 0);
    check(wait(0) == -1);
}

static void fork_tree(void)
{
    check(status_of(grow_tree, (void *)5) == 0);
}

/* -- orphans ------------------------------------------------------------------------------------------ */

static struct psinfo processes[NPROC]; /* too large for the stack */

static int parent_of(int pid)
{
    int n = ps(processes, NPROC);
    for (int i = 0; i < n && i < NPROC; i++)
        if (processes[i].pid == pid)
            return processes[i].ppid;
    return -1;
}

/* Starts a process that outlives it, and tells its number. */
static void leave_orphan(void *argument)
{
    int *fds = argument;
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        char c;
        close(fds[1]);
        read(fds[0], &c, 1);
        exit(0);
    }
    check(write(fds[3], &pid, sizeof pid) == sizeof pid);
}

static void orphan_goes_to_init(void)
{
    int fds[4], pid;
    check(pipe(fds) == 0 && pipe(fds + 2) == 0);
    check(status_of(leave_orphan, fds) == 0);
    check(read(fds[2], &pid, sizeof pid) == sizeof pid);
    if (is_orrery())
        check(parent_of(pid) == 1);
    check(wait(0) == -1); /* it is not ours */
    close(fds[0]);
    close(fds[1]);
    for (int tries = 0; is_orrery() && parent_of(pid) != -1; tries++) {
        check(tries < 20); /* init reaps it soon */
        sleep(1);
    }
}

static void double_fork(void *unused)
{
    start(exit_with, 0);
}

static void orphans_often(void)
{
    for (int i = 0; i < 200; i++)
        check(status_of(double_fork, 0) == 0);
}

/* Parents and children exit in every order at the same time. */
static void exit_together(void)
{
    for (int i = 0; i < 50; i++) {
        start(double_fork, 0);
        start(double_fork, 0);
        check(reap(0) == 0);
        check(reap(0) == 0);
    }
}

/* -- kill --------------------------------------------------------------------------------------------- */

static int *fds_of_case;

static void sleep_long(void *unused)
{
    sleep(1000000);
}

static void read_empty_pipe(void *unused)
{
    char c;
    read(fds_of_case[0], &c, 1);
}

static void write_full_pipe(void *unused)
{
    for (;;)
        write(fds_of_case[1], buf, sizeof buf);
}

static void wait_for_spinner(void *pid_out)
{
    int pid = start(spin, 0);
    check(write(fds_of_case[1], &pid, sizeof pid) == sizeof pid);
    wait(0);
}

static void kill_and_check(void (*body)(void *))
{
    int pid = start(body, 0);
    sleep(1); /* it blocks by now */
    check(kill(pid) == 0);
    check(reap(pid) == KILLED);
    check(kill(pid) == -1);
}

static void kill_spinning(void)
{
    kill_and_check(spin);
}

static void kill_sleeping(void)
{
    kill_and_check(sleep_long);
}

static void kill_at_pipe(void)
{
    int fds[2];
    check(pipe(fds) == 0);
    fds_of_case = fds;
    kill_and_check(read_empty_pipe);
    kill_and_check(write_full_pipe);
}

static void kill_waiting(void)
{
    int fds[2], spinner;
    check(pipe(fds) == 0);
    fds_of_case = fds;
    kill_and_check(wait_for_spinner);
    check(read(fds[0], &spinner, sizeof spinner) == sizeof spinner);
    check(kill(spinner) == 0);
}

static void kill_self(void *unused)
{
    kill(getpid());
    exit(5); /* not reached: it ends on the way back from kill() */
}

static void kill_oneself(void)
{
    check(status_of(kill_self, 0) == KILLED);
}

static void call_often(void *unused)
{
    for (;;)
        getpid();
}

/* However the child is hit, in the kernel or outside, its status says that it was killed. */
static void kill_status(void)
{
    for (int i = 0; i < 20; i++) {
        int pid = start(i % 2 ? call_often : spin, 0);
        if (i % 10 == 0)
            sleep(1);
        check(kill(pid) == 0);
        check(reap(pid) == KILLED);
    }
}

static void kill_nobody(void)
{
    check(kill(1000000) == -1);
    check(kill(-1) == -1);
    int pid = start(exit_with, 0);
    check(reap(pid) == 0);
    check(kill(pid) == -1);
}

/* -- time --------------------------------------------------------------------------------------------- */

static void sleep_takes_its_time(void)
{
    int before = uptime();
    check(sleep(3) == 0);
    int slept = uptime() - before;
    check(slept >= 3 && slept <= 6);
    check(sleep(0) == 0);
    check(pause(1) == 0);
}

static void sleep_for(void *ticks)
{
    sleep((long)ticks);
}

static void sleepers_wake_in_order(void)
{
    int pids[4];
    for (int i = 0; i < 4; i++)
        pids[i] = start(sleep_for, (void *)(long)(9 - 2 * i));
    for (int i = 3; i >= 0; i--)
        check(reap(pids[i]) == 0);
}

/* Three processes that never call the kernel do not keep the others from running. */
static void preemption(void)
{
    int pids[3], fds[2];
    for (int i = 0; i < 3; i++)
        pids[i] = start(spin, 0);
    check(pipe(fds) == 0);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        send_byte(fds[1]);
        exit(0);
    }
    await_byte(fds[0]);
    check(reap(pid) == 0);
    for (int i = 0; i < 3; i++)
        check(kill(pids[i]) == 0);
    for (int i = 0; i < 3; i++)
        check(reap(0) == KILLED);
}

static void count_until_killed(void *shared)
{
    int *fds = shared;
    for (;;) {
        work(20000);
        if (write(fds[1], "x", 1) != 1)
            exit(0);
    }
}

/* Two of a kind get about as much of the processor. */
static void fair_share(void)
{
    int fds[2][2], pids[2], done[2];
    for (int i = 0; i < 2; i++) {
        check(pipe(fds[i]) == 0);
        pids[i] = start(count_until_killed, fds[i]);
    }
    sleep(4);
    for (int i = 0; i < 2; i++) {
        check(kill(pids[i]) == 0);
        check(reap(0) == KILLED);
        close(fds[i][1]);
    }
    for (int i = 0; i < 2; i++) {
        int n;
        done[i] = 0;
        while ((n = read(fds[i][0], buf, sizeof buf)) > 0)
            done[i] += n;
        check(done[i] > 0);
    }
    /* a full pipe stops the count, and is fair enough */
    check(done[0] <= 4 * done[1] + 8 && done[1] <= 4 * done[0] + 8);
}

/* -- ps() and poweroff(), which only our kernel has ------------------------------------------------------ */

static void process_list(void)
{
    if (!is_orrery())
        return;
    int n = ps(processes, NPROC), found = 0;
    check(n >= 2 && n <= NPROC);
    for (int i = 0; i < n; i++) {
        check(processes[i].pid > 0 && processes[i].state > 0);
        if (processes[i].pid == getpid()) {
            found = 1;
            check(processes[i].size == (uint64)sbrk(0));
            check(strcmp(processes[i].name, "usertests") == 0);
        }
    }
    check(found);
    struct psinfo one[2];
    memset(one, 0x7f, sizeof one);
    check(ps(one, 1) == n);
    check(one[1].pid == 0x7f7f7f7f); /* no more than was asked for */
    check(ps((void *)0x80000000, 1) == -1);
}

static void poweroff_is_for_init(void)
{
    if (is_orrery())
        check(poweroff(9) == -1);
}

const struct test process_tests[] = {
    {"exit_status", exit_status},
    {"wait_without_children", wait_without_children},
    {"wait_for_any", wait_for_any},
    {"exit_and_wait_often", exit_and_wait_often},
    {"pids", pids},
    {"fork_copies_memory", fork_copies_memory},
    {"fork_limit", fork_limit},
    {"fork_limit_with_zombies", fork_limit_with_zombies},
    {"fork_tree", fork_tree},
    {"orphan_goes_to_init", orphan_goes_to_init},
    {"orphans_often", orphans_often, SLOW},
    {"exit_together", exit_together},
    {"kill_spinning", kill_spinning},
    {"kill_sleeping", kill_sleeping},
    {"kill_at_pipe", kill_at_pipe},
    {"kill_waiting", kill_waiting},
    {"kill_oneself", kill_oneself},
    {"kill_status", kill_status},
    {"kill_nobody", kill_nobody},
    {"sleep_takes_its_time", sleep_takes_its_time},
    {"sleepers_wake_in_order", sleepers_wake_in_order},
    {"preemption", preemption},
    {"fair_share", fair_share, SLOW},
    {"process_list", process_list},
    {"poweroff_is_for_init", poweroff_is_for_init},
    {0},
};
