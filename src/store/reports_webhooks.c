/* Webhooks as the API shows them, and their log. Secrets are never among it. */
#include "store/reports_parts.h"

#include "base/clock.h"
#include "store/webhooks.h"

#define COLUMNS                                                                                    \
    "w.name, w.url, w.events, w.servers, w.groups, w.tags, w.allow_private, w.state,"              \
    " w.state_reason, w.state_at, w.old_until, w.created_at, w.id, p.delivered, p.skipped,"        \
    " p.failing_since, p.failed, (SELECT count(*) FROM webhook_wait x WHERE x.webhook_id = w.id)"  \
    " FROM webhook w LEFT JOIN webhook_place p ON p.webhook_id = w.id"

static json_t *newest(struct db *db, int64_t id, bool delivered)
{
    struct err e;
    bool row = false;
    struct stmt *s =
        delivered
            ? db_stmt(db,
                      "SELECT at FROM webhook_log WHERE webhook_id = $1 AND detail = ''"
                      " ORDER BY id DESC LIMIT 1",
                      &e)
            : db_stmt(db,
                      "SELECT at FROM webhook_log WHERE webhook_id = $1 ORDER BY id DESC LIMIT 1",
                      &e);
    if (!s)
        return json_null();
    db_bind_i64(s, 1, id);
    if (!db_step(s, &row, &e) || !row)
        return json_null();
    json_t *at = part_time(db_i64(s, 0));
    db_reset(s);
    return at;
}

static json_t *webhook_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg;
    int64_t id = db_i64(s, 12), old = db_i64(s, 10);
    json_t *j = json_pack(
        "{s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "id",
        part_id("whk", (uint64_t)id), "name", part_column(s, 0), "url", part_column(s, 1), "state",
        webhook_state_name((enum webhook_state)db_i64(s, 7)), "reason", part_column(s, 8), "since",
        part_time(db_i64(s, 9)), "events", part_lines(s, 2), "servers", part_lines(s, 3), "groups",
        part_lines(s, 4), "tags", part_lines(s, 5), "allow_private", db_i64(s, 6) != 0);
    json_t *more = json_pack(
        "{s:I, s:I, s:I, s:o, s:o, s:o}", "delivered", (json_int_t)db_i64(s, 13), "waiting",
        (json_int_t)db_i64(s, 17), "skipped", (json_int_t)db_i64(s, 14), "failing_since",
        part_time(db_i64(s, 15)), "old_secret_until", part_time(old > clock_wall_ms() ? old : 0),
        "created_at", part_time(db_i64(s, 11)));
    json_object_update(j, more);
    json_decref(more);
    json_object_set_new(j, "failed", json_integer((json_int_t)db_i64(s, 16)));
    json_object_set_new(j, "last_attempt_at", newest(db, id, false));
    json_object_set_new(j, "last_delivered_at", newest(db, id, true));
    return j;
}

bool report_webhooks(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    return part_select(db, "SELECT " COLUMNS " WHERE w.name > $1 ORDER BY w.name LIMIT $2", p, 0,
                       webhook_json, NULL, out, e);
}

bool report_webhook(struct db *db, const char *name, json_t **out, struct err *e)
{
    return part_select_one(db, "SELECT " COLUMNS " WHERE w.name = $1", "webhook", name,
                           webhook_json, NULL, out, e);
}

static json_t *delivery_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg, (void)db;
    bool ok = db_text(s, 7).n == 0;
    return json_pack("{s:I, s:o, s:o, s:o, s:I, s:b, s:o, s:I, s:o, s:o, s:o}", "seq",
                     (json_int_t)db_i64(s, 0), "event", part_column(s, 1), "type",
                     part_column(s, 2), "at", part_time(db_i64(s, 3)), "attempt",
                     (json_int_t)db_i64(s, 4), "ok", ok, "status",
                     part_count((uint64_t)db_i64(s, 5), true), "ms", (json_int_t)db_i64(s, 6),
                     "detail", ok ? json_null() : part_column(s, 7), "reply", part_column(s, 8),
                     "next_at", part_time(db_i64(s, 9)));
}

/* Newest first; the cursor is the last seq seen. filter "failed": those that did not go through. */
bool report_webhook_log(struct db *db, const char *name, const struct report_page *p, json_t **out,
                        struct err *e)
{
    bool begun;
    uint64_t after = INT64_MAX;
    int64_t id = 0;
    if (p->after && *p->after && !str_to_u64(str_of(p->after), INT64_MAX, &after))
        return err_set(e, ERR_INVALID, "after: \"%.40s\" is no cursor", p->after);
    if (!part_begin(db, &begun, e))
        return false;
    struct stmt *s = NULL;
    bool ok = part_num_of(db, "SELECT id FROM webhook WHERE name = $1", "webhook", name, &id, e) &&
              (s = db_stmt(db,
                           "SELECT id, event, type, at, attempt, status, ms, detail, reply, next_at"
                           " FROM webhook_log WHERE webhook_id = $1 AND id < $2 AND"
                           " ($4 = 0 OR detail <> '') ORDER BY id DESC LIMIT $3",
                           e)) != NULL;
    if (ok) {
        db_bind_i64(s, 1, id);
        db_bind_i64(s, 2, (int64_t)after);
        db_bind_i64(s, 3, (int64_t)part_limit(p) + 1);
        db_bind_i64(s, 4, p->filter && str_is(str_of(p->filter), "failed"));
        ok = part_page(db, s, part_limit(p), 0, delivery_json, NULL, out, e);
    }
    part_end(db, begun);
    return ok;
}
