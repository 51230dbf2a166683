/* Search of messages as JSON. Pages walk by message id; a page looks at a bounded number of
 * messages, so it may be empty although more follow. */
#include "base/alloc.h"
#include "store/message_view.h"
#include "store/outbox.h"
#include "store/reports.h"
#include "store/reports_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define LOOK_MAX       20000 /* messages looked at for one page */
#define CANDIDATES_MAX 10000 /* messages to one address */

struct searching {
    struct db *db;
    const struct report_search *s;
    int64_t campaign_num, server_num; /* of the filters; 0: any */
    struct campaign_view campaign;
    uint64_t limit, looked, last;
    bool full;
    json_t *data;
    struct err *e;
};

static bool state_fits(const struct message_view *v, const char *wanted)
{
    if (!wanted || !strcmp(wanted, v->state))
        return true;
    return !strcmp(wanted, message_state_name(v->base)); /* queued: deferred ones too */
}

static bool tags_fit(struct str tags, const char *wanted)
{
    struct str tag;
    while (str_split(&tags, '\n', &tag))
        if (str_is(tag, wanted))
            return true;
    return false;
}

static bool tag_fits(struct searching *x, const struct message_view *v, bool *fits_out)
{
    *fits_out = true;
    if (!x->s->tag)
        return true;
    if (v->campaign_num) {
        *fits_out = tags_fit(str_of(x->campaign.tags), x->s->tag);
        return true;
    }
    struct stmt *s = db_stmt(x->db, "SELECT tags FROM message WHERE id = $1", x->e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)v->id);
    if (!db_step(s, &row, x->e))
        return false;
    *fits_out = row && tags_fit(db_text(s, 0), x->s->tag);
    db_reset(s);
    return true;
}

/* Looks at one message and adds it when it fits. */
static bool consider(struct searching *x, struct message_view v)
{
    if (json_array_size(x->data) >= x->limit || x->looked >= LOOK_MAX) {
        x->full = true;
        return true;
    }
    x->looked++;
    x->last = v.id;
    bool fits = false;
    if (!message_view_load(x->db, &v, &x->campaign, x->e) || !tag_fits(x, &v, &fits))
        return false;
    if ((x->server_num && v.server_num != x->server_num) || !state_fits(&v, x->s->state) || !fits)
        return true;
    json_array_append_new(x->data, message_view_json(x->db, &v, &x->campaign));
    return true;
}

/* Single messages with after < id < before. */
static bool walk_singles(struct searching *x, uint64_t after, uint64_t before)
{
    struct stmt *s = db_stmt(x->db,
                             "SELECT id, group_num, lane FROM message WHERE id > $1 AND id < $2"
                             " ORDER BY id",
                             x->e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)after);
    db_bind_i64(s, 2, (int64_t)before);
    while (ok && !x->full && (ok = db_step(s, &row, x->e)) && row)
        ok = consider(x, (struct message_view){.id = (uint64_t)db_i64(s, 0),
                                               .group_num = db_i64(s, 1),
                                               .lane = (enum lane)db_i64(s, 2)});
    db_reset(s);
    return ok;
}

struct slice {
    uint64_t first;
    int64_t campaign_num;
    uint32_t n;
    uint64_t contacts[LEASE_MAX];
};

/* The first lease of a campaign (any: 0) that reaches behind `after`. */
static bool next_slice(struct searching *x, uint64_t after, struct slice *out, bool *row_out)
{
    struct stmt *s = db_stmt(x->db,
                             "SELECT first_id, campaign_num, ids FROM lease WHERE first_id > $1"
                             " AND campaign_num <> 0 AND ($2 = 0 OR campaign_num = $2)"
                             " AND first_id + n - 1 > $3 ORDER BY first_id LIMIT 1",
                             x->e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)(after > LEASE_MAX ? after - LEASE_MAX : 0));
    db_bind_i64(s, 2, x->campaign_num);
    db_bind_i64(s, 3, (int64_t)after);
    if (!db_step(s, row_out, x->e))
        return false;
    if (*row_out) {
        out->first = (uint64_t)db_i64(s, 0);
        out->campaign_num = db_i64(s, 1);
        out->n = outbox_ids_unpack(db_blob(s, 2), out->contacts, LEASE_MAX);
    }
    db_reset(s);
    return true;
}

static bool walk_all(struct searching *x, uint64_t after)
{
    struct slice *sl = alloc_one(struct slice);
    bool row = true, ok = true;
    while (ok && !x->full && row) {
        ok = next_slice(x, after, sl, &row);
        uint64_t end = row ? sl->first : (uint64_t)INT64_MAX;
        if (ok && !x->campaign_num)
            ok = walk_singles(x, after, end);
        for (uint32_t i = 0; ok && row && !x->full && i < sl->n; i++)
            if (sl->first + i > after)
                ok = consider(x, (struct message_view){.id = sl->first + i,
                                                       .campaign_num = sl->campaign_num,
                                                       .contact_id = (int64_t)sl->contacts[i]});
        if (row)
            after = MAX(after, sl->first + sl->n - 1);
    }
    free(sl);
    return ok;
}

/* ---- search by recipient ---- */

struct candidates {
    struct message_view *at;
    size_t n;
};

static void candidate(struct candidates *c, struct message_view v)
{
    if (c->n < CANDIDATES_MAX)
        c->at[c->n++] = v;
}

static bool find_singles(struct searching *x, struct candidates *c)
{
    struct stmt *s = db_stmt(
        x->db, "SELECT id, group_num, lane FROM message WHERE rcpt_key = $1 ORDER BY id", x->e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_cstr(s, 1, x->s->to);
    while ((ok = db_step(s, &row, x->e)) && row)
        candidate(c, (struct message_view){.id = (uint64_t)db_i64(s, 0),
                                           .group_num = db_i64(s, 1),
                                           .lane = (enum lane)db_i64(s, 2)});
    db_reset(s);
    return ok;
}

/* A campaign walks contacts upwards, so at most a few leases span a contact. */
static bool find_in_campaign(struct searching *x, int64_t num, int64_t contact,
                             struct candidates *c)
{
    struct stmt *s = db_stmt(x->db,
                             "SELECT first_id, ids FROM lease WHERE campaign_num = $1"
                             " AND high >= $2 AND low <= $2 ORDER BY high LIMIT 4",
                             x->e);
    uint64_t ids[LEASE_MAX];
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, num);
    db_bind_i64(s, 2, contact);
    while ((ok = db_step(s, &row, x->e)) && row) {
        uint32_t n = outbox_ids_unpack(db_blob(s, 1), ids, LEASE_MAX);
        for (uint32_t i = 0; i < n; i++)
            if ((int64_t)ids[i] == contact)
                candidate(c, (struct message_view){.id = (uint64_t)db_i64(s, 0) + i,
                                                   .campaign_num = num,
                                                   .contact_id = contact});
    }
    db_reset(s);
    return ok;
}

static bool find_contact(struct searching *x, int64_t *out)
{
    struct stmt *s = db_stmt(x->db, "SELECT id FROM contact WHERE email = $1", x->e);
    bool row = false;
    if (!s)
        return false;
    db_bind_cstr(s, 1, x->s->to);
    if (!db_step(s, &row, x->e))
        return false;
    *out = row ? db_i64(s, 0) : 0;
    db_reset(s);
    return true;
}

static bool find_of_campaigns(struct searching *x, struct candidates *c)
{
    int64_t contact = 0;
    if (!find_contact(x, &contact))
        return false;
    if (!contact)
        return true;
    struct stmt *s =
        db_stmt(x->db, "SELECT num FROM campaign WHERE ($1 = 0 OR num = $1) AND leased > 0", x->e);
    bool row = false, ok = true;
    if (!s)
        return false;
    db_bind_i64(s, 1, x->campaign_num);
    while (ok && (ok = db_step(s, &row, x->e)) && row)
        ok = find_in_campaign(x, db_i64(s, 0), contact, c);
    db_reset(s);
    return ok;
}

static int by_id(const void *a, const void *b)
{
    const struct message_view *v = a, *w = b;
    return v->id < w->id ? -1 : v->id > w->id;
}

static bool find_all(struct searching *x, struct candidates *c)
{
    c->at = alloc_many(struct message_view, CANDIDATES_MAX);
    bool ok = (x->campaign_num || find_singles(x, c)) && find_of_campaigns(x, c);
    qsort(c->at, c->n, sizeof(*c->at), by_id);
    return ok;
}

bool part_messages_to(struct db *db, const char *key, int64_t campaign_num,
                      struct message_view **out, size_t *n_out, struct err *e)
{
    struct report_search s = {.to = key};
    struct searching x = {.db = db, .s = &s, .campaign_num = campaign_num, .e = e};
    struct candidates c = {0};
    bool ok = find_all(&x, &c);
    *out = c.at;
    *n_out = c.n;
    return ok;
}

static bool walk_recipient(struct searching *x, uint64_t after)
{
    struct candidates c = {0};
    bool ok = find_all(x, &c);
    for (size_t i = 0; ok && !x->full && i < c.n; i++)
        if (c.at[i].id > after)
            ok = consider(x, c.at[i]);
    free(c.at);
    return ok;
}

/* ---- the door of search ---- */

bool part_num_of(struct db *db, const char *sql, const char *what, const char *name, int64_t *out,
                 struct err *e)
{
    *out = 0;
    if (!name)
        return true;
    struct stmt *s = db_stmt(db, sql, e);
    if (!s)
        return false;
    db_bind_cstr(s, 1, name);
    if (!part_row(s, what, name, e))
        return false;
    *out = db_i64(s, 0);
    db_reset(s);
    return true;
}

static bool check_state(const char *state, struct err *e)
{
    enum message_state any;
    if (!state || !strcmp(state, "deferred") || message_state_parse(state, &any))
        return true;
    return err_set(e, ERR_INVALID,
                   "state: \"%.40s\" is none of queued, deferred, held, sent, uncertain, bounced, "
                   "failed, suppressed, cancelled, expired",
                   state);
}

static bool search(struct searching *x, const char *after_text)
{
    uint64_t after = 0;
    const struct report_search *s = x->s;
    if (after_text && *after_text && !str_to_u64(str_of(after_text), INT64_MAX, &after))
        return err_set(x->e, ERR_INVALID, "after: \"%.40s\" is no cursor", after_text);
    if (!check_state(s->state, x->e) ||
        !part_num_of(x->db, "SELECT num FROM campaign WHERE name = $1", "campaign", s->campaign,
                     &x->campaign_num, x->e) ||
        !part_num_of(x->db, "SELECT num FROM server WHERE name = $1 AND removed_at IS NULL",
                     "server", s->server, &x->server_num, x->e))
        return false;
    return s->to ? walk_recipient(x, after) : walk_all(x, after);
}

bool report_messages(struct db *db, const struct report_search *s, const struct report_page *p,
                     json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    struct searching x = {.db = db, .s = s, .limit = part_limit(p), .data = json_array(), .e = e};
    bool ok = search(&x, p->after);
    part_end(db, begun);
    if (!ok) {
        json_decref(x.data);
        return false;
    }
    *out = part_page_of(x.data, x.full ? json_sprintf("%llu", (unsigned long long)x.last) : NULL);
    return true;
}
