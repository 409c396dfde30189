/* Short form of kernel/fcntl.h, for programs that write #include "fcntl.h". */

#include "kernel/fcntl.h"
