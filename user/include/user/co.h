/* Coroutines: threads of one process that hand the hart to each other by themselves, and channels between
   them.  Each has a stack of its own, so it can yield or wait in the middle of any call.

   - A coroutine runs until it yields, waits in co_join() or on a channel, or ends: what it does in between
     is atomic for the others.  Those that can run take turns in a ring.
   - main() is one too, by the name "main".  When it returns, the process ends as after exit(), whatever the
     others are about; co_exit() in main() ends it alone.  When the last one has ended the process exits with 0.
   - When none can run and some wait, the process exits with 1 after a line on the standard error that names
     each and what it waits for.  The same goes for a use that cannot be right, such as joining one twice.
   - A system call that waits (read, wait, sleep) makes all of them wait.
   - Below each stack lies a page that nobody may touch: an overflow kills the process.  A function whose
     locals take more than a page could step over it.
   - After fork() the child has copies of all of them, which will run when the caller yields there;
     co_fork() leaves it the caller alone.  exec() ends them all.
   - A handler of sigalarm() must not call what is declared here: it may have interrupted it. */

#ifndef USER_CO_H
#define USER_CO_H

#include "kernel/types.h"

#define CO_NAME_BYTES 16      /* of a name with its NUL, of a coroutine or a channel; the rest is cut off */
#define CO_STACK_BYTES 16384  /* does for printf() and some depth */
#define CHANNEL_VALUES_MAX (1 << 20) /* capacity of a channel; channel_create() gives 0 */

struct co;
struct channel;

/* A new coroutine that will do run(argument), with a stack of that many bytes, rounded up to pages; the
   library takes some 120 of them.  0 where the kernel has no memory or no mapping left for it. */
struct co *co_create(const char *name, void (*run)(void *), void *argument, uint stack_bytes);

struct co *co_current(void);
const char *co_name(struct co *co);

/* Lets all the others that can run have a turn. */
void co_yield(void);

/* Ends the caller, as returning from its function does. */
void co_exit(void) __attribute__((noreturn));

/* Waits until `co` has ended, and lets its stack be used again.  Each must be joined or detached, once. */
void co_join(struct co *co);

/* Nobody will join `co`; its stack is free as soon as it ends. */
void co_detach(struct co *co);

/* fork(); in the child the caller is the only coroutine, and the others look as if they had ended. */
int co_fork(void);

/* A channel that holds up to `capacity` values that were sent and not yet received; with 0 each sender waits
   for its receiver.  0 where there is no memory. */
struct channel *channel_create(const char *name, uint capacity);

/* Sends a value, waiting for room.  -1 where the channel is closed, or is closed meanwhile. */
int channel_send(struct channel *ch, void *value);

/* Receives the oldest value, waiting for one.  -1 where the channel is closed and all that it held is gone. */
int channel_receive(struct channel *ch, void **value);

/* Nothing is sent any more: whoever waits on it returns with -1.  What it holds can still be received. */
void channel_close(struct channel *ch);

/* Nobody may wait on it. */
void channel_free(struct channel *ch);

#endif
