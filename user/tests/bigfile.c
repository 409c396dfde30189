/* bigfile: a file as large as the image's layout lets it be, written, read back and removed.

   How large that is write() tells, by refusing a block more: 268 blocks where an inode has 12 direct blocks and
   an indirect one (stock xv6), 65,803 where it has 11, an indirect and a doubly indirect one (the lab layout).
   Then a file that is written in pieces that are no blocks, beyond the first tables of the larger layout. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/stat.h"
#include "user/user.h"

#define FILE_NAME "bigfile.tmp"
#define STOCK_BLOCKS (12 + 256)
#define LAB_BLOCKS (11 + 256 + 256 * 256)
#define CHUNK_BLOCKS 3 /* as much as the kernel writes in one transaction: it is refused as a whole */
#define ODD_BYTES 3000
#define ODD_FILE_BLOCKS 600
#define BLOCK_WORDS (BSIZE / sizeof(uint))

static uint buf[CHUNK_BLOCKS][BLOCK_WORDS];

static void demand(int condition, const char *what, int block)
{
    if (condition)
        return;
    printf("%s failed at block %d: FAILED\n", what, block);
    unlink(FILE_NAME);
    exit(1);
}

/* Of every block the first word and the last tell which one it is. */
static void make_block(uint *words, uint block)
{
    words[0] = block;
    words[BLOCK_WORDS - 1] = ~block;
}

static int is_block(const uint *words, uint block)
{
    return words[0] == block && words[BLOCK_WORDS - 1] == ~block;
}

static int open_it(int mode)
{
    int fd = open(FILE_NAME, mode);
    demand(fd >= 0, "open", 0);
    return fd;
}

/* Writes `n` blocks at a time from block `from` on, until they are refused; where it stands then. */
static int write_some(int fd, int from, int n)
{
    for (;; from += n) {
        for (int i = 0; i < n; i++)
            make_block(buf[i], from + i);
        int written = write(fd, buf, n * BSIZE);
        if (written <= 0) { /* of the blocks some may be there, where the disk is full */
            struct stat st;
            demand(fstat(fd, &st) == 0 && st.size % BSIZE == 0, "whole blocks", from);
            return st.size / BSIZE;
        }
        demand(written == n * BSIZE, "write", from);
    }
}

/* How many blocks a file has at most. */
static int write_all(void)
{
    int fd = open_it(O_CREATE | O_TRUNC | O_WRONLY);
    int blocks = write_some(fd, write_some(fd, 0, CHUNK_BLOCKS), 1);
    demand(write(fd, buf, 1) <= 0, "refusing a byte more", blocks);
    struct stat st;
    demand(fstat(fd, &st) == 0 && st.size == (uint64)blocks * BSIZE, "size", blocks);
    demand(close(fd) == 0, "close", blocks);
    return blocks;
}

static void read_all(int blocks)
{
    int fd = open_it(O_RDONLY), block = 0;
    while (block < blocks) {
        int n = blocks - block < CHUNK_BLOCKS ? blocks - block : CHUNK_BLOCKS;
        demand(read(fd, buf, CHUNK_BLOCKS * BSIZE) == n * BSIZE, "read", block);
        for (int i = 0; i < n; i++, block++)
            demand(is_block(buf[i], block), "comparing", block);
    }
    demand(read(fd, buf, BSIZE) == 0, "end of file", blocks);
    demand(close(fd) == 0, "close", blocks);
}

static void write_in_pieces(int blocks)
{
    static char piece[ODD_BYTES];
    int fd = open_it(O_CREATE | O_WRONLY);
    int pieces = (blocks < ODD_FILE_BLOCKS ? blocks : ODD_FILE_BLOCKS) * BSIZE / ODD_BYTES;
    for (int i = 0; i < pieces; i++) {
        memset(piece, i, ODD_BYTES);
        demand(write(fd, piece, ODD_BYTES) == ODD_BYTES, "writing a piece", i * ODD_BYTES / BSIZE);
    }
    demand(close(fd) == 0, "close", blocks);

    fd = open_it(O_RDONLY);
    for (int i = 0; i < pieces; i++) {
        demand(read(fd, piece, ODD_BYTES) == ODD_BYTES, "reading a piece", i * ODD_BYTES / BSIZE);
        for (int k = 0; k < ODD_BYTES; k++)
            demand(piece[k] == (char)i, "comparing a piece", i * ODD_BYTES / BSIZE);
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
