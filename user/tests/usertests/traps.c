/* Cases: what a user program must not do kills it, and what it may do leaves it as it was. */

#include "kernel/types.h"
#include "kernel/memlayout.h"
#include "kernel/riscv.h"
#include "kernel/syscall.h"
#include "user/user.h"
#include "test.h"

/* -- memory that is not the program's --------------------------------------------------------------- */

static void load_byte(void *address)
{
    (void)*(volatile char *)address;
}

static void store_byte(void *address)
{
    *(volatile char *)address = 10;
}

static void jump_to(void *address)
{
    ((void (*)(void))address)();
}

static void kernel_memory_kills(void)
{
    for (uint64 address = KERNBASE; address < KERNBASE + 8 * 0x800000ul; address += 0x800000) {
        check(status_of(load_byte, (void *)address) == KILLED);
        check(status_of(store_byte, (void *)address) == KILLED);
    }
}

static void devices_kill(void)
{
    static const uint64 devices[] = {TEST_FINISHER, CLINT, PLIC, UART0, VIRTIO0};
    for (uint i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        /* a device's address may lie inside of a large enough program, but not of this one */
        check((uint64)sbrk(0) < devices[i]);
        check(status_of(store_byte, (void *)devices[i]) == KILLED);
    }
}

static void trap_pages_kill(void)
{
    check(status_of(load_byte, (void *)TRAMPOLINE) == KILLED);
    check(status_of(store_byte, (void *)TRAMPOLINE) == KILLED);
    check(status_of(jump_to, (void *)TRAMPOLINE) == KILLED);
    check(status_of(load_byte, (void *)TRAPFRAME) == KILLED);
    check(status_of(store_byte, (void *)TRAPFRAME) == KILLED);
}

static void beyond_the_last_address_kills(void)
{
    for (int bit = 38; bit < 64; bit++) {
        check(status_of(store_byte, (void *)(1ul << bit)) == KILLED);
        check(status_of(load_byte, (void *)(-1ul << bit)) == KILLED);
    }
    check(status_of(jump_to, (void *)MAXVA) == KILLED);
    check(status_of(jump_to, (void *)-2ul) == KILLED);
}

static void beyond_the_heap_kills(void)
{
    char *end = (char *)PGROUNDUP((uint64)sbrk(0));
    check(status_of(load_byte, end) == KILLED);
    check(status_of(store_byte, end) == KILLED);
    check(status_of(load_byte, end + 100 * PGSIZE) == KILLED);
    check(status_of(jump_to, end) == KILLED);
}

/* A load that begins in the heap's last bytes and ends outside. */
static void load_across(void *end)
{
    (void)*(volatile uint64 *)((char *)end - 4);
}

static void access_across_the_end_kills(void)
{
    char *end = (char *)PGROUNDUP((uint64)sbrk(0));
    check(sbrk(end - sbrk(0)) != FAILED_SBRK);
    check(sbrk(PGSIZE) == end);
    check(status_of(load_byte, end + PGSIZE - 1) == 0);
    check(status_of(load_across, end + PGSIZE) == KILLED);
}

/* -- W^X --------------------------------------------------------------------------------------------- */

static void text_write_kills(void)
{
    check(status_of(load_byte, text_write_kills) == 0);
    check(status_of(store_byte, text_write_kills) == KILLED);
    check(status_of(store_byte, 0) == KILLED);
}

#define RISCV_RET 0x00008067 /* jalr x0, 0(ra): as a function, it only returns */

uint data_code = RISCV_RET; /* not static: what nobody can change is put among the constants */

static void run_data(void *unused)
{
    jump_to(&data_code);
}

static void run_heap(void *unused)
{
    uint *code = (uint *)sbrk(PGSIZE);
    *code = RISCV_RET;
    jump_to(code);
}

static void run_stack(void *unused)
{
    volatile uint code = RISCV_RET;
    jump_to((void *)&code);
}

static void data_exec_kills(void)
{
    check(status_of(run_data, 0) == KILLED);
    check(status_of(run_heap, 0) == KILLED);
    check(status_of(run_stack, 0) == KILLED);
}

/* -- the stack --------------------------------------------------------------------------------------- */

static void guard_page_kills(void)
{
    char *stack = STACK_BOTTOM;
    check((char *)r_sp() > stack && status_of(load_byte, stack) == 0);
    check(status_of(load_byte, stack - 1) == KILLED);
    check(status_of(store_byte, stack - 1) == KILLED);
    check(status_of(load_byte, stack - PGSIZE) == KILLED);
}

static int dig(int depth)
{
    volatile char frame[256];
    frame[depth & 255] = depth;
    return depth == 0 ? 0 : dig(depth - 1) + frame[depth & 255];
}

static void recurse(void *unused)
{
    dig(1000000);
}

static void stack_overflow_kills(void)
{
    check(status_of(recurse, 0) == KILLED);
}

/* -- instructions ------------------------------------------------------------------------------------ */

/* Each of these kills.  The macro gives a function for one. */
#define INSTRUCTION(name, text)                  \
    static void name(void *unused)               \
    {                                            \
        asm volatile(text : : : "a5", "memory"); \
    }

INSTRUCTION(all_zeros, ".half 0")
INSTRUCTION(all_ones, ".word 0xffffffff")
INSTRUCTION(do_ebreak, ".word 0x00100073")
INSTRUCTION(do_sret, "sret")
INSTRUCTION(do_mret, "mret")
INSTRUCTION(do_wfi, "wfi")
INSTRUCTION(do_sfence, "sfence.vma")
INSTRUCTION(read_sstatus, "csrr a5, sstatus")
INSTRUCTION(read_satp, "csrr a5, satp")
INSTRUCTION(read_mhartid, "csrr a5, mhartid")
INSTRUCTION(write_stvec, "csrw stvec, zero")
INSTRUCTION(write_sscratch, "csrw sscratch, zero")
INSTRUCTION(do_rdtime, "rdtime a5")
INSTRUCTION(do_rdcycle, "rdcycle a5")
INSTRUCTION(do_rdinstret, "rdinstret a5")
INSTRUCTION(do_fadd, "fadd.d fa0, fa0, fa1")
INSTRUCTION(do_fld, ".option push\n .option norvc\n fld fa0, 0(sp)\n .option pop")
INSTRUCTION(do_fsd, ".option push\n .option norvc\n fsd fa0, -8(sp)\n .option pop")
INSTRUCTION(do_fmv, "fmv.d.x fa0, zero")
INSTRUCTION(read_fcsr, "csrr a5, fcsr")

#define KILLS(instruction) check(status_of(instruction, 0) == KILLED)

static void illegal_instruction_kills(void)
{
    KILLS(all_zeros);
    KILLS(all_ones);
    KILLS(do_ebreak);
}

static void privileged_instruction_kills(void)
{
    KILLS(do_sret);
    KILLS(do_mret);
    KILLS(do_wfi);
    KILLS(do_sfence);
    KILLS(read_sstatus);
    KILLS(read_satp);
    KILLS(read_mhartid);
    KILLS(write_stvec);
    KILLS(write_sscratch);
}

/* xv6 gives its programs no clock of their own. */
static void counter_kills(void)
{
    KILLS(do_rdtime);
    KILLS(do_rdcycle);
    KILLS(do_rdinstret);
}

/* xv6 does not save floating-point registers, so nobody may use them. */
static void floating_point_kills(void)
{
    KILLS(do_fadd);
    KILLS(do_fld);
    KILLS(do_fsd);
    KILLS(do_fmv);
    KILLS(read_fcsr);
}

static void misaligned_access(void)
{
    char *end = (char *)PGROUNDUP((uint64)sbrk(0));
    check(sbrk(end - sbrk(0) + 2 * PGSIZE) != FAILED_SBRK);
    char *boundary = end + PGSIZE;
    for (int offset = -8; offset <= 8; offset++) {
        *(volatile uint64 *)(boundary + offset) = 0x1122334455667788;
        check(*(volatile uint64 *)(boundary + offset) == 0x1122334455667788);
        check(boundary[offset] == (char)0x88 && boundary[offset + 7] == 0x11);
    }
}

/* -- registers ---------------------------------------------------------------------------------------- */

/* registers.S */
#define PATTERN 0x01234567
void registers_after_call(uint64 *out, uint64 number);
void registers_after_spin(uint64 *out, uint64 rounds);

/* Checks every register but those in the mask. */
static void check_registers(const uint64 *registers, uint except)
{
    for (int r = 1; r < 32; r++)
        if ((except >> r & 1) == 0)
            check(registers[r] == r * (uint64)PATTERN);
}

#define SP (1u << 2)
#define A0 (1u << 10)
#define A7 (1u << 17)
#define T5 (1u << 30)

static void registers_survive_system_call(void)
{
    uint64 registers[32];
    registers_after_call(registers, SYS_getpid);
    check_registers(registers, SP | A0 | A7);
    check(registers[17] == SYS_getpid);
    check(registers[10] == getpid());
}

static void registers_survive_failed_call(void)
{
    uint64 registers[32];
    registers_after_call(registers, SYS_close); /* of a descriptor that is not open */
    check_registers(registers, SP | A0 | A7);
    registers_after_call(registers, 60); /* no call has this number */
    check_registers(registers, SP | A0 | A7);
    check(registers[10] == -1ul);
}

static void spin_with_registers(void *unused)
{
    uint64 registers[32];
    int end = uptime() + 4;
    while (uptime() < end) {
        registers_after_spin(registers, 200000);
        check_registers(registers, SP | T5);
        check(registers[30] == 0);
    }
}

/* Two of them, so that each is preempted for the other. */
static void registers_survive_preemption(void)
{
    start(spin_with_registers, 0);
    start(spin_with_registers, 0);
    check(reap(0) == 0);
    check(reap(0) == 0);
}

static long raw_call(long number, long argument)
{
    register long a0 asm("a0") = argument;
    register long a7 asm("a7") = number;
    asm volatile("ecall" : "+r"(a0) : "r"(a7) : "memory");
    return a0;
}

static void unknown_system_call(void)
{
    check(raw_call(0, 0) == -1);
    check(raw_call(60, 0) == -1);
    check(raw_call(1000, 0) == -1);
    check(raw_call(-1, 0) == -1);
    check(raw_call(0x7fffffff, 0) == -1);
    check(raw_call(SYS_getpid, 0) == getpid());
}

/* An int argument is the lower half of its register. */
static void arguments_are_32_bits(void)
{
    int fd = dup(1);
    check(raw_call(SYS_close, fd | 0x100000000) == 0);
    check(raw_call(SYS_close, fd) == -1);
    fd = dup(1);
    check(raw_call(SYS_close, fd | 0xffffffff00000000) == 0);
    check(raw_call(SYS_sbrk, 0xdead00000000) == (long)sbrk(0));
    int status, pid = fork();
    if (pid == 0)
        sleep(10000), exit(0);
    check(raw_call(SYS_kill, 0x700000000 | pid) == 0);
    check(wait(&status) == pid && status == -1);
}

/* As is the number of a call itself. */
static void numbers_are_32_bits(void)
{
    check(raw_call(0x100000000 | SYS_getpid, 0) == getpid());
    check(raw_call(0xffffffff00000000 | SYS_getpid, 0) == getpid());
    check(raw_call(0x100000000, 0) == -1 && raw_call(0x1000000ff, 0) == -1 && raw_call(0x8000000b, 0) == -1);
}

const struct test trap_tests[] = {
    {"kernel_memory_kills", kernel_memory_kills},
    {"devices_kill", devices_kill},
    {"trap_pages_kill", trap_pages_kill},
    {"beyond_the_last_address_kills", beyond_the_last_address_kills},
    {"beyond_the_heap_kills", beyond_the_heap_kills},
    {"access_across_the_end_kills", access_across_the_end_kills},
    {"text_write_kills", text_write_kills},
    {"data_exec_kills", data_exec_kills},
    {"guard_page_kills", guard_page_kills},
    {"stack_overflow_kills", stack_overflow_kills},
    {"illegal_instruction_kills", illegal_instruction_kills},
    {"privileged_instruction_kills", privileged_instruction_kills},
    {"counter_kills", counter_kills},
    {"floating_point_kills", floating_point_kills},
    {"misaligned_access", misaligned_access},
    {"registers_survive_system_call", registers_survive_system_call},
    {"registers_survive_failed_call", registers_survive_failed_call},
    {"registers_survive_preemption", registers_survive_preemption},
    {"unknown_system_call", unknown_system_call},
    {"arguments_are_32_bits", arguments_are_32_bits},
    {"numbers_are_32_bits", numbers_are_32_bits},
    {0},
};
