/* The reader of rule files, see ruledata.h. One pass, a line at a time; what YAML would read in
 * another way than a reader expects (anchors, flow lists, folded text, tabs) is refused. */
#include "feedback/ruledata.h"

/* What came last decides what may follow. */
enum { DEPTH_TOP = 0, DEPTH_SECTION, DEPTH_ITEM, DEPTH_LIST };

bool ruledata_open(struct ruledata *r, struct str data, struct err *e)
{
    *r = (struct ruledata){.rest = data};
    if (data.n > RULEDATA_FILE_MAX)
        return err_set(e, ERR_TOO_BIG, "rule data has %zu bytes, at most %d are read", data.n,
                       RULEDATA_FILE_MAX);
    if (data.n && memchr(data.p, 0, data.n))
        return err_set(e, ERR_INVALID, "rule data holds a NUL byte");
    return true;
}

static enum ruledata_kind fail(const struct ruledata *r, struct err *e, const char *what)
{
    (void)err_set(e, ERR_INVALID, "line %d: %s", r->line, what);
    return RULEDATA_ERROR;
}

static int hex_value(char c)
{
    if (ascii_isdigit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Length of the escape at p (after the backslash), 0 when malformed. */
static size_t read_escape(struct str s, char *out)
{
    static const char plain[] = "\"\\/nrt", meaning[] = "\"\\/\n\r\t";
    if (!s.n)
        return 0;
    const char *at = memchr(plain, s.p[0], sizeof(plain) - 1);
    if (at) {
        *out = meaning[at - plain];
        return 1;
    }
    if (s.p[0] != 'x' || s.n < 3 || hex_value(s.p[1]) < 0 || hex_value(s.p[2]) < 0)
        return 0;
    *out = (char)(hex_value(s.p[1]) * 16 + hex_value(s.p[2]));
    return *out ? 3 : 0;
}

/* True when nothing but a comment follows. */
static bool is_rest_empty(struct str s)
{
    struct str t = str_trim(s);
    return t.n == 0 || (t.p[0] == '#' && t.p > s.p);
}

static const char *read_double(struct ruledata *r, struct str s, size_t *n_out)
{
    size_t n = 0, i = 1;
    while (i < s.n && s.p[i] != '"') {
        char c = s.p[i++];
        if (c == '\\') {
            size_t used = read_escape(str_from_index(s, i), &c);
            if (!used)
                return "unknown escape; known are \\\" \\\\ \\/ \\n \\r \\t \\xHH";
            i += used;
        }
        r->value[n++] = c;
    }
    if (i >= s.n)
        return "the closing \" is missing";
    *n_out = n;
    return is_rest_empty(str_from_index(s, i + 1)) ? NULL : "text behind the closing \"";
}

static const char *read_single(struct ruledata *r, struct str s, size_t *n_out)
{
    size_t n = 0, i = 1;
    for (; i < s.n; i++) {
        if (s.p[i] == '\'' && (i + 1 >= s.n || s.p[i + 1] != '\''))
            break;
        if (s.p[i] == '\'')
            i++;
        r->value[n++] = s.p[i];
    }
    if (i >= s.n)
        return "the closing ' is missing";
    *n_out = n;
    return is_rest_empty(str_from_index(s, i + 1)) ? NULL : "text behind the closing '";
}

static const char *read_plain(struct ruledata *r, struct str s, size_t *n_out)
{
    if (memchr("&*!|>%@`{}[],?-\"'", s.p[0], 17) && !(s.p[0] == '-' && s.n > 1 && s.p[1] != ' '))
        return "a value that begins with this character needs quotes";
    ptrdiff_t comment = str_find(s, STR(" #"));
    s = str_trim(comment < 0 ? s : str_cut(s, 0, (size_t)comment));
    if (str_find(s, STR(": ")) >= 0 || (s.n && s.p[s.n - 1] == ':'))
        return "a value that holds a colon and a blank needs quotes";
    memcpy(r->value, s.p, s.n);
    *n_out = s.n;
    return NULL;
}

/* Fills r->value from a non-empty, trimmed slice. */
static const char *read_scalar(struct ruledata *r, struct str s, struct str *out)
{
    size_t n = 0;
    const char *wrong = s.p[0] == '"'    ? read_double(r, s, &n)
                        : s.p[0] == '\'' ? read_single(r, s, &n)
                                         : read_plain(r, s, &n);
    *out = str_from(r->value, n);
    return wrong;
}

/* "key: rest" or "key:"; *value_out is trimmed and free of a comment that stands alone. */
static const char *read_key(struct ruledata *r, struct str s, struct str *value_out)
{
    size_t n = 0;
    while (n < s.n && (ascii_isalnum(s.p[n]) || s.p[n] == '_' || s.p[n] == '-'))
        n++;
    if (n == 0 || n >= s.n || s.p[n] != ':' || (n + 1 < s.n && s.p[n + 1] != ' '))
        return "expected `key:` or `key: value`";
    if (!str_copy(str_cut(s, 0, n), r->key, sizeof(r->key)))
        return "this key is too long";
    struct str v = str_trim(str_from_index(s, n + 1));
    *value_out = v.n && v.p[0] == '#' ? STR_NONE : v;
    return NULL;
}

static enum ruledata_kind read_field(struct ruledata *r, struct str s, struct ruledata_event *out,
                                     struct err *e)
{
    struct str v = STR_NONE;
    const char *wrong = read_key(r, s, &v);
    if (wrong)
        return fail(r, e, wrong);
    *out = (struct ruledata_event){.kind = RULEDATA_LIST, .key = str_of(r->key)};
    r->depth = DEPTH_LIST;
    if (v.n) {
        wrong = read_scalar(r, v, &out->value);
        out->kind = RULEDATA_FIELD;
        r->depth = DEPTH_ITEM;
    }
    return wrong ? fail(r, e, wrong) : out->kind;
}

static enum ruledata_kind read_top(struct ruledata *r, struct str s, struct ruledata_event *out,
                                   struct err *e)
{
    struct str v = STR_NONE;
    const char *wrong = read_key(r, s, &v);
    if (wrong || v.n)
        return fail(r, e, wrong ? wrong : "a section stands alone on its line");
    r->depth = DEPTH_SECTION;
    *out = (struct ruledata_event){.kind = RULEDATA_SECTION, .key = str_of(r->key)};
    return RULEDATA_SECTION;
}

static enum ruledata_kind read_element(struct ruledata *r, struct str s, struct ruledata_event *out,
                                       struct err *e)
{
    *out = (struct ruledata_event){.kind = RULEDATA_ELEMENT, .key = str_of(r->key)};
    const char *wrong = read_scalar(r, s, &out->value);
    return wrong ? fail(r, e, wrong) : RULEDATA_ELEMENT;
}

/* One line that is neither empty nor a comment. */
static enum ruledata_kind read_line(struct ruledata *r, struct str s, struct ruledata_event *out,
                                    struct err *e)
{
    size_t indent = 0;
    while (indent < s.n && s.p[indent] == ' ')
        indent++;
    struct str body = str_trim(s);
    bool dash = body.n >= 2 && body.p[0] == '-' && body.p[1] == ' ';
    struct str after = dash ? str_trim(str_from_index(body, 2)) : body;
    if (indent == 0 && !dash)
        return read_top(r, body, out, e);
    if (indent == 2 && dash && r->depth >= DEPTH_SECTION) {
        r->pending = true;
        r->pending_text = after;
        *out = (struct ruledata_event){.kind = RULEDATA_ITEM};
        return RULEDATA_ITEM;
    }
    if (indent == 4 && !dash && r->depth >= DEPTH_ITEM)
        return read_field(r, body, out, e);
    if (indent == 6 && dash && r->depth == DEPTH_LIST)
        return read_element(r, after, out, e);
    return fail(r, e, "unexpected indentation (section 0, item 2, field 4, element 6 blanks)");
}

enum ruledata_kind ruledata_next(struct ruledata *r, struct ruledata_event *out, struct err *e)
{
    *out = (struct ruledata_event){.kind = RULEDATA_ERROR};
    if (r->pending) {
        r->pending = false;
        out->kind = read_field(r, r->pending_text, out, e);
        return out->kind;
    }
    struct str s;
    while (str_split(&r->rest, '\n', &s)) {
        r->line++;
        struct str body = str_trim(s);
        if (body.n == 0 || body.p[0] == '#')
            continue;
        if (s.n >= RULEDATA_LINE_MAX)
            return fail(r, e, "line is too long");
        if (memchr(s.p, '\t', s.n))
            return fail(r, e, "tabs are not allowed, write \\t within quotes");
        out->kind = read_line(r, s, out, e);
        return out->kind;
    }
    out->kind = RULEDATA_END;
    return RULEDATA_END;
}
