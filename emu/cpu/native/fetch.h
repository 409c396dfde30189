/* fetch.h: code on its way to be translated, and addresses of instructions.
 *
 * Included by hooks.c.
 *
 * Floating point that is switched off, or that is about to change state marked as unchanged.
 *
 * With FS off every floating-point instruction is illegal.  The library lets fsgnj.d pass, which even switches
 * it on, and does nothing for the compressed loads and stores.  With FS initial or clean it does not mark the
 * state as dirty for a comparison or a conversion, which set flags, and not SD for a write to fcsr.
 * So it gets something illegal of the same length to translate in their place: the hart stops there with pc on
 * the instruction, and Python (Exits._illegal) enters the trap or marks the state.  The library keeps blocks
 * of different FS apart.  is_float and may_write_float say the same as those of emu/cpu/decode.py.
 */
#include "hart.h"

enum {
    LOAD_FP = 0x07, STORE_FP = 0x27, MADD = 0x43, MSUB = 0x47, NMSUB = 0x4b, NMADD = 0x4f, OP_FP = 0x53,
    SYSTEM = 0x73
};
enum { ILLEGAL_16 = 0, ILLEGAL_32 = 0xffff /* whatever its second half is */ };
enum { FMV_X_OR_FCLASS = 0x1c, FUNCT5_SHIFT = 27, CSR_SHIFT = 20, FCSR = 3, CSR_SEPC = 0x141 };

static int is_compressed(uint32_t word)
{
    return (word & 3) != 3;
}

static int is_float(uint32_t word)
{
    switch (word & OPCODE) {
    case LOAD_FP: case STORE_FP: case MADD: case MSUB: case NMSUB: case NMADD: case OP_FP:
        return 1;
    }
    return !(word & 1) && (word >> 13 & 3) == 1; /* c.fld, c.fsd, c.fldsp, c.fsdsp */
}

static int writes_fcsr(uint32_t word)
{
    uint32_t csr = word >> CSR_SHIFT, op = word >> 12 & 3, rs1 = word >> 15 & 31;

    return csr && csr <= FCSR && (op == 1 || (op && rs1));
}

static int may_write_float(uint32_t word)
{
    if (is_compressed(word))
        return is_float(word) && !(word >> 15 & 1); /* no store */
    switch (word & OPCODE) {
    case SYSTEM:
        return writes_fcsr(word);
    case OP_FP:
        return word >> FUNCT5_SHIFT != FMV_X_OR_FCLASS;
    case STORE_FP:
        return 0;
    }
    return is_float(word);
}

static int is_held_back(uint64_t *regs, uint64_t address, uint32_t half)
{
    uint64_t fs = regs[MSTATUS] >> FS_SHIFT & 3;

    if (fs == FS_DIRTY)
        return 0;
    if (fs == FS_OFF)
        return is_float(half);
    return may_write_float(is_compressed(half) ? half : half | library.fetch_half(regs, address + 2) << 16);
}

/* The library fetches 16 bits of code to translate them: one instruction after another, each from its first
 * half.  It does not come back from a fetch that faults. */
uint32_t on_fetch(uint64_t *regs, uint64_t address)
{
    struct hart *h = hart_of(regs);
    uint32_t half;
    int is_second;

    if (!h)
        return library.fetch_half(regs, address);
    is_second = address == h->second_half;
    h->second_half = NOWHERE;
    half = library.fetch_half(regs, address);
    h->last_half = half;
    if (is_second)
        return half;
    if (is_held_back(regs, address, half))
        half = is_compressed(half) ? ILLEGAL_16 : ILLEGAL_32;
    if (!is_compressed(half))
        h->second_half = address + 2;
    return half;
}

/* sepc and mepc are addresses of instructions, and those are even; the library keeps what it is given.
 * The reservation is dropped because the public engine cannot write a CSR without. */
int write_epc(uint64_t *regs, int csr, uint64_t value)
{
    regs[csr == CSR_SEPC ? SEPC : MEPC] = value & -2;
    regs[LOAD_RES] = NOWHERE;
    return 0;
}
