/* Coroutines and channels; user/co.h is their interface, co_switch.S the switch.

   Everything about a coroutine but main's lies in one mapping:

       +--------------+---------------------------------+-----------+
       | guard page,  |      <-- stack grows down       | struct co |     stack_bytes = the last two
       | no rights    |                                 |           |
       +--------------+---------------------------------+-----------+

   Those that can run, the running one among them, form a ring; tp points to the running one, and co_yield()
   goes on with its `next`.  Who is to wait leaves the ring first and keeps his `next`, so that co_yield()
   still finds the way out of him; who is woken is put in before the running one, as the last to have a turn.
   Nothing here is interrupted by another coroutine, so there are no locks. */

#include <stddef.h>

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "user/co.h"
#include "co_context.h"

struct wait_queue {
    struct co *first, *last;
};

struct co {
    struct {
        uint64 ra, sp, s[12];
    } context;
    struct co *next, *prev;           /* in the ring, while it can run */
    struct co *live_next, *live_prev; /* of all that have not ended */
    struct co *idle_next;             /* of all that have ended and were joined or detached */
    struct co *joiner;                /* who waits or has waited for its end */
    int has_ended, is_detached;
    char name[CO_NAME_BYTES];
    uint stack_bytes;

    /* while it waits */
    const char *waits_to, *waits_for; /* "join" whom, "receive from" what; for the report of a deadlock */
    struct wait_queue *queue;         /* of a channel, or 0 */
    struct co *queue_next;
    void *value; /* to be sent, or received */
    int served;  /* whether it was; else the channel was closed */
};

_Static_assert(offsetof(struct co, context.ra) == CO_RA && offsetof(struct co, context.sp) == CO_SP, "");
_Static_assert(offsetof(struct co, context.s[11]) == CO_S(11) && offsetof(struct co, next) == CO_NEXT, "");
_Static_assert(sizeof(struct co) % 16 == 0, "a stack, which begins below it, is aligned to 16 bytes");

struct channel {
    struct wait_queue senders, receivers;
    int is_closed;
    char name[CO_NAME_BYTES];
    uint capacity, first, count;
    void *values[]; /* a ring: `count` of them from `first` on */
};

void co_start(void); /* of co_switch.S */

/* main()'s; start.S lets tp point here before main() is called. */
struct co co_main = {.next = &co_main, .prev = &co_main, .name = "main"};

static struct co *live = &co_main;
static struct co *idle;

struct co *co_current(void)
{
    struct co *co;
    __asm__("mv %0, tp" : "=r"(co));
    return co;
}

const char *co_name(struct co *co)
{
    return co->name;
}

static void set_name(char *name, const char *from)
{
    int n = 0;
    for (; n < CO_NAME_BYTES - 1 && from[n]; n++)
        name[n] = from[n];
    name[n] = 0;
}

static void refuse(const char *why, const char *name)
{
    fprintf(2, "coroutine %s: %s %s\n", co_current()->name, why, name);
    exit(1);
}

/* -- the ring, and the lists ---------------------------------------------------------------------------- */

/* Lets it have its turn after all that can run now. */
static void make_runnable(struct co *co)
{
    struct co *current = co_current();
    co->next = current;
    co->prev = current->prev;
    co->prev->next = co;
    current->prev = co;
}

static void leave_ring(struct co *co)
{
    co->prev->next = co->next;
    co->next->prev = co->prev;
}

static void add_to_live(struct co *co)
{
    co->live_prev = 0;
    co->live_next = live;
    if (live)
        live->live_prev = co;
    live = co;
}

static void remove_from_live(struct co *co)
{
    if (co->live_prev)
        co->live_prev->live_next = co->live_next;
    else
        live = co->live_next;
    if (co->live_next)
        co->live_next->live_prev = co->live_prev;
}

static void add_to_idle(struct co *co)
{
    co->idle_next = idle;
    idle = co;
}

/* An idle one with a stack of that size or a larger one, or 0. */
static struct co *take_idle(uint stack_bytes)
{
    struct co **link = &idle;
    while (*link && (*link)->stack_bytes < stack_bytes)
        link = &(*link)->idle_next;
    struct co *co = *link;
    if (co)
        *link = co->idle_next;
    return co;
}

/* -- waiting ----------------------------------------------------------------------------------------------- */

/* All that live wait for each other.  Says so in one line, oldest first. */
static void report_deadlock(void)
{
    const char *separator = "deadlock:";
    struct co *co = live;
    while (co && co->live_next)
        co = co->live_next;
    for (; co; co = co->live_prev) {
        fprintf(2, "%s %s waits to %s %s", separator, co->name, co->waits_to, co->waits_for);
        separator = ",";
    }
    fprintf(2, "\n");
    exit(1);
}

/* The running one waits, until another one makes it runnable. */
static void wait_to(const char *verb, const char *what)
{
    struct co *co = co_current();
    co->waits_to = verb;
    co->waits_for = what;
    if (co->next == co)
        report_deadlock();
    leave_ring(co);
    co_yield();
}

/* The same in a queue of a channel.  0, or -1 where the channel was closed meanwhile. */
static int wait_in(struct wait_queue *queue, const char *verb, struct channel *ch)
{
    struct co *co = co_current();
    co->queue_next = 0;
    if (queue->first)
        queue->last->queue_next = co;
    else
        queue->first = co;
    queue->last = co;
    co->queue = queue;
    wait_to(verb, ch->name);
    co->queue = 0;
    return co->served ? 0 : -1;
}

/* Wakes the one that has waited longest in `queue`, telling it whether it was served.  It, or 0. */
static struct co *wake_first(struct wait_queue *queue, int served)
{
    struct co *co = queue->first;
    if (co) {
        queue->first = co->queue_next;
        co->served = served;
        make_runnable(co);
    }
    return co;
}

/* -- coroutines -------------------------------------------------------------------------------------------- */

/* Memory for one with a stack of that size, whole pages; or 0. */
static struct co *map_stack(uint stack_bytes)
{
    uint64 bytes = PGSIZE + (uint64)stack_bytes;
    char *guard = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (guard == MAP_FAILED)
        return 0;
    if (mprotect(guard, PGSIZE, PROT_NONE) < 0) {
        munmap(guard, bytes);
        return 0;
    }
    struct co *co = (struct co *)(guard + bytes) - 1;
    co->stack_bytes = stack_bytes;
    return co;
}

struct co *co_create(const char *name, void (*run)(void *), void *argument, uint stack_bytes)
{
    if (stack_bytes > -(uint)PGSIZE)
        return 0;
    stack_bytes = stack_bytes ? PGROUNDUP(stack_bytes) : PGSIZE;
    struct co *co = take_idle(stack_bytes);
    if (co == 0)
        co = map_stack(stack_bytes);
    if (co == 0)
        return 0;

    /* s0 = 0 ends the chain of frames */
    stack_bytes = co->stack_bytes;
    *co = (struct co){.stack_bytes = stack_bytes};
    co->context.ra = (uint64)co_start;
    co->context.sp = (uint64)co;
    co->context.s[1] = (uint64)run;
    co->context.s[2] = (uint64)argument;
    set_name(co->name, name);
    add_to_live(co);
    make_runnable(co);
    return co;
}

/* Whoever ends stands on the stack that he hands on: nobody takes it before the switch. */
void co_exit(void)
{
    struct co *co = co_current();
    remove_from_live(co);
    co->has_ended = 1;
    if (co->joiner)
        make_runnable(co->joiner);
    else if (co->is_detached)
        add_to_idle(co);

    if (co->next == co) {
        if (live)
            report_deadlock();
        exit(0);
    }
    leave_ring(co);
    co_yield();
    __builtin_unreachable();
}

void co_join(struct co *co)
{
    if (co->joiner || co->is_detached)
        refuse("cannot join, for somebody did or it was detached:", co->name);
    co->joiner = co_current();
    if (!co->has_ended)
        wait_to("join", co->name);
    add_to_idle(co);
}

void co_detach(struct co *co)
{
    if (co->joiner || co->is_detached)
        refuse("cannot detach, for somebody did or it was joined:", co->name);
    co->is_detached = 1;
    if (co->has_ended)
        add_to_idle(co);
}

int co_fork(void)
{
    int pid = fork();
    if (pid != 0)
        return pid;

    struct co *current = co_current(), *others = live;
    live = 0;
    while (others) {
        struct co *co = others;
        others = co->live_next;
        if (co == current)
            continue;
        co->has_ended = 1;
        if (co->queue)
            co->queue->first = 0; /* all that wait are among the others */
        if (co->is_detached || co->joiner)
            add_to_idle(co);
    }
    current->next = current->prev = current;
    current->joiner = 0;
    add_to_live(current);
    return 0;
}

/* -- channels ------------------------------------------------------------------------------------------------ */

struct channel *channel_create(const char *name, uint capacity)
{
    if (capacity > CHANNEL_VALUES_MAX)
        return 0;
    struct channel *ch = malloc(sizeof *ch + capacity * sizeof ch->values[0]);
    if (ch == 0)
        return 0;
    *ch = (struct channel){.capacity = capacity};
    set_name(ch->name, name);
    return ch;
}

static void put(struct channel *ch, void *value)
{
    ch->values[(ch->first + ch->count++) % ch->capacity] = value;
}

static void *take(struct channel *ch)
{
    void *value = ch->values[ch->first];
    ch->first = (ch->first + 1) % ch->capacity;
    ch->count--;
    return value;
}

int channel_send(struct channel *ch, void *value)
{
    if (ch->is_closed)
        return -1;
    struct co *receiver = wake_first(&ch->receivers, 1);
    if (receiver)
        receiver->value = value;
    else if (ch->count < ch->capacity)
        put(ch, value);
    else {
        co_current()->value = value;
        return wait_in(&ch->senders, "send to", ch);
    }
    return 0;
}

int channel_receive(struct channel *ch, void **value)
{
    if (ch->count > 0) {
        *value = take(ch);
        struct co *sender = wake_first(&ch->senders, 1); /* there is room now */
        if (sender)
            put(ch, sender->value);
        return 0;
    }
    struct co *sender = wake_first(&ch->senders, 1); /* of a channel that holds nothing */
    if (sender) {
        *value = sender->value;
        return 0;
    }
    if (ch->is_closed || wait_in(&ch->receivers, "receive from", ch) < 0)
        return -1;
    *value = co_current()->value;
    return 0;
}

void channel_close(struct channel *ch)
{
    ch->is_closed = 1;
    while (wake_first(&ch->senders, 0) || wake_first(&ch->receivers, 0))
        ;
}

void channel_free(struct channel *ch)
{
    if (ch->senders.first || ch->receivers.first)
        refuse("cannot free, for somebody waits on it:", ch->name);
    free(ch);
}
