/* sh: the shell.

   A line is a list of pipelines; a command in a pipeline may be a list in parentheses:

       list     = chain { (";" | "&") chain } [";" | "&"]            "&": do not wait for it
       chain    = pipeline { ("&&" | "||") pipeline }                the next where the last one did, or did not
       pipeline = command { "|" command }
       command  = word { word } | "(" list ")"     and "<" word, ">" word, ">>" word among them
       word     = characters, '...' and "..."; in quotes a blank or an operator is a character

   What follows a word that begins with # is a comment.  In a word, but for '...', $? is the last status.
   Outside of quotes *, ? and [...] make it a pattern (user/glob.h), in whose place stand the names of files
   that it describes, or it stands as it is where there are none.

   Three steps: a line is read, parse() makes nodes, perform() runs them.  At a terminal the person edits the
   line (user/edit.h); anywhere else, and on a kernel that has no ttymode(), it is read as it comes.  Only
   `cd` and `exit` run in the shell itself; `help` and its like are for who has no program of that name.
   Everything else runs in a child that is waited for, and each process passes on the
   status of the last thing it ran.  So the status of the shell's last child is that of the line's last
   command, and 0 for one in the background, which is left to init.  A line that is wrong has a
   failing child too.

   Everything has a fixed size: the stack is one page, and fork copies whatever is in use. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "kernel/fs.h"
#include "kernel/param.h"
#include "user/user.h"
#include "user/edit.h"
#include "user/glob.h"

#define LINE_BYTES EDIT_BYTES_MAX /* a line with its NUL */
#define EXPANDED_BYTES 2048       /* of a command's words when their patterns are names */
#define NODES_MAX 96   /* commands and operators of a line */
#define WORDS_MAX 256  /* words of a line, and a NULL behind each command's */
#define NESTING_MAX 8  /* parentheses within parentheses: each level costs stack */

#define STATUS_FAILED 1
#define STATUS_NOT_FOUND 127
#define STATUS_INTERRUPTED 130

static const char prompt[] = "$ ";

enum kind {
    COMMAND,    /* argv; empty where a line has only redirections */
    REDIRECT,   /* left, with descriptor `fd` open on `file` */
    PIPE,       /* left | right */
    AND,        /* left && right, which is an AND, an OR or a pipeline */
    OR,         /* left || right */
    SEQUENCE,   /* left ; right, which may be missing */
    BACKGROUND, /* left & right, which may be missing */
    GROUP,      /* ( left ) */
    BROKEN,     /* only fails */
};

struct node {
    enum kind kind;
    int fd;
    char token; /* which redirection */
    char *file;
    char **argv;
    struct node *left, *right;
};

static struct node broken = {.kind = BROKEN};
static int last_status; /* $? */

/* -- step 1: reading ------------------------------------------------------------------------------ */

enum { END_OF_FILE = EDIT_END, TOO_LONG = EDIT_INTERRUPTED - 1 };

/* Reads a line into `line`, with a NUL in place of its newline, and returns its length.  A device
   hands out one line at a time; from a file or a pipe a byte at a time is taken, so that commands
   find what follows the line. */
static int read_line(char *line)
{
    struct stat st;
    int by_line = fstat(0, &st) == 0 && st.type == T_DEVICE;
    int length = 0, too_long = 0;

    do {
        if (length == LINE_BYTES) { /* forget what there is, and read on to its end */
            too_long = 1;
            length = 0;
        }
        int n = read(0, line + length, by_line ? LINE_BYTES - length : 1);
        if (n <= 0) {
            if (length == 0 && !too_long)
                return END_OF_FILE;
            line[length++] = '\n';
        } else {
            length += n;
        }
    } while (line[length - 1] != '\n');

    line[length - 1] = 0;
    return too_long ? TOO_LONG : length - 1;
}

/* -- step 2: parsing ------------------------------------------------------------------------------ */

/* Tokens are operators' own characters, and these. */
enum { END = 0, WORD = 'w', APPEND = 'a', AND_IF = 'A', OR_IF = 'O' };

static struct {
    const char *at;    /* what is left of the line */
    char token;        /* the token before `at` */
    char *word;        /* its text where it is a word */
    char *text_end;    /* end of the words' text so far */
    const char *error; /* the first thing found wrong */
    int nodes, words;
} parser;

/* Words are cut out of the line into `text`.  Each is followed by something other than a word, whose
   place its NUL takes, and what is special but quoted has a GLOB_QUOTE before it, so that twice as many bytes
   as the line has are enough. */
static char text[2 * LINE_BYTES];
static struct node nodes[NODES_MAX];
static char *words[WORDS_MAX];

/* Notes the error and ends the line here, so that every loop of the parser comes to its end. */
static struct node *wrong(const char *error)
{
    if (parser.error == 0)
        parser.error = error;
    parser.at = "";
    parser.token = END;
    return &broken;
}

static struct node *new_node(enum kind kind)
{
    if (parser.nodes == NODES_MAX)
        return wrong("too many commands in a line");
    struct node *n = &nodes[parser.nodes++];
    memset(n, 0, sizeof *n);
    n->kind = kind;
    return n;
}

static void add_word(char *word)
{
    if (parser.words == WORDS_MAX)
        wrong("too many words in a line");
    else
        words[parser.words++] = word;
}

/* Whether the character at `at` would mean something to expand(), and stands in quotes of this kind for
   itself. */
static int is_quoted(const char *at, char quote)
{
    if (*at == '?' && at[-1] == '$' && quote == '"')
        return 0;
    return *at == GLOB_QUOTE || strchr("*?[]-!^", *at) || (*at == '$' && quote == '\'');
}

/* Copies one word, without its quotes.  0 where a quote is not closed. */
static int cut_word(void)
{
    char quote = 0;
    parser.word = parser.text_end;
    for (; *parser.at; parser.at++) {
        char c = *parser.at;
        if (quote ? c == quote : c == '\'' || c == '"')
            quote = quote ? 0 : c;
        else if (quote == 0 && strchr(" \t\r<>|;&()", c))
            break;
        else {
            if (quote ? is_quoted(parser.at, quote) : c == GLOB_QUOTE)
                *parser.text_end++ = GLOB_QUOTE;
            *parser.text_end++ = c;
        }
    }
    *parser.text_end++ = 0;
    return quote == 0;
}

static void next_token(void)
{
    while (*parser.at && strchr(" \t\r", *parser.at))
        parser.at++;
    char c = *parser.at;
    if (c == 0 || c == '#') {
        parser.token = END;
    } else if (strchr("<>|;&()", c)) {
        parser.at++;
        parser.token = c;
        if (c == '>' && *parser.at == '>') {
            parser.at++;
            parser.token = APPEND;
        } else if ((c == '&' || c == '|') && *parser.at == c) {
            parser.at++;
            parser.token = c == '&' ? AND_IF : OR_IF;
        }
    } else {
        parser.token = WORD;
        if (!cut_word())
            wrong("a quote is not closed");
    }
}

static int at_redirection(void)
{
    return parser.token == '<' || parser.token == '>' || parser.token == APPEND;
}

static struct node *parse_redirection(void)
{
    struct node *n = new_node(REDIRECT);
    n->token = parser.token;
    n->fd = parser.token == '<' ? 0 : 1;
    next_token();
    if (parser.token != WORD)
        return wrong("missing file for redirection");
    n->file = parser.word;
    next_token();
    return n;
}

static struct node *parse_list(int nesting);

static struct node *parse_group(int nesting)
{
    if (nesting == NESTING_MAX)
        return wrong("parentheses too deep");
    struct node *group = new_node(GROUP);
    next_token();
    group->left = parse_list(nesting + 1);
    if (parser.token != ')')
        return wrong("syntax - missing )");
    next_token();
    return group;
}

/* Redirections come out in their order, the first one outermost, the command inside the last. */
static struct node *parse_command(int nesting)
{
    struct node *first = 0, **hole = &first, *group = 0;
    int words_before = parser.words;

    for (;;) {
        int argc = parser.words - words_before;
        if (at_redirection()) {
            *hole = parse_redirection();
            hole = &(*hole)->left;
        } else if (parser.token == WORD && group == 0) {
            if (argc == MAXARG - 1)
                return wrong("too many args");
            add_word(parser.word);
            next_token();
        } else if (parser.token == '(' && group == 0 && argc == 0) {
            group = parse_group(nesting);
        } else {
            break;
        }
    }
    if (group) {
        *hole = group;
    } else {
        if (first == 0 && parser.words == words_before)
            return wrong("syntax");
        *hole = new_node(COMMAND);
        (*hole)->argv = &words[words_before];
        add_word(0);
    }
    return first;
}

static struct node *parse_pipeline(int nesting)
{
    struct node *first = parse_command(nesting), **last = &first;
    while (parser.token == '|') {
        next_token();
        struct node *pipe = new_node(PIPE);
        pipe->left = *last;
        pipe->right = parse_command(nesting);
        *last = pipe;
        last = &pipe->right;
    }
    return first;
}

static struct node *parse_chain(int nesting)
{
    struct node *first = parse_pipeline(nesting), **last = &first;
    while (parser.token == AND_IF || parser.token == OR_IF) {
        struct node *n = new_node(parser.token == AND_IF ? AND : OR);
        next_token();
        n->left = *last;
        n->right = parse_pipeline(nesting);
        *last = n;
        last = &n->right;
    }
    return first;
}

/* Ends before the first token that cannot go on; whoever called knows which one may stand there. */
static struct node *parse_list(int nesting)
{
    struct node *first = 0, **hole = &first;
    do {
        struct node *chain = parse_chain(nesting);
        if (parser.token != ';' && parser.token != '&') {
            *hole = chain;
            break;
        }
        *hole = new_node(parser.token == ';' ? SEQUENCE : BACKGROUND);
        (*hole)->left = chain;
        hole = &(*hole)->right;
        next_token();
    } while (parser.token != END && parser.token != ')');
    return first;
}

/* The line's tree, 0 where it is blank, `broken` (and a message) where it is wrong. */
static struct node *parse(const char *line)
{
    memset(&parser, 0, sizeof parser);
    parser.at = line;
    parser.text_end = text;
    next_token();
    if (parser.token == END && parser.error == 0)
        return 0;
    struct node *tree = parse_list(0);
    if (parser.token != END)
        wrong("syntax");
    if (parser.error == 0)
        return tree;
    fprintf(2, "sh: %s\n", parser.error);
    return &broken;
}

/* -- between the steps: what words stand for -------------------------------------------------------- */

static struct {
    char bytes[EXPANDED_BYTES];
    char *argv[MAXARG];
    int used, argc, too_many;
} expanded;

static void add_expanded(const char *word, int is_directory)
{
    int n = strlen(word) + 1;
    if (expanded.argc == MAXARG - 1 || expanded.used + n > EXPANDED_BYTES) {
        expanded.too_many = 1;
        return;
    }
    char *to = expanded.bytes + expanded.used;
    memmove(to, word, n);
    expanded.used += n;
    expanded.argv[expanded.argc++] = to;
}

/* Puts the last status in place of each $?, and ordinary characters in quotes where a pattern begins: the
   word is a pattern then, or is as long as it will be.  0 where it grows too long. */
static int expand_status(char *to, const char *from, int size)
{
    char *end = to + size - 12;
    for (; *from && to < end; from++) {
        if (*from == GLOB_QUOTE && from[1]) {
            *to++ = *from++;
            *to++ = *from;
        } else if (*from == '$' && from[1] == '?') {
            uint value = last_status & 255;
            if (value >= 100)
                *to++ = '0' + value / 100;
            if (value >= 10)
                *to++ = '0' + value / 10 % 10;
            *to++ = '0' + value % 10;
            from++;
        } else {
            *to++ = *from;
        }
    }
    *to = 0;
    return *from == 0;
}

/* Puts the names from `first` on in order: the disk has them as they were made. */
static void sort_expanded(int first)
{
    for (int i = first + 1; i < expanded.argc; i++) {
        char *word = expanded.argv[i];
        int at = i;
        for (; at > first && strcmp(expanded.argv[at - 1], word) > 0; at--)
            expanded.argv[at] = expanded.argv[at - 1];
        expanded.argv[at] = word;
    }
}

/* A command's words with what they stand for; 0, and a message, where that is too much. */
static char **expand(char **argv)
{
    static char word[2 * LINE_BYTES];
    expanded.used = expanded.argc = expanded.too_many = 0;
    for (; *argv; argv++) {
        int first = expanded.argc;
        if (!expand_status(word, *argv, sizeof word))
            expanded.too_many = 1;
        else if (!glob_is_pattern(word) || glob_expand(word, add_expanded) == 0) {
            glob_unquote(word, word);
            add_expanded(word, 0);
        }
        sort_expanded(first);
    }
    expanded.argv[expanded.argc] = 0;
    if (!expanded.too_many)
        return expanded.argv;
    fprintf(2, "sh: too many args\n");
    return 0;
}

/* -- step 3: running ------------------------------------------------------------------------------ */

static int perform(struct node *n);

static int fork_or_say(void)
{
    int pid = fork();
    if (pid < 0)
        fprintf(2, "sh: fork failed\n");
    return pid;
}

/* Makes `fd` what `from` is, and gives `from` up. */
static void move_fd(int from, int fd)
{
    close(fd);
    dup(from);
    close(from);
}

/* Opens the node's file as descriptor fd, or ends the process.  xv6 has no append mode and no seek:
   for >> the file is read to its end. */
static void redirect(struct node *n)
{
    int mode = n->token == '<' ? O_RDONLY : n->token == '>' ? O_WRONLY | O_CREATE | O_TRUNC : O_RDWR | O_CREATE;
    static char file[2 * LINE_BYTES];
    if (expand_status(file, n->file, sizeof file))
        glob_unquote(file, file);
    close(n->fd);
    if (open(file, mode) != n->fd) {
        fprintf(2, "open %s failed\n", file);
        exit(STATUS_FAILED);
    }
    struct stat st;
    static char passed_over[LINE_BYTES];
    if (n->token == APPEND && fstat(n->fd, &st) == 0 && st.type == T_FILE)
        while (read(n->fd, passed_over, sizeof passed_over) > 0)
            ;
}

static int change_directory(char **argv)
{
    const char *path = argv[1] ? argv[1] : "/";
    if (chdir(path) == 0)
        return 0;
    fprintf(2, "cannot cd %s\n", path);
    return STATUS_FAILED;
}

/* Whether n is a command that the shell itself has to carry out, with this name. */
static int is_own(struct node *n, const char *name)
{
    return n->kind == COMMAND && n->argv[0] && strcmp(n->argv[0], name) == 0;
}

/* Carries out `cd` or `exit`, as this process.  The status. */
static int carry_out(struct node *n)
{
    char **argv = expand(n->argv);
    if (argv == 0)
        return STATUS_FAILED;
    if (is_own(n, "cd"))
        return change_directory(argv);
    exit(argv[1] ? atoi(argv[1]) : last_status);
}

static int help(char **argv)
{
    printf("A line:      COMMAND | COMMAND, A; B, A && B, A || B, (A; B), COMMAND &, <FILE, >FILE, >>FILE\n"
           "Words:       'as it is', \"$? is the last status\", and files: * ? [a-z] [!a-z]; # a comment\n"
           "Here:        cd [DIR]  exit [STATUS]  help  history  true  false; `ls /` shows all the others\n"
           "At a terminal: arrows and Tab; ^R looks for an earlier line, ^C drops one, ^L clears;\n"
           "             C-a h tells of the machine's own keys, C-a x switches it off\n");
    return 0;
}

static int show_history(char **argv)
{
    int number = 1;
    for (const char *line = edit_history(0); line; line = edit_history(line))
        printf("%d  %s\n", number++, line);
    return 0;
}

static int succeed(char **argv)
{
    return 0;
}

static int fail(char **argv)
{
    return STATUS_FAILED;
}

/* What the shell has for those names of which there is no program. */
static const struct {
    const char *name;
    int (*run)(char **argv);
} spares[] = {{"help", help}, {"history", show_history}, {"true", succeed}, {"false", fail}};

#define SPARES (sizeof spares / sizeof spares[0])

static void run_program(char **argv) __attribute__((noreturn));
static void become(struct node *n) __attribute__((noreturn));

/* One stage of a pipeline as a child, its input from `in` and its output to `out` where these are not
   -1; `unused` is the end of the pipe that is not its own.  The child's pid. */
static int start_stage(struct node *n, int in, int out, int unused)
{
    int pid = fork_or_say();
    if (pid < 0)
        exit(STATUS_FAILED);
    if (pid == 0) {
        if (unused >= 0)
            close(unused);
        if (in >= 0)
            move_fd(in, 0);
        if (out >= 0)
            move_fd(out, 1);
        become(n);
    }
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return pid;
}

/* Runs all stages as children of this process and waits for all.  The last one's status. */
static int run_pipeline(struct node *n)
{
    int ends[2], in = -1;
    for (; n->kind == PIPE; n = n->right) {
        if (pipe(ends) < 0) {
            fprintf(2, "sh: pipe failed\n");
            exit(STATUS_FAILED);
        }
        start_stage(n->left, in, ends[1], ends[0]);
        in = ends[0];
    }
    int last = start_stage(n, in, -1, -1);

    int pid, status, last_status = STATUS_FAILED;
    while ((pid = wait(&status)) >= 0)
        if (pid == last)
            last_status = status;
    return last_status;
}

/* Runs the program of that name in place of this process.  A name without a slash is looked for here
   and then in the root directory, where the tools are. */
static void run_program(char **argv)
{
    char path[1 + DIRSIZ + 1] = "/";
    exec(argv[0], argv);
    if (strchr(argv[0], '/') == 0 && strlen(argv[0]) <= DIRSIZ) {
        strcpy(path + 1, argv[0]);
        exec(path, argv);
    }
    for (uint i = 0; i < SPARES; i++)
        if (strcmp(argv[0], spares[i].name) == 0)
            exit(spares[i].run(argv));
    fprintf(2, "exec %s failed\n", argv[0]);
    exit(STATUS_NOT_FOUND);
}

/* Runs n in place of this process. */
static void become(struct node *n)
{
    while (n->kind == REDIRECT) {
        redirect(n);
        n = n->left;
    }
    switch (n->kind) {
    case COMMAND:
        if (n->argv[0] == 0)
            exit(0);
        if (is_own(n, "cd") || is_own(n, "exit"))
            exit(carry_out(n));
        char **argv = expand(n->argv);
        if (argv == 0)
            exit(STATUS_FAILED);
        run_program(argv);
    case AND:
    case OR:
        exit(perform(n));
    case PIPE:
        exit(run_pipeline(n));
    case GROUP:
        exit(perform(n->left));
    default:
        exit(STATUS_FAILED);
    }
}

/* Runs n in a child, and waits for it.  Its status. */
static int run_child(struct node *n)
{
    int status;
    int pid = fork_or_say();
    if (pid < 0)
        return STATUS_FAILED;
    if (pid == 0)
        become(n);
    while (wait(&status) != pid)
        ;
    return status;
}

/* Starts n and does not wait: it is the child of a child that exits at once, so that it becomes
   init's to reap.  The status of that go-between. */
static int run_background(struct node *n)
{
    int status;
    int pid = fork_or_say();
    if (pid < 0)
        return STATUS_FAILED;
    if (pid == 0) {
        int grandchild = fork_or_say();
        if (grandchild == 0)
            become(n);
        exit(grandchild < 0 ? STATUS_FAILED : 0);
    }
    while (wait(&status) != pid)
        ;
    return status;
}

/* Runs what is no list and no chain.  Its status. */
static int run(struct node *n)
{
    if (!is_own(n, "cd") && !is_own(n, "exit"))
        return run_child(n);
    return carry_out(n) == 0 ? 0 : run_child(&broken);
}

/* Runs a pipeline, or a chain of such: each that follows && where the last one that ran has succeeded, and
   after || where it has not.  The status of the last one. */
static int run_chain(struct node *n)
{
    enum kind before = COMMAND;
    for (;;) {
        int is_last = n->kind != AND && n->kind != OR;
        if (before == COMMAND || (before == AND) == (last_status == 0))
            last_status = run(is_last ? n : n->left);
        if (is_last)
            return last_status;
        before = n->kind;
        n = n->right;
    }
}

/* Runs a list as this process, which goes on afterwards.  The status of the last thing it ran. */
static int perform(struct node *n)
{
    while (n) {
        struct node *now = n->kind == SEQUENCE || n->kind == BACKGROUND ? n->left : n;
        last_status = n->kind == BACKGROUND ? run_background(now) : run_chain(now);
        n = now == n ? 0 : n->right;
    }
    return last_status;
}

/* -- at a terminal --------------------------------------------------------------------------------- */

static const char *completed_word; /* what is completed, of completed_bytes */
static int completed_bytes;

static int begins_so(const char *name)
{
    return strlen(name) >= (uint)completed_bytes && memcmp(name, completed_word, completed_bytes) == 0;
}

static void match_path(const char *path, int is_directory)
{
    edit_match(path, is_directory ? '/' : ' ');
}

static void match_command(const char *path, int is_directory)
{
    if (!is_directory)
        edit_match(path[0] == '/' ? path + 1 : path, ' ');
}

/* Finds what the word that ends at line[at] can become; where it begins.  The first word of a command is the
   name of one, any other that of a file. */
static int complete(const char *line, int at)
{
    static char pattern[1 + 2 * LINE_BYTES + 1];
    static const char *const own[] = {"cd", "exit"};
    int start = at, before;
    while (start > 0 && strchr(" \t<>|;&()'\"", line[start - 1]) == 0)
        start--;
    for (before = start; before > 0 && line[before - 1] == ' '; before--)
        ;
    completed_word = line + start;
    completed_bytes = at - start;

    char *end = pattern + 1;
    int has_slash = 0;
    pattern[0] = '/';
    for (int i = start; i < at; i++) {
        has_slash = has_slash || line[i] == '/';
        if (strchr("*?[]\1", line[i]))
            *end++ = GLOB_QUOTE;
        *end++ = line[i];
    }
    *end++ = '*';
    *end = 0;
    if (has_slash || (before > 0 && strchr("|;&(", line[before - 1]) == 0)) {
        glob_expand(pattern + 1, match_path);
        return start;
    }
    glob_expand(pattern, match_command);
    for (uint i = 0; i < sizeof own / sizeof own[0]; i++)
        if (begins_so(own[i]))
            edit_match(own[i], ' ');
    for (uint i = 0; i < SPARES; i++)
        if (begins_so(spares[i].name))
            edit_match(spares[i].name, ' ');
    return start;
}

/* -- all of it -------------------------------------------------------------------------------------- */

/* The next line, edited at a terminal, or as it comes from anywhere else.  As read_line(), or
   EDIT_INTERRUPTED. */
static int next_line(char *line)
{
    static int is_terminal = -1; /* asked once: a kernel of xv6 says on the console that it has no such call */
    if (is_terminal < 0)
        is_terminal = edit_possible();
    if (is_terminal)
        return edit_line(prompt, line, complete);
    write(2, prompt, sizeof prompt - 1);
    return read_line(line);
}

int main(void)
{
    static char line[LINE_BYTES];

    for (;;) {
        int length = next_line(line);
        if (length == END_OF_FILE)
            return last_status;
        struct node *tree = &broken;
        if (length == EDIT_INTERRUPTED)
            tree = 0;
        else if (length == TOO_LONG)
            fprintf(2, "sh: line too long\n");
        else
            tree = parse(line);
        if (length == EDIT_INTERRUPTED)
            last_status = STATUS_INTERRUPTED;
        else if (tree)
            perform(tree);
    }
}
