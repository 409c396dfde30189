/* The integer types of xv6, by their xv6 names.  Included by nearly every program and header.

   The machine is riscv64 (LP64): long and pointers are 64 bits wide. */

#ifndef KERNEL_TYPES_H
#define KERNEL_TYPES_H

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;

typedef unsigned char uint8;
typedef unsigned short uint16;
typedef unsigned int uint32;
typedef unsigned long uint64;

typedef unsigned long size_t;
typedef long off_t;

typedef uint64 pde_t; /* a page-table entry */

#endif
