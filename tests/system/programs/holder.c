/* holder: has memory of every kind, forks a child that shares it, and waits with it for ever, for tests
   that look at the kernel from outside.  Prints "held" when all is there. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"

#define PAGES 4
#define SUPER (2 << 20)
#define LARGE (3 * SUPER) /* at least one piece of 2 MiB is mapped whole: fork shares its page table */

static char bytes[PGSIZE];

static char *map(int pages, int prot, int flags, int fd, int first)
{
    char *p = mmap(0, pages * PGSIZE, prot, flags, fd, first * PGSIZE);
    if (p == MAP_FAILED) {
        fprintf(2, "holder: mmap failed\n");
        exit(1);
    }
    return p;
}

int main(void)
{
    volatile char *shared, *private, *readable, *zeroes, *common, *none, *large, *heap;
    int fds[2];
    int fd = open("held", O_CREATE | O_RDWR);
    for (int i = 0; i < PAGES; i++) {
        memset(bytes, 'a' + i, sizeof bytes);
        write(fd, bytes, i < PAGES - 1 ? PGSIZE : PGSIZE / 2);
    }
    shared = map(PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    private = map(PAGES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    readable = map(1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 2);
    zeroes = map(3, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    common = map(2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    none = map(2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    large = map(LARGE / PGSIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sbrk(SUPER - (uint64)sbrk(0) % SUPER);
    heap = sbrk(2 * SUPER);

    shared[10] = 'S';
    private[10] = 'P';
    bytes[0] = readable[0] + private[PGSIZE] + shared[2 * PGSIZE] + shared[3 * PGSIZE];
    close(fd);
    fd = open("held", O_RDWR);
    read(fd, bytes, PGSIZE);
    write(fd, "W", 1);
    for (int i = 0; i < 3; i++)
        zeroes[i * PGSIZE] = i;
    common[0] = common[PGSIZE] = 1;
    none[0] = 1;
    mprotect((void *)none, PGSIZE, PROT_NONE);
    for (int i = 0; i < LARGE; i += 16 * PGSIZE)
        large[i] = 1;
    for (int i = 0; i < 2 * SUPER; i += 64 * PGSIZE)
        heap[i] = 1;

    pipe(fds);
    if (fork() == 0) {
        common[1] = 2;
        bytes[0] = shared[0];
    } else {
        zeroes[0] = 7;
        printf("held\n");
    }
    read(fds[0], bytes, 1);
    return 0;
}
