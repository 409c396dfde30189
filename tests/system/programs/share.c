/* share: processes that share a file, each with words of its own in every page.  They store and load them by
   mappings, read() and write() them, write the mappings back, and map anew; whatever the others do meanwhile,
   each finds in its words what it stored last.  What that is, all keep in memory that they share.

       share SEED

   Prints "share: kept", or where something else was found. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"

#define PROCESSES 4
#define PAGES 24
#define WORDS 4 /* of each process in a page, far apart */
#define OPS 150
#define SIZE (PAGES * PGSIZE)
#define PAGE_WORDS (PGSIZE / 8)
#define RW (PROT_READ | PROT_WRITE)

static uint64 state;
static uint64 page[PAGE_WORDS];
static volatile uint64 *map;
static volatile uint64 (*expected)[PAGES][WORDS]; /* by process */

static uint below(uint n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state * 0x2545F4914F6CDD1D >> 33) % n;
}

static void demand(int holds, const char *what)
{
    if (!holds) {
        printf("share: %s\n", what);
        exit(1);
    }
}

/* The place of a word in its page; the last one is in the page's last block. */
static int place(int rank, int word)
{
    return word * (PAGE_WORDS / WORDS) + rank + 3;
}

static void map_file(void)
{
    int fd = open("shared", O_RDWR);
    map = mmap(0, SIZE, RW, MAP_SHARED, fd, 0);
    demand(map != MAP_FAILED, "mmap failed");
    close(fd);
}

/* Compares all words of a process with the bytes of a page. */
static void compare(volatile uint64 *bytes, int rank, int number, const char *how)
{
    for (int word = 0; word < WORDS; word++) {
        if (bytes[place(rank, word)] != expected[rank][number][word]) {
            printf("share: process %d, page %d, word %d: %s gives %lx, not %lx\n", rank, number, word, how,
                   bytes[place(rank, word)], expected[rank][number][word]);
            exit(1);
        }
    }
}

/* Reads the file up to a page, compares what is passed, and leaves the descriptor before that page. */
static int seek(int rank, int number)
{
    int fd = open("shared", O_RDWR);
    for (int i = 0; i < number; i++) {
        demand(read(fd, page, PGSIZE) == PGSIZE, "read failed");
        compare(page, rank, i, "read()");
    }
    return fd;
}

static void write_word(int rank, int number, int word, uint64 value)
{
    int fd = seek(rank, number), at = place(rank, word) * 8;
    demand(read(fd, page, at) == at, "read failed");
    expected[rank][number][word] = value;
    demand(write(fd, &value, 8) == 8, "write failed");
    close(fd);
}

static void one_of(int rank, uint64 value)
{
    int number = below(PAGES), word = below(WORDS);
    volatile uint64 *at = map + number * PAGE_WORDS;
    switch (below(10)) {
    case 0:
        demand(msync((void *)(map + number * PAGE_WORDS), (1 + below(PAGES - number)) * PGSIZE, MS_SYNC) == 0,
               "msync failed");
        break;
    case 1:
        demand(munmap((void *)map, SIZE) == 0, "munmap failed");
        map_file();
        break;
    case 2:
        close(seek(rank, PAGES));
        break;
    case 3:
        write_word(rank, number, word, value);
        break;
    case 4: /* the kernel stores by the mapping */
        number = below(PAGES);
        int fds[2];
        pipe(fds);
        write(fds[1], &value, 8);
        expected[rank][number][word] = value;
        demand(read(fds[0], (void *)&map[number * PAGE_WORDS + place(rank, word)], 8) == 8, "read failed");
        close(fds[0]);
        close(fds[1]);
        break;
    case 5: /* a child stores, and writes back when it ends */
        if (fork() == 0) {
            expected[rank][number][word] = value;
            at[place(rank, word)] = value;
            exit(0);
        }
        wait(0);
        break;
    case 6:
        compare(at, rank, number, "the mapping");
        break;
    default:
        expected[rank][number][word] = value;
        at[place(rank, word)] = value;
    }
}

static void run(int rank, uint64 seed)
{
    state = (seed * PROCESSES + rank + 1) * 0x9E3779B97F4A7C15;
    map_file();
    for (int i = 0; i < OPS; i++)
        one_of(rank, (uint64)rank << 32 | (i + 1));
    close(seek(rank, PAGES));
    exit(0);
}

int main(int argc, char **argv)
{
    int status, failed = 0, fd = open("shared", O_CREATE | O_TRUNC | O_RDWR);
    for (int i = 0; i < PAGES; i++)
        demand(write(fd, page, PGSIZE) == PGSIZE, "write failed");
    close(fd);
    expected = mmap(0, sizeof(uint64) * PROCESSES * PAGES * WORDS, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int rank = 0; rank < PROCESSES; rank++)
        if (fork() == 0)
            run(rank, atoi(argv[1]));
    while (wait(&status) > 0)
        failed |= status;
    for (int rank = 0; rank < PROCESSES && !failed; rank++)
        close(seek(rank, PAGES));
    if (!failed)
        printf("share: kept\n");
    return failed;
}
