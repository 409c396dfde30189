/* Short form of kernel/types.h, for programs that write #include "types.h". */

#include "kernel/types.h"
