/* xargs: runs a command (echo where none is named) with words from its input added to its arguments.

       xargs command [arg ...]         once for each line, with the words of the line
       xargs -n N command [arg ...]    once for each N words, wherever the lines end

   Words are separated by blanks; quotes have no meaning.  Words that are too many for one command are
   given to several.  A command reads no input.  The status is 127 where the command cannot be started,
   123 where one failed, 1 where something else went wrong. */

#include "kernel/types.h"
#include "kernel/param.h"
#include "kernel/fs.h"
#include "user/user.h"
#include "user/stream.h"
#include "user/tool.h"

#define ARGUMENT_BYTES_MAX 2048 /* half of the command's stack, of which it is a part, at the most */

enum { FAILED = 1, COMMAND_FAILED = 123, NOT_FOUND = 127 };

static struct {
    char *argv[MAXARG]; /* the command, its own arguments, the words, a NULL */
    int own;            /* how many were there before the first word */
    int count;
    int bytes; /* that they take on a stack */
    int words_max;
} command;

static char words[ARGUMENT_BYTES_MAX], *words_end = words;
static int status; /* xargs' own; what weighs more is greater */

static void note(int trouble)
{
    if (trouble > status)
        status = trouble;
}

/* exec() aligns each string to 16. */
static int stack_bytes(const char *word)
{
    return (strlen(word) + 1 + 15) & ~15;
}

/* Descriptor 0 becomes a pipe that nobody writes to: its reader is at the end of its input. */
static void take_input_away(void)
{
    int ends[2];
    close(0);
    if (pipe(ends) == 0)
        close(ends[1]);
}

/* In place of this process, as the shell would. */
static void run_program(char **argv)
{
    char path[1 + DIRSIZ + 1] = "/";
    exec(argv[0], argv);
    if (strchr(argv[0], '/') == 0 && strlen(argv[0]) <= DIRSIZ) {
        strcpy(path + 1, argv[0]);
        exec(path, argv);
    }
    fprintf(2, "xargs: cannot run %s\n", argv[0]);
    exit(NOT_FOUND);
}

/* Runs the command with the words that it has got, and forgets these. */
static void run(void)
{
    int child_status = FAILED;
    command.argv[command.count] = 0;
    int pid = fork();
    if (pid < 0) {
        fprintf(2, "xargs: fork failed\n");
        exit(FAILED);
    }
    if (pid == 0) {
        take_input_away();
        run_program(command.argv);
    }
    wait(&child_status);

    while (command.count > command.own)
        command.bytes -= stack_bytes(command.argv[--command.count]);
    words_end = words;
    if (child_status == NOT_FOUND)
        exit(NOT_FOUND);
    if (child_status != 0)
        note(COMMAND_FAILED);
}

static int has_words(void)
{
    return command.count > command.own;
}

static int is_full(int more_bytes)
{
    return command.count - command.own == command.words_max || command.count == MAXARG - 1 ||
           command.bytes + more_bytes > ARGUMENT_BYTES_MAX;
}

/* Adds a word, after running the command if no more fit. */
static void add(const char *word)
{
    int more_bytes = stack_bytes(word);
    if (has_words() && is_full(more_bytes))
        run();
    if (is_full(more_bytes)) {
        fprintf(2, "xargs: a word or the command is too long\n");
        exit(FAILED);
    }
    command.argv[command.count++] = strcpy(words_end, word);
    command.bytes += more_bytes;
    words_end += strlen(word) + 1;
}

/* Cuts the line at its blanks. */
static void add_words(struct text *line)
{
    char *end = line->bytes + line->length;
    for (char *p = line->bytes; p < end;) {
        char *word = p;
        while (p < end && *p && *p != ' ' && *p != '\t' && *p != '\r')
            p++;
        *p++ = 0;
        if (*word)
            add(word);
    }
}

static void run_all(int by_line)
{
    static struct reader input = {.fd = 0};
    struct text line = {0};
    int result;

    while ((result = read_line(&input, &line)) == LINE_READ) {
        add_words(&line);
        if (by_line && has_words())
            run();
    }
    if (result < 0) {
        fprintf(2, "xargs: %s\n", result == LINE_NO_MEMORY ? "out of memory" : "cannot read input");
        note(FAILED);
    }
    if (has_words())
        run();
}

static int usage(void)
{
    fprintf(2, "usage: xargs [-n words] [command [arg ...]]\n");
    return FAILED;
}

int main(int argc, char **argv)
{
    static char *echo[] = {"echo", 0};
    struct options options = {argv + 1};
    int option, words_max = 0;

    while ((option = next_option(&options, "n:")) != 0) {
        words_max = option == 'n' ? parse_number(options.value) : -1;
        if (words_max <= 0)
            return usage();
    }
    for (char **word = *options.argv ? options.argv : echo; *word; word++) {
        command.argv[command.count++] = *word; /* there are less than MAXARG, for they came by exec() */
        command.bytes += stack_bytes(*word);
    }
    command.own = command.count;
    command.words_max = words_max ? words_max : MAXARG;
    run_all(words_max == 0);
    return status;
}
