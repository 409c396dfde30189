/* workload: a little of everything, the same every time.  Forks, runs itself by exec(), sends through
   pipes, writes and links files, moves the heap, maps files and memory, and spins long enough to be preempted.
   `workload memory` does only what concerns memory.

   Prints "workload: " and a checksum of all that it computed, read back and reaped.  The machine's
   digest after it is compared between engines and between runs: it should be short on a slow engine. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"

#define PIPE_BYTES 20000
#define FILE_BYTES 9000
#define FILE_PAGES 20 /* more than the inode has numbers of blocks for */
#define LARGE (5L << 20) /* at least one page table is used by nothing else: fork shares it */
#define STRIDE (32 * PGSIZE)
#define TOO_MUCH (1 << 30)
#define RW (PROT_READ | PROT_WRITE)
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

static void heap(void)
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

/* Every page that begins a stride has the byte 0 set to `value`, and then mixed with what is there. */
static void store_strides(volatile char *at, int value)
{
    for (long i = 0; i < LARGE; i += STRIDE)
        at[i] = value;
}

static void mix_strides(volatile char *at)
{
    for (long i = 0; i < LARGE; i += STRIDE)
        mix(at[i]);
}

/* Parent and child store to what fork shared, first the one, then the other, and a part is given back. */
static void separate(char *at)
{
    store_strides(at, 1);
    int pid = start();
    if (pid == 0) {
        at[STRIDE] = 5;
        mix_strides(at);
        store_strides(at, 2);
        mix_strides(at);
        exit(checksum & 0xff);
    }
    at[2 * STRIDE + 100] = 3;
    mix(reap());
    store_strides(at, 4); /* as the last owner */
    mix_strides(at);
}

static void copies_on_write(void)
{
    char *end = sbrk(0), *large = mmap(0, LARGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    demand(large != MAP_FAILED, "mmap");
    separate(large);
    demand(munmap(large + LARGE / 2, 3 * PGSIZE) == 0, "munmap");
    demand(munmap(large, LARGE) == 0, "munmap");
    demand(sbrk(-(uint64)end & SUPERPGSIZE - 1) != (char *)-1, "sbrk");
    char *super = sbrk(LARGE);
    demand(super != (char *)-1, "sbrk");
    separate(super);
    demand(sbrk(-(LARGE / 2)) != (char *)-1, "sbrk"); /* a superpage is split */
    mix(super[LARGE / 2 - STRIDE]);
    sbrk(end - sbrk(0));
}

static void reads_by_mapping(void)
{
    int fd = open("README", O_RDONLY);
    char *p = mmap(0, 2 * PGSIZE, PROT_READ, MAP_PRIVATE, fd, 0);
    demand(p != MAP_FAILED, "mmap of README");
    close(fd);
    for (int i = 0; i < PGSIZE; i += 50)
        mix(p[i]);
}

/* Two processes store to a file by mappings, one reads it, and what reached the disk is read again. */
static void maps(void)
{
    static char page[PGSIZE];
    int fd = open("workload4", O_CREATE | O_RDWR);
    demand(fd >= 0, "open to map");
    for (int i = 0; i < FILE_PAGES; i++)
        demand(write(fd, page, i < FILE_PAGES - 1 ? PGSIZE : 100) > 0, "write");
    char *shared = mmap(0, FILE_PAGES * PGSIZE, RW, MAP_SHARED, fd, 0);
    char *own = mmap(0, FILE_PAGES * PGSIZE, RW, MAP_PRIVATE, fd, 0);
    char *common = mmap(0, 2 * PGSIZE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    demand(shared != MAP_FAILED && own != MAP_FAILED && common != MAP_FAILED, "mmap");
    close(fd);
    int pid = start();
    for (int i = 0; i < FILE_PAGES; i += 3)
        shared[i * PGSIZE + (pid ? 1 : 2)] = i + 7;
    own[5 * PGSIZE] = common[PGSIZE + (pid > 0)] = pid ? 1 : 2;
    if (pid == 0)
        exit(own[5 * PGSIZE]); /* writes back */
    mix(reap());
    demand(msync(shared + 15 * PGSIZE, PGSIZE, MS_SYNC) == 0, "msync");
    mix(common[PGSIZE] * 256 + common[PGSIZE + 1] + own[5 * PGSIZE]);
    demand(mprotect(own, PGSIZE, PROT_READ) == 0, "mprotect");
    demand(munmap(shared, FILE_PAGES * PGSIZE) == 0, "munmap");
    mix(own[0] + own[6 * PGSIZE + 1]);
    mix_file("workload4");
    demand(unlink("workload4") == 0, "unlink");
    mix(own[9 * PGSIZE + 1]);
}

/* Memory runs out, and what is only cached is given up for it. */
static void exhaust(void)
{
    demand(sbrk(TOO_MUCH) == (char *)-1, "too much memory");
    mix_file("README");
}

static void memory(void)
{
    heap();
    copies_on_write();
    reads_by_mapping();
    maps();
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
    if (argc == 2 && strcmp(argv[1], "memory") == 0) {
        memory();
        printf("workload: %lx\n", checksum);
        return 0;
    }
    forks();
    execs(argv[0]);
    pipes();
    files();
    memory();
    exhaust();
    spins();
    printf("workload: %lx\n", checksum);
    return 0;
}
