/* Modes of sys_sbrk(n, mode), which sbrk() and sbrklazy() hide. */

#ifndef KERNEL_VM_H
#define KERNEL_VM_H

#define SBRK_EAGER 1 /* the pages are there when the call returns, or it fails */
#define SBRK_LAZY 2  /* only the size moves; the first touch of a page allocates it */

#endif
