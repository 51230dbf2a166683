/* Attempts as they came, for `log tail` and `log search`: by table attempt_log, or, for one
 * recipient, by his messages. A page looks at a bounded number of attempts, so it may be empty
 * although more follow; its cursor tells how far it looked. */
#include "base/alloc.h"
#include "store/attempt_log.h"
#include "store/message_view.h"
#include "store/reports.h"
#include "store/reports_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_MAX 20000

struct place { /* of an attempt: its row of the log (0: of a recipient), and where in it */
    int64_t seq;
    int64_t pos;
};

struct reading {
    struct db *db;
    const struct report_log *q;
    int64_t campaign_num, server_num;
    uint64_t limit, looked;
    bool full;
    struct place last; /* looked at */
    json_t *data;
    struct {
        uint64_t first, n; /* the lease looked at last: ids first .. first + n - 1 */
        int64_t campaign_num;
    } lease;
    struct campaign_view campaign;
    struct err *e;
};

/* ---- one attempt ---- */

static json_t *cursor_of(struct place at)
{
    return json_sprintf("%lld.%lld", (long long)at.seq, (long long)at.pos);
}

/* Messages of a campaign lie side by side: the lease of the last one mostly holds this one too. */
static bool campaign_of(struct reading *x, uint64_t id, int64_t *out)
{
    if (id - x->lease.first < x->lease.n) {
        *out = x->lease.campaign_num;
        return true;
    }
    struct stmt *s = db_stmt(x->db,
                             "SELECT first_id, n, campaign_num FROM lease WHERE first_id <= $1"
                             " AND campaign_num <> 0 ORDER BY first_id DESC LIMIT 1",
                             x->e);
    bool row = false;
    *out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, x->e))
        return false;
    if (row && id - (uint64_t)db_i64(s, 0) < (uint64_t)db_i64(s, 1)) {
        x->lease.first = (uint64_t)db_i64(s, 0);
        x->lease.n = (uint64_t)db_i64(s, 1);
        *out = x->lease.campaign_num = db_i64(s, 2);
    }
    db_reset(s);
    return true;
}

static bool text_fits(struct stmt *s, const char *wanted)
{
    return !wanted || str_ifind(db_text(s, 4), str_of(wanted)) >= 0 ||
           str_ifind(db_text(s, 5), str_of(wanted)) >= 0;
}

static bool row_fits(const struct reading *x, struct stmt *s)
{
    const struct report_log *q = x->q;
    int64_t at = db_i64(s, 2);
    return db_i64(s, 0) && (!x->server_num || db_i64(s, 0) == x->server_num) &&
           (!q->verdict || db_i64(s, 1) == (int64_t)q->verdict) && at >= q->since &&
           (!q->until || at <= q->until) && text_fits(s, q->text);
}

#define ATTEMPT_COLUMNS                                                                            \
    "r.server_num, r.verdict, r.at, r.code, r.reply, r.rule, r.enhanced, r.phase, r.ms, r.state,"  \
    " r.group_num, r.route_num, s.name, s.removed_at"

static json_t *attempt_json(struct reading *x, struct stmt *s, uint64_t id, uint64_t n)
{
    struct message_view v;
    bool found = false;
    if (!message_view_find(x->db, id, &v, &found, x->e) ||
        (v.campaign_num && !message_view_campaign(x->db, v.campaign_num, &x->campaign, x->e)))
        return NULL;
    json_t *j = json_pack(
        "{s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:s}", "cursor",
        cursor_of(x->last), "at", part_time(db_i64(s, 2)), "id", part_id("msg", id), "n",
        (json_int_t)n, "to", found ? message_view_recipient(x->db, &v) : json_null(), "campaign",
        v.campaign_num ? json_string(x->campaign.name) : json_null(), "server",
        part_name(s, 12, 13), "verdict", verdict_name((enum verdict)db_i64(s, 1)), "phase",
        phase_name((enum phase)db_i64(s, 7)), "code", part_count((uint64_t)db_i64(s, 3), true),
        "enhanced", part_column(s, 6), "reply", part_column(s, 4), "rule", part_column(s, 5), "ms",
        (json_int_t)db_i64(s, 8), "state", message_state_name((enum message_state)db_i64(s, 9)));
    json_object_set_new(j, "group", message_view_group(x->db, db_i64(s, 10)));
    json_object_set_new(j, "route", message_view_route(x->db, db_i64(s, 11)));
    return j;
}

/* Looks at the attempt that stands at x->last and adds it when it fits. */
static bool consider(struct reading *x, uint64_t id, uint64_t n)
{
    struct stmt *s = db_stmt(x->db,
                             "SELECT " ATTEMPT_COLUMNS " FROM result r LEFT JOIN server s"
                             " ON s.num = r.server_num WHERE r.message_id = $1 AND r.n = $2",
                             x->e);
    bool row = false, ok = true;
    int64_t campaign = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    db_bind_i64(s, 2, (int64_t)n);
    if (!db_step(s, &row, x->e))
        return false;
    bool fits = row && row_fits(x, s);
    if (fits && x->campaign_num) {
        ok = campaign_of(x, id, &campaign);
        fits = campaign == x->campaign_num;
    }
    if (ok && fits) {
        json_t *j = attempt_json(x, s, id, n);
        ok = j && json_array_append_new(x->data, j) == 0;
    }
    db_reset(s);
    return ok;
}

/* False: the page is full, or has looked at enough; the place is not looked at any more. */
static bool goes_on(struct reading *x)
{
    x->full = x->full || json_array_size(x->data) >= x->limit || x->looked >= LOOK_MAX;
    x->looked += !x->full;
    return !x->full;
}

/* ---- by the log ---- */

static bool walk_row(struct reading *x, const struct attempt_log_row *r, struct place after)
{
    bool down = !x->q->oldest_first, ok = true;
    for (uint32_t i = 0; ok && i < r->n; i++) {
        uint32_t pos = down ? r->n - 1 - i : i;
        bool is_seen =
            r->seq == after.seq && (down ? (int64_t)pos >= after.pos : (int64_t)pos <= after.pos);
        if (is_seen)
            continue;
        if (!goes_on(x))
            return true;
        x->last = (struct place){r->seq, pos};
        ok = consider(x, r->ids[pos], r->numbers[pos]);
    }
    return ok;
}

static bool walk_log(struct reading *x, struct place after, bool has_after)
{
    bool down = !x->q->oldest_first, found = true, ok = true;
    int64_t first = 1, last = 0;
    if (!attempt_log_range(x->db, x->q->since, x->q->until ? x->q->until : INT64_MAX, &first, &last,
                           x->e))
        return false;
    if (has_after && down)
        last = MIN(last, after.seq);
    else if (has_after)
        first = MAX(first, after.seq);
    struct attempt_log_row *r = alloc_one(struct attempt_log_row);
    while (ok && found && !x->full && first <= last) {
        ok = attempt_log_read(x->db, first, last, down, r, &found, x->e) &&
             (!found || walk_row(x, r, has_after ? after : (struct place){0}));
        if (down)
            last = found ? r->seq - 1 : last;
        else
            first = found ? r->seq + 1 : first;
    }
    free(r);
    return ok;
}

/* ---- by the recipient ---- */

struct found {
    uint64_t id, n;
    int64_t at;
};

static int by_time(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    return x->id != y->id ? (x->id < y->id ? -1 : 1) : x->n < y->n ? -1 : x->n > y->n;
}

static bool attempts_of(struct reading *x, uint64_t id, struct found **all, size_t *n)
{
    struct stmt *s = db_stmt(x->db,
                             "SELECT n, at FROM result WHERE message_id = $1 AND server_num <> 0"
                             " ORDER BY n",
                             x->e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    while ((ok = db_step(s, &row, x->e)) && row) {
        *all = alloc_resize(*all, (*n + 1) * sizeof **all);
        (*all)[(*n)++] = (struct found){id, (uint64_t)db_i64(s, 0), db_i64(s, 1)};
    }
    db_reset(s);
    return ok;
}

static bool walk_recipient(struct reading *x, struct place after, bool has_after)
{
    struct message_view *messages = NULL;
    struct found *all = NULL;
    size_t n_messages = 0, n = 0;
    bool down = !x->q->oldest_first;
    bool ok = part_messages_to(x->db, x->q->to, x->campaign_num, &messages, &n_messages, x->e);
    for (size_t i = 0; ok && i < n_messages; i++)
        ok = attempts_of(x, messages[i].id, &all, &n);
    if (n)
        qsort(all, n, sizeof *all, by_time);
    for (size_t i = 0; ok && i < n; i++) {
        int64_t pos = (int64_t)(down ? n - 1 - i : i);
        if (has_after && (down ? pos >= after.pos : pos <= after.pos))
            continue;
        if (!goes_on(x))
            break;
        x->last = (struct place){0, pos};
        ok = consider(x, all[pos].id, all[pos].n);
    }
    free(all);
    free(messages);
    return ok;
}

/* ---- the door ---- */

static bool read_cursor(const char *text, struct place *out, bool *has_out, struct err *e)
{
    struct str rest = str_of(text ? text : ""), seq = STR_NONE;
    uint64_t a = 0, b = 0;
    *has_out = rest.n > 0;
    *out = (struct place){0};
    if (!rest.n)
        return true;
    if (!str_split(&rest, '.', &seq) || !str_to_u64(seq, INT64_MAX, &a) ||
        !str_to_u64(rest, INT64_MAX, &b))
        return err_set(e, ERR_INVALID, "after: \"%.40s\" is no cursor", text);
    *out = (struct place){(int64_t)a, (int64_t)b};
    return true;
}

static bool read_log(struct reading *x, const char *after_text)
{
    const struct report_log *q = x->q;
    bool has_after = false;
    struct place after;
    if (!read_cursor(after_text, &after, &has_after, x->e) ||
        !part_num_of(x->db, "SELECT num FROM campaign WHERE name = $1", "campaign", q->campaign,
                     &x->campaign_num, x->e) ||
        !part_num_of(x->db, "SELECT num FROM server WHERE name = $1 AND removed_at IS NULL",
                     "server", q->server, &x->server_num, x->e))
        return false;
    x->last = after;
    return q->to ? walk_recipient(x, after, has_after) : walk_log(x, after, has_after);
}

bool report_log(struct db *db, const struct report_log *q, const struct report_page *p,
                json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    struct reading *x = alloc_one(struct reading);
    *x = (struct reading){.db = db, .q = q, .limit = part_limit(p), .data = json_array(), .e = e};
    bool ok = read_log(x, p->after);
    part_end(db, begun);
    if (ok) {
        bool has_place = x->last.seq || x->looked || (p->after && *p->after);
        *out = part_page_of(x->data, x->full ? cursor_of(x->last) : NULL);
        json_object_set_new(*out, "cursor", has_place ? cursor_of(x->last) : json_null());
    } else {
        json_decref(x->data);
    }
    free(x);
    return ok;
}
