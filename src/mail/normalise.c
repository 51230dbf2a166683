/* Takes a raw message from outside and makes it fit for every server: CRLF only, Date and
 * Message-ID present, Bcc gone, raw UTF-8 in the header encoded where its field allows that. What
 * cannot be mended without guessing (NUL, lines over 998 bytes, lines that are no header fields) is
 * refused with its line number. Bodies are never changed beyond line ends. */
#include "mail/mime.h"

#include "mail/header.h"

struct lines {
    struct str rest;
    size_t number; /* of the line last taken, from 1 */
};

/* Takes a line without its end; CRLF, LF and CR all end one. False at the end of the message. */
static bool next_line(struct lines *l, struct str *out)
{
    if (l->rest.n == 0)
        return false;
    const char *lf = memchr(l->rest.p, '\n', l->rest.n);
    size_t n = lf ? (size_t)(lf - l->rest.p) : l->rest.n;
    const char *cr = memchr(l->rest.p, '\r', n);
    size_t taken = lf ? n + 1 : n;
    if (cr) {
        n = (size_t)(cr - l->rest.p);
        taken = cr + 1 == lf ? n + 2 : n + 1;
    }
    *out = str_from(l->rest.p, n);
    l->rest = str_from(l->rest.p + taken, l->rest.n - taken);
    l->number++;
    return true;
}

static bool check_line(struct str line, size_t number, struct err *e)
{
    if (line.n && memchr(line.p, 0, line.n))
        return err_set(e, ERR_INVALID, "line %zu holds a NUL byte, which no mail may", number);
    if (line.n > HEADER_LINE_MAX)
        return err_set(e, ERR_INVALID,
                       "line %zu is longer than 998 bytes (RFC 5322 2.1.1); wrap it, or send that "
                       "part as quoted-printable or base64",
                       number);
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- the header ---- */

struct field {
    struct str name;
    size_t number;    /* of its first line */
    struct buf lines; /* the field as it came, each line ended by CRLF */
    struct buf value; /* unfolded, without the name */
    bool is_ascii;
};

struct work {
    struct buf *out;
    struct err *e;
    struct mime_facts facts;
    bool has_date, has_message_id, is_signed;
};

static void field_clear(struct field *f)
{
    buf_clear(&f->lines);
    buf_clear(&f->value);
    f->name = STR_NONE;
    f->is_ascii = true;
}

static bool full(struct work *w)
{
    return err_set(w->e, ERR_TOO_BIG, "the mail is larger than %zu bytes", w->out->max);
}

/* Fields whose value is free text, so that it may be encoded by RFC 2047. */
static bool is_unstructured(struct str name)
{
    return str_iis(name, "Subject") || str_iis(name, "Comments") || str_iis(name, "Organization") ||
           str_iis(name, "Thread-Topic") || str_istarts(name, STR("X-"));
}

static bool is_address_field(struct str name)
{
    static const char *const names[] = {"From", "To", "Cc", "Sender", "Reply-To"};
    for (size_t i = 0; i < countof(names); i++) {
        if (str_iis(name, names[i]))
            return true;
    }
    return false;
}

/* A field with raw UTF-8: encoded when its grammar is known and no signature covers it, else left
 * as it came, which needs SMTPUTF8. */
static bool add_utf8_field(struct work *w, struct field *f)
{
    struct str value = str_trim(buf_str(&f->value));
    if (!str_is_utf8(value))
        return err_set(w->e, ERR_INVALID,
                       "line %zu: the header field " STR_F " is neither ASCII nor UTF-8", f->number,
                       STR_A(f->name));
    if (!w->is_signed && is_unstructured(f->name))
        return header_add_text(w->out, f->name, value) || full(w);
    struct err ignored;
    if (!w->is_signed && is_address_field(f->name) &&
        header_add_mailbox_list(w->out, f->name, value, &w->facts.needs_utf8, &ignored))
        return true;
    w->facts.needs_utf8 = true;
    return buf_addstr(w->out, buf_str(&f->lines)) || full(w);
}

/* Writes the field that is complete now; Bcc is dropped (RFC 5322 3.6.3). */
static bool finish_field(struct work *w, struct field *f)
{
    if (f->name.n == 0)
        return true;
    w->has_date = w->has_date || str_iis(f->name, "Date");
    w->has_message_id = w->has_message_id || str_iis(f->name, "Message-ID");
    bool ok = true;
    if (str_iis(f->name, "Bcc") || str_iis(f->name, "Resent-Bcc"))
        ok = true;
    else if (f->is_ascii)
        ok = buf_addstr(w->out, buf_str(&f->lines)) || full(w);
    else
        ok = add_utf8_field(w, f);
    if (ok && f->name.p[0] == '.')
        w->facts.has_leading_dot = true;
    field_clear(f);
    return ok;
}

static bool begin_field(struct field *f, struct str line, size_t number, struct err *e)
{
    ptrdiff_t colon = str_chr(line, ':');
    if (is_blank(line.p[0]))
        return err_set(e, ERR_INVALID, "line %zu: the header begins with a continuation line",
                       number);
    if (colon < 0)
        return err_set(
            e, ERR_INVALID,
            "line %zu is no header field (\"Name: value\"), and no empty line came before", number);
    f->name = str_cut(line, 0, (size_t)colon);
    if (!header_name_is_valid(f->name))
        return err_set(e, ERR_INVALID, "line %zu: malformed name of a header field", number);
    f->number = number;
    f->is_ascii = true;
    return true;
}

static bool extend_field(struct work *w, struct field *f, struct str line)
{
    size_t skip = f->value.n || f->lines.n ? 0 : f->name.n + 1;
    bool ok = buf_addstr(&f->value, str_from_index(line, skip)) && buf_addstr(&f->lines, line) &&
              buf_add(&f->lines, "\r\n", 2);
    f->is_ascii = f->is_ascii && str_is_ascii(line);
    return ok || full(w);
}

/* Reads up to the empty line. A blank-only line inside the header is dropped: readers disagree on
 * whether it ends the header. */
static bool copy_fields(struct work *w, struct lines *l, struct field *f)
{
    struct str line;
    while (next_line(l, &line)) {
        if (!check_line(line, l->number, w->e))
            return false;
        if (line.n == 0)
            break;
        if (l->number == 1 && str_starts(line, STR("From ")))
            continue;
        if (str_trim(line).n == 0)
            continue;
        bool more = is_blank(line.p[0]) && f->name.n;
        if (!more && (!finish_field(w, f) || !begin_field(f, line, l->number, w->e)))
            return false;
        if (!extend_field(w, f, line))
            return false;
    }
    return finish_field(w, f);
}

static bool add_missing(struct work *w, struct str message_id, int64_t date_ms)
{
    char date[HEADER_DATE_SIZE], id[256];
    if (!w->has_date) {
        header_date(date_ms, 0, date);
        if (!header_add_token(w->out, STR("Date"), str_of(date)))
            return full(w);
    }
    if (w->has_message_id)
        return true;
    if (!header_check_message_id(message_id, w->e))
        return false;
    id[0] = '<';
    memcpy(id + 1, message_id.p, message_id.n);
    id[message_id.n + 1] = '>';
    return header_add_token(w->out, STR("Message-ID"), str_from(id, message_id.n + 2)) || full(w);
}

/* ---- the body ---- */

static bool copy_body(struct work *w, struct lines *l)
{
    struct str line;
    while (next_line(l, &line)) {
        if (!check_line(line, l->number, w->e))
            return false;
        if (line.n && line.p[0] == '.')
            w->facts.has_leading_dot = true;
        char *p = buf_reserve(w->out, line.n + 2);
        if (!p)
            return full(w);
        if (line.n)
            memcpy(p, line.p, line.n);
        memcpy(p + line.n, "\r\n", 2);
        buf_commit(w->out, line.n + 2);
    }
    return true;
}

static bool add_extras(struct work *w, const struct mime_header *extra, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!header_name_is_valid(extra[i].name))
            return err_set(w->e, ERR_INVALID, "malformed name of a header field to add");
        if (!header_add_text(w->out, extra[i].name, extra[i].value))
            return full(w);
    }
    return true;
}

bool mime_normalise(struct str raw, struct str message_id, int64_t date_ms,
                    const struct mime_header *extra, size_t n_extra, struct buf *out,
                    struct mime_facts *facts, struct err *e)
{
    char scratch[8];
    struct work w = {.out = out, .e = e};
    struct lines l = {raw, 0};
    struct field f = {.is_ascii = true};
    w.is_signed = mime_field(raw, "DKIM-Signature", scratch, sizeof(scratch)).p != NULL;
    if (!add_extras(&w, extra, n_extra))
        return false;
    size_t before = out->n;
    buf_init(&f.lines, raw.n * 2 + 64);
    buf_init(&f.value, raw.n * 2 + 64);
    bool ok = copy_fields(&w, &l, &f);
    if (ok && out->n == before)
        ok = err_set(e, ERR_INVALID,
                     "the message has no header (\"Name: value\" lines, then an empty line)");
    ok = ok && add_missing(&w, message_id, date_ms) && (buf_add(out, "\r\n", 2) || full(&w));
    if (ok) {
        w.facts.is_8bit = !str_is_ascii(l.rest);
        ok = copy_body(&w, &l);
    }
    buf_free(&f.lines);
    buf_free(&f.value);
    if (ok)
        *facts = w.facts;
    return ok;
}

/* ---- looking up ---- */

struct str mime_field(struct str message, const char *name, char *scratch, size_t size)
{
    struct lines l = {message, 0};
    struct str line, wanted = str_of(name);
    size_t n = 0;
    bool found = false;
    while (next_line(&l, &line) && line.n > 0) {
        if (found && !is_blank(line.p[0]))
            break;
        if (!found) {
            if (line.n <= wanted.n || line.p[wanted.n] != ':' || !str_istarts(line, wanted))
                continue;
            found = true;
            line = str_from_index(line, wanted.n + 1);
        }
        size_t take = MIN(line.n, size - n);
        if (take)
            memcpy(scratch + n, line.p, take);
        n += take;
    }
    return found ? str_trim(str_from(scratch, n)) : STR_NONE;
}
