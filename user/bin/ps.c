/* ps: a line for each process: its number, its parent's, what it does, its bytes of memory, its name. */

#include "kernel/types.h"
#include "kernel/param.h"
#include "kernel/ps.h"
#include "user/user.h"

static const char *const state_names[] = PS_STATE_NAMES;

/* Prints s in a column of `width`, at most 8, and a blank. */
static void print_column(const char *s, int width)
{
    static const char blanks[] = "        ";
    int missing = width - strlen(s);
    printf("%s%s ", s, missing > 0 ? blanks + sizeof blanks - 1 - missing : "");
}

static void print_number(uint64 value, int width)
{
    char digits[21], *p = digits + sizeof digits - 1;
    *p = 0;
    do
        *--p = '0' + value % 10;
    while ((value /= 10) != 0);
    print_column(p, width);
}

int main(void)
{
    static struct psinfo processes[NPROC];
    int n = ps(processes, NPROC);
    if (n < 0) {
        fprintf(2, "ps: failed\n");
        return 1;
    }
    printf("PID   PPID  STATE  SIZE     NAME\n");
    for (struct psinfo *p = processes; p < processes + n && p < processes + NPROC; p++) {
        print_number(p->pid, 5);
        print_number(p->ppid, 5);
        print_column(state_names[p->state], 6);
        print_number(p->size, 8);
        printf("%s\n", p->name);
    }
    return 0;
}
