/* What the tools share: options, numbers, names of files.  Not in user.h, whose names every program sees. */

#ifndef USER_TOOL_H
#define USER_TOOL_H

#include "kernel/types.h"

/* Where next_option() stands; a program begins with {argv + 1}.  After the last option `argv` points
   to the first operand. */
struct options {
    char **argv;
    const char *rest; /* letters of the same word that are left */
    char *value;      /* of the option that was returned last, where it takes one */
};

int next_option(struct options *o, const char *known);
int parse_number(const char *digits);

int open_input(const char *tool, const char *path);
int each_input(const char *tool, char **files, int headers, int (*use)(int fd, const char *name));
int is_directory(const char *path);
int is_same_file(const char *a, const char *b);

int output_failed(const char *tool);

char *strip_slashes(char *path);
const char *last_name(const char *path);
char *join_path(const char *directory, const char *name);
char *path_in_target(const char *source, const char *target);

#endif
