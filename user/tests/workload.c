/* workload: a little of everything, the same every time.  Forks, runs itself by exec(), sends through
   pipes, writes and links files, moves the heap, and spins long enough to be preempted.

   Prints "workload: " and a checksum of all that it computed, read back and reaped.  The machine's
   digest after it is compared between engines and between runs: it should be short on a slow engine. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define PIPE_BYTES 20000
#define FILE_BYTES 9000
#define SPINNERS 3
#define SPINS 500000 /* of 516 bytes of code: together they take more than a tick of 400 million bytes */

static uint64 checksum = 1469598103934665603;
static char data[1000];

static void mix(uint64 value)
{
    checksum = (checksum ^ value) * 1099511628211;
}

static void demand(int condition, const char *what)
{
    if (!condition) {
        fprintf(2, "workload: %s failed\n", what);
        exit(1);
    }
}

static uint next(uint x)
{
    return x * 1664525 + 1013904223;
}

static int start(void)
{
    int pid = fork();
    demand(pid >= 0, "fork");
    return pid;
}

/* The status of one child, whichever it is. */
static int reap(void)
{
    int status;
    demand(wait(&status) > 0, "wait");
    return status;
}

static void forks(void)
{
    int sum = 0;
    for (int i = 0; i < 8; i++)
        if (start() == 0)
            exit(i * i);
    for (int i = 0; i < 8; i++)
        sum += reap();
    mix(sum);
}

static void execs(char *self)
{
    char *argv[] = {self, "exit", "41", 0};
    for (int i = 0; i < 4; i++) {
        if (start() == 0) {
            exec(self, argv);
            demand(0, "exec");
        }
        mix(reap() + i);
    }
}

static void pipes(void)
{
    int fds[2], n, total = 0;
    demand(pipe(fds) == 0, "pipe");
    if (start() == 0) {
        uint x = 1;
        close(fds[0]);
        for (int at = 0; at < PIPE_BYTES; at += sizeof data) {
            for (uint i = 0; i < sizeof data; i++)
                data[i] = (x = next(x)) >> 24;
            demand(write(fds[1], data, sizeof data) == sizeof data, "write to pipe");
        }
        exit(0);
    }
    close(fds[1]);
    while ((n = read(fds[0], data, sizeof data)) > 0) {
        for (int i = 0; i < n; i++)
            mix(data[i]);
        total += n;
    }
    close(fds[0]);
    mix(reap());
    demand(total == PIPE_BYTES, "read from pipe");
}

static void write_file(const char *name, uint seed)
{
    int fd = open(name, O_CREATE | O_WRONLY);
    demand(fd >= 0, "open");
    for (int at = 0; at < FILE_BYTES; at += sizeof data) {
        for (uint i = 0; i < sizeof data; i++)
            data[i] = (seed = next(seed)) >> 24;
        demand(write(fd, data, sizeof data) == sizeof data, "write");
    }
    close(fd);
}

static void mix_file(const char *name)
{
    int n, fd = open(name, O_RDONLY);
    demand(fd >= 0, "open for reading");
    while ((n = read(fd, data, sizeof data)) > 0)
        for (int i = 0; i < n; i++)
            mix(data[i]);
    close(fd);
}

/* Two write at the same time, and a third name is linked and removed. */
static void files(void)
{
    int pid = start();
    if (pid == 0) {
        write_file("workload1", 1);
        exit(0);
    }
    write_file("workload2", 2);
    mix(reap());
    demand(link("workload1", "workload3") == 0, "link");
    demand(unlink("workload1") == 0, "unlink");
    mix_file("workload3");
    mix_file("workload2");
    demand(unlink("workload2") == 0 && unlink("workload3") == 0, "unlink");
}

static void memory(void)
{
    char *heap = sbrk(100000);
    demand(heap != (char *)-1, "sbrk");
    for (int i = 0; i < 100000; i += 1000)
        heap[i] = i;
    for (int i = 0; i < 100000; i += 500)
        mix(heap[i]);
    sbrk(-50000);
    mix(sbrk(0) - heap);
}

/* None of them calls the kernel: that all come to an end is the timer's work.  Long stretches without a
   jump are what an emulator runs fastest. */
static void spins(void)
{
    for (int i = 0; i < SPINNERS; i++) {
        if (start() == 0) {
            uint64 x = i;
            for (int k = 0; k < SPINS; k++)
                asm volatile(".option push\n .option norvc\n"
                             ".rept 64\n mul %0, %0, %1\n add %0, %0, %1\n .endr\n"
                             ".option pop"
                             : "+r"(x)
                             : "r"(6364136223846793005));
            exit(x >> 48);
        }
    }
    int sum = 0;
    for (int i = 0; i < SPINNERS; i++)
        sum += reap();
    mix(sum);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "exit") == 0)
        exit(atoi(argv[2]));
    forks();
    execs(argv[0]);
    pipes();
    files();
    memory();
    spins();
    printf("workload: %lx\n", checksum);
    return 0;
}
