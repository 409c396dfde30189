/* Lines that a person types at a terminal, edited in the program: see lib/edit.c for the keys. */

#ifndef USER_EDIT_H
#define USER_EDIT_H

#define EDIT_BYTES_MAX 512    /* of a line, with its NUL */
#define EDIT_HISTORY_MAX 4096 /* bytes of earlier lines, each with its NUL; the oldest are forgotten */

enum { EDIT_END = -1, EDIT_INTERRUPTED = -2 };

/* Whether a terminal is at descriptor 0, that is, whether edit_line() can be used. */
int edit_possible(void);

/* Shows `prompt` and has the person edit a line, which is in `line` then, without a newline.  `complete` may
   be 0; for Tab it calls edit_match() for each thing that the word which ends at line[at] can become, and
   returns where that word begins.  The length of the line, EDIT_END for ^D on an empty line or where the
   terminal has gone, EDIT_INTERRUPTED for ^C. */
int edit_line(const char *prompt, char *line, int (*complete)(const char *line, int at));

/* A word that the one before the cursor may become; `end` is what stands behind it, a blank or '/'. */
void edit_match(const char *word, char end);

/* The earlier lines: the first, and from one to the next; 0 behind the last. */
const char *edit_history(const char *after);

#endif
