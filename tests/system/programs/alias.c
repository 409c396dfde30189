/* alias: code in a file that is mapped twice, once to be written and once to be executed.  The kernel, not the
   program, stores new code: read() to the one mapping, and write() to the file.  Prints what the code returned. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"

/* addi a0, zero, value; ret */
static void returns(uint *code, int value)
{
    code[0] = value << 20 | 0x513;
    code[1] = 0x8067;
}

static int call(void *code)
{
    asm volatile("fence.i" ::: "memory");
    return ((int (*)(void))code)();
}

int main(void)
{
    uint code[2];
    int fds[2], fd = open("code", O_CREATE | O_RDWR);
    returns(code, 1);
    write(fd, code, sizeof code);
    char *data = mmap(0, PGSIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *text = mmap(0, PGSIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    printf("first %d\n", call(text));
    returns((uint *)data, 2);
    printf("stored %d\n", call(text));
    pipe(fds);
    returns(code, 3);
    write(fds[1], code, sizeof code);
    read(fds[0], data, sizeof code);
    printf("read %d\n", call(text));
    returns(code, 4);
    close(fd);
    fd = open("code", O_RDWR);
    write(fd, code, sizeof code);
    printf("written %d\n", call(text));
    return 0;
}
