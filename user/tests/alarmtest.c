/* alarmtest: sigalarm(ticks, handler) calls the handler after each so many ticks of the process's own time, and
   sigreturn() goes on where the process was.  When it comes, what it disturbs (nothing), who inherits it.
   A tick passes in 5000 system calls, or in some 10^8 instructions. */

#include "kernel/types.h"
#include "kernel/memlayout.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "user/testing.h"

static volatile int alarms;

static void count(void)
{
    alarms++;
    sigreturn();
}

/* Stays in the user's part of the processor for n ticks, or until the alarm has come `until` times. */
static void burn(int n, int until)
{
    for (int end = uptime() + n; uptime() < end && alarms < until;)
        ;
}

#define FOREVER 1000
#define NEVER 1000

/* -- when it comes ------------------------------------------------------------------------------------- */

static void after_its_ticks(void)
{
    check(sigalarm(3, count) == 0);
    int start = uptime();
    burn(FOREVER, 1);
    int took = uptime() - start;
    check(alarms == 1 && took >= 2 && took <= 4);
}

static void again_and_again(void)
{
    sigalarm(1, count);
    burn(FOREVER, 4);
    check(alarms == 4);
}

/* Nobody's time passes while it sleeps. */
static void not_while_asleep(void)
{
    sigalarm(2, count);
    sleep(6);
    check(alarms == 0);
    burn(FOREVER, 1);
    check(alarms == 1);
}

static void no_more(void)
{
    sigalarm(1, count);
    burn(FOREVER, 1);
    check(sigalarm(0, 0) == 0);
    int seen = alarms;
    burn(3, NEVER);
    check(alarms == seen);
}

static void stop_from_within(void)
{
    alarms++;
    sigalarm(0, 0);
    sigreturn();
}

static void stopped_by_its_handler(void)
{
    sigalarm(1, stop_from_within);
    burn(4, NEVER);
    check(alarms == 1);
}

static void other(void)
{
    alarms += 100;
    sigreturn();
}

static void hand_over(void)
{
    alarms++;
    sigalarm(1, other);
    sigreturn();
}

static void the_last_one_holds(void)
{
    sigalarm(1, hand_over);
    burn(FOREVER, 101);
    check(alarms == 101);
}

/* -- what it disturbs ---------------------------------------------------------------------------------- */

static volatile int in_handler, entered_again;

static void linger(void)
{
    entered_again |= in_handler;
    in_handler = 1;
    alarms++;
    burn(3, NEVER);
    in_handler = 0;
    sigreturn();
}

static void not_entered_twice(void)
{
    sigalarm(1, linger);
    burn(FOREVER, 2);
    sigalarm(0, 0);
    check(alarms == 2 && !entered_again);
}

/* Overwrites every register that a function need not keep, and some that it must. */
static void overwrite(void)
{
    alarms++;
    __asm__ volatile(".irp r, ra, gp, tp, t0, t1, t2, t3, t4, t5, t6, a0, a1, a2, a3, a4, a5, a6, a7, "
                     "s2, s3, s4, s5, s6, s7, s8, s9, s10, s11\n"
                     "li \\r, -1\n"
                     ".endr\n"
                     "li a7, 25\n" /* sigreturn */
                     "ecall\n");
}

/* Gives each register a value of its own, waits until *a0 is not 0, and tells whether all are as they were. */
int keeps_registers(volatile int *flag);
__asm__(".macro each_register action\n"
        ".set n, 1000\n"
        ".irp r, ra, gp, tp, t1, t2, t3, t4, t5, t6, a1, a2, a3, a4, a5, a6, a7, "
        "s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11\n"
        ".set n, n + 1\n"
        "\\action \\r\n"
        ".endr\n"
        ".endm\n"
        ".macro fill r\n"
        "li \\r, n\n"
        ".endm\n"
        ".macro compare r\n"
        "li t0, n\n"
        "bne t0, \\r, 2f\n"
        ".endm\n"
        ".macro keep instruction\n"
        ".set at, 0\n"
        ".irp r, ra, gp, tp, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11\n"
        "\\instruction \\r, at(sp)\n"
        ".set at, at + 8\n"
        ".endr\n"
        ".endm\n"
        "keeps_registers:\n"
        "addi sp, sp, -128\n"
        "keep sd\n"
        "each_register fill\n"
        "1: lw t0, 0(a0)\n"
        "beqz t0, 1b\n"
        "each_register compare\n"
        "li a0, 1\n"
        "j 3f\n"
        "2: li a0, 0\n"
        "3: keep ld\n"
        "addi sp, sp, 128\n"
        "ret\n");

static void registers_are_kept(void)
{
    sigalarm(1, overwrite);
    for (int round = 0; round < 2; round++) {
        alarms = 0;
        check(keeps_registers(&alarms));
    }
}

static void without_an_alarm(void)
{
    check(sigreturn() == -1);
    check(sigalarm(-1, count) == -1);
    check(sigalarm(0, count) == 0 && sigreturn() == -1);
    sigalarm(1, count);
    burn(FOREVER, 1);
    check(sigreturn() == -1); /* the handler has come back already */
}

/* -- who has it ---------------------------------------------------------------------------------------- */

static void burn_without(void *unused)
{
    (void)unused;
    alarms = 0;
    burn(3, NEVER);
    check(alarms == 0);
}

static void not_in_a_child(void)
{
    sigalarm(1, count);
    check(status_of(burn_without, 0) == 0);
    burn(FOREVER, alarms + 1);
}

static int child;

static void fork_within(void)
{
    alarms++;
    sigalarm(0, 0);
    child = fork();
    sigreturn();
}

/* Both come back from the handler, each in its own memory. */
static void forked_in_its_handler(void)
{
    int pid = getpid();
    sigalarm(1, fork_within);
    burn(FOREVER, 1);
    check(alarms == 1);
    if (getpid() != pid)
        exit(child == 0 ? 7 : 8);
    check(reap(child) == 7);
}

static char *program;

static void run_itself(void *unused)
{
    char *argv[] = {program, "-burn", 0};
    (void)unused;
    sigalarm(1, count);
    exec(program, argv);
}

static void not_after_exec(void)
{
    check(status_of(run_itself, 0) == 3);
}

/* -- handlers that are none ---------------------------------------------------------------------------- */

static void fall_into(void *handler)
{
    sigalarm(1, (void (*)(void))handler);
    burn(FOREVER, NEVER);
}

static void handlers_that_are_none(void)
{
    static const uint64 handlers[] = {PGSIZE * 1000,  KERNBASE,         TRAPFRAME,       TRAMPOLINE,
                                      MAXVA - 4,      MAXVA,            1UL << 63,       -1UL,
                                      (uint64)&alarms, (uint64)&child + 1};
    for (uint i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        check(status_of(fall_into, (void *)handlers[i]) == KILLED);
}

static const struct test tests[] = {
    {"after_its_ticks", after_its_ticks},
    {"again_and_again", again_and_again},
    {"not_while_asleep", not_while_asleep},
    {"no_more", no_more},
    {"stopped_by_its_handler", stopped_by_its_handler},
    {"the_last_one_holds", the_last_one_holds},
    {"not_entered_twice", not_entered_twice},
    {"registers_are_kept", registers_are_kept},
    {"without_an_alarm", without_an_alarm},
    {"not_in_a_child", not_in_a_child},
    {"forked_in_its_handler", forked_in_its_handler},
    {"not_after_exec", not_after_exec},
    {"handlers_that_are_none", handlers_that_are_none},
    {0},
};

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1 && strcmp(argv[1], "-burn") == 0) { /* see not_after_exec */
        burn(3, NEVER);
        return 3;
    }
    return test_main(argc, argv, (const struct test *const[]){tests, 0});
}
