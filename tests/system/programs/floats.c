/* floats: floating point is off in user mode, and no instruction switches it on; a pc is never odd.

   With an argument it is the program that was begun at an odd entry point. */

#include "kernel/types.h"
#include "user/user.h"

/* A child runs this, and is to be killed for it. */
#define TRY(text)                     \
    do {                              \
        if (fork() == 0) {            \
            asm volatile(text);       \
            exit(0);                  \
        }                             \
        tried++;                      \
        killed += wait_for_child();   \
    } while (0)

static int tried, killed;

static int wait_for_child(void)
{
    int status;
    wait(&status);
    return status == -1;
}

static int is_odd(void)
{
    uint64 pc;
    asm volatile("auipc %0, 0" : "=r"(pc));
    return pc & 1;
}

static void handler(void)
{
    char *again[] = {"/odd", "again", 0};

    printf("alarm at %s address\n", is_odd() ? "an odd" : "an even");
    exec("/odd", again);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        printf("entered at %s address\n", is_odd() ? "an odd" : "an even");
        return 0;
    }
    TRY("fsgnj.d f0, f1, f2\nfmv.x.d a0, f1");
    TRY("fsgnjn.d f1, f1, f1");
    TRY("fsgnjx.s f1, f1, f1");
    TRY("fmv.d.x f1, a0");
    TRY("fadd.d f1, f1, f1");
    TRY("fmadd.s f1, f1, f1, f1");
    TRY("feq.d a0, f1, f1");
    TRY("fcvt.l.d a0, f1");
    TRY("fclass.d a0, f1");
    TRY("flw f1, 0(sp)");
    TRY("fsd f1, 0(sp)");
    TRY("c.fld f8, 0(s0)");
    TRY("c.fsd f8, 0(s0)");
    TRY("c.fldsp f8, 0(sp)");
    TRY("c.fsdsp f8, 0(sp)");
    TRY("csrr a0, fcsr");
    TRY("csrwi fflags, 1");
    TRY("csrsi frm, 1");
    printf("%d tried, %d killed\n", tried, killed);

    sigalarm(1, (void (*)(void))((uint64)handler | 1));
    asm volatile("1: c.j 1b"); /* until the alarm; this takes no host time */
    return 1;
}
