/* The line editor: keys in raw mode, a line on the screen.  user/edit.h says how it is called.

       arrows, ^B ^F, Home End, ^A ^E      move          ^R      look for an earlier line
       ^left ^right, M-b M-f               by words      ^L      clear the screen
       up down, ^P ^N                      earlier lines Tab     complete the word
       Backspace ^H, Delete ^D             a character   ^C      drop the line
       ^U ^K, ^W M-Backspace, M-d          more of it    ^D      on an empty line: the end
       ^Y                                  put back what was taken last

   A line is UTF-8; a byte that is none stands for itself.  It may take several rows of the screen, whose
   width the kernel knows.  Each change draws all of it, but for a character that is typed at its end. */

#include "kernel/types.h"
#include "kernel/tty.h"
#include "user/user.h"
#include "user/edit.h"

#define CTRL(letter) ((letter)&0x1f)
#define ESCAPE 0x1b
#define RUBOUT 0x7f
#define PATTERN_BYTES 64 /* of what ^R looks for */
#define MATCHES_BYTES 2048
#define WIDTH_MIN 8

enum key {
    NONE = 0x100, TEXT, UP, DOWN, LEFT, RIGHT, HOME, END, DELETE, WORD_LEFT, WORD_RIGHT, KILL_WORD, KILL_BACK, GONE,
};

static struct {
    const char *prompt;
    char *text;
    int length, cursor;
    int columns;
    int row; /* of the screen's cursor, from the prompt's on */
} line;

static char typed[4]; /* the character of a TEXT key */
static int typed_bytes;
static char taken[EDIT_BYTES_MAX]; /* for ^Y */
static char draft[EDIT_BYTES_MAX]; /* the line that is typed, while an earlier one is shown */
static char history[EDIT_HISTORY_MAX];
static int history_bytes;

/* -- output ------------------------------------------------------------------------------------------ */

static char out[256];
static int out_bytes;

static void flush(void)
{
    write(2, out, out_bytes);
    out_bytes = 0;
}

static void put_bytes(const char *bytes, int n)
{
    for (int i = 0; i < n; i++) {
        if (out_bytes == sizeof out)
            flush();
        out[out_bytes++] = bytes[i];
    }
}

static void put(const char *text)
{
    put_bytes(text, strlen(text));
}

/* The escape sequence that moves the cursor n places; none for 0. */
static void put_move(int n, char how)
{
    char digits[12];
    int at = sizeof digits;
    if (n <= 0)
        return;
    for (; n; n /= 10)
        digits[--at] = '0' + n % 10;
    put("\x1b[");
    put_bytes(digits + at, sizeof digits - at);
    put_bytes(&how, 1);
}

/* -- characters -------------------------------------------------------------------------------------- */

/* How many bytes the character at `s` has, of at most n. */
static int char_bytes(const char *s, int n)
{
    uchar first = s[0];
    int want = first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
    if (want > n)
        return 1;
    for (int i = 1; i < want; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 1;
    return want;
}

/* How many columns it takes: most take one, marks that join the one before none, East Asian ones two. */
static int char_width(const char *s, int bytes)
{
    static const struct range {
        uint first, last;
        int width;
    } ranges[] = {
        {0x300, 0x36f, 0},    {0x200b, 0x200f, 0},  {0x20d0, 0x20ff, 0},   {0xfe00, 0xfe0f, 0},
        {0x1100, 0x115f, 2},  {0x2e80, 0x303e, 2},  {0x3041, 0xa4cf, 2},   {0xac00, 0xd7a3, 2},
        {0xf900, 0xfaff, 2},  {0xfe30, 0xfe6f, 2},  {0xff00, 0xff60, 2},   {0xffe0, 0xffe6, 2},
        {0x1f300, 0x1f64f, 2}, {0x1f900, 0x1f9ff, 2}, {0x20000, 0x3fffd, 2},
    };
    if (bytes == 1)
        return 1;
    uint code = s[0] & (0x7f >> bytes);
    for (int i = 1; i < bytes; i++)
        code = code << 6 | (s[i] & 0x3f);
    for (uint i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].first <= code && code <= ranges[i].last)
            return ranges[i].width;
    return 1;
}

static int previous(int at)
{
    for (int back = 4; back > 1; back--)
        if (at >= back && char_bytes(line.text + at - back, back) == back)
            return at - back;
    return at > 0 ? at - 1 : 0;
}

static int next(int at)
{
    return at < line.length ? at + char_bytes(line.text + at, line.length - at) : at;
}

static int is_blank(int at)
{
    return line.text[at] == ' ';
}

static int word_left(int at)
{
    while (at > 0 && is_blank(at - 1))
        at--;
    while (at > 0 && !is_blank(at - 1))
        at--;
    return at;
}

static int word_right(int at)
{
    while (at < line.length && is_blank(at))
        at++;
    while (at < line.length && !is_blank(at))
        at++;
    return at;
}

/* -- the screen -------------------------------------------------------------------------------------- */

struct place {
    int row, column;
};

/* Where the cursor is behind n bytes of `text` that begin at `p`, as a terminal that wraps has it: behind
   the last column of a row it stays there, until another character comes. */
static struct place behind(struct place p, const char *text, int n)
{
    for (int at = 0; at < n;) {
        int bytes = char_bytes(text + at, n - at), width = char_width(text + at, bytes);
        if (p.column + width > line.columns) {
            p.row++;
            p.column = 0;
        }
        p.column += width;
        at += bytes;
    }
    return p;
}

static struct place place_of(int at)
{
    struct place start = {0, 0};
    return behind(behind(start, line.prompt, strlen(line.prompt)), line.text, at);
}

/* Draws the line anew, from the row of the prompt on. */
static void draw(void)
{
    put_move(line.row, 'A');
    put("\r\x1b[J");
    put(line.prompt);
    put_bytes(line.text, line.length);
    struct place end = place_of(line.length), at = place_of(line.cursor);
    if (end.column == line.columns) {
        put("\r\n"); /* there the cursor can be moved from */
        end.row++;
    }
    if (at.column == line.columns) {
        at.row++;
        at.column = 0;
    }
    put_move(end.row - at.row, 'A');
    put("\r");
    put_move(at.column, 'C');
    line.row = at.row;
    flush();
}

static void ring(void)
{
    put("\a");
    flush();
}

/* Leaves the line as it is on the screen: the cursor is at the start of the row below. */
static void leave(const char *mark)
{
    if (line.cursor != line.length) {
        line.cursor = line.length;
        draw();
    }
    put(mark);
    if (*mark || line.length == 0 || place_of(line.length).column < line.columns)
        put("\n");
    flush();
}

/* -- changes ----------------------------------------------------------------------------------------- */

static void insert(const char *bytes, int n)
{
    if (line.length + n >= EDIT_BYTES_MAX) {
        ring();
        return;
    }
    struct place before = place_of(line.cursor), after = behind(before, bytes, n);
    int at_end = line.cursor == line.length && before.column < line.columns && after.column < line.columns &&
                 after.row == before.row;
    memmove(line.text + line.cursor + n, line.text + line.cursor, line.length - line.cursor + 1);
    memmove(line.text + line.cursor, bytes, n);
    line.length += n;
    line.cursor += n;
    if (at_end) {
        put_bytes(bytes, n);
        flush();
    } else {
        draw();
    }
}

static void erase(int from, int to)
{
    memmove(line.text + from, line.text + to, line.length - to + 1);
    line.length -= to - from;
    line.cursor = from;
    draw();
}

/* As erase(), for more than a character, which ^Y can put back. */
static void take(int from, int to)
{
    if (from == to)
        return;
    memmove(taken, line.text + from, to - from);
    taken[to - from] = 0;
    erase(from, to);
}

static void replace(const char *text)
{
    line.length = line.cursor = strlen(text);
    memmove(line.text, text, line.length + 1);
    draw();
}

/* -- keys -------------------------------------------------------------------------------------------- */

static int unread = -1; /* a byte that was read too early */

/* A byte, or -1 where there is none any more. */
static int read_byte(void)
{
    char c;
    if (unread >= 0) {
        int early = unread;
        unread = -1;
        return early;
    }
    return read(0, &c, 1) == 1 ? (uchar)c : -1;
}

/* What follows ESC [ or ESC O: digits and ;, then a letter or ~. */
static int read_sequence(void)
{
    int c, numbers[2] = {0, 0}, n = 0;
    while ((c = read_byte()) >= 0 && c < '@')
        if (c == ';')
            n = 1;
        else if ('0' <= c && c <= '9')
            numbers[n] = (numbers[n] * 10 + c - '0') & 0xff;
    int by_words = numbers[1] == 5 || numbers[1] == 3;
    switch (c) {
    case 'A': return UP;
    case 'B': return DOWN;
    case 'C': return by_words ? WORD_RIGHT : RIGHT;
    case 'D': return by_words ? WORD_LEFT : LEFT;
    case 'H': return HOME;
    case 'F': return END;
    case '~': break;
    default: return c < 0 ? GONE : NONE;
    }
    switch (numbers[0]) {
    case 1: case 7: return HOME;
    case 4: case 8: return END;
    case 3: return DELETE;
    default: return NONE;
    }
}

static int read_escape(void)
{
    int c = read_byte();
    switch (c) {
    case -1: return GONE;
    case '[': case 'O': return read_sequence();
    case 'b': return WORD_LEFT;
    case 'f': return WORD_RIGHT;
    case 'd': return KILL_WORD;
    case RUBOUT: case CTRL('h'): return KILL_BACK;
    default: return NONE;
    }
}

/* The next key: a control character itself, or one of enum key. */
static int read_key(void)
{
    int c = read_byte();
    if (c < 0)
        return GONE;
    if (c == ESCAPE)
        return read_escape();
    if (c < ' ' || c == RUBOUT)
        return c;
    typed[0] = c;
    typed_bytes = 1;
    int want = c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;
    while (typed_bytes < want) {
        if ((c = read_byte()) < 0)
            return GONE;
        if ((c & 0xc0) != 0x80) { /* no UTF-8: the first byte stands for itself */
            unread = c;
            break;
        }
        typed[typed_bytes++] = c;
    }
    return TEXT;
}

/* -- earlier lines ----------------------------------------------------------------------------------- */

const char *edit_history(const char *after)
{
    const char *entry = after ? after + strlen(after) + 1 : history;
    return entry < history + history_bytes ? entry : 0;
}

/* The entry before this one, where 0 stands behind the last; 0 where there is none. */
static const char *entry_before(const char *entry)
{
    const char *end = entry ? entry : history + history_bytes;
    if (end == history)
        return 0;
    for (end--; end > history && end[-1]; end--)
        ;
    return end;
}

static void remember(void)
{
    const char *last = entry_before(0);
    int n = line.length + 1, blank = 1;
    for (int at = 0; at < line.length; at++)
        blank = blank && is_blank(at);
    if (blank || (last && strcmp(last, line.text) == 0))
        return;
    while (history_bytes + n > EDIT_HISTORY_MAX) {
        int oldest = strlen(history) + 1;
        history_bytes -= oldest;
        memmove(history, history + oldest, history_bytes);
    }
    memmove(history + history_bytes, line.text, n);
    history_bytes += n;
}

/* Shows the entry before or behind the one shown, `shown`, which is 0 for the line that is typed. */
static const char *recall(const char *shown, int back)
{
    const char *entry = back ? entry_before(shown) : shown ? edit_history(shown) : 0;
    if (back ? entry == 0 : shown == 0) {
        ring();
        return shown;
    }
    if (shown == 0)
        memmove(draft, line.text, line.length + 1);
    replace(entry ? entry : draft);
    return entry;
}

static int contains(const char *text, const char *part)
{
    int n = strlen(part);
    for (; strlen(text) >= (uint)n; text++) {
        if (memcmp(text, part, n) == 0)
            return 1;
        if (*text == 0)
            break;
    }
    return 0;
}

/* ^R: shows the last line with what is typed in it.  The key that ended the search, NONE where it was
   broken off and the line is as before. */
static int search(void)
{
    static char pattern[PATTERN_BYTES], prompt[PATTERN_BYTES + 20];
    const char *own_prompt = line.prompt, *found = 0;
    int n = 0, key = NONE, failed = 0;

    memmove(draft, line.text, line.length + 1);
    pattern[0] = 0;
    line.prompt = prompt;
    for (;;) {
        strcpy(prompt, failed ? "(no such line)`" : "(search)`");
        strcpy(prompt + strlen(prompt), pattern);
        strcpy(prompt + strlen(prompt), "': ");
        replace(found ? found : draft);
        key = read_key();
        const char *from = found;
        if (key == TEXT && n + typed_bytes < PATTERN_BYTES) {
            memmove(pattern + n, typed, typed_bytes);
            n += typed_bytes;
        } else if ((key == RUBOUT || key == CTRL('h')) && n > 0) {
            do
                n--;
            while (n > 0 && (pattern[n] & 0xc0) == 0x80);
            from = 0;
        } else if (key == CTRL('r')) {
            from = entry_before(found);
            if (from == 0) {
                failed = 1;
                continue;
            }
        } else {
            break;
        }
        pattern[n] = 0;
        const char *entry = from ? from : entry_before(0);
        while (entry && (n == 0 || !contains(entry, pattern)))
            entry = n ? entry_before(entry) : 0;
        failed = entry == 0 && n > 0;
        if (!failed)
            found = entry;
    }
    line.prompt = own_prompt;
    if (key == CTRL('g') || key == CTRL('c')) {
        replace(draft);
        return NONE;
    }
    replace(line.text);
    return key;
}

/* -- completion -------------------------------------------------------------------------------------- */

static struct {
    char words[MATCHES_BYTES]; /* each with its NUL */
    int bytes, count, common;  /* common: bytes with which all begin */
    char end;                  /* what stands behind the only one */
} matches;

void edit_match(const char *word, char end)
{
    int n = strlen(word), same = 0;
    if (matches.count++ == 0) {
        matches.common = n;
        matches.end = end;
    } else {
        while (same < matches.common && matches.words[same] == word[same])
            same++;
        matches.common = same;
    }
    if (matches.bytes + n + 2 > MATCHES_BYTES)
        return; /* it counts, and is not shown */
    strcpy(matches.words + matches.bytes, word);
    matches.bytes += n + 1;
}

/* The last part of a path, or all of one that ends in a slash. */
static const char *last_part(const char *word)
{
    const char *part = word;
    for (const char *at = word; *at; at++)
        if (*at == '/' && at[1])
            part = at + 1;
    return part;
}

static void list_matches(void)
{
    int cursor = line.cursor, column = 0, width = 0;
    for (int at = 0; at < matches.bytes; at += strlen(matches.words + at) + 1) {
        int n = strlen(last_part(matches.words + at)) + 2;
        width = n > width ? n : width;
    }
    leave("");
    for (int at = 0; at < matches.bytes; at += strlen(matches.words + at) + 1) {
        const char *word = last_part(matches.words + at);
        if (column > 0 && column + width > line.columns) {
            put("\n");
            column = 0;
        }
        put(word);
        for (int n = strlen(word); n < width; n++)
            put(" ");
        column += width;
    }
    put("\n");
    line.row = 0;
    line.cursor = cursor;
    draw();
}

/* Tab; `again` where it was typed before, too. */
static void complete_word(int (*complete)(const char *line, int at), int again)
{
    matches.bytes = matches.count = matches.common = 0;
    int start = complete ? complete(line.text, line.cursor) : line.cursor;
    int have = line.cursor - start;
    if (matches.count == 0) {
        ring();
        return;
    }
    while (matches.common > 0 && (matches.words[matches.common] & 0xc0) == 0x80)
        matches.common--; /* not into the middle of a character */
    if (matches.common > have)
        insert(matches.words + have, matches.common - have);
    if (matches.count == 1)
        insert(&matches.end, 1);
    else if (matches.common <= have && again)
        list_matches();
    else if (matches.common <= have)
        ring();
}

/* -- a line ------------------------------------------------------------------------------------------ */

int edit_possible(void)
{
    return ttymode(0, TTY_ASK) > 0;
}

/* What a key does that only changes the line. */
static void change(int key)
{
    switch (key) {
    case TEXT: insert(typed, typed_bytes); break;
    case CTRL('b'): case LEFT: line.cursor = previous(line.cursor); draw(); break;
    case CTRL('f'): case RIGHT: line.cursor = next(line.cursor); draw(); break;
    case CTRL('a'): case HOME: line.cursor = 0; draw(); break;
    case CTRL('e'): case END: line.cursor = line.length; draw(); break;
    case WORD_LEFT: line.cursor = word_left(line.cursor); draw(); break;
    case WORD_RIGHT: line.cursor = word_right(line.cursor); draw(); break;
    case CTRL('h'): case RUBOUT: erase(previous(line.cursor), line.cursor); break;
    case CTRL('d'): case DELETE: erase(line.cursor, next(line.cursor)); break;
    case CTRL('u'): take(0, line.cursor); break;
    case CTRL('k'): take(line.cursor, line.length); break;
    case CTRL('w'): case KILL_BACK: take(word_left(line.cursor), line.cursor); break;
    case KILL_WORD: take(line.cursor, word_right(line.cursor)); break;
    case CTRL('y'): insert(taken, strlen(taken)); break;
    case CTRL('l'): put("\x1b[H\x1b[2J"); line.row = 0; draw(); break;
    }
}

int edit_line(const char *prompt, char *text, int (*complete)(const char *line, int at))
{
    const char *shown = 0;
    int key = NONE, before;

    int columns = ttymode(0, TTY_RAW);
    line.columns = columns < WIDTH_MIN ? WIDTH_MIN : columns;
    line.prompt = prompt;
    line.text = text;
    line.length = line.cursor = line.row = 0;
    text[0] = 0;
    put(prompt);
    flush();
    for (;;) {
        before = key;
        key = read_key();
        if (key == CTRL('r'))
            key = search();
        if (key == GONE || (key == CTRL('d') && line.length == 0)) {
            leave("");
            key = EDIT_END;
            break;
        } else if (key == CTRL('c')) {
            leave("^C");
            key = EDIT_INTERRUPTED;
            break;
        } else if (key == '\n' || key == '\r') {
            leave("");
            remember();
            key = line.length;
            break;
        } else if (key == '\t') {
            complete_word(complete, before == '\t');
        } else if (key == UP || key == CTRL('p')) {
            shown = recall(shown, 1);
        } else if (key == DOWN || key == CTRL('n')) {
            shown = recall(shown, 0);
        } else {
            change(key);
        }
    }
    ttymode(0, TTY_COOKED);
    return key;
}
