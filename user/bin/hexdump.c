/* hexdump: prints files, or its input, in hexadecimal: sixteen bytes a line, as `hexdump -C` does.

       00000010  74 65 78 74 0a                                    |text.|
       offset    bytes                                             as text, "." for what is none

   Lines like the one before are replaced by a "*", except with -v; -n N stops after N bytes.  The last
   line is the offset of the end.  Several files are taken as one.  A directory shows its entries. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "user/stream.h"
#include "user/tool.h"

#define ROW_BYTES 16

static struct writer out = {.fd = 1};
static long left = 1l << 62; /* bytes to print, -n */
static int show_all;         /* -v */
static uchar row[ROW_BYTES], last[ROW_BYTES];
static long offset; /* of `row` */
static int filled;  /* bytes in it */
static int starred; /* the row before it was left out */

static void put_hex(uint64 value, int digits)
{
    while (digits > 0)
        put_bytes(&out, &"0123456789abcdef"[value >> 4 * --digits & 0xf], 1);
}

static void print_row(void)
{
    put_hex(offset, 8);
    for (int i = 0; i < ROW_BYTES; i++) {
        put_bytes(&out, "  ", i % 8 == 0 ? 2 : 1);
        if (i < filled)
            put_hex(row[i], 2);
        else
            put_bytes(&out, "  ", 2);
    }
    put_bytes(&out, "  |", 3);
    for (int i = 0; i < filled; i++)
        put_bytes(&out, row[i] >= ' ' && row[i] <= '~' ? (char *)&row[i] : ".", 1);
    put_bytes(&out, "|\n", 2);
}

/* Prints the row, full or the last one, or leaves it out. */
static void end_row(void)
{
    int same = offset > 0 && filled == ROW_BYTES && memcmp(row, last, ROW_BYTES) == 0;
    if (!same || show_all)
        print_row();
    else if (!starred)
        put_bytes(&out, "*\n", 2);
    starred = same;
    memcpy(last, row, ROW_BYTES);
    offset += filled;
    filled = 0;
}

static int dump(int fd, const char *name)
{
    static uchar buf[1024];
    int n = 0;

    while (left > 0 && (n = read(fd, buf, left < sizeof buf ? left : sizeof buf)) > 0) {
        left -= n;
        for (int i = 0; i < n; i++) {
            row[filled++] = buf[i];
            if (filled == ROW_BYTES)
                end_row();
        }
    }
    if (n < 0)
        fprintf(2, "hexdump: cannot read %s\n", name);
    return n < 0;
}

/* Not open_input(), which takes no directory. */
static int dump_file(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        fprintf(2, "hexdump: cannot open %s\n", path);
        return 1;
    }
    int status = dump(fd, path);
    close(fd);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {argv + 1};
    int option, status = 0;

    while ((option = next_option(&options, "Cvn:")) != 0) {
        if (option == 'n')
            left = parse_number(options.value);
        if (option == '?' || left < 0) {
            fprintf(2, "usage: hexdump [-Cv] [-n bytes] [file ...]\n");
            return 1;
        }
        show_all |= option == 'v';
    }
    if (*options.argv == 0)
        status = dump(0, "input");
    for (char **file = options.argv; *file; file++)
        status |= dump_file(*file);

    if (filled > 0)
        end_row();
    if (offset > 0) {
        put_hex(offset, 8);
        put_bytes(&out, "\n", 1);
    }
    return put_flush(&out) < 0 ? output_failed("hexdump") : status;
}
