/* See campaign_edit.h. Table campaign, and what a start has to know of list and contacts. */
#include "store/campaign_edit.h"

#include "store/limits.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/codec.h"
#include "store/names.h"
#include "store/reports_parts.h"

#include <stdlib.h>

#define FIELD_LOOK_MAX 100000

static bool next_num(struct db *db, uint32_t *out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT COALESCE(max(num), 0) + 1 FROM campaign", e);
    bool row = false;
    if (!s || !db_step(s, &row, e))
        return false;
    *out = (uint32_t)db_i64(s, 0);
    db_reset(s);
    return true;
}

bool campaign_edit_add(struct db *db, struct campaign *c, struct err *e)
{
    struct campaign *other = NULL;
    struct err none = {0};
    if (!names_check("campaign", c->name, e))
        return false;
    if (campaign_edit_get(db, c->name, &other, &none)) {
        campaign_free(&other);
        return err_set(e, ERR_CONFLICT, "campaign \"%s\": the name is taken", c->name);
    }
    if (none.code != ERR_NOT_FOUND || !next_num(db, &c->num, e))
        return none.code == ERR_NOT_FOUND ? false : err_set(e, none.code, "%s", none.text);
    struct stmt *s = db_stmt(db,
                             "INSERT INTO campaign (num, id, name, list_id, template_id, group_num,"
                             " lane, from_address, reply_to, deadline, state, contact_max, cursor,"
                             " walked, recipients, leased, created_at, tags) VALUES"
                             " ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,0,0,0,0,0,$12,$13)",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, c->num);
    db_bind_i64(s, 2, (int64_t)c->id);
    db_bind_cstr(s, 3, c->name);
    db_bind_i64(s, 4, (int64_t)c->list_id);
    db_bind_i64(s, 5, (int64_t)c->template_id);
    db_bind_i64(s, 6, c->group_num);
    db_bind_i64(s, 7, c->lane);
    db_bind_cstr(s, 8, c->from);
    db_bind_cstr(s, 9, c->reply_to);
    if (c->deadline)
        db_bind_i64(s, 10, c->deadline);
    db_bind_i64(s, 11, c->state);
    db_bind_i64(s, 12, c->created_at);
    db_bind_cstr(s, 13, c->tags);
    return db_run(s, e);
}

static char *copy(struct stmt *s, int col)
{
    return str_dup(db_text(s, col));
}

static char *copy_or_null(struct stmt *s, int col)
{
    return db_is_null(s, col) ? NULL : copy(s, col);
}

static struct campaign *read_row(struct stmt *s)
{
    struct campaign *c = alloc_one(struct campaign);
    c->num = (uint32_t)db_i64(s, 0);
    c->id = (uint64_t)db_i64(s, 1);
    c->name = copy(s, 2);
    c->list_id = (uint64_t)db_i64(s, 3);
    c->template_id = (uint64_t)db_i64(s, 4);
    c->group_num = (uint32_t)db_i64(s, 5);
    c->lane = (enum lane)db_i64(s, 6);
    c->from = copy_or_null(s, 7);
    c->reply_to = copy_or_null(s, 8);
    c->deadline = db_i64(s, 9);
    c->state = (enum campaign_state)db_i64(s, 10);
    c->state_reason = copy_or_null(s, 11);
    c->contact_max = (uint64_t)db_i64(s, 12);
    c->cursor = (uint64_t)db_i64(s, 13);
    c->walked = db_i64(s, 14) != 0;
    c->recipients = (uint64_t)db_i64(s, 15);
    c->subject = copy_or_null(s, 16);
    c->html = copy_or_null(s, 17);
    c->text = copy_or_null(s, 18);
    c->created_at = db_i64(s, 19);
    c->started_at = db_i64(s, 20);
    c->finished_at = db_i64(s, 21);
    c->tags = copy_or_null(s, 22);
    return c;
}

bool campaign_edit_get(struct db *db, const char *name, struct campaign **out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT num, id, name, list_id, template_id, group_num, lane,"
                             " from_address, reply_to, deadline, state, state_reason, contact_max,"
                             " cursor, walked, recipients, subject, html, text, created_at,"
                             " started_at, finished_at, tags FROM campaign WHERE name = $1",
                             e);
    *out = NULL;
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!part_row(s, "campaign", name, e))
        return false;
    *out = read_row(s);
    db_reset(s);
    return true;
}

bool campaign_edit_start(struct db *db, const struct campaign *c, struct err *e)
{
    struct stmt *s =
        db_stmt(db,
                "UPDATE campaign SET state = $2, state_reason = NULL, contact_max = $3,"
                " cursor = 0, walked = 0, recipients = $4, leased = 0, subject = $5,"
                " html = $6, text = $7, started_at = $8, group_num = $9"
                " WHERE num = $1",
                e);
    if (!s)
        return false;
    db_bind_i64(s, 1, c->num);
    db_bind_i64(s, 2, c->state);
    db_bind_i64(s, 3, (int64_t)c->contact_max);
    db_bind_i64(s, 4, (int64_t)c->recipients);
    db_bind_cstr(s, 5, c->subject);
    db_bind_cstr(s, 6, c->html);
    db_bind_cstr(s, 7, c->text);
    db_bind_i64(s, 8, c->started_at);
    db_bind_i64(s, 9, c->group_num);
    return db_run(s, e);
}

bool campaign_edit_state(struct db *db, uint32_t num, enum campaign_state state, const char *reason,
                         int64_t finished_at, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "UPDATE campaign SET state = $2, state_reason = $3, finished_at = $4"
                             " WHERE num = $1",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    db_bind_i64(s, 2, state);
    db_bind_cstr(s, 3, reason);
    if (finished_at)
        db_bind_i64(s, 4, finished_at);
    return db_run(s, e);
}

bool campaign_edit_remove(struct db *db, const char *name, struct err *e)
{
    struct campaign *c = NULL;
    if (!campaign_edit_get(db, name, &c, e))
        return false;
    bool is_draft = c->state == CAMPAIGN_DRAFT;
    uint32_t num = c->num;
    campaign_free(&c);
    if (!is_draft)
        return err_set(e, ERR_CONFLICT,
                       "campaign \"%.120s\": it was started, so its results are kept; cancel it "
                       "instead",
                       name);
    struct stmt *s = db_stmt(db, "DELETE FROM campaign WHERE num = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    return db_run(s, e) && limits_forget(db, 2, num, e);
}

bool campaign_edit_audience(struct db *db, uint64_t list_id, uint64_t *count_out,
                            uint64_t *highest_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT l.members - l.unsubscribed, (SELECT max(m.contact_id)"
                             " FROM list_member m WHERE m.list_id = l.id) FROM list l"
                             " WHERE l.id = $1",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)list_id);
    if (!db_step(s, &row, e))
        return false;
    *count_out = row ? (uint64_t)db_i64(s, 0) : 0;
    *highest_out = row ? (uint64_t)db_i64(s, 1) : 0;
    db_reset(s);
    return true;
}

/* Has any contact ever had it? */
static bool is_known_field(struct db *db, const char *field, bool *out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT 1 FROM contact_field WHERE name = $1", e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, field);
    if (!db_step(s, out, e))
        return false;
    db_reset(s);
    return true;
}

bool campaign_edit_has_field(struct db *db, uint64_t list_id, const char *field, bool *out,
                             struct err *e)
{
    bool known = false;
    *out = false;
    if (!is_known_field(db, field, &known, e))
        return false;
    if (!known)
        return true;
    struct stmt *s = db_stmt(db,
                             "SELECT c.fields FROM list_member m JOIN contact c"
                             " ON c.id = m.contact_id WHERE m.list_id = $1"
                             " AND m.unsubscribed_at IS NULL AND c.fields IS NOT NULL LIMIT $2",
                             e);
    struct buf key;
    bool row = false, ok = true;
    *out = false;
    if (!s)
        return false;
    buf_init(&key, 256);
    codec_json_string_add(&key, str_of(field));
    buf_addc(&key, ':');
    db_bind_i64(s, 1, (int64_t)list_id);
    db_bind_i64(s, 2, FIELD_LOOK_MAX);
    while (!*out && (ok = db_step(s, &row, e)) && row)
        *out = str_find(db_text(s, 0), buf_str(&key)) >= 0;
    db_reset(s);
    buf_free(&key);
    return ok;
}
