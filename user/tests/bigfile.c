/* bigfile: a file as large as the image's layout lets it be, written, read back and removed.

   How large that is write() tells, by refusing a block more: 268 blocks where an inode has 12 direct blocks and
   an indirect one (stock xv6), 65,803 where it has 11, an indirect and a doubly indirect one (the lab layout).
   Then the same once more in pieces that are no blocks, of a file that is opened anew and grows in the middle
   of one: the blocks of the first must have come back. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/stat.h"
#include "user/user.h"

#define FILE_NAME "bigfile.tmp"
#define STOCK_BLOCKS (12 + 256)
#define LAB_BLOCKS (11 + 256 + 256 * 256)
#define PROGRESS_BLOCKS 10000
#define ODD_BYTES 3000

static uint buf[BSIZE / sizeof(uint)];

static void demand(int condition, const char *what, int block)
{
    if (condition)
        return;
    printf("%s failed at block %d: FAILED\n", what, block);
    unlink(FILE_NAME);
    exit(1);
}

/* Of every block the first word and the last tell which one it is. */
static void make_block(uint block)
{
    buf[0] = block;
    buf[BSIZE / sizeof(uint) - 1] = ~block;
}

static int is_block(uint block)
{
    return buf[0] == block && buf[BSIZE / sizeof(uint) - 1] == ~block;
}

static int open_it(int mode)
{
    int fd = open(FILE_NAME, mode);
    demand(fd >= 0, "open", 0);
    return fd;
}

/* Writes until no block more is taken; how many were. */
static int write_all(void)
{
    int blocks = 0, fd = open_it(O_CREATE | O_TRUNC | O_WRONLY);
    for (;; blocks++) {
        make_block(blocks);
        int n = write(fd, buf, BSIZE);
        if (n <= 0)
            break;
        demand(n == BSIZE, "write", blocks);
        if (blocks % PROGRESS_BLOCKS == PROGRESS_BLOCKS - 1)
            printf(".");
    }
    demand(write(fd, buf, 1) <= 0, "refusing a byte more", blocks);
    demand(close(fd) == 0, "close", blocks);
    return blocks;
}

static void read_all(int blocks)
{
    int fd = open_it(O_RDONLY);
    for (int block = 0; block < blocks; block++) {
        demand(read(fd, buf, BSIZE) == BSIZE, "read", block);
        demand(is_block(block), "comparing", block);
    }
    demand(read(fd, buf, BSIZE) == 0, "end of file", blocks);
    struct stat st;
    demand(fstat(fd, &st) == 0 && st.size == (uint64)blocks * BSIZE, "size", blocks);
    demand(close(fd) == 0, "close", blocks);
}

/* The free blocks are as many as before: a second file finds room for as much as its pieces take. */
static void write_in_pieces(int blocks)
{
    static char piece[ODD_BYTES];
    int fd = open_it(O_CREATE | O_WRONLY);
    long size = (long)blocks * BSIZE, at = 0;
    while (size - at >= ODD_BYTES) {
        memset(piece, at / ODD_BYTES, ODD_BYTES);
        demand(write(fd, piece, ODD_BYTES) == ODD_BYTES, "writing a piece", at / BSIZE);
        at += ODD_BYTES;
    }
    demand(close(fd) == 0, "close", blocks);

    fd = open_it(O_RDONLY);
    for (long got = 0; got < at; got += ODD_BYTES) {
        demand(read(fd, piece, ODD_BYTES) == ODD_BYTES, "reading a piece", got / BSIZE);
        char expected = got / ODD_BYTES;
        demand(piece[0] == expected && piece[ODD_BYTES - 1] == expected, "comparing a piece", got / BSIZE);
    }
    demand(close(fd) == 0, "close", blocks);
}

static void remove_it(void)
{
    struct stat st;
    demand(unlink(FILE_NAME) == 0, "unlink", 0);
    demand(stat(FILE_NAME, &st) == -1, "unlink", 0);
}

int main(void)
{
    printf("write: ");
    int blocks = write_all();
    printf("%d blocks\n", blocks);
    demand(blocks == STOCK_BLOCKS || blocks == LAB_BLOCKS, "filling a file (is the disk full?)", blocks);

    printf("read: ");
    read_all(blocks);
    printf("OK\n");

    printf("remove and write in pieces: ");
    remove_it();
    write_in_pieces(blocks);
    remove_it();
    printf("OK\n");
    return 0;
}
