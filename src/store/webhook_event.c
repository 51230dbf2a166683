/* See webhook_event.h. */
#include "store/webhook_event.h"

#include "base/clock.h"
#include "base/codec.h"
#include "store/ids.h"
#include "store/reports_parts.h"

#include <stdio.h>

/* ---- ids */

void hook_ref_format(const struct hook_ref *r, char *out)
{
    char id[24];
    codec_id_format("evt", r->id, id);
    if (r->is_message)
        snprintf(out, WEBHOOK_EVENT_MAX, "%s_%llu", id,
                 (unsigned long long)r->number << 4 | (unsigned long long)r->event);
    else
        snprintf(out, WEBHOOK_EVENT_MAX, "%s", id);
}

bool hook_ref_parse(const char *text, struct hook_ref *out)
{
    struct str s = str_of(text);
    ptrdiff_t end = str_rchr(s, '_');
    uint64_t mark = 0;
    *out = (struct hook_ref){0};
    if (end > 3) {
        if (!str_to_u64(str_from_index(s, (size_t)end + 1), UINT32_MAX, &mark) ||
            (mark & 15) >= HOOK_EVENTS)
            return false;
        out->is_message = true;
        out->event = (enum hook_event)(mark & 15);
        out->number = (uint32_t)(mark >> 4);
        s = str_cut(s, 0, (size_t)end);
    }
    return codec_id_parse("evt", s, &out->id);
}

/* ---- parts */

static json_t *body_of(const struct hook_ref *r, const char *type, int64_t at, json_t *data)
{
    char id[WEBHOOK_EVENT_MAX];
    hook_ref_format(r, id);
    return json_pack("{s:s, s:s, s:o, s:o}", "id", id, "type", type, "timestamp", part_time(at),
                     "data", data);
}

static void copy_text(const json_t *j, char *out, size_t size)
{
    (void)str_copy(str_of(json_string_value(j)), out, size);
}

static json_t *lines_json(const char *lines)
{
    json_t *a = json_array();
    struct str rest = str_of(lines), one;
    while (str_split(&rest, '\n', &one))
        if (one.n)
            json_array_append_new(a, part_text(one));
    return a;
}

/* ---- events of table event */

static const char *subject_field(struct str type)
{
    static const struct {
        const char *noun, *field;
    } fields[] = {{"server.", "server"},       {"warmup.", "server"},
                  {"reputation.", "server"},   {"suppression.reverted", "server"},
                  {"campaign.", "campaign"},   {"contact.", "contact"},
                  {"suppression.", "address"}, {"import.", "list"},
                  {"domain.", "domain"},       {"webhook.", "webhook"}};
    for (size_t i = 0; i < countof(fields); i++)
        if (str_starts(type, str_of(fields[i].noun)))
            return fields[i].field;
    return "subject";
}

static json_t *event_data(struct stmt *s, struct hook_facts *f)
{
    const char *field = subject_field(str_of(f->type));
    json_t *more = part_json(s, 4);
    json_t *data = json_pack("{s:o, s:o}", field, part_column(s, 2), "reason", part_column(s, 3));
    if (json_is_object(more))
        json_object_update_missing(data, more);
    json_decref(more);
    if (!strcmp(field, "server"))
        copy_text(json_object_get(data, "server"), f->server, sizeof f->server);
    return data;
}

static bool make_event(struct db *db, const struct hook_ref *r, struct hook_facts *f,
                       json_t **body_out, bool *found_out, struct err *e)
{
    bool row = false;
    struct stmt *s =
        db_stmt(db, "SELECT at, kind, subject, reason, data FROM event WHERE id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)r->id);
    if (!db_step(s, &row, e))
        return false;
    const char *type = row ? hook_name_of_kind(db_text(s, 1)) : NULL;
    if (type) {
        (void)str_copy(str_of(type), f->type, sizeof f->type);
        *body_out = body_of(r, type, db_i64(s, 0), event_data(s, f));
        *found_out = true;
    }
    db_reset(s);
    return true;
}

/* ---- events of messages */

static bool add_single(struct db *db, const struct message_view *v, json_t *data,
                       struct hook_facts *f, int64_t *at_out, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db, "SELECT tags, metadata, created_at FROM message WHERE id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)v->id);
    if (!db_step(s, &row, e))
        return false;
    if (row) {
        (void)str_copy(db_text(s, 0), f->tags, sizeof f->tags);
        json_object_set_new(data, "metadata", part_json(s, 1));
        *at_out = db_i64(s, 2);
    }
    db_reset(s);
    return true;
}

static json_t *bounce_json(struct stmt *s)
{
    return json_pack("{s:s}", "kind", db_i64(s, 3) ? "hard" : "soft");
}

/* What the attempt with this number said, in the words of `message show`. */
static bool add_attempt(struct db *db, const struct hook_ref *r, struct message_view *v,
                        json_t *data, struct hook_facts *f, int64_t *at_out, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db,
                             "SELECT r.server_num, s.name, s.removed_at, r.hard, r.verdict, r.code,"
                             " r.enhanced, r.reply, r.why, r.rule, r.at, r.group_num, r.state"
                             " FROM result r LEFT JOIN server s ON s.num = r.server_num"
                             " WHERE r.message_id = $1 AND r.n = $2",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)r->id);
    db_bind_i64(s, 2, r->number);
    if (!db_step(s, &row, e))
        return false;
    json_object_set_new(data, "attempt", part_count(r->number, true));
    if (!row)
        return true;
    if (db_i64(s, 0)) {
        json_object_set_new(data, "server", part_name(s, 1, 2));
        json_object_set_new(data, "verdict", json_string(verdict_name((enum verdict)db_i64(s, 4))));
        json_object_set_new(data, "code", part_count((uint64_t)db_i64(s, 5), true));
        json_object_set_new(data, "enhanced", part_column(s, 6));
        json_object_set_new(data, "reply", part_column(s, 7));
        json_object_set_new(data, "rule", part_column(s, 9));
        copy_text(json_object_get(data, "server"), f->server, sizeof f->server);
    }
    json_object_set_new(data, "why", part_column(s, 8));
    if (r->event == HOOK_BOUNCED)
        json_object_set_new(data, "bounce", bounce_json(s));
    *at_out = db_i64(s, 10);
    v->via_group = db_i64(s, 11);
    db_reset(s);
    return true;
}

static bool add_suppression(struct db *db, const char *address, json_t *data, struct err *e)
{
    bool row = false;
    struct stmt *s = db_stmt(db,
                             "SELECT reason, source, provisional_until FROM suppression WHERE"
                             " address = $1",
                             e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, address);
    if (!db_step(s, &row, e))
        return false;
    json_object_set_new(data, "address", json_string(address));
    if (row) {
        json_object_set_new(data, "reason", part_column(s, 0));
        json_object_set_new(data, "source", part_column(s, 1));
        json_object_set_new(data, "provisional", json_boolean(!db_is_null(s, 2)));
        db_reset(s);
    }
    return true;
}

/* The key under which its recipient is suppressed. */
static bool recipient_key(struct db *db, const struct message_view *v, char *out, size_t size,
                          struct err *e)
{
    bool row = false;
    struct stmt *s = v->campaign_num ? db_stmt(db, "SELECT email FROM contact WHERE id = $1", e)
                                     : db_stmt(db, "SELECT rcpt_key FROM message WHERE id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, v->campaign_num ? v->contact_id : (int64_t)v->id);
    if (!db_step(s, &row, e))
        return false;
    (void)str_copy(row ? db_text(s, 0) : STR_NONE, out, size);
    if (row)
        db_reset(s);
    return true;
}

static void add_names(struct db *db, const struct message_view *v, const struct campaign_view *c,
                      json_t *data, struct hook_facts *f)
{
    int64_t num = v->via_group ? v->via_group : v->group_num;
    json_t *group = num ? message_view_group(db, num) : json_string("default");
    copy_text(group, f->group, sizeof f->group);
    if (v->campaign_num)
        (void)str_copy(str_of(c->tags), f->tags, sizeof f->tags);
    json_object_set_new(data, "campaign", v->campaign_num ? json_string(c->name) : json_null());
    json_object_set_new(data, "stream", json_string(lane_name(v->lane)));
    json_object_set_new(data, "group", group);
    json_object_set_new(data, "tags", lines_json(f->tags));
}

static bool fill_message(struct db *db, const struct hook_ref *r, struct message_view *v,
                         const struct campaign_view *c, json_t *data, struct hook_facts *f,
                         int64_t *at, struct err *e)
{
    char key[600];
    if ((!v->campaign_num && !add_single(db, v, data, f, at, e)) ||
        (r->event != HOOK_QUEUED && !add_attempt(db, r, v, data, f, at, e)))
        return false;
    add_names(db, v, c, data, f);
    if (r->event != HOOK_SUPPRESSION)
        return true;
    return recipient_key(db, v, key, sizeof key, e) && add_suppression(db, key, data, e);
}

static bool make_message(struct db *db, const struct hook_ref *r, struct campaign_view *c,
                         struct hook_facts *f, json_t **body_out, bool *found_out, struct err *e)
{
    struct message_view v;
    int64_t at = 0;
    if (!message_view_find(db, r->id, &v, found_out, e))
        return false;
    if (!*found_out)
        return true;
    if (v.campaign_num) {
        if (!message_view_campaign(db, v.campaign_num, c, e))
            return false;
        v.group_num = c->group_num;
        v.lane = c->lane;
    }
    json_t *data = json_pack("{s:o, s:o}", "message_id", part_id("msg", r->id), "recipient",
                             message_view_recipient(db, &v));
    (void)str_copy(str_of(hook_event_name(r->event)), f->type, sizeof f->type);
    if (!fill_message(db, r, &v, c, data, f, &at, e)) {
        json_decref(data);
        return false;
    }
    *body_out = body_of(r, f->type, at ? at : ids_time_ms(r->id), data);
    return true;
}

bool webhook_event_make(struct db *db, const struct hook_ref *r, struct campaign_view *c,
                        struct hook_facts *f, json_t **body_out, bool *found_out, struct err *e)
{
    *f = (struct hook_facts){.type = ""};
    *body_out = NULL;
    *found_out = false;
    return r->is_message ? make_message(db, r, c, f, body_out, found_out, e)
                         : make_event(db, r, f, body_out, found_out, e);
}

/* ---- filters */

static bool has_line(struct str lines, struct str word)
{
    struct str one;
    while (str_split(&lines, '\n', &one))
        if (one.n && str_eq(one, word))
            return true;
    return false;
}

static bool shares_line(struct str lines, struct str of)
{
    struct str one;
    while (str_split(&of, '\n', &one))
        if (one.n && has_line(lines, one))
            return true;
    return false;
}

bool webhook_wants(const struct webhook *w, const struct hook_facts *f)
{
    return hook_patterns_have(str_of(w->events), str_of(f->type)) &&
           (!w->servers || (*f->server && has_line(str_of(w->servers), str_of(f->server)))) &&
           (!w->groups || (*f->group && has_line(str_of(w->groups), str_of(f->group)))) &&
           (!w->tags || shares_line(str_of(w->tags), str_of(f->tags)));
}
