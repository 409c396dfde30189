/* Patterns for names of files: * is any characters, ? is one, [a-z] one of these, [!a-z] one of the others.

   GLOB_QUOTE before a character makes that an ordinary one.  A name that begins with a dot is found only by a
   pattern that does. */

#ifndef USER_GLOB_H
#define USER_GLOB_H

#define GLOB_QUOTE '\1'

/* Whether there is something in the pattern that is not an ordinary character. */
int glob_is_pattern(const char *pattern);

/* Whether `name` is what the pattern describes. */
int glob_match(const char *pattern, const char *name);

/* Copies a word without its GLOB_QUOTEs. */
void glob_unquote(char *to, const char *from);

/* Calls found() with each path that the pattern describes, directory by directory, in the order of the disk;
   `is_directory` says what it is.  How many there were. */
int glob_expand(const char *pattern, void (*found)(const char *path, int is_directory));

#endif
