/* cfi.h: unwinding, from the kernel part of a trap to the user's code: where the user's registers are while the
 * kernel works for the process.  DWARF has no numbers for pc and none that assemblers know for CSRs: the return
 * address is column 64, and CSR n is 4096 + n.  The frame address is the user's sp, so that a debugger finds
 * the frames in order though they are on two stacks.  The trapframe is taken to be at TRAPFRAME, as it is for
 * the first thread of a process; an xv6 process has no other.  The expressions are of bytes:
 *
 *     0x0e q  constant of 8 bytes    0x06  fetch from there    0x72 0      sp       0x92 n 0  register n
 *     0x30+n  constant n             0x28  branch if true      0x2f  skip  0x29 ==  0x24 <<  0x25 >>  0x22 +
 */
#define CFI_PC          64
#define CSR_SSCRATCH    4096 + 0x140
#define CSR_SEPC        4096 + 0x141
#define ULEB_SEPC       0xc1, 0x22
#define ULEB_SCAUSE     0xc2, 0x22
#define TRAPFRAME_AT(offset) \
        0x0e, (offset) & 0xff, 0xe0 + ((offset) >> 8), 0xff, 0xff, 0x3f, 0, 0, 0

/* The user's pc while the trap is entered: sepc, or behind the ecall there, to which a system call returns. */
.macro cfi_pc_of_trap
        .cfi_escape 0x16, CFI_PC, 13, 0x92, ULEB_SEPC, 0, 0x92, ULEB_SCAUSE, 0, 0x38, 0x29, 0x32, 0x24, 0x22
.endm

/* The user's sp is in the trapframe. */
.macro cfi_stack_in_trapframe
        .cfi_escape 0x0f, 10, TRAPFRAME_AT(48), 0x06
.endm

/* Register `number` is in the trapframe. */
.macro cfi_saved number
        .cfi_escape 0x10, \number, 9, TRAPFRAME_AT(32 + 8 * \number)
.endm

/* All but a0 are. */
.macro cfi_each_saved
        .irp number, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        cfi_saved \number
        .endr
.endm

/* The same later, when usertrap has put the user's pc there too; but on the boot stack (sp has no bits above
 * 32) there is no process, and this is the outermost frame: its pc is 0.
 */
.macro cfi_in_kernel
        .cfi_escape 0x0f, 22, 0x72, 0, 0x12, 0x08, 32, 0x25, 0x28, 3, 0, 0x2f, 10, 0, TRAPFRAME_AT(48), 0x06
        .cfi_escape 0x16, CFI_PC, 22, 0x30, 0x72, 0, 0x08, 32, 0x25, 0x28, 3, 0, 0x2f, 10, 0, TRAPFRAME_AT(24), 0x06
        cfi_each_saved
        cfi_saved 10
.endm
