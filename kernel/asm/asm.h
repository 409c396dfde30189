/* asm.h: numbers that the assembly sources share; kernel/abi holds the same for Python, and a test
 * compares the two. */

/* Unwind information is for debuggers only: keep it out of the memory image. */
.cfi_sections .debug_frame

#define TRAPFRAME       0x3fffffe000
#define NPROC           64

#define SSTATUS_SIE     (1 << 1)
#define SIE_STIE        (1 << 5)
#define SIE_SEIE        (1 << 9)
#define MSTATUS_MPP_S   (1 << 11)

/* struct trapframe: a page of the thread, mapped in its process at the address in sscratch; that of the first
 * thread is at TRAPFRAME.
 *
 *     0 kernel_satp   the kernel's page table         40 ra, 48 sp, 56 gp, 64 tp
 *     8 kernel_sp     top of the kernel stack         72 t0 t1 t2
 *    16 kernel_trap   usertrap                        96 s0 s1
 *    24 epc           the user's pc                  112 a0 .. a7
 *    32 kernel_hartid                                176 s2 .. s11, 256 t3 .. t6
 */
#define TF_KERNEL_SATP  0
#define TF_KERNEL_SP    8
#define TF_KERNEL_TRAP  16
#define TF_EPC          24
#define TF_HARTID       32
#define TF_A0           112

/* What both directions of the trampoline move: every register but a0, which holds the trapframe's address. */
.macro each_user_register op
        \op     ra, 40(a0)
        \op     sp, 48(a0)
        \op     gp, 56(a0)
        \op     tp, 64(a0)
        \op     t0, 72(a0)
        \op     t1, 80(a0)
        \op     t2, 88(a0)
        \op     s0, 96(a0)
        \op     s1, 104(a0)
        \op     a1, 120(a0)
        \op     a2, 128(a0)
        \op     a3, 136(a0)
        \op     a4, 144(a0)
        \op     a5, 152(a0)
        \op     a6, 160(a0)
        \op     a7, 168(a0)
        \op     s2, 176(a0)
        \op     s3, 184(a0)
        \op     s4, 192(a0)
        \op     s5, 200(a0)
        \op     s6, 208(a0)
        \op     s7, 216(a0)
        \op     s8, 224(a0)
        \op     s9, 232(a0)
        \op     s10, 240(a0)
        \op     s11, 248(a0)
        \op     t3, 256(a0)
        \op     t4, 264(a0)
        \op     t5, 272(a0)
        \op     t6, 280(a0)
.endm

/* What a context switch keeps: ra, sp and the callee-saved registers, 14 words at `base`. */
.macro each_callee_saved op, base
        \op     ra, 0(\base)
        \op     sp, 8(\base)
        \op     s0, 16(\base)
        \op     s1, 24(\base)
        \op     s2, 32(\base)
        \op     s3, 40(\base)
        \op     s4, 48(\base)
        \op     s5, 56(\base)
        \op     s6, 64(\base)
        \op     s7, 72(\base)
        \op     s8, 80(\base)
        \op     s9, 88(\base)
        \op     s10, 96(\base)
        \op     s11, 104(\base)
.endm
#define CONTEXT_SIZE    112

/* What a function call may destroy. */
.macro each_caller_saved op
        \op     ra, 0(sp)
        \op     t0, 8(sp)
        \op     t1, 16(sp)
        \op     t2, 24(sp)
        \op     a0, 32(sp)
        \op     a1, 40(sp)
        \op     a2, 48(sp)
        \op     a3, 56(sp)
        \op     a4, 64(sp)
        \op     a5, 72(sp)
        \op     a6, 80(sp)
        \op     a7, 88(sp)
        \op     t3, 96(sp)
        \op     t4, 104(sp)
        \op     t5, 112(sp)
        \op     t6, 120(sp)
.endm
