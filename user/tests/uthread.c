/* uthread: three threads count to a hundred and yield after each number, so that their lines take turns.  The
   smallest program on user/co.h; what it prints is what the labs' program of this name prints. */

#include "kernel/types.h"
#include "user/user.h"
#include "user/co.h"

#define COUNT 100

static const char *const names[] = {"thread_a", "thread_b", "thread_c"};

#define THREADS ((int)(sizeof names / sizeof names[0]))

static int started; /* how many threads run: nobody counts before all do */

static void count(void *given)
{
    const char *name = given;
    printf("%s started\n", name);
    started++;
    while (started < THREADS)
        co_yield();

    for (int i = 0; i < COUNT; i++) {
        printf("%s %d\n", name, i);
        co_yield();
    }
    printf("%s: exit after %d\n", name, COUNT);
}

int main(void)
{
    struct co *threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = co_create(names[i], count, (void *)names[i], CO_STACK_BYTES);
        if (threads[i] == 0) {
            fprintf(2, "uthread: no memory for %s\n", names[i]);
            return 1;
        }
    }
    for (int i = 0; i < THREADS; i++)
        co_join(threads[i]);
    printf("thread_schedule: no runnable threads\n");
    return 0;
}
