/* Operations on single messages: send, cancel, retry. A 2xx of the API for send means that the
 * rows (and a spooled body) are durable: the caller answers after its commit. */
#include "base/alloc.h"
#include "base/codec.h"
#include "engine/admin_outgoing.h"
#include "engine/admin_parts.h"
#include "store/accept.h"

#include <stdlib.h>

#define HEADERS_MAX 50

static const char *const known[] = {"raw",        "from", "to",      "reply_to", "subject",
                                    "html",       "text", "headers", "stream",   "group",
                                    "expires_at", "test", "tags",    "tag",      NULL};

struct reading {
    struct outgoing o;
    struct mime_header headers[HEADERS_MAX];
};

static bool read_headers(json_t *args, struct reading *r, struct err *e)
{
    json_t *all = json_object_get(args, "headers"), *v;
    const char *name;
    if (all && !json_is_null(all) && !json_is_object(all))
        return err_set(e, ERR_INVALID, "headers: must be an object of texts");
    json_object_foreach(all, name, v)
    {
        struct str value = str_from(json_string_value(v), json_string_length(v));
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

/* One recipient: a text, or a list with one text in it. */
static bool read_to(json_t *args, struct str *out, struct err *e)
{
    json_t *v = json_object_get(args, "to");
    if (json_is_array(v) && json_array_size(v) == 1)
        v = json_array_get(v, 0);
    if (json_is_array(v))
        return err_set(e, ERR_INVALID, "to: a message goes to one recipient; send it once each");
    if (!json_is_string(v) || !json_string_length(v))
        return err_set(e, ERR_INVALID, "to: is needed");
    *out = str_from(json_string_value(v), json_string_length(v));
    return text_check("to", *out, 1000, false, e);
}

static bool read_line(json_t *args, const char *field, size_t max, struct str *out, struct err *e)
{
    const char *s = NULL;
    if (!args_text(args, field, max, &s, e))
        return false;
    *out = str_of(s);
    return true;
}

static bool read_content(json_t *args, struct str tail, struct outgoing *o, struct err *e)
{
    json_t *raw = json_object_get(args, "raw");
    o->raw = tail;
    if (!tail.n && json_is_string(raw))
        o->raw = str_from(json_string_value(raw), json_string_length(raw));
    if (!args_body(args, "html", OUTGOING_MAX, &o->html, e) ||
        !args_body(args, "text", OUTGOING_MAX, &o->text, e) ||
        !read_line(args, "subject", 998, &o->subject, e))
        return false;
    if (o->raw.n && (o->html.n || o->text.n || o->subject.n))
        return err_set(e, ERR_INVALID, "raw: give either raw or subject, html and text");
    if (!o->raw.n && !o->html.n && !o->text.n)
        return err_set(e, ERR_INVALID, "raw, html or text: one of them is needed");
    if (o->raw.n && json_object_size(json_object_get(args, "headers")))
        return err_set(e, ERR_INVALID, "headers: put them into raw itself");
    return true;
}

static bool run_send(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                     struct err *e)
{
    struct reading r = {.o = {.lane = LANE_TRANSACTIONAL}};
    const char *stream = NULL, *group = NULL;
    char *tags = NULL;
    if (!args_known(args, known, e) || !read_to(args, &r.o.to, e) ||
        !read_line(args, "from", 1000, &r.o.from, e) ||
        !read_line(args, "reply_to", 1000, &r.o.reply_to, e) ||
        !read_content(args, tail, &r.o, e) || !read_headers(args, &r, e) ||
        !args_text(args, "stream", 40, &stream, e) || !args_text(args, "group", 4096, &group, e) ||
        !args_time(args, "expires_at", &r.o.expires_at, e) ||
        !args_bool(args, "test", false, &r.o.is_test, e) ||
        !outgoing_group(c, group, &r.o.group_num, e))
        return false;
    if (stream && !lane_parse(stream, &r.o.lane))
        return err_set(e, ERR_INVALID, "stream: \"%s\" is none of transactional, priority, bulk",
                       stream);
    if (!r.o.raw.n && !r.o.from.n)
        return err_set(e, ERR_INVALID, "from: is needed");
    if (!args_tags(args, &tags, e))
        return false;
    r.o.tags = str_of(tags);
    bool ok = outgoing_post(c, &r.o, data_out, e);
    free(tags);
    return ok;
}

/* ---- one that is there ---- */

static bool find(struct admin_context *c, json_t *args, uint64_t *id_out, struct standing *st,
                 struct err *e)
{
    const char *text = NULL;
    if (!args_known(args, (const char *const[]){"id", NULL}, e) ||
        !args_need(args, "id", 40, &text, e))
        return false;
    if (!codec_id_parse("msg", str_of(text), id_out))
        return err_set(e, ERR_INVALID, "id: \"%s\" is no message id; one looks like msg_0abc...",
                       text);
    if (!admin_standing(c, *id_out, st, e))
        return false;
    return st->found || err_set(e, ERR_NOT_FOUND, "message \"%s\": there is none", text);
}

/* In a lease of core's: only core can end it, or go on with it. */
static bool is_at_work(const struct admin_context *c, uint64_t id, const struct standing *st)
{
    return st->leased_now ||
           (st->in_queue && c->is_at_work && c->is_at_work(c->is_at_work_arg, id));
}

static bool run_cancel(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    uint64_t id = 0;
    struct standing st;
    if (!find(c, args, &id, &st, e))
        return false;
    bool at_work = is_at_work(c, id, &st);
    if (message_state_is_final(st.state))
        return err_set(e, ERR_CONFLICT, "message: it is %s, which cannot be cancelled",
                       message_state_name(st.state));
    if (at_work)
        changed_message(c, id);
    else if (!accept_cancel(c->db, id, &st, c->wall_ms, "cancelled by the user", e))
        return false;
    *data_out = json_pack("{s:s, s:s}", "id", json_string_value(json_object_get(args, "id")),
                          "state", at_work ? "cancelling" : "cancelled");
    return true;
}

static bool run_retry(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    uint64_t id = 0;
    struct standing st;
    if (!find(c, args, &id, &st, e))
        return false;
    if (!message_state_is_final(st.state))
        return err_set(e, ERR_CONFLICT, "message: it is waiting or being sent already");
    if (st.state == MESSAGE_SENT)
        return err_set(e, ERR_CONFLICT, "message: it was sent; send a new one instead");
    st.expires_at = 0; /* the user wants it whatever time it is */
    if (!accept_again(c->db, id, &st, c->wall_ms, "asked for by the user", e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_QUEUE;
    if (st.campaign_num)
        changed_campaign(c, st.campaign_num);
    *data_out = json_pack("{s:s, s:s}", "id", json_string_value(json_object_get(args, "id")),
                          "state", "queued");
    return true;
}

static const struct admin_entry entries[] = {{"message.send", run_send, false, false},
                                             {"message.cancel", run_cancel, false, false},
                                             {"message.retry", run_retry, false, false}};
const struct admin_noun admin_messages = {entries, countof(entries)};
