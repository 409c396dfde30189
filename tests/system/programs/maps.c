/* maps: does what it is told on the console, for a test that looks at its page table meanwhile.  A command is
   a line, a letter and what stands beside it below; the answer is a line too, "= " and a number. */

#include "kernel/types.h"
#include "kernel/fcntl.h"
#include "kernel/riscv.h"
#include "user/user.h"

#define WORDS_MAX 8
#define SLOTS_MAX 16

static char *slots[SLOTS_MAX];
static int slot_count;
static char bytes[16 * PGSIZE];

static int split(char *line, char **words)
{
    int n = 0;
    for (char *p = line; *p && n < WORDS_MAX; n++) {
        while (*p == ' ')
            p++;
        words[n] = p;
        while (*p && *p != ' ' && *p != '\n')
            p++;
        while (*p == ' ' || *p == '\n')
            *p++ = 0;
    }
    return n;
}

/* fork: the child goes on, and the parent waits for it. */
static int forked(void)
{
    int status, pid = fork();
    if (pid <= 0)
        return pid;
    wait(&status);
    return status;
}

static int map(int fd, long pages, int prot, int flags, long offset)
{
    char *p = mmap(0, pages * PGSIZE, prot, flags, fd, offset * PGSIZE);
    if (p == MAP_FAILED || slot_count == SLOTS_MAX)
        return -1;
    slots[slot_count] = p;
    return slot_count++;
}

static int obey(char **words)
{
    int a = atoi(words[1]), b = atoi(words[2]), c = atoi(words[3]), d = atoi(words[4]), e = atoi(words[5]);
    char *page = a < SLOTS_MAX ? slots[a] + (long)b * PGSIZE : 0;
    char *argv[] = {words[1], 0};
    switch (words[0][0]) {
    case 'o': return open(words[1], b);                   /* name, mode: a descriptor */
    case 'm': return map(a, b, c, d, e);                  /* descriptor, pages, rights, flags, first page: a slot */
    case 's': return *(volatile char *)page = c;          /* slot, page, byte: store it, */
    case 'l': return *(volatile char *)page;              /* slot, page: and load it */
    case 'y': return msync(page, (long)c * PGSIZE, MS_SYNC);  /* slot, page, count */
    case 'u': return munmap(page, (long)c * PGSIZE);          /* slot, page, count */
    case 'p': return mprotect(page, (long)c * PGSIZE, d);     /* slot, page, count, rights */
    case 'r': return read(a, bytes, b * PGSIZE);          /* descriptor, pages */
    case 'd': return unlink(words[1]);                    /* name */
    case 'f': return forked();
    case 'e': return exec(words[1], argv);                /* name */
    case 'x': exit(a);
    }
    return -1;
}

int main(void)
{
    char line[100], *words[WORDS_MAX];
    printf("= 0\n");
    for (;;) {
        for (int i = 0; i < WORDS_MAX; i++)
            words[i] = "";
        if (*gets(line, sizeof line) == 0)
            exit(9);
        split(line, words);
        printf("= %d\n", obey(words));
    }
}
