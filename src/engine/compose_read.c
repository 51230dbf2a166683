/* Reads a message of the API: fields, headers, attachments, a template with its variables. Every
 * error names its field; a field that is not known is refused, never ignored. */
#include "base/alloc.h"
#include "base/codec.h"
#include "engine/admin_parts.h"
#include "engine/compose.h"
#include "mail/draft.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX   50
#define VARIABLES_MAX 1000
#define RENDERED_MAX  (4u << 20)

static const char *const known[] = {
    "raw",           "raw_base64", "from",    "to",          "reply_to", "subject",
    "html",          "text",       "headers", "stream",      "group",    "expires_at",
    "expires_after", "send_at",    "tags",    "tag",         "metadata", "template",
    "variables",     "test",       "track",   "attachments", NULL};

struct reading {
    const struct compose_context *cx;
    struct arena *a;
    json_t *args; /* item and defaults in one */
    struct outgoing o;
    struct mime_header headers[HEADERS_MAX];
    struct mime_attachment attachments[ATTACHMENTS_MAX];
};

static struct str text_of(const json_t *v)
{
    return str_from(json_string_value(v), json_string_length(v));
}

/* Into the arena, which has a limit. */
static bool keep(struct reading *r, struct str s, struct str *out, struct err *e)
{
    *out = s.p ? arena_str(r->a, s) : STR_NONE;
    return out->p || !s.n || err_set(e, ERR_TOO_BIG, "message: over %u MB", COMPOSE_MAX >> 20);
}

static bool read_line(json_t *args, const char *field, size_t max, struct str *out, struct err *e)
{
    const char *s = NULL;
    if (!args_text(args, field, max, &s, e))
        return false;
    *out = str_of(s);
    return true;
}

/* ---- headers, attachments ---- */

static bool read_headers(struct reading *r, struct err *e)
{
    json_t *all = json_object_get(r->args, "headers"), *v;
    const char *name;
    if (all && !json_is_null(all) && !json_is_object(all))
        return err_set(e, ERR_INVALID, "headers: must be an object of texts");
    json_object_foreach(all, name, v)
    {
        struct str value = text_of(v);
        if (r->o.n_headers >= HEADERS_MAX)
            return err_set(e, ERR_INVALID, "headers: over %d", HEADERS_MAX);
        if (!json_is_string(v) || !text_check(name, value, 10000, false, e))
            return json_is_string(v) ? err_prefix(e, "headers")
                                     : err_set(e, ERR_INVALID, "headers: each must be a text");
        if (!text_check("headers", str_of(name), 100, false, e))
            return false;
        r->headers[r->o.n_headers++] = (struct mime_header){str_of(name), value};
    }
    r->o.headers = r->headers;
    return true;
}

static bool decode(struct reading *r, const char *field, json_t *v, struct str *out, struct err *e)
{
    struct buf b;
    if (!json_is_string(v))
        return err_set(e, ERR_INVALID, "%s: is needed, in base64", field);
    buf_init(&b, OUTGOING_MAX);
    bool ok = codec_base64_decode(text_of(v), &b) ||
              err_set(e, ERR_INVALID, "%s: is no base64 of up to %u MB", field, OUTGOING_MAX >> 20);
    ok = ok && keep(r, buf_str(&b), out, e);
    buf_free(&b);
    return ok;
}

/* A mail in any bytes, which a JSON text cannot hold. */
static bool read_base64(struct reading *r, struct str *out, struct err *e)
{
    return decode(r, "raw_base64", json_object_get(r->args, "raw_base64"), out, e);
}

static bool read_attachment(struct reading *r, json_t *item, struct err *e)
{
    static const char *const fields[] = {"filename", "type", "content", "content_id", NULL};
    struct mime_attachment *a = &r->attachments[r->o.n_attachments];
    if (!json_is_object(item))
        return err_set(e, ERR_INVALID, "must be an object");
    *a = (struct mime_attachment){.type = STR_NONE};
    if (!args_known(item, fields, e) || !read_line(item, "filename", 255, &a->filename, e) ||
        !read_line(item, "type", 127, &a->type, e) ||
        !read_line(item, "content_id", 250, &a->content_id, e) ||
        !decode(r, "content", json_object_get(item, "content"), &a->bytes, e))
        return false;
    if (!a->type.n)
        a->type = STR("application/octet-stream");
    if (!a->filename.n && !a->content_id.n)
        return err_set(e, ERR_INVALID, "filename: is needed");
    r->o.n_attachments++;
    return true;
}

static bool read_attachments(struct reading *r, struct err *e)
{
    json_t *all = json_object_get(r->args, "attachments"), *item;
    size_t i, bytes = 0;
    if (!all || json_is_null(all))
        return true;
    if (!json_is_array(all))
        return err_set(e, ERR_INVALID, "attachments: must be a list of objects");
    json_array_foreach(all, i, item)
    {
        if (i >= ATTACHMENTS_MAX)
            return err_set(e, ERR_INVALID, "attachments: over %d", ATTACHMENTS_MAX);
        if (!read_attachment(r, item, e))
            return err_prefix(e, "attachments[%zu]", i);
        bytes += r->attachments[i].bytes.n;
        if (bytes > OUTGOING_MAX / 4 * 3) /* base64 makes three bytes four */
            return err_set(e, ERR_TOO_BIG, "attachments: over %u MB", OUTGOING_MAX / 4 * 3 >> 20);
    }
    r->o.attachments = r->attachments;
    return true;
}

/* ---- template ---- */

/* "order.total" in the variables; numbers and truth as texts. */
static struct str variable(struct reading *r, struct str name)
{
    const json_t *v = json_object_get(r->args, "variables");
    struct str rest = name, part;
    if (str_is(name, "contact.email") && !json_object_get(v, "contact"))
        return arena_str(r->a, r->o.to);
    while (v && str_split(&rest, '.', &part))
        v = json_object_getn(v, part.p, part.n);
    char number[40] = "";
    if (json_is_string(v))
        return text_of(v);
    if (json_is_integer(v))
        snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        snprintf(number, sizeof(number), "%.15g", json_real_value(v));
    else if (json_is_boolean(v))
        return json_is_true(v) ? STR("true") : STR_NONE;
    return number[0] ? arena_str(r->a, str_of(number)) : STR_NONE;
}

static bool render(struct reading *r, const struct draft *d, enum draft_part part, struct str *out,
                   struct err *e)
{
    const struct template *t = d->part[part];
    size_t n = t ? template_variables(t) : 0;
    struct buf b;
    if (!t)
        return true;
    if (n > VARIABLES_MAX)
        return err_set(e, ERR_TOO_BIG, "template: over %d variables", VARIABLES_MAX);
    struct str *values = arena_alloc(r->a, (n + 1) * sizeof(*values));
    if (!values)
        return err_set(e, ERR_TOO_BIG, "message: over %u MB", COMPOSE_MAX >> 20);
    for (size_t i = 0; i < n; i++) {
        bool has_default = false;
        int line = 0, column = 0;
        struct str name = template_variable(t, i, &has_default, &line, &column);
        values[i] = variable(r, name);
        if (!values[i].p && !has_default)
            return err_set(e, ERR_INVALID,
                           "variables: the template's %s uses " STR_F
                           " (line %d, column %d) without a default, and it is not given",
                           draft_part_name(part), STR_A(name), line, column);
    }
    buf_init(&b, RENDERED_MAX);
    bool ok = template_render(t, values, NULL, &b, e) || err_prefix(e, "template");
    ok = ok && keep(r, buf_str(&b), out, e);
    buf_free(&b);
    return ok;
}

static bool read_template(struct reading *r, struct err *e)
{
    const char *name = NULL;
    json_t *variables = json_object_get(r->args, "variables");
    if (!args_text(r->args, "template", 4096, &name, e))
        return false;
    if (variables && !json_is_null(variables) && !json_is_object(variables))
        return err_set(e, ERR_INVALID, "variables: must be an object");
    if (!name)
        return !json_object_size(variables) ||
               err_set(e, ERR_INVALID, "variables: are for a template, and none is named");
    if (r->o.raw.n || r->o.html.n || r->o.text.n)
        return err_set(e, ERR_INVALID, "template: give either it or raw, html and text");
    const struct draft *d = r->cx->find ? r->cx->find(r->cx->find_arg, name) : NULL;
    if (!d)
        return err_set(e, ERR_NOT_FOUND, "template: there is no \"%s\"", name);
    return (r->o.subject.n || render(r, d, DRAFT_SUBJECT, &r->o.subject, e)) &&
           render(r, d, DRAFT_HTML, &r->o.html, e) && render(r, d, DRAFT_TEXT, &r->o.text, e);
}

/* ---- the rest ---- */

/* One recipient: a text, or a list with one text in it. */
static bool read_to(struct reading *r, struct err *e)
{
    json_t *v = json_object_get(r->args, "to");
    if (json_is_array(v) && json_array_size(v) == 1)
        v = json_array_get(v, 0);
    if (json_is_array(v))
        return err_set(e, ERR_INVALID,
                       "to: a message goes to one recipient; send it once each, for many at a "
                       "time with /v1/messages:batch (a mail as raw may have many)");
    if (!json_is_string(v) || !json_string_length(v))
        return err_set(e, ERR_INVALID, "to: is needed");
    r->o.to = text_of(v);
    return text_check("to", r->o.to, 1000, false, e);
}

static bool read_content(struct reading *r, struct str raw, struct err *e)
{
    json_t *given = json_object_get(r->args, "raw");
    r->o.raw = raw;
    if (given && !json_is_null(given) && !json_is_string(given))
        return err_set(e, ERR_INVALID, "raw: must be a text");
    if (!raw.n && json_object_get(r->args, "raw_base64") && !read_base64(r, &r->o.raw, e))
        return false;
    if (r->o.raw.n && !raw.n && given)
        return err_set(e, ERR_INVALID, "raw: give either it or raw_base64");
    if (!r->o.raw.n && json_is_string(given))
        r->o.raw = text_of(given);
    if (!args_body(r->args, "html", OUTGOING_MAX, &r->o.html, e) ||
        !args_body(r->args, "text", OUTGOING_MAX, &r->o.text, e) ||
        !read_line(r->args, "subject", 998, &r->o.subject, e) || !read_headers(r, e) ||
        !read_attachments(r, e) || !read_template(r, e))
        return false;
    bool built = r->o.html.n || r->o.text.n;
    if (r->o.raw.n && (built || r->o.subject.n))
        return err_set(e, ERR_INVALID, "raw: give either raw or subject, html and text");
    if (!r->o.raw.n && !built && !r->o.n_attachments)
        return err_set(e, ERR_INVALID, "raw, template, html or text: one of them is needed");
    if (r->o.raw.n && (r->o.n_headers || r->o.n_attachments))
        return err_set(e, ERR_INVALID, "%s: put them into raw itself",
                       r->o.n_headers ? "headers" : "attachments");
    return true;
}

static bool read_times(struct reading *r, struct err *e)
{
    const char *after = NULL;
    int64_t ms = 0;
    if (!args_time(r->args, "send_at", &r->o.send_at, e) ||
        !args_time(r->args, "expires_at", &r->o.expires_at, e) ||
        !args_text(r->args, "expires_after", 40, &after, e))
        return false;
    if (!after)
        return true;
    if (r->o.expires_at)
        return err_set(e, ERR_INVALID, "expires_after: give either it or expires_at");
    if (!codec_duration_parse(str_of(after), &ms) || ms < 1000 || ms > SEND_AT_MAX_MS)
        return err_set(e, ERR_INVALID,
                       "expires_after: \"%s\" is no duration of 1s to 366d, like 10m", after);
    r->o.expires_at = MAX(r->cx->now_ms, r->o.send_at) + ms;
    return true;
}

static bool read_metadata(struct reading *r, struct err *e)
{
    json_t *all = json_object_get(r->args, "metadata"), *v;
    const char *name;
    if (!all || json_is_null(all))
        return true;
    if (!json_is_object(all))
        return err_set(e, ERR_INVALID, "metadata: must be an object of texts");
    json_object_foreach(all, name, v)
    {
        if (!json_is_string(v))
            return err_set(e, ERR_INVALID, "metadata: \"%.60s\" must be a text", name);
    }
    char *text = json_dumps(all, JSON_COMPACT);
    bool ok = keep(r, str_of(text), &r->o.metadata, e);
    free(text);
    if (!ok)
        return false;
    return r->o.metadata.n <= METADATA_MAX ||
           err_set(e, ERR_INVALID, "metadata: over %d bytes of JSON", METADATA_MAX);
}

static bool read_tags(struct reading *r, struct err *e)
{
    char *tags = NULL;
    if (!args_tags(r->args, &tags, e))
        return false;
    bool ok = keep(r, str_of(tags), &r->o.tags, e);
    free(tags);
    return ok;
}

/* Opens and clicks are not watched by this version: who asks for it must hear so. */
static bool read_track(struct reading *r, struct err *e)
{
    json_t *v = json_object_get(r->args, "track"), *flag;
    const char *name;
    bool asked = json_is_true(v);
    if (v && !json_is_null(v) && !json_is_boolean(v) && !json_is_object(v))
        return err_set(e, ERR_INVALID, "track: must be false, or an object of flags");
    json_object_foreach(v, name, flag)
    {
        if (!str_is(str_of(name), "opens") && !str_is(str_of(name), "clicks"))
            return err_set(e, ERR_INVALID, "track: \"%.60s\" is neither opens nor clicks", name);
        asked = asked || json_is_true(flag);
    }
    return !asked || err_set(e, ERR_INVALID,
                             "track: this version does not track opens and clicks; leave it out");
}

static bool may_group(const struct compose_context *cx, const char *group)
{
    size_t i;
    json_t *item;
    if (!cx->groups || json_is_null(cx->groups))
        return true;
    json_array_foreach(cx->groups, i, item)
    {
        if (group && !strcmp(group, json_string_value(item)))
            return true;
    }
    return false;
}

static bool read_way(struct reading *r, struct err *e)
{
    const char *stream = NULL;
    if (!args_text(r->args, "stream", 40, &stream, e) ||
        !args_text(r->args, "group", 4096, &r->o.group, e))
        return false;
    r->o.lane = LANE_TRANSACTIONAL;
    if (stream && !lane_parse(stream, &r->o.lane))
        return err_set(e, ERR_INVALID, "stream: \"%s\" is none of transactional, priority, bulk",
                       stream);
    return may_group(r->cx, r->o.group) ||
           err_set(e, ERR_NOT_ALLOWED, "group: the key is not allowed to use this group");
}

static bool read_all(struct reading *r, struct str raw, struct err *e)
{
    bool unused = false;
    if (!args_known(r->args, known, e) || !args_bool(r->args, "test", false, &unused, e) ||
        !read_to(r, e) || !read_line(r->args, "from", 1000, &r->o.from, e) ||
        !read_line(r->args, "reply_to", 1000, &r->o.reply_to, e) || !read_way(r, e) ||
        !read_times(r, e) || !read_metadata(r, e) || !read_tags(r, e) || !read_track(r, e) ||
        !read_content(r, raw, e))
        return false;
    return r->o.raw.n || r->o.from.n || err_set(e, ERR_INVALID, "from: is needed");
}

const char *compose_template_of(const json_t *item, const json_t *defaults)
{
    const json_t *v = json_object_get(item, "template");
    return json_string_value(v ? v : json_object_get(defaults, "template"));
}

bool compose_item(const struct compose_context *cx, json_t *item, const json_t *defaults,
                  struct str raw, uint32_t index, struct arena *a, struct composed *out,
                  struct err *e)
{
    struct reading *r = arena_alloc(a, sizeof(*r));
    *out = (struct composed){.due = 0};
    if (!r)
        return err_set(e, ERR_TOO_BIG, "messages: over %u MB", COMPOSE_MAX >> 20);
    if (!json_is_object(item))
        return err_set(e, ERR_INVALID, "message: must be an object");
    *r = (struct reading){.cx = cx, .a = a, .args = json_incref(item)};
    if (json_object_size(defaults)) {
        json_decref(r->args);
        r->args = json_copy((json_t *)defaults);
        json_object_update(r->args, item);
    }
    r->o.seed = cx->random ^ index * 0x9E3779B97F4A7C15ull;
    struct str group = STR_NONE;
    bool ok = read_all(r, raw, e) && compose_mail(&r->o, cx->now_ms, out, e) &&
              keep(r, str_of(out->group), &group, e);
    out->group = group.p;
    json_decref(r->args);
    return ok;
}
