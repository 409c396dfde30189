/* ed: the line editor.

       ed [-s] [file]      -s: do not print how many bytes are read and written

   A command is a letter, with the lines that it is for in front:

       a i c     add text behind a line, before it, in place of lines; a line with only "." ends it
       d         delete                        s/re/text/    replace the first match in each line
       p n       print, with numbers           s/re/text/g   replace each; in text, & is what matched
       r [file]  read behind a line            w [file]      write all, or these lines
       e [file]  edit a file, from the start   f [file]      show, or set, the name of the file
       q Q       end; Q, and a second q, lose changes    wq  write, then end
       =         the line's number             h             what the last "?" meant

       .  the current line    $  the last one    N  that number    /re/ ?re?  the next, the previous match
       +N -N behind any of these, or the current line;  N,M  from N to M;  a lone comma  all lines

   p or n may follow a, c, d, i and s; an address alone prints the line, and an empty command the next one.
   re is as user/regex.h says, and an empty one is the last one again.

   What cannot be done is answered with "?", and nothing is changed.  Where the commands do not come from
   a device, it is the end as well, with the reason and status 1: what was to follow relied on it. */

#include "kernel/types.h"
#include "kernel/stat.h"
#include "kernel/fcntl.h"
#include "user/user.h"
#include "user/regex.h"
#include "user/stream.h"
#include "user/tool.h"

#define SHOWN_MAX 40 /* characters of a command or a name in a message */

/* Without its newline; a NUL in it is a character like any other. */
struct line {
    int length;
    char bytes[];
};

struct lines {
    struct line **at;
    int count, capacity;
};

static struct lines buffer; /* what is edited: line N is buffer.at[N - 1] */
static int current;         /* its number; 0 where there is no line */
static struct text file;    /* the name that r and w take */
static int changed;         /* since it was all written */
static int warned;          /* the last command was to lose the changes */
static int silent;          /* -s */
static int interactive;     /* commands come from a device */

static struct text typed; /* the command */
static const char *at;    /* what is left of it */
static struct text error; /* the last one */

static struct reader input = {.fd = 0};
static struct writer out = {.fd = 1};

/* Notes why a command fails: `why` and the start of what it is about, which may be "".  Always -1. */
static int fail(const char *why, const char *what)
{
    text_clear(&error);
    text_add(&error, why, strlen(why));
    for (int i = 0; i < SHOWN_MAX && what[i]; i++)
        text_add(&error, what[i] >= ' ' && what[i] <= '~' ? &what[i] : "?", 1);
    return -1;
}

static int no_memory(void)
{
    return fail("out of memory", "");
}

static void leave(int status) __attribute__((noreturn));

/* Ends the program, after the last of its output. */
static void leave(int status)
{
    exit(put_flush(&out) < 0 ? output_failed("ed") : status);
}

static void put_number(int n)
{
    char digits[12], *p = digits + sizeof digits;
    do
        *--p = '0' + n % 10;
    while ((n /= 10) != 0);
    put_bytes(&out, p, digits + sizeof digits - p);
}

/* -- lines ---------------------------------------------------------------------------------------- */

static struct line *new_line(const char *bytes, int length)
{
    struct line *line = malloc(sizeof *line + length);
    if (line == 0)
        return 0;
    line->length = length;
    memcpy(line->bytes, bytes, length);
    return line;
}

/* Makes room for `count` lines more.  0 or -1. */
static int reserve(struct lines *lines, int count)
{
    int needed = lines->count + count, capacity = lines->capacity ? lines->capacity : 64;
    if (needed <= lines->capacity)
        return 0;
    while (capacity < needed)
        capacity *= 2;
    struct line **larger = malloc(capacity * sizeof *larger);
    if (larger == 0)
        return -1;
    memcpy(larger, lines->at, lines->count * sizeof *larger);
    free(lines->at);
    lines->at = larger;
    lines->capacity = capacity;
    return 0;
}

static int append(struct lines *lines, const struct text *text)
{
    if (reserve(lines, 1) < 0)
        return -1;
    struct line *line = new_line(text->bytes, text->length);
    if (line == 0)
        return -1;
    lines->at[lines->count++] = line;
    return 0;
}

/* Frees lines [from, to) and closes the gap. */
static void drop(struct lines *lines, int from, int to)
{
    for (int i = from; i < to; i++)
        free(lines->at[i]);
    memmove(lines->at + from, lines->at + to, (lines->count - to) * sizeof *lines->at);
    lines->count -= to - from;
}

static void drop_all(struct lines *lines)
{
    drop(lines, 0, lines->count);
    free(lines->at);
    *lines = (struct lines){0};
}

/* Moves all of `fresh` into the buffer behind line `after`, and makes its last one the current line.
   Where there is no memory all stays as it is. */
static int insert(int after, struct lines *fresh)
{
    if (reserve(&buffer, fresh->count) < 0)
        return no_memory();
    struct line **place = buffer.at + after;
    memmove(place + fresh->count, place, (buffer.count - after) * sizeof *place);
    memcpy(place, fresh->at, fresh->count * sizeof *place);
    buffer.count += fresh->count;
    current = after + fresh->count;
    changed |= fresh->count > 0;
    fresh->count = 0; /* the lines are the buffer's now */
    return 0;
}

static void print(int from, int to, int numbered)
{
    for (int n = from; n <= to; n++) {
        if (numbered) {
            put_number(n);
            put_bytes(&out, "\t", 1);
        }
        put_bytes(&out, buffer.at[n - 1]->bytes, buffer.at[n - 1]->length);
        put_bytes(&out, "\n", 1);
    }
    current = to;
}

/* For a p or n behind a command. */
static void print_current(char suffix)
{
    if (suffix && current > 0)
        print(current, current, suffix == 'n');
}

/* -- parsing -------------------------------------------------------------------------------------- */

static struct regex regex;
static int has_regex;

static void skip_blanks(void)
{
    while (*at == ' ' || *at == '\t')
        at++;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits at `at`; no file has as many lines as the greatest number that is returned. */
static int parse_digits(void)
{
    int n = 0;
    for (; is_digit(*at); at++)
        n = n < 100000000 ? n * 10 + (*at - '0') : 1000000000;
    return n;
}

/* The expression at `at` up to the delimiter, which may be missing at the end of the command, and is
   skipped; preceded by a backslash it stands for itself.  An empty one leaves `regex` as it was. */
static int parse_regex(char delimiter)
{
    char pattern[REGEX_ITEMS_MAX + 1];
    int length = 0;
    while (*at && *at != delimiter) {
        if (length > REGEX_ITEMS_MAX - 2)
            return fail("expression too long", "");
        if (at[0] == '\\' && at[1] == delimiter)
            at++;
        else if (at[0] == '\\' && at[1])
            pattern[length++] = *at++;
        pattern[length++] = *at++;
    }
    if (*at)
        at++;
    pattern[length] = 0;
    if (length == 0)
        return has_regex ? 0 : fail("no previous expression", "");
    has_regex = regex_compile(&regex, pattern) == 0;
    return has_regex ? 0 : fail("expression too long", "");
}

/* The next line that matches, from the current one on in steps of 1 or -1, all around, itself the last. */
static int search(int step)
{
    struct match m;
    int n = current;
    for (int i = 0; i < buffer.count; i++) {
        n += step;
        n = n > buffer.count ? 1 : n < 1 ? buffer.count : n;
        const struct line *line = buffer.at[n - 1];
        if (regex_find(&regex, line->bytes, line->bytes + line->length, line->bytes, &m))
            return n;
    }
    return fail("no match", "");
}

/* What an address begins with: its number, -1 where it is wrong; *given says whether there was anything. */
static int parse_base(int *given)
{
    char c = *at;
    *given = 1;
    if (is_digit(c))
        return parse_digits();
    switch (c) {
    case '.':
        at++;
        return current;
    case '$':
        at++;
        return buffer.count;
    case '/':
    case '?':
        at++;
        return parse_regex(c) < 0 ? -1 : search(c == '/' ? 1 : -1);
    }
    *given = 0;
    return current;
}

/* A base and any number of +N and -N.  The line's number, which is in the buffer or 0; -1 where that is
   wrong.  *given as before. */
static int parse_address(int *given)
{
    skip_blanks();
    long n = parse_base(given);
    if (n < 0)
        return -1;
    for (skip_blanks(); *at == '+' || *at == '-'; skip_blanks()) {
        int sign = *at++ == '+' ? 1 : -1;
        n += sign * (is_digit(*at) ? parse_digits() : 1);
        *given = 1;
    }
    return n < 0 || n > buffer.count ? fail("no such line", "") : n;
}

/* The lines a command is for.  What is not given is filled in by execute(). */
struct range {
    int from, to;
    int given; /* how many addresses there were: 0, 1 or 2 */
};

static int parse_range(struct range *range)
{
    int given;
    range->to = range->from = parse_address(&given);
    if (range->from < 0)
        return -1;
    range->given = given;
    if (*at == '%' && !given) {
        at++;
        *range = (struct range){buffer.count ? 1 : 0, buffer.count, 2};
    } else if (*at == ',') {
        at++;
        int end = parse_address(&given);
        if (end < 0)
            return -1;
        if (range->given == 0)
            range->from = buffer.count ? 1 : 0;
        range->to = given ? end : range->given ? range->from : buffer.count;
        range->given = 2;
    }
    return range->from > range->to ? fail("the first line is behind the last", "") : 0;
}

/* Nothing more may follow but p or n, which is stored in *suffix, if that is not 0. */
static int parse_end(char *suffix)
{
    if (suffix && (*at == 'p' || *at == 'n'))
        *suffix = *at++;
    skip_blanks();
    return *at ? fail("the command goes on with ", at) : 0;
}

/* The name of a file behind the command, after a blank, else the one that is known; 0 where there is none. */
static const char *parse_name(void)
{
    if (*at && *at != ' ' && *at != '\t') {
        fail("the command goes on with ", at);
        return 0;
    }
    skip_blanks();
    if (*at == 0 && file.length == 0)
        fail("no file name", "");
    return *at ? at : file.length ? file.bytes : 0;
}

static int set_file(const char *name)
{
    if (name == file.bytes)
        return 0;
    text_clear(&file);
    return text_add(&file, name, strlen(name)) < 0 ? no_memory() : 0;
}

/* -- files ---------------------------------------------------------------------------------------- */

static void say_bytes(long bytes)
{
    if (silent)
        return;
    put_number(bytes);
    put_bytes(&out, "\n", 1);
}

/* Reads lines up to the end, to behind those in `lines`.  The number of bytes, or -1. */
static long read_lines(int fd, const char *name, struct lines *lines)
{
    static struct reader reader;
    struct text text = {0};
    long bytes = 0;
    int result;

    reader.fd = fd;
    reader.at = reader.end = 0;
    while ((result = read_line(&reader, &text)) == LINE_READ) {
        bytes += text.length + 1;
        if (append(lines, &text) < 0) {
            result = LINE_NO_MEMORY;
            break;
        }
    }
    free(text.bytes);
    if (result == LINE_NO_MEMORY)
        return no_memory();
    return result == LINE_READ_ERROR ? fail("cannot read ", name) : bytes;
}

/* Reads a file to behind a line of the buffer.  0 or -1. */
static int read_file(const char *name, int after)
{
    struct lines fresh = {0};
    int fd = open(name, O_RDONLY);
    if (fd < 0)
        return fail("cannot open ", name);
    if (is_directory(name)) {
        close(fd);
        return fail("this is a directory: ", name);
    }
    long bytes = read_lines(fd, name, &fresh);
    close(fd);
    int status = bytes < 0 ? -1 : insert(after, &fresh);
    if (status == 0)
        say_bytes(bytes);
    drop_all(&fresh);
    return status;
}

static int write_file(const char *name, int from, int to)
{
    static struct writer writer;
    long bytes = 0;
    int fd = open(name, O_WRONLY | O_CREATE | O_TRUNC);
    if (fd < 0)
        return fail("cannot open ", name);
    writer = (struct writer){.fd = fd};
    for (int n = from; n <= to && n > 0; n++) {
        put_bytes(&writer, buffer.at[n - 1]->bytes, buffer.at[n - 1]->length);
        put_bytes(&writer, "\n", 1);
        bytes += buffer.at[n - 1]->length + 1;
    }
    int status = put_flush(&writer);
    close(fd);
    if (status < 0)
        return fail("cannot write ", name);
    say_bytes(bytes);
    return 0;
}

/* -- what commands do: 0, or -1 after fail() ------------------------------------------------------ */

/* Lets a command that would lose changes pass only when it is given twice. */
static int may_lose_changes(void)
{
    if (!changed || warned)
        return 0;
    warned = 2; /* main() counts it down, to 1 while the next command runs */
    return fail("changes are not written; the same again loses them", "");
}

/* Reads text up to a line with only a dot, or the end of the input. */
static int gather(struct lines *fresh)
{
    struct text text = {0};
    int result;
    while ((result = read_line(&input, &text)) == LINE_READ) {
        if (text.length == 1 && text.bytes[0] == '.')
            break;
        if (append(fresh, &text) < 0) {
            result = LINE_NO_MEMORY;
            break;
        }
    }
    free(text.bytes);
    return result == LINE_NO_MEMORY ? no_memory() : 0;
}

/* Puts text that is typed behind line `after`, in place of the `replaced` lines there. */
static int enter_text(int after, int replaced)
{
    char suffix = 0;
    if (parse_end(&suffix) < 0)
        return -1;
    struct lines fresh = {0};
    int status = gather(&fresh), count = fresh.count;
    if (status == 0)
        status = insert(after + replaced, &fresh);
    drop_all(&fresh);
    if (status < 0)
        return -1;
    if (replaced > 0) {
        drop(&buffer, after, after + replaced);
        changed = 1;
        current = count ? after + count : after < buffer.count ? after + 1 : buffer.count;
    }
    print_current(suffix);
    return 0;
}

/* Adds the replacement for a match; it ends before the delimiter.  0 or -1. */
static int add_replacement(struct text *to, const char *replacement, char delimiter, struct match m)
{
    int status = 0;
    for (const char *r = replacement; *r && *r != delimiter; r++) {
        if (*r == '&') {
            status |= text_add(to, m.start, m.end - m.start);
        } else {
            if (r[0] == '\\' && r[1])
                r++;
            status |= text_add(to, r, 1);
        }
    }
    return status;
}

/* What `s` was given. */
struct substitution {
    const char *replacement;
    char delimiter;
    char suffix;
    int all;
};

/* Makes in `to` what the line becomes.  The number of matches that were replaced, or -1. */
static int replace(struct text *to, const struct line *line, const struct substitution *s)
{
    const char *from = line->bytes, *end = from + line->length, *last_end = 0;
    struct match m;
    int count = 0, status = 0;

    text_clear(to);
    while (status == 0 && (s->all || count == 0) && regex_find(&regex, line->bytes, end, from, &m)) {
        status |= text_add(to, from, m.start - from);
        if (m.end != last_end) { /* where a match has just ended, there is not one of nothing too */
            status |= add_replacement(to, s->replacement, s->delimiter, m);
            count++;
        }
        from = last_end = m.end;
        if (m.start == m.end) { /* a match of nothing: go on behind the next character */
            if (from == end)
                break;
            status |= text_add(to, from++, 1);
        }
    }
    status |= text_add(to, from, end - from);
    return status < 0 ? -1 : count;
}

/* Skips the replacement, and the delimiter behind it.  Whether that was there. */
static int skip_replacement(char delimiter)
{
    while (*at && *at != delimiter)
        at += at[0] == '\\' && at[1] ? 2 : 1;
    if (*at == 0)
        return 0;
    at++;
    return 1;
}

/* /re/text/ with any character for the slash, and g, p, n.  Without the last slash it means p. */
static int parse_substitution(struct substitution *s)
{
    *s = (struct substitution){.delimiter = *at};
    if (*at == 0 || *at == ' ' || *at == '\\')
        return fail("no delimiter", "");
    at++;
    if (parse_regex(s->delimiter) < 0)
        return -1;
    s->replacement = at;
    if (!skip_replacement(s->delimiter))
        s->suffix = 'p';
    for (; *at == 'g'; at++)
        s->all = 1;
    return parse_end(&s->suffix);
}

static int substitute_in(int n, const struct substitution *s, struct text *text)
{
    int count = replace(text, buffer.at[n - 1], s);
    if (count == 0)
        return 0;
    struct line *line = count < 0 ? 0 : new_line(text->bytes, text->length);
    if (line == 0)
        return no_memory();
    free(buffer.at[n - 1]);
    buffer.at[n - 1] = line;
    changed = 1;
    current = n;
    return count;
}

/* -- the commands, as in the table below; `at` is behind the letter ------------------------------- */

static int do_append(struct range range)
{
    return enter_text(range.to, 0);
}

static int do_insert(struct range range)
{
    return enter_text(range.to > 0 ? range.to - 1 : 0, 0);
}

static int do_change(struct range range)
{
    return enter_text(range.from - 1, range.to - range.from + 1);
}

static int do_delete(struct range range)
{
    char suffix = 0;
    if (parse_end(&suffix) < 0)
        return -1;
    drop(&buffer, range.from - 1, range.to);
    current = range.from <= buffer.count ? range.from : buffer.count;
    changed = 1;
    print_current(suffix);
    return 0;
}

static int do_substitute(struct range range)
{
    struct substitution s;
    struct text text = {0};
    int found = 0, status = 0;

    if (parse_substitution(&s) < 0)
        return -1;
    for (int n = range.from; n <= range.to && status >= 0; n++) {
        status = substitute_in(n, &s, &text);
        found |= status > 0;
    }
    free(text.bytes);
    if (status < 0)
        return -1;
    if (!found)
        return fail("no match", "");
    print_current(s.suffix);
    return 0;
}

static int do_print(struct range range)
{
    if (parse_end(0) < 0)
        return -1;
    print(range.from, range.to, 0);
    return 0;
}

static int do_number(struct range range)
{
    if (parse_end(0) < 0)
        return -1;
    print(range.from, range.to, 1);
    return 0;
}

static int do_line_number(struct range range)
{
    if (parse_end(0) < 0)
        return -1;
    put_number(range.to);
    put_bytes(&out, "\n", 1);
    return 0;
}

static int do_read(struct range range)
{
    const char *name = parse_name();
    if (name == 0 || read_file(name, range.to) < 0)
        return -1;
    return file.length ? 0 : set_file(name);
}

static int do_quit_unasked(struct range range)
{
    if (parse_end(0) < 0)
        return -1;
    leave(0);
}

static int do_quit(struct range range)
{
    if (parse_end(0) < 0 || may_lose_changes() < 0)
        return -1;
    leave(0);
}

static int do_write(struct range range)
{
    int quit = *at == 'q';
    at += quit;
    const char *name = parse_name();
    if (name == 0 || write_file(name, range.from, range.to) < 0)
        return -1;
    if (range.from <= 1 && range.to == buffer.count)
        changed = 0;
    if (file.length == 0 && set_file(name) < 0)
        return -1;
    if (quit && may_lose_changes() < 0)
        return -1;
    if (quit)
        leave(0);
    return 0;
}

static int do_edit(struct range range)
{
    const char *name = parse_name();
    if (name == 0 || may_lose_changes() < 0)
        return -1;
    struct lines old = buffer;
    int old_current = current;
    buffer = (struct lines){0};
    if (read_file(name, 0) < 0) {
        drop_all(&buffer);
        buffer = old;
        current = old_current;
        return -1;
    }
    drop_all(&old);
    changed = 0;
    return set_file(name);
}

static int do_file(struct range range)
{
    const char *name = parse_name();
    if (name == 0 || set_file(name) < 0)
        return -1;
    put_bytes(&out, file.bytes, file.length);
    put_bytes(&out, "\n", 1);
    return 0;
}

static int do_help(struct range range)
{
    if (parse_end(0) < 0)
        return -1;
    if (error.length > 0) {
        put_bytes(&out, error.bytes, error.length);
        put_bytes(&out, "\n", 1);
    }
    return 0;
}

/* -- taking commands ------------------------------------------------------------------------------ */

/* The lines that a command is for where none are given. */
enum { NONE, CURRENT, NEXT, LAST, ALL };

static const struct command {
    char letter;
    char lines;   /* NONE: nor may any be given */
    char or_zero; /* it can be for a place before the first line */
    int (*run)(struct range range);
} commands[] = {
    {'a', CURRENT, 1, do_append},
    {'i', CURRENT, 1, do_insert},
    {'c', CURRENT, 0, do_change},
    {'d', CURRENT, 0, do_delete},
    {'s', CURRENT, 0, do_substitute},
    {'p', CURRENT, 0, do_print},
    {'n', CURRENT, 0, do_number},
    {0, NEXT, 0, do_print},
    {'=', LAST, 1, do_line_number},
    {'r', LAST, 1, do_read},
    {'w', ALL, 0, do_write},
    {'e', NONE, 1, do_edit},
    {'f', NONE, 1, do_file},
    {'q', NONE, 1, do_quit},
    {'Q', NONE, 1, do_quit_unasked},
    {'h', NONE, 1, do_help},
};

/* Fills in the lines that were not given, and checks them.  0 or -1. */
static int complete(struct range *range, const struct command *command)
{
    if (command->lines == NONE)
        return range->given ? fail("this command is not for lines", "") : 0;
    if (range->given == 0) {
        if (command->lines == NEXT)
            range->from = range->to = current + 1;
        if (command->lines == LAST)
            range->from = range->to = buffer.count;
        if (command->lines == ALL)
            *range = (struct range){buffer.count ? 1 : 0, buffer.count, 0};
    }
    int is_empty = command->lines == ALL && buffer.count == 0;
    if (range->to > buffer.count || (range->from == 0 && !command->or_zero && !is_empty))
        return fail("no such line", "");
    return 0;
}

/* Does what was typed.  0, or -1 after fail(). */
static int execute(void)
{
    struct range range;
    at = typed.bytes;
    if (parse_range(&range) < 0)
        return -1;
    const struct command *command = commands, *end = commands + sizeof commands / sizeof *commands;
    while (command < end && command->letter != *at)
        command++;
    if (command == end)
        return fail("unknown command ", at);
    at += *at != 0;
    return complete(&range, command) < 0 ? -1 : command->run(range);
}

/* The next command, or a reason that there is none.  0, or -1 after fail(). */
static int take_command(void)
{
    switch (read_line(&input, &typed)) {
    case LINE_READ:
        return execute();
    case LINE_NO_MEMORY:
        return no_memory();
    case LINE_READ_ERROR:
        fprintf(2, "ed: cannot read commands\n");
        leave(1);
    }
    if (may_lose_changes() < 0) /* the end of the input is a q */
        return -1;
    leave(0);
}

static void complain(void)
{
    put_bytes(&out, "?\n", 2);
    if (interactive)
        return;
    put_flush(&out);
    fprintf(2, "ed: %s\n", error.bytes);
    leave(1);
}

/* The file that the program was started with; it need not be there yet. */
static void open_first(const char *name)
{
    struct stat st;
    if (stat(name, &st) < 0) {
        fprintf(2, "ed: %s is a new file\n", name);
        set_file(name);
        return;
    }
    if (set_file(name) == 0 && read_file(name, 0) == 0) {
        changed = 0;
        return;
    }
    fprintf(2, "ed: %s\n", error.bytes);
    leave(1);
}

int main(int argc, char **argv)
{
    struct options options = {argv + 1};
    struct stat st;
    int option;

    while ((option = next_option(&options, "s")) == 's')
        silent = 1;
    if (option != 0 || (options.argv[0] && options.argv[1])) {
        fprintf(2, "usage: ed [-s] [file]\n");
        return 1;
    }
    interactive = fstat(0, &st) == 0 && st.type == T_DEVICE;
    if (options.argv[0])
        open_first(options.argv[0]);
    for (;;) {
        if (put_flush(&out) < 0)
            leave(1);
        if (take_command() < 0)
            complain();
        if (warned > 0)
            warned--;
    }
}
