/* hostile: does everything wrong that a program can, for as many children and from such a seed as asked.

       hostile code SEED CHILDREN      runs random instructions
       hostile calls SEED CHILDREN     makes random system calls with random arguments
       hostile both SEED CHILDREN      random instructions, with system calls among them

   Each child is given a few ticks, then killed.  The kernel has to be as it was afterwards; that is for
   whoever runs this to see.  Prints "hostile: done". */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/param.h"
#include "kernel/riscv.h"
#include "kernel/syscall.h"
#include "user/user.h"

#define WORDS 256
#define CALLS 60
#define BATCH 8 /* children at a time */

static uint64 state;

static uint64 next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545F4914F6CDD1D;
}

static uint below(uint n)
{
    return (uint)(next() >> 33) % n;
}

/* The code runs in a page of text: the test makes the text segment writable. */
__attribute__((section(".text.scratch"), aligned(4096))) static uint code[WORDS + 1] = {0x0000006f};

static const uint opcodes[] = {
    0x03, 0x07, 0x0f, 0x13, 0x17, 0x1b, 0x23, 0x27, 0x2f, 0x33, 0x37, 0x3b, 0x43, 0x47, 0x4b, 0x4f, 0x53, 0x63,
    0x67, 0x6f, 0x73, 0x0b,
};

/* Words that mean something to a hart: system instructions, fences, jumps to nowhere. */
static const uint special[] = {
    0x10200073 /* sret */,     0x30200073 /* mret */,    0x10500073 /* wfi */,      0x12000073 /* sfence.vma */,
    0x00100073 /* ebreak */,   0x0000100f /* fence.i */, 0x18001073 /* csrw satp */, 0x10501073 /* csrw stvec */,
    0x30501073 /* csrw mtvec */, 0xc0102573 /* rdtime */, 0xc0002573 /* rdcycle */,  0x00008067 /* ret */,
    0x00000000,                0xffffffff,               0x00010001 /* c.nop c.nop */, 0x100032af /* lr.d */,
};

/* A load, store or atomic near a1, which begins as the address of this code, or sp. */
static uint random_access(void)
{
    uint word = (uint)next(), base = below(2) ? 11 : 2, offset = below(1024), width = below(4);
    uint fields = (word & 0x1f) << 7 | width << 12 | base << 15;
    if (below(8) == 0)
        return 0x2f | fields | (word & 0xfff00000);
    if (below(2))
        return 0x03 | fields | offset << 20;
    return 0x23 | (offset & 0x1f) << 7 | width << 12 | base << 15 | (word >> 12 & 0x1f) << 20 | offset >> 5 << 25;
}

/* Half of the words are good instructions, or no program would get beyond its first few. */
static uint random_word(int with_calls)
{
    uint word = (uint)next();
    switch (below(16)) {
    case 0:
        return special[below(sizeof special / sizeof special[0])];
    case 1:
        return word;
    case 2:
        return with_calls ? 0x00000073 : word << 7 | 0x53;
    case 3: /* li a7, small: the number of some call */
        return 0x00000893 | below(24) << 20;
    case 4:
        return word << 7 | opcodes[below(sizeof opcodes / sizeof opcodes[0])];
    case 5: /* a branch or a jump that stays near */
        return below(2) ? 0x63 | (word & 0x01fff000) | below(16) << 8 : 0x6f | below(32) << 21 | (word & 1) << 7;
    case 6:
    case 7:
    case 8:
        return random_access();
    case 9:
    case 10:
        return 0x33 | (word & 0x01ffff80);
    default:
        return 0x13 | (word & 0xfff00f80) | (word & 7) << 15;
    }
}

static void close_all(void)
{
    for (int fd = 0; fd < NOFILE; fd++)
        close(fd);
}

static void run_code(int with_calls)
{
    for (int i = 0; i < WORDS; i++)
        code[i] = random_word(with_calls);
    code[WORDS] = 0x0000006f; /* the end: a loop */
    /* Only now is the page executed for the first time, in a child of its own. */
    int pid = fork();
    if (pid == 0) {
        close_all();
        ((void (*)(uint64, uint64, uint64))code)(next(), (uint64)code, next());
        exit(0);
    }
    exit(0); /* the child is init's, and killed by pid */
}

static uint64 random_argument(void)
{
    static const uint64 edges[] = {
        0, 1, 7, 4095, 4096, MAXVA - 1, MAXVA, MAXVA - 4096, MAXVA - 8192, 0x80000000, 0x10000000, 1UL << 63,
        -1, -8, -4096, 0x7fffffff, 0xffffffff, 0x3ffffff000,
    };
    static char names[][8] = {"f", "g", "d", "d/f", "/", ".", "..", "d/..", "nosuch", "h", ""};
    switch (below(5)) {
    case 0:
        return edges[below(sizeof edges / sizeof edges[0])];
    case 1:
        return below(20);
    case 2:
        return (uint64)names[below(sizeof names / sizeof names[0])];
    case 3:
        return (uint64)sbrk(0) - 100 + below(200);
    default:
        return next();
    }
}

static uint64 system_call(uint64 number, uint64 a, uint64 b, uint64 c)
{
    register uint64 a0 asm("a0") = a;
    register uint64 a1 asm("a1") = b;
    register uint64 a2 asm("a2") = c;
    register uint64 a7 asm("a7") = number;
    asm volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

/* Not what would only take time or hurt others: sleeping long, killing whoever it meets. */
static void one_call(void)
{
    uint64 number = below(26);
    uint64 a = random_argument(), b = random_argument(), c = random_argument();
    switch (number) {
    case SYS_exit:
    case SYS_sleep:
        a = below(2);
        break;
    case SYS_kill:
        a = below(2) ? getpid() : -a;
        break;
    case SYS_fork: /* a child that ends at once */
        if (below(4) == 0 && fork() == 0)
            exit(below(256));
        return;
    case SYS_write: /* bounded, or the disk would be full */
        if ((int)c > 5000)
            c = below(5000);
        break;
    case 22:
        number = next();
        break;
    case 23:
        number = SYS_ps;
        break;
    case 24:
        number = SYS_poweroff;
        break;
    }
    system_call(number, a, b, c);
}

static void run_calls(void)
{
    close_all();
    for (int i = 0; i < CALLS; i++)
        one_call();
    exit(0);
}

static void child(const char *what)
{
    if (strcmp(what, "calls") == 0)
        run_calls();
    else
        run_code(strcmp(what, "both") == 0);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(2, "usage: hostile code|calls|both seed children\n");
        return 2;
    }
    uint64 seed = atoi(argv[2]);
    int children = atoi(argv[3]);
    mkdir("hostile.d");
    chdir("hostile.d");
    for (int i = 0; i < children; i += BATCH) {
        int first = getpid();
        for (int n = i; n < i + BATCH && n < children; n++) {
            int pid = fork();
            if (pid == 0) {
                state = (seed * 1000003 + n) * 0x9E3779B97F4A7C15 + 1;
                next();
                child(argv[1]);
            }
            first = pid > 0 && n == i ? pid : first;
        }
        sleep(2);
        /* All that came after the batch's first, whatever they have become; pids only grow. */
        int last = fork();
        if (last == 0)
            exit(0);
        for (int pid = first; pid < last; pid++)
            if (pid != getpid())
                kill(pid);
        while (wait(0) >= 0)
            ;
    }
    printf("hostile: done\n");
    return 0;
}
