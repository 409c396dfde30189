/* guest.c: a kernel in small that uses the board as xv6 does, for tests/conformance/test_bare_guest.py.
 *
 * M-mode with the CLINT's timer, S-mode behind Sv39, the PLIC, the UART by interrupts and a virtio disk.  It
 * copies the first sector of the disk to the second, turned round, and then answers lines from the console
 * until there is an empty one.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define CSR_READ(name) ({ u64 v_; asm volatile("csrr %0, " #name : "=r"(v_)); v_; })
#define CSR_WRITE(name, value) asm volatile("csrw " #name ", %0" ::"r"((u64)(value)) : "memory")
#define CSR_SET(name, value) asm volatile("csrs " #name ", %0" ::"r"((u64)(value)) : "memory")
#define CSR_CLEAR(name, value) asm volatile("csrc " #name ", %0" ::"r"((u64)(value)) : "memory")
#define MMIO8(address) (*(volatile u8 *)(address))
#define MMIO32(address) (*(volatile u32 *)(address))
#define MMIO64(address) (*(volatile u64 *)(address))

enum {
    FINISHER = 0x100000, PASS = 0x5555,
    MTIMECMP = 0x2004000, MTIME = 0x200bff8, TICK = 10000 /* 1 ms */,
    PLIC = 0xc000000, PLIC_S_ENABLE = PLIC + 0x2080, PLIC_S_THRESHOLD = PLIC + 0x201000, PLIC_S_CLAIM = PLIC + 0x201004,
    UART = 0x10000000, UART_IRQ = 10, DISK = 0x10001000, DISK_IRQ = 1,
    SECTOR = 512,
};
enum { SSIE = 1 << 1, STIE = 1 << 5, MTIE = 1 << 7, SEIE = 1 << 9, SIE = 1 << 1, MIE = 1 << 3, MPP_S = 1 << 11 };

extern void machine_vector(void), supervisor_vector(void);

/* --- M-mode --- */

static struct { u64 saved[2]; u64 interval; } machine;
static void supervisor_main(void);

void setup_machine(void)
{
    CSR_WRITE(medeleg, 0xffff);
    CSR_WRITE(mideleg, 0xffff);
    CSR_WRITE(pmpaddr0, 0x3fffffffffffffUL);
    CSR_WRITE(pmpcfg0, 0xf);
    machine.interval = TICK;
    MMIO64(MTIMECMP) = MMIO64(MTIME) + TICK;
    CSR_WRITE(mscratch, &machine);
    CSR_WRITE(mtvec, machine_vector);
    CSR_WRITE(mie, MTIE);
    CSR_WRITE(mcounteren, 2);
    CSR_WRITE(mepc, supervisor_main);
    CSR_WRITE(mstatus, MPP_S | MIE);
}

/* --- console --- */

static volatile u32 ticks;
static volatile char input[128];
static volatile u32 received, taken;

static void put(const char *text)
{
    for (; *text; text++) {
        while (!(MMIO8(UART + 5) & 0x20))
            ;
        MMIO8(UART) = *text;
    }
}

static void put_number(u64 n)
{
    char digits[21], *p = digits + 20;

    *p = 0;
    do
        *--p = '0' + n % 10;
    while (n /= 10);
    put(p);
}

static char get(void)
{
    CSR_CLEAR(sstatus, SIE); /* else the byte can come between the look and the wait */
    while (received == taken) {
        asm volatile("wfi");
        CSR_SET(sstatus, SIE);
        CSR_CLEAR(sstatus, SIE);
    }
    CSR_SET(sstatus, SIE);
    return input[taken++ % sizeof input];
}

/* --- disk --- */

struct descriptor { u64 address; u32 length; u16 flags, next; };
static struct {
    struct descriptor descriptors[8];
    struct { u16 flags, index, ring[8]; } available;
    struct { u16 flags, index; struct { u32 id, length; } ring[8]; } used __attribute__((aligned(8)));
} queue __attribute__((aligned(4096)));
static volatile u32 disk_interrupts;

static void disk_setup(void)
{
    if (MMIO32(DISK) != 0x74726976 || MMIO32(DISK + 4) != 2 || MMIO32(DISK + 8) != 2)
        put("no disk\n");
    MMIO32(DISK + 0x70) = 0;
    MMIO32(DISK + 0x70) = 1;
    MMIO32(DISK + 0x70) = 3;
    MMIO32(DISK + 0x20) = 0;
    MMIO32(DISK + 0x24) = 1;
    MMIO32(DISK + 0x20) = 1; /* VIRTIO_F_VERSION_1 */
    MMIO32(DISK + 0x70) = 11;
    MMIO32(DISK + 0x30) = 0;
    MMIO32(DISK + 0x38) = 8;
    MMIO32(DISK + 0x80) = (u64)queue.descriptors;
    MMIO32(DISK + 0x84) = (u64)queue.descriptors >> 32;
    MMIO32(DISK + 0x90) = (u64)&queue.available;
    MMIO32(DISK + 0x94) = (u64)&queue.available >> 32;
    MMIO32(DISK + 0xa0) = (u64)&queue.used;
    MMIO32(DISK + 0xa4) = (u64)&queue.used >> 32;
    MMIO32(DISK + 0x44) = 1;
    MMIO32(DISK + 0x70) = 15;
}

static int disk_move(u64 sector, void *data, int write)
{
    static struct { u32 type, reserved; u64 sector; } request;
    static volatile u8 status;
    static u16 done;

    request.type = write;
    request.sector = sector;
    status = 0xff;
    queue.descriptors[0] = (struct descriptor){(u64)&request, sizeof request, 1, 1};
    queue.descriptors[1] = (struct descriptor){(u64)data, SECTOR, write ? 1 : 3, 2};
    queue.descriptors[2] = (struct descriptor){(u64)&status, 1, 2, 0};
    queue.available.ring[queue.available.index % 8] = 0;
    asm volatile("fence" ::: "memory");
    queue.available.index++;
    asm volatile("fence" ::: "memory");
    MMIO32(DISK + 0x50) = 0;
    while (*(volatile u16 *)&queue.used.index == done)
        asm volatile("wfi");
    done++;
    return status;
}

/* --- S-mode --- */

void supervisor_trap(void)
{
    u64 cause = CSR_READ(scause);

    if (cause == (1UL << 63 | 1)) {
        ticks++;
        CSR_CLEAR(sip, SSIE);
        return;
    }
    if (cause != (1UL << 63 | 9)) {
        put("trap ");
        put_number(cause);
        MMIO32(FINISHER) = 1 << 16 | 0x3333;
    }
    for (u32 irq; (irq = MMIO32(PLIC_S_CLAIM));) {
        if (irq == UART_IRQ)
            while (MMIO8(UART + 5) & 1)
                input[received++ % sizeof input] = MMIO8(UART);
        else if (irq == DISK_IRQ) {
            disk_interrupts++;
            MMIO32(DISK + 0x64) = MMIO32(DISK + 0x60);
        }
        MMIO32(PLIC_S_CLAIM) = irq;
    }
}

static u64 root[512] __attribute__((aligned(4096)));

static void supervisor_setup(void)
{
    root[0] = 0 | 0xc7;                          /* devices: 1 GiB, R W A D */
    root[2] = 0x80000000UL >> 2 | 0xcf;          /* RAM: 1 GiB, R W X A D */
    CSR_WRITE(satp, 8UL << 60 | (u64)root >> 12);
    asm volatile("sfence.vma");
    CSR_WRITE(stvec, supervisor_vector);
    CSR_SET(sie, SSIE | SEIE);
    MMIO8(UART + 1) = 1;
    MMIO8(UART + 2) = 7;
    MMIO32(PLIC + 4 * UART_IRQ) = 1;
    MMIO32(PLIC + 4 * DISK_IRQ) = 1;
    MMIO32(PLIC_S_ENABLE) = 1 << UART_IRQ | 1 << DISK_IRQ;
    MMIO32(PLIC_S_THRESHOLD) = 0;
    CSR_SET(sstatus, SIE);
}

static void turn_sector_round(void)
{
    static u8 sector[SECTOR];

    if (disk_move(0, sector, 0))
        put("read failed\n");
    for (int i = 0, j = SECTOR - 1; i < j; i++, j--) {
        u8 byte = sector[i];

        sector[i] = sector[j];
        sector[j] = byte;
    }
    if (disk_move(1, sector, 1))
        put("write failed\n");
    put("disk interrupts: ");
    put_number(disk_interrupts);
    put("\n");
}

static int answer_line(void)
{
    char line[64];
    int n = 0;

    while (n < 63 && (line[n] = get()) != '\n')
        n++;
    for (int i = n; i > 0; i--)
        put((char[]){line[i - 1], 0});
    put("\n");
    return n;
}

static void supervisor_main(void)
{
    supervisor_setup();
    put("up\n");
    while (ticks < 3)
        asm volatile("wfi");
    put("3 ticks\n");
    disk_setup();
    turn_sector_round();
    while (answer_line())
        ;
    MMIO32(FINISHER) = PASS;
    for (;;)
        ;
}
