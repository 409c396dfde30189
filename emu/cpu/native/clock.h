/* clock.h: virtual time, counted by the translated code itself.
 *
 * Included by hooks.c.  Time is what is left until the deadline, in ticks: the bytes of instructions that may
 * still be retired.  Each block pays for all of its bytes when it is entered, with one subtraction in its own
 * host code, and calls for help where the time does not suffice:
 *
 *      block:  sub   qword [rbp - 8], BYTES       rbp is the address of x0, as in all translated code
 *              js    help
 *      paid:   mov   dword [rbp - 12], END        the low half of the address behind the block
 *              nop
 *              ...                                the guest's instructions
 *      help:   mov   esi, BYTES                   behind the block's code
 *              mov   rdx, PC
 *              mov   rax, on_block
 *              mov   rdi, rbp
 *              call  rax                          does not come back if the block is not to run
 *              jmp   paid
 *
 * This comparison is the only one.  Whatever else has to be looked at before each block (a step, an interrupt
 * that is pending, but may have to wait until the guest allows it) holds the time left below zero.
 *
 * The library would have each block call a hook and a function that looks whether a stop was asked for.  Both
 * calls are emitted through its table of calls, where on_emit_call takes them out.  It emits two operations of
 * known size in their place, and on_generate writes the code above over what became of those.
 *
 * What was paid for instructions that were not retired is paid back where a trap leaves a block in its middle:
 *
 *      start         pc of the trap          END
 *        |=== retired ======|----- paid back -----|
 */
#include "hart.h"

#define HELD (INT64_C(1) << 62)

/* The 12 bytes in front of x0 are there only to align it. */
static int64_t *left(const struct hart *h)
{
    return (int64_t *)((char *)h->regs - 8);
}

static uint32_t *end(const struct hart *h)
{
    return (uint32_t *)((char *)h->regs - 12);
}

static int64_t time_left(const struct hart *h)
{
    return *left(h) + h->held;
}

/* Have each block ask before it runs. */
static void hold(struct hart *h)
{
    *left(h) -= HELD - h->held;
    h->held = HELD;
}

static void let_go(struct hart *h)
{
    *left(h) += h->held;
    h->held = 0;
}

static int is_pending(const struct hart *h)
{
    return (h->regs[MIP] & h->regs[MIE]) != 0;
}

/* The engine is about to run.  A deadline that lies further off than can be held comes sooner. */
static void start_clock(struct hart *h)
{
    if (h->deadline - h->now >= HELD)
        h->deadline = h->now + HELD - 1;
    *left(h) = h->deadline - h->now;
    *end(h) = (uint32_t)h->regs[PC];
    h->held = 0;
    if (h->stepping || is_pending(h))
        hold(h);
}

/* The bytes from pc to the end of the block entered last; below 0 behind it. */
static int32_t bytes_to_end(const struct hart *h, uint64_t pc)
{
    return (int32_t)(*end(h) - (uint32_t)pc);
}

/* The engine has run. */
static void stop_clock(struct hart *h)
{
    h->now = h->deadline - time_left(h);
    h->block_end = h->regs[PC] + (int64_t)bytes_to_end(h, h->regs[PC]);
}

enum { C_J_SELF = 0xa001, C_J_BYTES = 2 };

static int is_break(const struct hart *h, uint64_t address);

/* Whether a block of so many bytes at pc may run now; asks for a stop if not. */
static int may_enter(struct hart *h, int64_t bytes, int is_spin)
{
    if (h->stepping == STEPPED) {
        h->stop(h->engine);
        return 0;
    }
    if (h->stepping) {
        h->stepping = STEPPED;
        return 1;
    }
    if (interrupted(h->regs)) {
        stop(h, INTERRUPT);
        return 0;
    }
    /* A jump to itself, as in `for (;;);`, changes no state: time can go on without it. */
    if (is_spin && h->regs[PRIV] == USER && time_left(h) > 0 && !is_break(h, h->regs[PC]))
        *left(h) -= time_left(h) - time_left(h) % bytes;
    if (time_left(h) < bytes) {
        stop(h, DEADLINE);
        return 0;
    }
    if (!is_pending(h))
        let_go(h);
    return 1;
}

/* A block at pc has paid, and calls for help; comes back if it is to run. */
static void ask(uint64_t *regs, int64_t bytes, uint64_t pc, int is_spin)
{
    struct hart *h = hart_of(regs);

    *left(h) += bytes;
    regs[PC] = pc; /* the library wants it where it is left */
    library.exit_if_asked(h->engine, 0);
    if (!may_enter(h, bytes, is_spin))
        library.exit_if_asked(h->engine, 0);
    *left(h) -= bytes;
}

void on_block(uint64_t *regs, uint32_t bytes, uint64_t pc)
{
    ask(regs, bytes, pc, 0);
}

void on_spin(uint64_t *regs, uint32_t bytes, uint64_t pc)
{
    ask(regs, bytes, pc, 1);
}

/* A CSR was written or read: interrupts that are pending may have been enabled. */
int on_csr(uint64_t *regs, int csr, uint64_t *old, uint64_t value, uint64_t mask)
{
    int error = library.access_csr(regs, csr, old, value, mask);
    struct hart *h = hart_of(regs);

    if (h && is_pending(h))
        hold(h);
    return error;
}

/* The code of a block.
 *
 * The library names what it emits by operations; a temporary is given by its address.
 */
enum { DISCARD = 0, STORE_64 = 77 }; /* operations */

struct translator {
    char unknown[0x88f0];
    uint64_t state;       /* the temporary that has the address of x0, as a distance */
    char unknown_2[0x8970 - 0x88f8];
    struct engine *engine;
    char unknown_3[0x8cd0 - 0x8978];
    uint64_t pc;
};

struct block {
    uint64_t pc;
    uint64_t unknown;
    uint32_t unknown_2;
    uint16_t bytes;
    uint16_t instructions;
    uint64_t unknown_3;
    uint8_t *code;
};

enum { PLACE_BYTES = 11, PLACES = 2, ROOM = PLACES * PLACE_BYTES, PLACE = 104 * 8 /* a register for hypervisors */ };

static struct translator *has_room;  /* it has emitted PLACES for the block that it translates */
static struct translator *will_look; /* what it emits next is the look for a stop at the start of a block */

/* The hook that the library thinks it calls before each block: on_emit_call takes the call out. */
void block_hook(void)
{
    __builtin_trap();
}

/* pc need not be in the state while a block runs: the library finds it by the place in the code. */
static void emit_room(struct translator *t)
{
    uint64_t zero = (uint64_t)t + library.constant(t, 0), state = (uint64_t)t + t->state;

    library.emit_1(t, DISCARD, (uint64_t)t + t->pc);
    for (int i = 0; i < PLACES; i++)
        library.emit_3(t, STORE_64, zero, state, PLACE);
}

void on_emit_call(struct translator *t, void *function, struct temp *result, int count, struct temp **arguments)
{
    if (function == (void *)block_hook) {
        emit_room(t);
        has_room = will_look = t;
    } else if (function == (void *)library.exit_if_asked && will_look == t) {
        will_look = 0;
    } else {
        library.emit_call(t, function, result, count, arguments);
    }
}

static uint8_t *put(uint8_t *at, const void *bytes, int count)
{
    __builtin_memcpy(at, bytes, count);
    return at + count;
}

static uint8_t *put_32(uint8_t *at, uint32_t value)
{
    return put(at, &value, 4);
}

static uint8_t *put_64(uint8_t *at, uint64_t value)
{
    return put(at, &value, 8);
}

static uint8_t *put_distance(uint8_t *at, const uint8_t *to)
{
    return put_32(at, (uint32_t)(to - (at + 4)));
}

/* Over the places; gives where a block goes on that has asked. */
static uint8_t *put_payment(const struct block *b, uint8_t *help, int is_spin)
{
    uint8_t *at = b->code, *paid, *room = b->code + ROOM;

    at = put(at, "\x48\x81\x6d\xf8", 4);                     /* sub qword [rbp - 8], */
    at = put_32(at, b->bytes);
    at = is_spin ? put(at, "\x90\xe9", 2) : put(at, "\x0f\x88", 2); /* jmp, js */
    at = paid = put_distance(at, help);
    at = put(at, "\xc7\x45\xf4", 3);                         /* mov dword [rbp - 12], */
    at = put_32(at, (uint32_t)(b->pc + b->bytes));
    while (at < room)
        *at++ = 0x90;                                        /* nop */
    return paid;
}

static uint8_t *put_help(uint8_t *at, const struct block *b, const uint8_t *paid, int is_spin)
{
    at = put(at, "\xbe", 1);                                 /* mov esi, */
    at = put_32(at, b->bytes);
    at = put(at, "\x48\xba", 2);                             /* mov rdx, */
    at = put_64(at, b->pc);
    at = put(at, "\x48\xb8", 2);                             /* mov rax, */
    at = put_64(at, (uint64_t)(is_spin ? on_spin : on_block));
    at = put(at, "\x48\x89\xef\xff\xd0\xe9", 6);             /* mov rdi, rbp; call rax; jmp */
    return put_distance(at, paid);
}

static int is_place(const uint8_t *at)
{
    static const uint8_t place[PLACE_BYTES] = {0x48, 0xc7, 0x85, PLACE & 0xff, PLACE >> 8};

    return !__builtin_memcmp(at, place, PLACE_BYTES);
}

static int is_proven; /* a block has been seen to pay */

void clock_is_proven(void)
{
    is_proven = 1;
}

/* The library makes host code of a block's operations.  There is room behind the code: it keeps 1024 bytes of
 * its buffer free. */
int on_generate(struct translator *t, struct block *b)
{
    int bytes = library.generate(t, b), is_ours = has_room == t, is_spin;
    uint8_t *help;

    has_room = 0;
    if (bytes < 0 || !is_ours)
        return bytes;
    for (int i = 0; i < PLACES; i++)
        if (!is_place(b->code + i * PLACE_BYTES)) {
            if (is_proven)
                __builtin_trap(); /* the operations always become the same code */
            return bytes;
        }
    help = b->code + bytes;
    is_spin = b->bytes == C_J_BYTES && t->engine->cpu->hart->last_half == C_J_SELF;
    return (int)(put_help(help, b, put_payment(b, help, is_spin), is_spin) - b->code);
}
