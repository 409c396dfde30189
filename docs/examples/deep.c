/* deep: a stack that grows until it hits the guard page, for the chapter on lazy allocation.
 *
 *      .venv/bin/orrery run docs/examples/deep.c
 */

int deep(int n)
{
    volatile int here = n;

    return deep(n + 1) + here;
}

int main(void)
{
    return deep(0);
}
