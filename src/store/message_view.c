/* Reads a message from its tables and names its state. */
#include "store/message_view.h"

#include "base/str.h"
#include "model/campaign.h"
#include "store/outbox.h"
#include "store/reports_parts.h"

bool message_view_find(struct db *db, uint64_t id, struct message_view *v, bool *found,
                       struct err *e)
{
    uint32_t campaign_num = 0;
    uint64_t contact = 0;
    struct stmt *s = db_stmt(db, "SELECT group_num, lane FROM message WHERE id = $1", e);
    if (!s)
        return false;
    *v = (struct message_view){.id = id};
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, found, e))
        return false;
    if (*found) {
        v->group_num = db_i64(s, 0);
        v->lane = (enum lane)db_i64(s, 1);
        db_reset(s);
        return true;
    }
    if (!outbox_contact_of(db, id, &contact, &campaign_num, e))
        return false;
    v->campaign_num = campaign_num;
    v->contact_id = (int64_t)contact;
    *found = contact != 0;
    return true;
}

bool message_view_campaign(struct db *db, int64_t num, struct campaign_view *c, struct err *e)
{
    if (c->num == num)
        return true;
    struct stmt *s = db_stmt(
        db, "SELECT name, group_num, state, lane, from_address, tags FROM campaign WHERE num = $1",
        e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    if (!db_step(s, &row, e))
        return false;
    *c = (struct campaign_view){.num = num};
    if (row) {
        str_copy(db_text(s, 0), c->name, sizeof(c->name));
        c->group_num = db_i64(s, 1);
        c->state = db_i64(s, 2);
        c->lane = (enum lane)db_i64(s, 3);
        str_copy(db_text(s, 4), c->from, sizeof(c->from));
        str_copy(db_text(s, 5), c->tags, sizeof(c->tags));
    }
    db_reset(s);
    return true;
}

static bool load_queue(struct db *db, struct message_view *v, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT due, tries, group_num, lane FROM queue WHERE id = $1", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)v->id);
    if (!db_step(s, &row, e))
        return false;
    v->in_queue = row;
    if (row) {
        v->due = db_i64(s, 0);
        v->tries = db_i64(s, 1);
        v->group_num = db_i64(s, 2);
        v->lane = (enum lane)db_i64(s, 3);
    }
    db_reset(s);
    return true;
}

static bool load_result(struct db *db, struct message_view *v, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT n, state, server_num, group_num, route_num FROM result"
                             " WHERE message_id = $1 ORDER BY n DESC",
                             e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)v->id);
    while (!v->server_num && (ok = db_step(s, &row, e)) && row) {
        if (!v->has_result) {
            v->has_result = true;
            v->tries = MAX(v->tries, db_i64(s, 0));
            v->base = (enum message_state)db_i64(s, 1);
        }
        v->server_num = db_i64(s, 2);
        v->via_group = db_i64(s, 3);
        v->route_num = db_i64(s, 4);
    }
    db_reset(s);
    return ok;
}

static void name_state(struct message_view *v, const struct campaign_view *c)
{
    bool waits = v->in_queue || !v->has_result || v->base == MESSAGE_QUEUED;
    if (!waits) {
        v->state = message_state_name(v->base);
        return;
    }
    v->base = v->in_queue && v->due == INT64_MAX ? MESSAGE_HELD : MESSAGE_QUEUED;
    if (v->campaign_num && c->state == CAMPAIGN_CANCELLED)
        v->base = MESSAGE_CANCELLED;
    v->state = message_state_name(v->base);
    if (v->base == MESSAGE_QUEUED && v->tries)
        v->state = "deferred";
}

bool message_view_load(struct db *db, struct message_view *v, struct campaign_view *c,
                       struct err *e)
{
    v->base = MESSAGE_QUEUED;
    if (v->campaign_num) {
        if (!message_view_campaign(db, v->campaign_num, c, e))
            return false;
        v->group_num = c->group_num;
        v->lane = c->lane;
    }
    if (!load_queue(db, v, e) || !load_result(db, v, e))
        return false;
    name_state(v, c);
    return true;
}

static json_t *name_of(struct db *db, const char *sql, int64_t num)
{
    struct err e;
    struct stmt *s = db_stmt(db, sql, &e);
    bool row = false;
    if (!s || !num)
        return json_null();
    db_bind_i64(s, 1, num);
    if (!db_step(s, &row, &e) || !row)
        return json_null();
    json_t *j = part_name(s, 0, 1);
    db_reset(s);
    return j;
}

json_t *message_view_recipient(struct db *db, const struct message_view *v)
{
    if (v->campaign_num)
        return name_of(db, "SELECT COALESCE(address, email), NULL FROM contact WHERE id = $1",
                       v->contact_id);
    return name_of(db, "SELECT rcpt, NULL FROM message WHERE id = $1", (int64_t)v->id);
}

json_t *message_view_group(struct db *db, int64_t num)
{
    return name_of(db, "SELECT name, removed_at FROM server_group WHERE num = $1", num);
}

json_t *message_view_route(struct db *db, int64_t num)
{
    json_t *name = name_of(db, "SELECT name, NULL FROM route WHERE num = $1", num);
    if (!num || !json_is_null(name))
        return name;
    json_decref(name);
    return json_string("(removed)");
}

json_t *message_view_json(struct db *db, const struct message_view *v,
                          const struct campaign_view *c)
{
    int64_t group_num = v->via_group ? v->via_group : v->group_num;
    json_t *group = group_num ? message_view_group(db, group_num) : json_string("default");
    bool has_due = v->in_queue && v->due != INT64_MAX && v->base == MESSAGE_QUEUED;
    return json_pack(
        "{s:o, s:s, s:n, s:o, s:s, s:o, s:o, s:o, s:o}", "id", part_id("msg", v->id), "state",
        v->state, "news", "to", message_view_recipient(db, v), "stream", lane_name(v->lane),
        "group", group, "campaign", v->campaign_num ? json_string(c->name) : json_null(), "server",
        name_of(db, "SELECT name, removed_at FROM server WHERE num = $1", v->server_num), "due_at",
        has_due ? part_time(v->due) : json_null());
}
