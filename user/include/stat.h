/* Short form of kernel/stat.h, for programs that write #include "stat.h". */

#include "kernel/stat.h"
