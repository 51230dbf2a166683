/* The reply parser: lines are cut at LF straight from the input; only an unfinished line is copied
 * aside. Every limit is counted in bytes since the start of the line or reply, so that cutting the
 * input differently cannot change the result. Guarantees: at most 68 KB of memory, no abort. */
#include "smtp/reply.h"

enum { BAD_TEXT_MAX = 200, KEEP_MAX = 8192 };

void smtp_reply_init(struct smtp_reply *r)
{
    memset(r, 0, sizeof *r);
    buf_init(&r->text, SMTP_REPLY_TOTAL_MAX);
    buf_init(&r->line, SMTP_REPLY_LINE_MAX + 1);
}

void smtp_reply_free(struct smtp_reply *r)
{
    buf_free(&r->text);
    buf_free(&r->line);
}

static void begin(struct smtp_reply *r)
{
    r->code = 0;
    memset(r->enhanced, 0, sizeof r->enhanced);
    r->total = 0;
    r->over = false;
    /* One huge reply must not cost its memory for the rest of the connection. */
    if (r->text.n > KEEP_MAX)
        buf_free(&r->text);
    else
        buf_clear(&r->text);
}

/* Adds text with control characters made harmless. */
static void add_clean(struct buf *b, struct str s)
{
    char *to = s.n > 0 ? buf_reserve(b, s.n) : NULL;
    if (to == NULL)
        return;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        to[i] = ch == '\t' ? ' ' : ch < 0x20 || ch == 0x7f ? '?' : (char)ch;
    }
    buf_commit(b, s.n);
}

static enum smtp_reply_status bad(struct smtp_reply *r, const char *why, struct str line)
{
    r->code = 0;
    memset(r->enhanced, 0, sizeof r->enhanced);
    buf_clear(&r->text);
    buf_adds(&r->text, why);
    if (line.n > 0) {
        buf_adds(&r->text, ": ");
        add_clean(&r->text, str_cut(line, 0, BAD_TEXT_MAX));
    }
    return SMTP_REPLY_BAD;
}

bool smtp_reply_take_enhanced(struct str *s, uint8_t enhanced_out[3])
{
    unsigned v[3] = {0, 0, 0};
    size_t i = 0;

    memset(enhanced_out, 0, 3);
    if (s->n < 5 || (s->p[0] != '2' && s->p[0] != '4' && s->p[0] != '5') || s->p[1] != '.')
        return false;
    for (int k = 0; k < 3; k++) {
        size_t start = i;
        for (; i < s->n && i - start < 3 && ascii_isdigit(s->p[i]); i++)
            v[k] = v[k] * 10 + (unsigned)(s->p[i] - '0');
        if (i == start || v[k] > 255)
            return false;
        if (k < 2 && (i == s->n || s->p[i++] != '.'))
            return false;
    }
    if (i < s->n && s->p[i] != ' ' && s->p[i] != '\t')
        return false;
    for (int k = 0; k < 3; k++)
        enhanced_out[k] = (uint8_t)v[k];
    while (i < s->n && (s->p[i] == ' ' || s->p[i] == '\t'))
        i++;
    *s = str_from_index(*s, i);
    return true;
}

static int line_code(struct str l)
{
    if (l.n < 3 || l.p[0] < '2' || l.p[0] > '5' || !ascii_isdigit(l.p[1]) || !ascii_isdigit(l.p[2]))
        return 0;
    if (l.n > 3 && l.p[3] != ' ' && l.p[3] != '-')
        return 0;
    return (l.p[0] - '0') * 100 + (l.p[1] - '0') * 10 + (l.p[2] - '0');
}

/* A whole line without its LF. */
static enum smtp_reply_status take_line(struct smtp_reply *r, struct str l)
{
    while (l.n > 0 && (l.p[l.n - 1] == '\r' || l.p[l.n - 1] == ' '))
        l.n--;
    int code = line_code(l);
    if (code == 0)
        return bad(r, "not an SMTP reply", l);
    if (r->code != 0 && code != r->code)
        return bad(r, "codes differ within one reply", l);

    struct str text = str_from_index(l, 4);
    if (r->code != 0)
        buf_addc(&r->text, '\n');
    r->code = code;
    add_clean(&r->text, text);
    if (r->enhanced[0] == 0)
        smtp_reply_take_enhanced(&text, r->enhanced);
    return l.n > 3 && l.p[3] == '-' ? SMTP_REPLY_MORE : SMTP_REPLY_READY;
}

enum smtp_reply_status smtp_reply_feed(struct smtp_reply *r, struct str *bytes)
{
    if (r->over)
        begin(r);
    while (bytes->n > 0) {
        const char *lf = memchr(bytes->p, '\n', bytes->n);
        size_t n = lf != NULL ? (size_t)(lf - bytes->p) : bytes->n;
        struct str l = str_from(bytes->p, n);

        if (r->line.n + n > SMTP_REPLY_LINE_MAX)
            return bad(r, "reply line of over 4096 bytes", STR_NONE);
        r->total += n + (lf != NULL);
        if (r->total > SMTP_REPLY_TOTAL_MAX)
            return bad(r, "reply of over 64 KB", STR_NONE);
        *bytes = str_from_index(*bytes, n + (lf != NULL));
        if (lf == NULL || r->line.n > 0)
            buf_addstr(&r->line, l);
        if (lf == NULL)
            return SMTP_REPLY_MORE;
        enum smtp_reply_status s = take_line(r, r->line.n > 0 ? buf_str(&r->line) : l);
        buf_clear(&r->line);
        r->over = s == SMTP_REPLY_READY;
        if (s != SMTP_REPLY_MORE)
            return s;
    }
    return SMTP_REPLY_MORE;
}

void smtp_reply_join(const struct smtp_reply *r, struct buf *out)
{
    struct str rest = buf_str(&r->text), line;
    uint8_t unused[3];
    bool first = true;

    while (str_split(&rest, '\n', &line)) {
        if (r->code != 0)
            smtp_reply_take_enhanced(&line, unused);
        size_t room = out->max - out->n;
        if (room < 2)
            return;
        if (!first)
            buf_addc(out, ' ');
        buf_addstr(out, str_cut(line, 0, room - 1));
        first = false;
    }
}
