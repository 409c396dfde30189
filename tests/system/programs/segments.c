/* segments SEED COUNT: writes programs of random segments and executes each in a child.

   What a segment holds is code that forks, grows its heap, stores there and ends with status RAN; whether it
   gets that far depends on where the segments lie and what may be done with them.  Whatever they are, the
   kernel goes on, and the status is one of four.  Before that come programs that must run. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"

enum { R = 4, W = 2, X = 1, RAN = 7, REFUSED = 99, SEGMENTS = 6, CODE_AT = 1024, MIB = 1 << 20, PAGE = 4096 };

struct header {
    uint32 words[4];
    uint16 type, machine;
    uint32 version;
    uint64 entry, phoff, shoff;
    uint32 flags;
    uint16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct segment {
    uint32 type, flags;
    uint64 offset, vaddr, paddr, filesz, memsz, align;
};

static struct {
    struct header header;
    struct segment segments[SEGMENTS];
} file;

#define LI(reg, n) ((uint32)(n) << 20 | (reg) << 7 | 0x13)
#define ECALL 0x73
#define SD_ZERO_A0 0x00053023

enum { A0 = 10, A1 = 11, A7 = 17 };

static const uint32 code[] = {
    LI(A7, 1), ECALL,                                     /* fork() */
    LI(A0, 0), LI(A7, 3), ECALL,                          /* wait(0): -1 in the child */
    LI(A0, 2047), LI(A1, 1), LI(A7, 12), ECALL,           /* sbrk(2047, SBRK_EAGER) */
    SD_ZERO_A0,                                           /* a store there, if there was memory */
    LI(A0, RAN), LI(A7, 2), ECALL,                        /* exit(RAN) */
};

static uint64 seed;

static uint64 any(uint64 n)
{
    seed = seed * 6364136223846793005UL + 1442695040888963407UL;
    return (seed >> 33) % n;
}

static struct segment *add(uint64 vaddr, uint64 memsz, uint32 flags)
{
    struct segment *s = &file.segments[file.header.phnum++];
    s->type = 1;
    s->flags = flags;
    s->vaddr = vaddr;
    s->memsz = memsz;
    s->offset = CODE_AT;
    s->filesz = memsz < sizeof code ? memsz : sizeof code;
    return s;
}

static void begin(uint64 entry)
{
    memset(&file, 0, sizeof file);
    file.header.words[0] = 0x464c457f;
    file.header.words[1] = 0x00010102;
    file.header.type = 2;
    file.header.machine = 243;
    file.header.phoff = sizeof file.header;
    file.header.phentsize = sizeof(struct segment);
    file.header.entry = entry;
}

/* What becomes of the program that was put together. */
static int run(void)
{
    static char nothing[CODE_AT];
    char *argv[] = {"piece", 0};
    int status = -2, fd = open("piece", O_CREATE | O_RDWR | O_TRUNC);
    write(fd, &file, sizeof file);
    write(fd, nothing, CODE_AT - sizeof file);
    write(fd, code, sizeof code);
    write(fd, nothing, CODE_AT);
    close(fd);
    if (fork() == 0) {
        exec("piece", argv);
        exit(REFUSED);
    }
    wait(&status);
    return status;
}

static void must_run(const char *what)
{
    int status = run();
    if (status != RAN)
        printf("segments: %s: status %d\n", what, status);
}

static void those_that_run(void)
{
    begin(0), add(0, 3 * MIB, R | X), must_run("large text");
    begin(0), add(0, 3 * MIB, R | W | X), must_run("large text that can be written");
    begin(2 * MIB), add(2 * MIB, 2 * MIB, R | X), must_run("a hole before the text");
    begin(0), add(0, 100, R | X), add(PAGE, 5 * MIB, R), must_run("large constants");
    begin(3 * MIB), add(3 * MIB, 100, R | X), add(PAGE, 2 * PAGE, R | W), must_run("descending order");
    begin(0), add(0, 2 * PAGE, R | X), add(PAGE, 2 * PAGE, R | X), must_run("text over text");
    begin(0), add(0, 2 * PAGE, R | X), add(0, 0x1800, R | W), must_run("data over text");
    begin(0), add(0, 0, R | W), add(0, 0x800, R | X), must_run("a segment of nothing");
}

static void any_segments(void)
{
    static const uint64 sizes[] = {0, 1, 200, 0xfff, PAGE, 0x1001, 3 * PAGE, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 3 * MIB};
    static const uint64 wild[] = {1, 0x801, 1UL << 32, 1UL << 38, 1UL << 63, -1UL, -4096UL};
    begin(any(6) * PAGE);
    for (int i = 1 + any(SEGMENTS); i > 0; i--) {
        uint64 vaddr = any(3) ? any(6) * PAGE : 2 * MIB + (any(4) - 2) * PAGE;
        struct segment *s = add(vaddr, sizes[any(sizeof sizes / sizeof *sizes)], any(8));
        s->offset = any(4) ? CODE_AT : any(2 * PAGE);
        if (!any(12))
            (&s->offset)[any(6)] = wild[any(sizeof wild / sizeof *wild)];
    }
}

int main(int argc, char **argv)
{
    those_that_run();
    seed = atoi(argv[1]);
    for (int i = atoi(argv[2]); i > 0; i--) {
        any_segments();
        int status = run();
        if (status != RAN && status != REFUSED && status != -1)
            printf("segments: status %d\n", status);
    }
    unlink("piece");
    printf("segments: done\n");
    return 0;
}
