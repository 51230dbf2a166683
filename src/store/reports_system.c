/* The queue, events and totals as JSON. */
#include "model/message.h"
#include "store/reports.h"
#include "store/reports_parts.h"
#include "store/tally.h"

#include <limits.h>

/* ---- queue ---- */

static json_t *lanes_json(struct db *db, int64_t wall_ms, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT lane, count(*), sum(CASE WHEN tries > 0 THEN 1 ELSE 0 END),"
                             " sum(CASE WHEN due = $1 THEN 1 ELSE 0 END), min(first_at),"
                             " min(CASE WHEN due < $1 THEN due END) FROM queue GROUP BY lane"
                             " ORDER BY lane",
                             e);
    bool row = false, ok = true;
    if (!s)
        return NULL;
    json_t *lanes = json_array();
    db_bind_i64(s, 1, INT64_MAX);
    while ((ok = db_step(s, &row, e)) && row) {
        int64_t oldest = db_i64(s, 4);
        json_array_append_new(
            lanes,
            json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "lane", lane_name((enum lane)db_i64(s, 0)),
                      "messages", (json_int_t)db_i64(s, 1), "deferred", (json_int_t)db_i64(s, 2),
                      "held", (json_int_t)db_i64(s, 3), "oldest_seconds",
                      (json_int_t)(oldest ? MAX((int64_t)0, (wall_ms - oldest) / 1000) : 0),
                      "next_due_at", part_time(db_i64(s, 5))));
    }
    db_reset(s);
    if (ok)
        return lanes;
    json_decref(lanes);
    return NULL;
}

/* What running and paused campaigns have not yet given a message. */
static json_t *waiting_json(struct db *db, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT name, state, recipients - leased FROM campaign"
                             " WHERE state IN (2, 3) AND recipients > leased ORDER BY num",
                             e);
    bool row = false, ok = true;
    if (!s)
        return NULL;
    json_t *all = json_array();
    while ((ok = db_step(s, &row, e)) && row)
        json_array_append_new(all, json_pack("{s:o, s:s, s:I}", "campaign", part_column(s, 0),
                                             "state", db_i64(s, 1) == 2 ? "running" : "paused",
                                             "to_come", (json_int_t)db_i64(s, 2)));
    db_reset(s);
    if (ok)
        return all;
    json_decref(all);
    return NULL;
}

static json_t *live_field(const json_t *live, const char *name)
{
    json_t *v = json_object_get(live, name);
    return v ? json_incref(v) : json_null();
}

static bool is_paused(struct db *db)
{
    struct err e;
    struct stmt *s = db_stmt(db, "SELECT value FROM setting WHERE key = 'pause'", &e);
    bool row = false;
    if (!s || !db_step(s, &row, &e))
        return false;
    bool paused = row && str_is(db_text(s, 0), "1");
    db_reset(s);
    return paused;
}

bool report_queue(struct db *db, const json_t *live, int64_t wall_ms, json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    json_t *lanes = lanes_json(db, wall_ms, e);
    json_t *waiting = lanes ? waiting_json(db, e) : NULL;
    bool paused = is_paused(db);
    part_end(db, begun);
    if (!waiting) {
        json_decref(lanes);
        return false;
    }
    *out =
        json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "paused", paused, "sending_waits",
                  live_field(live, "sending_waits"), "lanes", lanes, "campaigns", waiting,
                  "classes", live_field(live, "classes"), "in_memory", live_field(live, "ready"));
    return true;
}

/* ---- events ---- */

static json_t *event_json(void *arg, struct db *db, struct stmt *s)
{
    (void)arg, (void)db;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "id", part_id("evt", (uint64_t)db_i64(s, 0)),
                     "at", part_time(db_i64(s, 1)), "kind", part_column(s, 2), "subject",
                     part_column(s, 3), "reason", part_column(s, 4), "data", part_json(s, 5));
}

static bool newest_first_id(struct db *db, uint64_t limit, int64_t *out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT id FROM event ORDER BY id DESC LIMIT 1 OFFSET $1", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)limit);
    if (!db_step(s, &row, e))
        return false;
    *out = row ? db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

bool report_events(struct db *db, const struct report_page *p, json_t **out, struct err *e)
{
    bool begun;
    int64_t after = 0;
    if (p->after && *p->after && !str_to_i64(str_of(p->after), &after))
        return err_set(e, ERR_INVALID, "after: \"%.40s\" is no cursor", p->after);
    if (!part_begin(db, &begun, e))
        return false;
    bool ok = (p->after && *p->after) || newest_first_id(db, part_limit(p), &after, e);
    struct stmt *s = ok ? db_stmt(db,
                                  "SELECT id, at, kind, subject, reason, data FROM event"
                                  " WHERE id > $1 ORDER BY id LIMIT $2",
                                  e)
                        : NULL;
    ok = s != NULL;
    if (s) {
        db_bind_i64(s, 1, after);
        db_bind_i64(s, 2, (int64_t)part_limit(p) + 1);
        ok = part_page(db, s, part_limit(p), 0, event_json, NULL, out, e);
    }
    part_end(db, begun);
    return ok;
}

/* ---- totals ---- */

static bool add_count(struct db *db, json_t *j, const char *name, const char *sql, struct err *e)
{
    struct stmt *s = db_stmt(db, sql, e);
    bool row = false;
    if (!s || !db_step(s, &row, e))
        return false;
    json_object_set_new(j, name, json_integer(row ? (json_int_t)db_i64(s, 0) : 0));
    db_reset(s);
    return true;
}

static bool add_results(struct db *db, json_t *j, struct err *e)
{
    static const char *const names[] = {[TALLY_SENT] = "sent",
                                        [TALLY_BOUNCED_HARD] = "bounced_hard",
                                        [TALLY_BOUNCED_SOFT] = "bounced_soft",
                                        [TALLY_FAILED] = "failed",
                                        [TALLY_UNCERTAIN] = "uncertain",
                                        [TALLY_SUPPRESSED] = "suppressed",
                                        [TALLY_CANCELLED] = "cancelled",
                                        [TALLY_EXPIRED] = "expired"};
    struct stmt *s = db_stmt(db,
                             "SELECT kind, sum(n) FROM tally WHERE server_num = 0"
                             " AND provider = '' GROUP BY kind",
                             e);
    bool row = false, ok = true;
    if (!s)
        return false;
    json_t *all = json_object();
    for (size_t k = 1; k < countof(names); k++)
        json_object_set_new(all, names[k], json_integer(0));
    while ((ok = db_step(s, &row, e)) && row) {
        int64_t kind = db_i64(s, 0);
        if (kind >= 1 && kind < (int64_t)countof(names))
            json_object_set_new(all, names[kind], json_integer((json_int_t)db_i64(s, 1)));
    }
    db_reset(s);
    json_object_set_new(j, "messages", all);
    return ok;
}

bool report_totals(struct db *db, json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    json_t *j = json_object();
    bool ok =
        add_count(db, j, "servers", "SELECT count(*) FROM server WHERE removed_at IS NULL", e) &&
        add_count(db, j, "groups", "SELECT count(*) FROM server_group WHERE removed_at IS NULL",
                  e) &&
        add_count(db, j, "lists", "SELECT count(*) FROM list", e) &&
        add_count(db, j, "contacts", "SELECT max(id) FROM contact", e) &&
        add_count(db, j, "campaigns", "SELECT count(*) FROM campaign", e) &&
        add_count(db, j, "campaigns_running", "SELECT count(*) FROM campaign WHERE state = 2", e) &&
        add_count(db, j, "queued", "SELECT count(*) FROM queue", e) && add_results(db, j, e);
    if (ok)
        json_object_set_new(j, "paused", json_boolean(is_paused(db)));
    part_end(db, begun);
    if (ok)
        *out = j;
    else
        json_decref(j);
    return ok;
}
