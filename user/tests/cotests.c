/* cotests: coroutines and channels (user/co.h).  Who has a turn when, what survives a switch, how stacks come
   and go, what a channel keeps and in which order, and what is said where nothing can go on. */

#include "kernel/types.h"
#include "kernel/riscv.h"
#include "user/user.h"
#include "user/co.h"
#include "user/testing.h"

static char notes[64]; /* what the coroutines of a case did, a letter each */
static int traced;

static void note(char c)
{
    check(traced < (int)sizeof notes - 1);
    notes[traced++] = c;
}

static void forget_notes(void)
{
    memset(notes, 0, sizeof notes);
    traced = 0;
}

static int noted(const char *expected)
{
    return strcmp(notes, expected) == 0;
}

static struct co *begin(const char *name, void (*run)(void *), void *argument)
{
    struct co *co = co_create(name, run, argument, CO_STACK_BYTES);
    check(co != 0);
    return co;
}

/* -- turns -------------------------------------------------------------------------------------------- */

static void note_thrice(void *letter)
{
    for (int i = 0; i < 3; i++) {
        note((long)letter);
        co_yield();
    }
}

static void they_take_turns(void)
{
    struct co *a = begin("a", note_thrice, (void *)'a'), *b = begin("b", note_thrice, (void *)'b');
    note('m');
    co_join(a);
    co_join(b);
    check(noted("mababab"));
}

static void yielding_alone(void)
{
    for (int i = 0; i < 10; i++)
        co_yield();
    check(strcmp(co_name(co_current()), "main") == 0);
}

static void look_at_oneself(void *expected)
{
    check(co_current() == *(struct co **)expected);
    check(strcmp(co_name(co_current()), "a name of 16 by") == 0);
    co_yield();
    check(co_current() == *(struct co **)expected);
}

static void they_know_themselves(void)
{
    struct co *me = co_current(), *other = 0;
    other = begin("a name of 16 bytes and more", look_at_oneself, &other);
    check(other != me);
    co_join(other);
    check(co_current() == me);
}

static void create_another(void *depth)
{
    note('0' + (long)depth);
    if ((long)depth < 5)
        co_join(begin("nested", create_another, (void *)((long)depth + 1)));
    note('5' - (long)depth);
}

static void they_create_others(void)
{
    co_join(begin("first", create_another, 0));
    check(noted("012345012345"));
}

/* -- what survives a switch ----------------------------------------------------------------------------- */

/* More values than there are registers that a call keeps, all of them alive across the switch. */
static void keep_values(void *seed)
{
    volatile long v = (long)seed;
    long a = v + 1, b = v + 2, c = v + 3, d = v + 4, e = v + 5, f = v + 6, g = v + 7, h = v + 8;
    long i = v + 9, j = v + 10, k = v + 11, l = v + 12, m = v + 13, n = v + 14;
    for (int round = 0; round < 20; round++) {
        co_yield();
        long sum = a + b + c + d + e + f + g + h + i + j + k + l + m + n;
        check(sum == 14 * v + 105 + 14 * round);
        a++, b++, c++, d++, e++, f++, g++, h++, i++, j++, k++, l++, m++, n++;
    }
}

static void values_survive(void)
{
    struct co *all[8];
    for (long i = 0; i < 8; i++)
        all[i] = begin("keeper", keep_values, (void *)(i * 1000));
    for (int i = 0; i < 8; i++)
        co_join(all[i]);
}

static long sum_down(long n)
{
    co_yield();
    return n == 0 ? 0 : n + sum_down(n - 1);
}

static void sum_in_the_depth(void *sum)
{
    *(long *)sum = sum_down(*(long *)sum);
}

static void switches_in_the_depth(void)
{
    long sums[] = {50, 100, 150};
    struct co *all[3];
    for (int i = 0; i < 3; i++)
        all[i] = begin("summer", sum_in_the_depth, &sums[i]);
    for (int i = 0; i < 3; i++)
        co_join(all[i]);
    check(sums[0] == 1275 && sums[1] == 5050 && sums[2] == 11325);
}

/* -- the end ------------------------------------------------------------------------------------------------ */

static void exit_below(void)
{
    note('x');
    co_exit();
}

static void exit_in_the_depth(void *unused)
{
    exit_below();
    check(0);
}

static void exits_from_any_depth(void)
{
    struct co *co = begin("leaver", exit_in_the_depth, 0);
    co_yield();
    check(noted("x"));
    co_join(co); /* which has ended already */
}

static void exit_with_four(void *unused)
{
    co_yield();
    co_yield();
    exit(noted("sss") ? 4 : 5);
}

static void leave_main(void *unused)
{
    begin("other", note_thrice, (void *)'s');
    co_exit();
}

static void leave_main_to_one_that_exits(void *unused)
{
    begin("other", note_thrice, (void *)'s');
    begin("exiter", exit_with_four, 0);
    co_exit();
}

static void spin(void *unused)
{
    for (;;)
        co_yield();
}

static void return_from_main(void *unused)
{
    begin("spinner", spin, 0);
    co_yield();
}

static void join_main(void *main)
{
    co_join(main);
    exit(9);
}

static void leave_to_a_joiner(void *unused)
{
    begin("joiner", join_main, co_current());
    co_yield();
    co_exit();
}

static void the_end_of_main(void)
{
    check(status_of(leave_main, 0) == 0); /* nobody is left */
    check(status_of(leave_main_to_one_that_exits, 0) == 4);
    check(status_of(return_from_main, 0) == 0);
    check(status_of(leave_to_a_joiner, 0) == 9);
}

/* -- stacks --------------------------------------------------------------------------------------------------- */

static void tell_stack(void *where)
{
    char local __attribute__((aligned(16)));
    check((uint64)&local % 16 == 0 && (uint64)__builtin_frame_address(0) % 16 == 0);
    *(uint64 *)where = PGROUNDDOWN((uint64)&local);
}

static void stacks_are_used_again(void)
{
    uint64 first, second, third, large;
    co_join(begin("first", tell_stack, &first));
    co_join(begin("second", tell_stack, &second));
    check(first == second);
    struct co *co = co_create("large", tell_stack, &large, 5 * CO_STACK_BYTES);
    co_join(begin("third", tell_stack, &third));
    co_join(co);
    check(third == first && large != first);
    for (int i = 0; i < 500; i++) {
        co_detach(begin("detached", tell_stack, &second));
        co_yield();
        check(second == first || second == large);
    }
}

static void detached_after_their_end(void)
{
    uint64 first, second;
    struct co *co = begin("first", tell_stack, &first);
    co_yield();
    co_detach(co);
    co_join(begin("second", tell_stack, &second));
    check(first == second);
}

static void too_large_a_stack(void)
{
    check(co_create("huge", spin, 0, 0xffffffff) == 0);
    check(co_create("huge", spin, 0, 0xfffff001) == 0);
    struct co *small = co_create("small", note_thrice, (void *)'s', 0);
    check(small != 0);
    co_join(small);
    check(noted("sss"));
}

/* So many calls, of which each takes half a KiB. */
static void overflow(void *calls)
{
    volatile char frame[512];
    long left = (long)calls;
    frame[left % sizeof frame] = 1;
    if (left > 0)
        overflow((void *)(left - frame[left % sizeof frame]));
    frame[0] = 2;
}

static void overflow_stack(void *frames)
{
    struct co *below = co_create("below", spin, 0, 2 * PGSIZE);
    struct co *co = co_create("overflower", overflow, frames, 2 * PGSIZE);
    check(below && co);
    co_join(co);
}

static void overflow_kills(void)
{
    check(status_of(overflow_stack, (void *)10) == 0);
    check(status_of(overflow_stack, (void *)20) == KILLED);
    check(status_of(overflow_stack, (void *)100000) == KILLED);
}

static void count_down(void *left)
{
    for (int i = 0; i < 3; i++) {
        --*(int *)left;
        co_yield();
    }
}

/* As many as the kernel has mappings for; then there is no other, until one of them has ended. */
static void as_many_as_there_can_be(void)
{
    enum { MANY = 5000 };
    static struct co *all[MANY];
    int n = 0, left = 3 * MANY;
    while (n < MANY && (all[n] = co_create("one of many", count_down, &left, PGSIZE)) != 0)
        n++;
    check(n >= 16 && n < MANY);
    for (int i = 0; i < n; i++)
        co_join(all[i]);
    check(left == 3 * (MANY - n));
    co_join(co_create("another", count_down, &left, PGSIZE));
}

/* -- channels --------------------------------------------------------------------------------------------------- */

static struct channel *new_channel(const char *name, uint capacity)
{
    struct channel *ch = channel_create(name, capacity);
    check(ch != 0);
    return ch;
}

static void send_five(void *ch)
{
    for (long i = 1; i <= 5; i++) {
        check(channel_send(ch, (void *)i) == 0);
        note('0' + i);
    }
    channel_close(ch);
}

/* What is sent comes in order; the sender is ahead by what the channel holds. */
static void run_channel(int capacity, const char *expected)
{
    struct channel *ch = new_channel("numbers", capacity);
    struct co *sender = begin("sender", send_five, ch);
    void *value;
    forget_notes();
    co_yield();
    for (long i = 1; channel_receive(ch, &value) == 0; i++) {
        check((long)value == i && i <= 5);
        note('a' + i - 1);
    }
    check(channel_receive(ch, &value) == -1 && channel_send(ch, 0) == -1);
    co_join(sender);
    channel_free(ch);
    check(noted(expected));
}

static void channels_keep_order(void)
{
    run_channel(0, "a12bc34de5");
    run_channel(1, "1ab234cde5");
    run_channel(3, "123abcd45e");
    run_channel(5, "12345abcde");
}

static void receive_all(void *ch)
{
    void *value;
    while (channel_receive(ch, &value) == 0)
        note((long)value);
    note('.');
}

/* Those that wait on a channel are served in the order in which they came. */
static void channels_are_fair(void)
{
    struct channel *ch = new_channel("letters", 0);
    struct co *all[3];
    for (int i = 0; i < 3; i++)
        all[i] = begin("receiver", receive_all, ch);
    co_yield();
    for (int i = 0; i < 6; i++)
        check(channel_send(ch, (void *)(long)('a' + i)) == 0);
    channel_close(ch);
    for (int i = 0; i < 3; i++)
        co_join(all[i]);
    check(traced == 9 && notes[0] == 'a' && notes[8] == '.');
    channel_free(ch);
}

static void send_to_closed(void *ch)
{
    check(channel_send(ch, (void *)1) == -1);
    note('s');
}

static void close_wakes_all(void)
{
    struct channel *full = new_channel("full", 1);
    void *value;
    check(channel_send(full, (void *)7) == 0);
    struct co *a = begin("a", send_to_closed, full), *b = begin("b", send_to_closed, full);
    co_yield();
    channel_close(full);
    co_join(a);
    co_join(b);
    check(noted("ss"));
    check(channel_receive(full, &value) == 0 && (long)value == 7);
    check(channel_receive(full, &value) == -1);
    channel_free(full);
}

struct stage {
    struct channel *in, *out;
};

/* Passes on what its first number does not divide, and that to nobody; as many stages as primes. */
static void sift(void *in)
{
    void *value;
    if (channel_receive(in, &value) < 0)
        return;
    long prime = (long)value;
    note(prime);
    struct channel *out = new_channel("sieve", 2);
    struct co *next = begin("sifter", sift, out);
    while (channel_receive(in, &value) == 0)
        if ((long)value % prime != 0)
            channel_send(out, value);
    channel_close(out);
    co_join(next);
    channel_free(out);
}

static void sieve_of_channels(void)
{
    static const char primes[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 0};
    struct channel *numbers = new_channel("numbers", 0);
    struct co *first = begin("first", sift, numbers);
    for (long n = 2; n < 41; n++)
        check(channel_send(numbers, (void *)n) == 0);
    channel_close(numbers);
    co_join(first);
    check(noted(primes));
    channel_free(numbers);
}

enum { PRODUCERS = 4, CONSUMERS = 3, EACH = 100 };

static int received[PRODUCERS * EACH];

static void produce(void *argument)
{
    static int producers;
    uint x = producers++, first = x * EACH;
    for (uint i = 0; i < EACH; i++) {
        check(channel_send(argument, (void *)(uint64)(first + i)) == 0);
        x = x * 1664525 + 1013904223;
        if (x >> 31)
            co_yield();
    }
}

/* What one consumer gets of one producer comes in the order in which it was sent. */
static void consume(void *ch)
{
    int newest[PRODUCERS] = {-1, -1, -1, -1};
    void *value;
    uint x = 7;
    while (channel_receive(ch, &value) == 0) {
        int n = (long)value;
        check(n > newest[n / EACH]);
        newest[n / EACH] = n;
        received[n]++;
        x = x * 1664525 + 1013904223;
        if (x >> 30 == 0)
            co_yield();
    }
}

static void many_on_one_channel(void)
{
    struct channel *ch = new_channel("crowded", 2);
    struct co *producers[PRODUCERS], *consumers[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = begin("consumer", consume, ch);
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = begin("producer", produce, ch);
    for (int i = 0; i < PRODUCERS; i++)
        co_join(producers[i]);
    channel_close(ch);
    for (int i = 0; i < CONSUMERS; i++)
        co_join(consumers[i]);
    for (int i = 0; i < PRODUCERS * EACH; i++)
        check(received[i] == 1);
    channel_free(ch);
}

static void too_large_a_channel(void)
{
    check(channel_create("huge", CHANNEL_VALUES_MAX + 1) == 0);
    check(channel_create("huge", 0xffffffff) == 0);
}

/* -- nothing can go on ---------------------------------------------------------------------------------------- */

static void receive_for_ever(void *ch)
{
    void *value;
    channel_receive(ch, &value);
    note('!');
}

static void send_twice(void *ch)
{
    channel_send(ch, 0);
    channel_send(ch, 0);
    note('!');
}

static void join_it(void *co)
{
    co_join(*(struct co **)co);
}

static void all_wait(void *unused)
{
    struct co *receiver = begin("receiver", receive_for_ever, new_channel("replies", 3));
    begin("sender", send_twice, new_channel("requests", 1));
    co_join(receiver);
}

static void all_wait_when_one_ends(void *unused)
{
    begin("receiver", receive_for_ever, new_channel("replies", 3));
    co_exit();
}

static void join_each_other(void *unused)
{
    struct co *a, *b;
    a = begin("a", join_it, &b);
    b = begin("b", join_it, &a);
    co_yield();
    co_exit();
}

static void join_oneself(void *unused)
{
    co_join(co_current());
}

static void join_twice(void *unused)
{
    struct co *co = begin("receiver", spin, 0);
    begin("other", join_it, &co);
    co_yield();
    co_join(co);
}

static void join_detached(void *unused)
{
    struct co *co = begin("spinner", spin, 0);
    co_detach(co);
    co_join(co);
}

static void free_what_is_waited_for(void *unused)
{
    struct channel *ch = new_channel("replies", 0);
    begin("receiver", receive_for_ever, ch);
    co_yield();
    channel_free(ch);
}

/* Whether a process that does body() ends with status 1 after exactly that on its standard error. */
static int ends_saying(void (*body)(void *), const char *expected)
{
    char said[200];
    int fds[2], n = 0, got;
    check(pipe(fds) == 0);
    int pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        close(2);
        check(dup(fds[1]) == 2);
        close(fds[1]);
        body(0);
        exit(0);
    }
    close(fds[1]);
    while ((got = read(fds[0], said + n, sizeof said - 1 - n)) > 0)
        n += got;
    said[n] = 0;
    close(fds[0]);
    return reap(pid) == 1 && strcmp(said, expected) == 0;
}

static void deadlocks_are_told(void)
{
    check(ends_saying(all_wait, "deadlock: main waits to join receiver, receiver waits to receive from replies, "
                                "sender waits to send to requests\n"));
    check(ends_saying(all_wait_when_one_ends, "deadlock: receiver waits to receive from replies\n"));
    check(ends_saying(join_each_other, "deadlock: a waits to join b, b waits to join a\n"));
    check(ends_saying(join_oneself, "deadlock: main waits to join main\n"));
}

static void mistakes_are_told(void)
{
    check(ends_saying(join_twice, "coroutine main: cannot join, for somebody did or it was detached: receiver\n"));
    check(ends_saying(join_detached, "coroutine main: cannot join, for somebody did or it was detached: spinner\n"));
    check(ends_saying(free_what_is_waited_for,
                      "coroutine main: cannot free, for somebody waits on it: replies\n"));
}

/* -- processes ------------------------------------------------------------------------------------------------ */

static void fork_alone(void *fd)
{
    int pid = co_fork();
    check(pid >= 0);
    note(pid == 0 ? 'c' : 'p');
    co_yield(); /* in the child nobody else runs */
    if (pid == 0)
        check(noted("1c"));
    else
        check(reap(pid) == 0);
}

/* In the child of co_fork() the others have ended; it can create its own. */
static void fork_with_others(void *unused)
{
    struct channel *ch = new_channel("nobody's", 0);
    struct co *receiver = begin("receiver", receive_for_ever, ch);
    struct co *noter = begin("noter", note_thrice, (void *)'s');
    forget_notes();
    co_yield();
    int pid = co_fork();
    check(pid >= 0);
    if (pid == 0) {
        co_join(receiver);
        co_join(noter);
        struct co *sender = begin("sender", send_twice, ch);
        void *value;
        check(channel_receive(ch, &value) == 0 && channel_receive(ch, &value) == 0);
        co_join(sender);
        check(noted("s!"));
        exit(3);
    }
    co_join(noter);
    check(noted("sss"));
    check(reap(pid) == 3);
}

static void forks_leave_the_caller_alone(void)
{
    note('1');
    co_join(begin("forker", fork_alone, 0));
    check(noted("1p"));
    check(status_of(fork_with_others, 0) == 0);
}

/* A plain fork() copies them all. */
static void plain_forks_copy_all(void)
{
    struct co *a = begin("a", note_thrice, (void *)'a');
    co_yield();
    int pid = fork();
    check(pid >= 0);
    co_join(a);
    check(noted("aaa"));
    if (pid == 0)
        exit(0);
    check(reap(pid) == 0);
}

static void run_echo(void *unused)
{
    char *argv[] = {"/echo", 0};
    close(1);
    exec("/echo", argv);
}

static void exec_in_coroutine(void *unused)
{
    begin("spinner", spin, 0);
    co_join(begin("runner", run_echo, 0));
}

static void programs_start_from_coroutines(void)
{
    check(status_of(exec_in_coroutine, 0) == 0);
}

static const struct test tests[] = {
    {"they_take_turns", they_take_turns},
    {"yielding_alone", yielding_alone},
    {"they_know_themselves", they_know_themselves},
    {"they_create_others", they_create_others},
    {"values_survive", values_survive},
    {"switches_in_the_depth", switches_in_the_depth},
    {"exits_from_any_depth", exits_from_any_depth},
    {"the_end_of_main", the_end_of_main},
    {"stacks_are_used_again", stacks_are_used_again},
    {"detached_after_their_end", detached_after_their_end},
    {"too_large_a_stack", too_large_a_stack},
    {"overflow_kills", overflow_kills},
    {"as_many_as_there_can_be", as_many_as_there_can_be},
    {"channels_keep_order", channels_keep_order},
    {"channels_are_fair", channels_are_fair},
    {"close_wakes_all", close_wakes_all},
    {"sieve_of_channels", sieve_of_channels},
    {"many_on_one_channel", many_on_one_channel},
    {"too_large_a_channel", too_large_a_channel},
    {"deadlocks_are_told", deadlocks_are_told},
    {"mistakes_are_told", mistakes_are_told},
    {"forks_leave_the_caller_alone", forks_leave_the_caller_alone},
    {"plain_forks_copy_all", plain_forks_copy_all},
    {"programs_start_from_coroutines", programs_start_from_coroutines},
    {0},
};

int main(int argc, char **argv)
{
    return test_main(argc, argv, (const struct test *const[]){tests, 0});
}
