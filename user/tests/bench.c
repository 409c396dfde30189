/* bench: does one thing N times, and says so when it is done.

       bench ROW N

   Whoever measures runs it twice, with a small and a large N, and divides.  It keeps to what every
   xv6 offers, so that the same source is timed on ours and on a rival. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "user/user.h"

#define CHUNK 4096
#define FILE_CHUNKS 25 /* in a file of 100 KB: more than the buffers of C xv6 hold, less than ours */
#define PAGE 4096

static char *self;
static char chunk[CHUNK];
static const char scratch[] = "bench.tmp";

static void die(const char *message)
{
    fprintf(2, "bench: %s\n", message);
    exit(1);
}

static void reap(void)
{
    int status;
    if (wait(&status) < 0 || status != 0)
        die("a child failed");
}

static void row_getpid(uint n)
{
    while (n-- > 0)
        getpid();
}

static void row_fork(uint n)
{
    while (n-- > 0) {
        int pid = fork();
        if (pid < 0)
            die("fork failed");
        if (pid == 0)
            exit(0);
        reap();
    }
}

/* exec() of this same program, which exits at once. */
static void row_exec(uint n)
{
    char *argv[] = {self, "exit", 0};
    while (n-- > 0) {
        int pid = fork();
        if (pid < 0)
            die("fork failed");
        if (pid == 0) {
            exec(self, argv);
            die("exec failed");
        }
        reap();
    }
}

/* N chunks of 4 KiB from parent to child. */
static void row_pipe(uint n)
{
    int fds[2];

    if (pipe(fds) < 0)
        die("pipe failed");
    int pid = fork();
    if (pid < 0)
        die("fork failed");
    if (pid == 0) {
        close(fds[1]);
        while (read(fds[0], chunk, CHUNK) > 0)
            ;
        exit(0);
    }
    close(fds[0]);
    while (n-- > 0)
        if (write(fds[1], chunk, CHUNK) != CHUNK)
            die("write failed");
    close(fds[1]);
    reap();
}

/* A byte to the child and back: two switches of process a round. */
static void row_pingpong(uint n)
{
    int to_child[2], to_parent[2];
    char ball = 0;

    if (pipe(to_child) < 0 || pipe(to_parent) < 0)
        die("pipe failed");
    int pid = fork();
    if (pid < 0)
        die("fork failed");
    if (pid == 0) {
        close(to_child[1]);
        while (read(to_child[0], &ball, 1) == 1)
            if (write(to_parent[1], &ball, 1) != 1)
                exit(1);
        exit(0);
    }
    close(to_child[0]);
    while (n-- > 0)
        if (write(to_child[1], &ball, 1) != 1 || read(to_parent[0], &ball, 1) != 1)
            die("a ball failed");
    close(to_child[1]);
    reap();
}

static void write_file(void)
{
    int fd = open(scratch, O_CREATE | O_WRONLY);
    if (fd < 0)
        die("open failed");
    for (int i = 0; i < FILE_CHUNKS; i++)
        if (write(fd, chunk, CHUNK) != CHUNK)
            die("write failed");
    close(fd);
}

static void remove_file(void)
{
    if (unlink(scratch) < 0)
        die("unlink failed");
}

/* A new file of 100 KB, which is removed again. */
static void row_create(uint n)
{
    while (n-- > 0) {
        write_file();
        remove_file();
    }
}

/* A file of 100 KB from its begin to its end; it is written once. */
static void row_readfile(uint n)
{
    write_file();
    while (n-- > 0) {
        int fd = open(scratch, O_RDONLY);
        if (fd < 0)
            die("open failed");
        for (int i = 0; i < FILE_CHUNKS; i++)
            if (read(fd, chunk, CHUNK) != CHUNK)
                die("read failed");
        close(fd);
    }
    remove_file();
}

/* A page more, a store to it, a page less. */
static void row_sbrk(uint n)
{
    while (n-- > 0) {
        char *page = sbrk(PAGE);
        if (page == (char *)-1)
            die("sbrk failed");
        *(volatile char *)page = 1;
        sbrk(-PAGE);
    }
}

/* Rounds of 16 instructions, none of which touches memory. */
static void row_alu16(uint n)
{
    uint64 rounds = n;
    if (rounds == 0)
        return;
    asm volatile("1: addi t0, t0, 1\n"
                 "   xor t1, t1, t0\n"
                 "   add t2, t2, t1\n"
                 "   slli t3, t2, 3\n"
                 "   sub t4, t3, t0\n"
                 "   or t5, t4, t1\n"
                 "   and t6, t5, t2\n"
                 "   srli t0, t6, 1\n"
                 "   add t1, t0, t2\n"
                 "   xor t2, t1, t3\n"
                 "   sub t3, t2, t4\n"
                 "   addi t4, t3, 7\n"
                 "   sltu t5, t4, t6\n"
                 "   add t6, t5, t0\n"
                 "   addi %0, %0, -1\n"
                 "   bnez %0, 1b\n"
                 : "+r"(rounds)
                 :
                 : "t0", "t1", "t2", "t3", "t4", "t5", "t6");
}

/* Rounds of 2 instructions: the shortest loop there is. */
static void row_alu2(uint n)
{
    uint64 rounds = n;
    if (rounds == 0)
        return;
    asm volatile("1: addi %0, %0, -1\n"
                 "   bnez %0, 1b\n"
                 : "+r"(rounds));
}

/* Rounds of 10 instructions: 3 loads and 3 stores among them. */
static void row_loadstore(uint n)
{
    static uint64 memory[64];
    uint64 rounds = n;
    if (rounds == 0)
        return;
    asm volatile("1: ld t0, 0(%1)\n"
                 "   addi t0, t0, 1\n"
                 "   sd t0, 8(%1)\n"
                 "   ld t1, 16(%1)\n"
                 "   sd t1, 128(%1)\n"
                 "   ld t2, 256(%1)\n"
                 "   add t2, t2, t0\n"
                 "   sd t2, 264(%1)\n"
                 "   addi %0, %0, -1\n"
                 "   bnez %0, 1b\n"
                 : "+r"(rounds)
                 : "r"(memory)
                 : "t0", "t1", "t2", "memory");
}

static const struct {
    const char *name;
    void (*run)(uint n);
} rows[] = {
    {"getpid", row_getpid},     {"fork", row_fork},         {"exec", row_exec},
    {"pipe", row_pipe},         {"pingpong", row_pingpong}, {"create", row_create},
    {"readfile", row_readfile}, {"sbrk", row_sbrk},         {"alu16", row_alu16},
    {"alu2", row_alu2},         {"loadstore", row_loadstore},
};

#define ROWS ((int)(sizeof rows / sizeof rows[0]))

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 2 && strcmp(argv[1], "exit") == 0)
        exit(0);
    if (argc == 3) {
        for (int i = 0; i < ROWS; i++) {
            if (strcmp(argv[1], rows[i].name) == 0) {
                rows[i].run(atoi(argv[2]));
                printf("bench: %s %s done\n", argv[1], argv[2]);
                exit(0);
            }
        }
    }
    fprintf(2, "usage: bench ROW N; ROW is one of");
    for (int i = 0; i < ROWS; i++)
        fprintf(2, " %s", rows[i].name);
    fprintf(2, "\n");
    exit(1);
}
