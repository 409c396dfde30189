/* Short form of user/user.h, for programs that write #include "user.h". */

#include "user/user.h"
