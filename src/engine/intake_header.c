/* The header of a mail that came by submission. Our own words (X-Postfleet-...) and those of other
 * products are read and taken out; all other fields go on as they are, in their order, behind our
 * Received. What is not there (Date, Message-ID) compose adds. Unknown X-Postfleet- fields and
 * words that this version cannot keep are refused, never passed over. */
#include "engine/intake_inner.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

struct head_field {
    struct str name, value; /* value: unfolded, trimmed */
    struct str lines;       /* as they came */
};

typedef bool reader(struct intake_mail *m, const struct head_field *f, struct err *e);

struct known {
    const char *name;
    bool is_prefix;
    reader *read; /* NULL: taken out, means nothing here */
};

static bool add_tag(struct intake_mail *m, struct str tag, struct err *e)
{
    char text[300];
    struct str t = str_trim(tag);
    if (!t.n)
        return true;
    if (!str_copy(t, text, sizeof text) || !tag_check("tag", text, e))
        return e->code != ERR_NONE ? false : err_set(e, ERR_INVALID, "tag: too long");
    return ((m->words.tags.n == 0 || buf_addc(&m->words.tags, '\n')) &&
            buf_addstr(&m->words.tags, t)) ||
           err_set(e, ERR_TOO_BIG, "tags: too many");
}

static bool read_tag(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    struct str rest = f->value, tag;
    while (str_split(&rest, ',', &tag))
        if (!add_tag(m, tag, e))
            return false;
    return true;
}

static bool set_metadata(struct intake_mail *m, struct str name, json_t *value, struct err *e)
{
    char key[128];
    if (!m->words.metadata)
        m->words.metadata = json_object();
    bool ok = str_copy(name, key, sizeof key) && value &&
              json_object_set(m->words.metadata, key, value) == 0;
    json_decref(value);
    return ok || err_set(e, ERR_INVALID, "metadata: \"" STR_F "\" cannot be kept",
                         STR_A(str_cut(name, 0, 60)));
}

static bool merge_metadata(struct intake_mail *m, const char *field, json_t *from, struct err *e)
{
    const char *key;
    json_t *v;
    if (!json_is_object(from))
        return err_set(e, ERR_INVALID, "%s: must be a JSON object", field);
    json_object_foreach(from, key, v)
    {
        if (!set_metadata(m, str_of(key), json_incref(v), e))
            return false;
    }
    return true;
}

static json_t *load_json(const struct head_field *f, struct err *e)
{
    json_error_t why;
    json_t *j = json_loadb(f->value.p, f->value.n, JSON_REJECT_DUPLICATES, &why);
    if (!j)
        err_set(e, ERR_INVALID, STR_F ": is no valid JSON: %.100s", STR_A(f->name), why.text);
    return j;
}

static bool read_metadata(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    json_t *j = load_json(f, e);
    bool ok = j && merge_metadata(m, "metadata", j, e);
    json_decref(j);
    return ok;
}

static bool read_group(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    m->words.group = arena_cstr(m->words.arena, f->value);
    return m->words.group != NULL || err_set(e, ERR_INVALID, "X-Postfleet-Group: too long");
}

static bool read_stream(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    char text[32];
    m->words.has_lane = str_copy(f->value, text, sizeof text) && lane_parse(text, &m->words.lane);
    return m->words.has_lane ||
           err_set(e, ERR_INVALID, "X-Postfleet-Stream: transactional, priority or bulk");
}

static bool read_campaign(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    return add_tag(m, f->value, e);
}

static bool read_time(const char *name, struct str value, int64_t *out, struct err *e)
{
    json_t *args = json_pack("{s:o}", name, json_stringn(value.p, value.n));
    bool ok = args && args_time(args, name, out, e);
    json_decref(args);
    return ok || (!args && err_set(e, ERR_INVALID, "%s: is no time", name));
}

static bool read_send_at(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    return read_time("X-Postfleet-Send-At", f->value, &m->words.send_at, e);
}

static bool read_expires(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    return read_time("X-Postfleet-Expires", f->value, &m->words.expires_at, e);
}

static bool is_no(struct str v)
{
    return str_iis(v, "no") || str_iis(v, "off") || str_iis(v, "false") || str_iis(v, "none");
}

static bool read_track(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    (void)m;
    return is_no(f->value) || err_set(e, ERR_INVALID,
                                      "X-Postfleet-Track: mail by submission is not tracked by "
                                      "this version; `no` is what it takes");
}

static bool read_test(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    bool yes = str_iis(f->value, "yes") || str_iis(f->value, "true") || str_iis(f->value, "1");
    m->words.is_test |= yes;
    return yes || is_no(f->value) || err_set(e, ERR_INVALID, STR_F ": yes or no", STR_A(f->name));
}

static bool read_key(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    m->words.idempotency = arena_str(m->words.arena, f->value);
    return (f->value.n > 0 && f->value.n <= 255) ||
           err_set(e, ERR_INVALID, "X-Postfleet-Idempotency-Key: 1 to 255 bytes");
}

static bool read_unknown(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    (void)m;
    return err_set(e, ERR_INVALID, STR_F ": this version does not know it",
                   STR_A(str_cut(f->name, 0, 60)));
}

/* Postmark: X-PM-Metadata-NAME. */
static bool read_pm_metadata(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    return set_metadata(m, str_from_index(f->name, strlen("X-PM-Metadata-")),
                        json_stringn(f->value.p, f->value.n), e);
}

/* SES: "name=value, name=value". */
static bool read_ses_tags(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    struct str rest = f->value, pair, name;
    while (str_split(&rest, ',', &pair)) {
        struct str value = str_trim(pair);
        if (!value.n || !str_split(&value, '=', &name))
            continue;
        value = str_trim(value.p ? value : STR(""));
        if (!set_metadata(m, str_trim(name), json_stringn(value.p, value.n), e))
            return false;
    }
    return true;
}

static bool add_json_tags(struct intake_mail *m, const json_t *j, struct err *e)
{
    size_t i;
    json_t *v;
    if (json_is_string(j))
        return add_tag(m, str_from(json_string_value(j), json_string_length(j)), e);
    json_array_foreach(j, i, v)
    {
        if (json_is_string(v) &&
            !add_tag(m, str_from(json_string_value(v), json_string_length(v)), e))
            return false;
    }
    return true;
}

/* SendGrid and SparkPost say it all in one JSON object. */
static bool read_object(struct intake_mail *m, const struct head_field *f, const char *const *tags,
                        const char *metadata, struct err *e)
{
    json_t *j = load_json(f, e);
    bool ok = j != NULL;
    for (; ok && *tags; tags++)
        ok = add_json_tags(m, json_object_get(j, *tags), e);
    json_t *more = json_object_get(j, metadata);
    ok = ok && (!json_is_object(more) || merge_metadata(m, metadata, more, e));
    json_decref(j);
    return ok;
}

static bool read_smtpapi(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    return read_object(m, f, (const char *const[]){"category", NULL}, "unique_args", e);
}

static bool read_msys(struct intake_mail *m, const struct head_field *f, struct err *e)
{
    return read_object(m, f, (const char *const[]){"campaign_id", "tags", NULL}, "metadata", e);
}

/* First match; a name before the prefix that it begins with. */
static const struct known KNOWN[] = {
    {"X-Postfleet-Group", false, read_group},
    {"X-Postfleet-Stream", false, read_stream},
    {"X-Postfleet-Tag", false, read_tag},
    {"X-Postfleet-Campaign", false, read_campaign},
    {"X-Postfleet-Metadata", false, read_metadata},
    {"X-Postfleet-Send-At", false, read_send_at},
    {"X-Postfleet-Expires", false, read_expires},
    {"X-Postfleet-Track", false, read_track},
    {"X-Postfleet-Idempotency-Key", false, read_key},
    {"X-Postfleet-Test", false, read_test},
    {"X-Postfleet-", true, read_unknown},
    {"X-Mailgun-Tag", false, read_tag},
    {"X-Mailgun-Variables", false, read_metadata},
    {"X-Mailgun-Drop-Message", false, read_test},
    {"X-Mailgun-", true, NULL},
    {"X-Postal-Tag", false, read_tag},
    {"X-Postal-", true, NULL},
    {"X-PM-Tag", false, read_tag},
    {"X-PM-Metadata-", true, read_pm_metadata},
    {"X-PM-", true, NULL},
    {"X-SES-MESSAGE-TAGS", false, read_ses_tags},
    {"X-SES-", true, NULL},
    {"X-SMTPAPI", false, read_smtpapi},
    {"X-MSYS-API", false, read_msys},
};

static const struct known *find_known(struct str name)
{
    for (size_t i = 0; i < countof(KNOWN); i++) {
        struct str k = str_of(KNOWN[i].name);
        if (KNOWN[i].is_prefix ? str_istarts(name, k) : str_ieq(name, k))
            return &KNOWN[i];
    }
    return NULL;
}

/* ---- fields */

/* Takes a field with its continuation lines off *rest. False at the empty line or the end. */
static bool next_field(struct str *rest, struct head_field *f)
{
    struct str all = *rest, line;
    if (all.n == 0 || str_starts(all, STR("\r\n")))
        return false;
    size_t n = 0;
    do {
        line = str_from_index(all, n);
        ptrdiff_t lf = str_chr(line, '\n');
        n += lf < 0 ? line.n : (size_t)lf + 1;
    } while (n < all.n && (all.p[n] == ' ' || all.p[n] == '\t'));
    f->lines = str_cut(all, 0, n);
    f->value = f->lines;
    if (!str_split(&f->value, ':', &f->name) || f->value.p == NULL)
        f->name = STR_NONE;
    *rest = str_from_index(all, n);
    return true;
}

/* Unfolded into the arena (RFC 5322, 2.2.3). */
static bool unfold(struct intake_mail *m, struct head_field *f)
{
    char *out = arena_alloc(m->words.arena, f->value.n + 1);
    size_t n = 0;
    if (!out)
        return false;
    for (size_t i = 0; i < f->value.n; i++)
        if (f->value.p[i] != '\r' && f->value.p[i] != '\n')
            out[n++] = f->value.p[i];
    f->value = str_trim(str_from(out, n));
    return true;
}

static bool take_field(struct intake_mail *m, struct head_field *f, struct err *e)
{
    const struct known *k = find_known(f->name);
    m->words.received += str_iis(f->name, "Received");
    m->words.from_fields += str_iis(f->name, "From");
    if (!k)
        return buf_addstr(&m->raw, f->lines) || err_set(e, ERR_TOO_BIG, "the mail is too big");
    if (!k->read)
        return true;
    e->code = ERR_NONE;
    return (unfold(m, f) || err_set(e, ERR_TOO_BIG, "the header is too big")) && k->read(m, f, e);
}

static bool check(const struct intake_mail *m, size_t header_n, struct err *e)
{
    const struct intake_words *w = &m->words;
    if (header_n > INTAKE_HEADER_MAX)
        return err_set(e, ERR_TOO_BIG, "the header is over %u KB", INTAKE_HEADER_MAX >> 10);
    if (w->received > INTAKE_RECEIVED_MAX)
        return err_set(e, ERR_INVALID, "a mail loop: it has been through %u hosts already",
                       w->received);
    if (w->from_fields > 1)
        return err_set(e, ERR_INVALID, "two From fields: readers would not agree whose it is");
    if (w->metadata && json_dumpb(w->metadata, NULL, 0, JSON_COMPACT) > METADATA_MAX)
        return err_set(e, ERR_TOO_BIG, "metadata: over %d bytes", METADATA_MAX);
    return true;
}

bool intake_header_read(struct intake_mail *m, struct err *e)
{
    struct str rest = buf_str(&m->body);
    struct head_field f;
    m->words.arena = arena_new(4 * INTAKE_HEADER_MAX);
    buf_init(&m->words.tags, 8192);
    if (!buf_adds(&m->raw, m->received))
        return err_set(e, ERR_TOO_BIG, "the mail is too big");
    while (next_field(&rest, &f))
        if (!take_field(m, &f, e))
            return false;
    return check(m, m->body.n - rest.n, e) &&
           (buf_addstr(&m->raw, rest) || err_set(e, ERR_TOO_BIG, "the mail is too big"));
}

void intake_words_free(struct intake_words *w)
{
    arena_free(&w->arena);
    buf_free(&w->tags);
    json_decref(w->metadata);
}
