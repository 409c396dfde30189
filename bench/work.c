/* work: small programs that compute, to see how fast user code runs.

       work NAME N

   does NAME N times and prints what came out.  Whoever measures runs it twice, with a small and a large N, and
   divides.  They differ in what they ask of an engine: arithmetic and table lookups, calls through a pointer,
   stores, a jump table, a chain of loads that depend on each other, small functions, nested loops. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "user/user.h"

#define BYTES 65536
#define NUMBERS 20000
#define NODES 20000
#define STRINGS 3000
#define STEPS 200000
#define SIDE 64

static uchar bytes[BYTES];

/* The next of a row of numbers that look random. */
static uint next_random(uint x)
{
    return x * 1103515245 + 12345;
}

/* The CRC-32 of 64 KiB, by a table. */
static uint64 crc(void)
{
    static uint table[256];
    uint sum = ~0u;

    for (uint i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] & 1 ? 0xEDB88320u ^ table[i] >> 1 : table[i] >> 1;
    }
    for (int i = 0; i < BYTES; i++)
        sum = table[(sum ^ bytes[i]) & 255] ^ sum >> 8;
    return ~sum;
}

static int compare(int a, int b)
{
    return a < b ? -1 : a > b;
}

static void sort(int *a, int low, int high, int (*order)(int, int))
{
    while (low < high) {
        int pivot = a[(low + high) / 2], i = low, j = high;

        while (i <= j) {
            while (order(a[i], pivot) < 0)
                i++;
            while (order(a[j], pivot) > 0)
                j--;
            if (i <= j) {
                int t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        if (j - low < high - i) {
            sort(a, low, j, order);
            low = i;
        } else {
            sort(a, i, high, order);
            high = j;
        }
    }
}

/* 20,000 numbers sorted by quicksort, which is told their order by a function. */
static uint64 quicksort(void)
{
    static int numbers[NUMBERS];
    uint x = 1;

    for (int i = 0; i < NUMBERS; i++) {
        x = next_random(x);
        numbers[i] = x >> 4;
    }
    sort(numbers, 0, NUMBERS - 1, compare);
    return numbers[5];
}

/* The primes below 65536. */
static uint64 sieve(void)
{
    int count = 0;

    for (int i = 0; i < BYTES; i++)
        bytes[i] = 1;
    for (int i = 2; i < BYTES; i++) {
        if (!bytes[i])
            continue;
        count++;
        for (int j = i + i; j < BYTES; j += i)
            bytes[j] = 0;
    }
    return count;
}

/* 200,000 steps of a machine with seven instructions. */
static uint64 interpreter(void)
{
    static const uchar program[] = {0, 1, 2, 3, 4, 5, 1, 2, 3, 6};
    uint64 a = 1, b = 2;
    int at = 0;

    for (int i = 0; i < STEPS; i++) {
        switch (program[at++]) {
        case 0: a += b; break;
        case 1: b ^= a << 1; break;
        case 2: a -= 3; break;
        case 3: b += a >> 3; break;
        case 4: a = a * 5 + 1; break;
        case 5: b += a & 1; break;
        case 6: at = 0; break;
        }
    }
    return a ^ b;
}

/* A binary tree of 20,000 random keys, built by insertion. */
static uint64 tree(void)
{
    static struct node {
        struct node *left, *right;
        int key;
    } nodes[NODES];
    struct node *root = 0;
    uint x = 1;
    uint64 depth_sum = 0;

    for (int i = 0; i < NODES; i++) {
        struct node **link = &root;

        x = next_random(x);
        nodes[i] = (struct node){0, 0, x >> 8};
        for (; *link; depth_sum++)
            link = nodes[i].key < (*link)->key ? &(*link)->left : &(*link)->right;
        *link = &nodes[i];
    }
    return depth_sum;
}

/* 3,000 numbers written as text, measured and compared. */
static uint64 strings(void)
{
    uint64 sum = 0;

    for (int i = 0; i < STRINGS; i++) {
        char text[16];
        int n = 0, left = i * 7919;

        do {
            text[n++] = '0' + left % 10;
            left /= 10;
        } while (left);
        text[n] = 0;
        sum += strlen(text) + !strcmp(text, "123");
    }
    return sum;
}

/* The product of two matrices of 64 by 64. */
static uint64 matrix(void)
{
    static int a[SIDE][SIDE], b[SIDE][SIDE], product[SIDE][SIDE];

    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = i + j;
            b[i][j] = i * j;
        }
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            int sum = 0;

            for (int k = 0; k < SIDE; k++)
                sum += a[i][k] * b[k][j];
            product[i][j] = sum;
        }
    return product[3][5];
}

static const struct {
    const char *name;
    uint64 (*run)(void);
} programs[] = {
    {"crc", crc},   {"quicksort", quicksort}, {"sieve", sieve},   {"interpreter", interpreter},
    {"tree", tree}, {"strings", strings},     {"matrix", matrix},
};

#define PROGRAMS ((int)(sizeof programs / sizeof programs[0]))

int main(int argc, char **argv)
{
    for (int i = 0; argc == 3 && i < PROGRAMS; i++) {
        if (strcmp(argv[1], programs[i].name) == 0) {
            uint64 sum = 0;

            for (int n = atoi(argv[2]); n > 0; n--)
                sum += programs[i].run();
            printf("work: %s %s done, %d\n", argv[1], argv[2], (int)sum);
            exit(0);
        }
    }
    fprintf(2, "usage: work NAME N; NAME is one of");
    for (int i = 0; i < PROGRAMS; i++)
        fprintf(2, " %s", programs[i].name);
    fprintf(2, "\n");
    exit(1);
}
