/* Goes through a tree of files, each directory before what it holds. */

#ifndef USER_WALK_H
#define USER_WALK_H

/* Begins as {0}. */
struct walk {
    struct walk_entry *pending; /* next one first */
    struct walk_entry *current;
};

int walk_from(struct walk *w, const char *path);
const char *walk_next(struct walk *w);
int walk_into(struct walk *w);

#endif
