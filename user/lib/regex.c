/* Regular expressions, the simple ones of grep and ed; user/regex.h says which.

   A pattern is a row of items.  regex_find() goes through the line once and tries all ways to match at
   the same time: for each item it keeps one attempt that has matched everything before it, as the place
   in the line where the attempt began.  Of two attempts that stand before the same item, the one that
   began earlier is kept.  So the time is that of line times pattern, whatever they are, and nothing
   recurses. */

#include "user/user.h"
#include "user/regex.h"

/* 0, or -1 where the pattern has too many items. */
int regex_compile(struct regex *re, const char *pattern)
{
    re->count = 0;
    re->at_end = 0;
    re->at_start = *pattern == '^';
    if (re->at_start)
        pattern++;
    while (*pattern) {
        if (pattern[0] == '$' && pattern[1] == 0) {
            re->at_end = 1;
            return 0;
        }
        if (re->count == REGEX_ITEMS_MAX)
            return -1;
        struct regex_item *item = &re->items[re->count++];
        item->any = *pattern == '.';
        if (pattern[0] == '\\' && pattern[1])
            pattern++;
        item->c = *pattern++;
        item->star = *pattern == '*';
        while (*pattern == '*')
            pattern++;
    }
    return 0;
}

/* Lets an attempt that began at `start` stand before item i. */
static void stand(struct regex *re, int i, const char *start)
{
    if (start && (re->starts[i] == 0 || start < re->starts[i]))
        re->starts[i] = start;
}

/* An item with a star may also match nothing. */
static void pass_stars(struct regex *re)
{
    for (int i = 0; i < re->count; i++)
        if (re->items[i].star)
            stand(re, i + 1, re->starts[i]);
}

/* Moves every attempt over the character c, and drops those that do not match it or that began later
   than `latest`.  Whether one is left. */
static int advance(struct regex *re, char c, const char *latest)
{
    int left = 0;
    re->starts[re->count] = 0;
    for (int i = re->count - 1; i >= 0; i--) { /* downwards: an attempt moves only once */
        const struct regex_item *item = &re->items[i];
        const char *start = re->starts[i];
        re->starts[i] = 0;
        if (start == 0 || (latest && start > latest) || !(item->any || item->c == c))
            continue;
        stand(re, item->star ? i : i + 1, start);
        left = 1;
    }
    return left;
}

/* Looks in [from, end) of the line that begins at `line`, for the leftmost match, and the longest of
   those.  Whether there is one; it is stored in *m. */
int regex_find(struct regex *re, const char *line, const char *end, const char *from, struct match *m)
{
    const char *best = 0; /* where the best match so far began */
    for (int i = 0; i <= re->count; i++)
        re->starts[i] = 0;
    for (const char *p = from;; p++) {
        if (best == 0 && (p == line || !re->at_start))
            stand(re, 0, p);
        pass_stars(re);
        const char *complete = re->starts[re->count];
        if (complete && (best == 0 || complete <= best) && (p == end || !re->at_end)) {
            best = m->start = complete;
            m->end = p;
        }
        if (p == end)
            break;
        if (!advance(re, *p, best) && (best || re->at_start))
            break;
    }
    return best != 0;
}
