/* sh: the shell.

   A line is a list of pipelines; a command in a pipeline may be a list in parentheses:

       list     = pipeline { (";" | "&") pipeline } [";" | "&"]      "&": do not wait for it
       pipeline = command { "|" command }
       command  = word { word } | "(" list ")"     and "<" word, ">" word, ">>" word among them
       word     = characters, '...' and "..."; in quotes a blank or an operator is a character

   Three steps: read_line() reads, parse() makes nodes, perform() runs them.  Only `cd` runs in the
   shell itself.  Everything else runs in a child that is waited for, and each process passes on the
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

#define LINE_BYTES 512 /* a line with its NUL */
#define NODES_MAX 96   /* commands and operators of a line */
#define WORDS_MAX 256  /* words of a line, and a NULL behind each command's */
#define NESTING_MAX 8  /* parentheses within parentheses: each level costs stack */

#define STATUS_FAILED 1
#define STATUS_NOT_FOUND 127

enum kind {
    COMMAND,    /* argv; empty where a line has only redirections */
    REDIRECT,   /* left, with descriptor `fd` open on `file` */
    PIPE,       /* left | right */
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

/* -- step 1: reading ------------------------------------------------------------------------------ */

enum { END_OF_FILE = -1, TOO_LONG = -2 };

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
enum { END = 0, WORD = 'w', APPEND = 'a', UNCLOSED = 'u' };

static struct {
    const char *at;    /* what is left of the line */
    char token;        /* the token before `at` */
    char *word;        /* its text where it is a word */
    char *text_end;    /* end of the words' text so far */
    const char *error; /* the first thing found wrong */
    int nodes, words;
} parser;

/* Words are cut out of the line into `text`.  Each is followed by something other than a word, whose
   place its NUL takes, so that as many bytes as the line has are enough. */
static char text[LINE_BYTES];
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
        else
            *parser.text_end++ = c;
    }
    *parser.text_end++ = 0;
    return quote == 0;
}

static void next_token(void)
{
    while (*parser.at && strchr(" \t\r", *parser.at))
        parser.at++;
    char c = *parser.at;
    if (c == 0) {
        parser.token = END;
    } else if (strchr("<>|;&()", c)) {
        parser.at++;
        parser.token = c;
        if (c == '>' && *parser.at == '>') {
            parser.at++;
            parser.token = APPEND;
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

/* Ends before the first token that cannot go on; whoever called knows which one may stand there. */
static struct node *parse_list(int nesting)
{
    struct node *first = 0, **hole = &first;
    do {
        struct node *pipeline = parse_pipeline(nesting);
        if (parser.token != ';' && parser.token != '&') {
            *hole = pipeline;
            break;
        }
        *hole = new_node(parser.token == ';' ? SEQUENCE : BACKGROUND);
        (*hole)->left = pipeline;
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
    close(n->fd);
    if (open(n->file, mode) != n->fd) {
        fprintf(2, "open %s failed\n", n->file);
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

static int is_cd(struct node *n)
{
    return n->kind == COMMAND && n->argv[0] && strcmp(n->argv[0], "cd") == 0;
}

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
        if (is_cd(n))
            exit(change_directory(n->argv));
        run_program(n->argv);
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

/* Runs a list as this process, which goes on afterwards.  The status of the last thing it ran. */
static int perform(struct node *n)
{
    int status = 0;
    while (n) {
        struct node *now = n->kind == SEQUENCE || n->kind == BACKGROUND ? n->left : n;
        if (n->kind == BACKGROUND)
            status = run_background(now);
        else if (is_cd(now))
            status = change_directory(now->argv) == 0 ? 0 : run_child(&broken);
        else
            status = run_child(now);
        n = now == n ? 0 : n->right;
    }
    return status;
}

int main(void)
{
    static char line[LINE_BYTES];
    int length, status = 0;

    for (;;) {
        write(2, "$ ", 2);
        length = read_line(line);
        if (length == END_OF_FILE)
            return status;
        struct node *tree = &broken;
        if (length == TOO_LONG)
            fprintf(2, "sh: line too long\n");
        else
            tree = parse(line);
        if (tree)
            status = perform(tree);
    }
}
