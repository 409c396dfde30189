/* Goes through a tree of files, each directory before what it holds.

   The paths that are still to be visited are kept in a list, and a directory is closed before the walk
   goes on: neither the stack nor the number of open files limits the depth, only the length of a path
   that the kernel takes. */

#include "kernel/types.h"
#include "kernel/fs.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "user/tool.h"
#include "user/walk.h"

struct walk_entry {
    struct walk_entry *next;
    char *path;
};

/* Takes over `path`, which may be 0, for join_path() had no memory.  The entry, or 0 where that is so. */
static struct walk_entry *new_entry(char *path)
{
    struct walk_entry *entry = path ? malloc(sizeof *entry) : 0;
    if (entry == 0) {
        free(path);
        return 0;
    }
    entry->path = path;
    entry->next = 0;
    return entry;
}

static void free_entry(struct walk_entry *entry)
{
    if (entry)
        free(entry->path);
    free(entry);
}

/* Begins a walk at `path`.  0, or -1 where there is no memory. */
int walk_from(struct walk *w, const char *path)
{
    char *copy = malloc(strlen(path) + 1);
    w->pending = new_entry(copy ? strcpy(copy, path) : 0);
    return w->pending ? 0 : -1;
}

/* The path to visit now, good until the next call, or 0 at the end. */
const char *walk_next(struct walk *w)
{
    free_entry(w->current);
    w->current = w->pending;
    if (w->current == 0)
        return 0;
    w->pending = w->current->next;
    return w->current->path;
}

/* Has the walk visit next what the directory holds that walk_next() gave.  0, or -1 where it cannot be
   read or there is no memory, and some of it will not be visited. */
int walk_into(struct walk *w)
{
    struct dirent entry;
    char name[DIRSIZ + 1] = "";
    struct walk_entry *rest = w->pending, **hole = &w->pending;
    int status = 0;
    int fd = open(w->current->path, O_RDONLY);

    if (fd < 0)
        return -1;
    while (status == 0 && read(fd, &entry, sizeof entry) == sizeof entry) {
        memcpy(name, entry.name, DIRSIZ);
        if (entry.inum == 0 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        *hole = new_entry(join_path(w->current->path, name));
        if (*hole)
            hole = &(*hole)->next;
        else
            status = -1;
    }
    *hole = rest;
    close(fd);
    return status;
}
