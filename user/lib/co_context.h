/* Where co_switch.S finds what in a struct co, which begins so:

       0    8    16   24        104  112
     +----+----+----+----+-...-+-----+------+----
     | ra | sp | s0 | s1 |     | s11 | next |         the callee-saved registers while it does not run
     +----+----+----+----+-...-+-----+------+----

   The register tp points to the coroutine that runs; no other code in user/ uses it. */

#define CO_RA 0
#define CO_SP 8
#define CO_S(i) (16 + 8 * (i))
#define CO_NEXT 112
