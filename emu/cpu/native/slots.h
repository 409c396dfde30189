/* slots.h: where the library keeps the addresses of its own functions.
 *
 * Included by hooks.c, and used by emu/cpu/fast.py.  The library calls what it exports through a table, and
 * translated code finds helpers in tables of constants.  The linker has left a list of all these places in it,
 * with the name of the function that belongs there; so a place is found by that name.
 */
#include <elf.h>
#include <link.h>
#include <stdint.h>

static uint64_t entry_of(const Elf64_Dyn *dynamic, int64_t tag)
{
    for (; dynamic->d_tag != DT_NULL; dynamic++)
        if (dynamic->d_tag == tag)
            return dynamic->d_un.d_val;
    return 0;
}

static int is_same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* The place in the library with this handle that holds the address of `name`: in the table for its own calls, or
 * among the constants; 0 if there is none, or more than one. */
uint64_t slot_of(const struct link_map *map, const char *name, int is_constant)
{
    const Elf64_Sym *symbols = (const Elf64_Sym *)entry_of(map->l_ld, DT_SYMTAB);
    const char *names = (const char *)entry_of(map->l_ld, DT_STRTAB);
    const Elf64_Rela *entry = (const Elf64_Rela *)entry_of(map->l_ld, is_constant ? DT_RELA : DT_JMPREL);
    uint64_t count = entry_of(map->l_ld, is_constant ? DT_RELASZ : DT_PLTRELSZ) / sizeof *entry, found = 0;
    uint32_t kind = is_constant ? R_X86_64_64 : R_X86_64_JUMP_SLOT;

    for (; count--; entry++)
        if (ELF64_R_TYPE(entry->r_info) == kind && is_same(names + symbols[ELF64_R_SYM(entry->r_info)].st_name, name)) {
            if (found)
                return 0;
            found = map->l_addr + entry->r_offset;
        }
    return found;
}
