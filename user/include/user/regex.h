/* Regular expressions, the simple ones of grep and ed:

       c    that character            ^    the start of the line, as the first character only
       .    any character             $    the end of the line, as the last character only
       \c   c itself, whatever it is  x*   none or more of x, one of the three at the left */

#ifndef USER_REGEX_H
#define USER_REGEX_H

#define REGEX_ITEMS_MAX 256

struct regex {
    int at_start, at_end; /* ^ and $ */
    int count;
    struct regex_item {
        char c;
        char any;  /* . */
        char star; /* none or more of it */
    } items[REGEX_ITEMS_MAX];
    const char *starts[REGEX_ITEMS_MAX + 1]; /* of regex_find() while it runs */
};

struct match {
    const char *start, *end;
};

int regex_compile(struct regex *re, const char *pattern);
int regex_find(struct regex *re, const char *line, const char *end, const char *from, struct match *m);

#endif
