/* Messages as JSON: search and show. A message is a row of `message` (single ones) or a place in a
 * lease of a campaign; its state is a row of `queue` if there is one, else its last result, else it
 * is queued. Pages walk by message id; a page looks at a bounded number of messages, so it may be
 * empty although more follow. */
#include "base/alloc.h"
#include "base/codec.h"
#include "model/campaign.h"
#include "model/message.h"
#include "store/outbox.h"
#include "store/reports.h"
#include "store/reports_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOOK_MAX       20000 /* messages looked at for one page */
#define CANDIDATES_MAX 10000 /* messages to one address */

struct campaign_view { /* of the campaign looked at last */
    int64_t num, group_num, state;
    enum lane lane;
    char name[132], from[600];
};

struct view { /* a message as found in its tables */
    uint64_t id;
    int64_t campaign_num, contact_id, group_num, server_num, due, tries;
    enum lane lane;
    const char *state;
    enum message_state base;
    bool in_queue, has_result;
};

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

/* ---- one message ---- */

static bool load_campaign(struct db *db, int64_t num, struct campaign_view *c, struct err *e)
{
    if (c->num == num)
        return true;
    struct stmt *s = db_stmt(
        db, "SELECT name, group_num, state, lane, from_address FROM campaign WHERE num = $1", e);
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
    }
    db_reset(s);
    return true;
}

static bool load_queue(struct db *db, struct view *v, struct err *e)
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

static bool load_result(struct db *db, struct view *v, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT n, state, server_num FROM result WHERE message_id = $1"
                             " ORDER BY n DESC",
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
    }
    db_reset(s);
    return ok;
}

static void name_state(struct view *v, const struct campaign_view *c)
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

static bool load_view(struct db *db, struct view *v, struct campaign_view *c, struct err *e)
{
    v->base = MESSAGE_QUEUED;
    if (v->campaign_num) {
        if (!load_campaign(db, v->campaign_num, c, e))
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
    struct str name = db_text(s, 0);
    ptrdiff_t suffix = db_is_null(s, 1) ? -1 : str_rchr(name, '~'); /* removed, under a suffix */
    json_t *j = part_text(suffix > 0 ? str_cut(name, 0, (size_t)suffix) : name);
    db_reset(s);
    return j;
}

static json_t *recipient_of(struct db *db, const struct view *v)
{
    if (v->campaign_num)
        return name_of(db, "SELECT COALESCE(address, email), NULL FROM contact WHERE id = $1",
                       v->contact_id);
    return name_of(db, "SELECT rcpt, NULL FROM message WHERE id = $1", (int64_t)v->id);
}

static json_t *view_json(struct db *db, const struct view *v, const struct campaign_view *c)
{
    json_t *group =
        v->group_num
            ? name_of(db, "SELECT name, removed_at FROM server_group WHERE num = $1", v->group_num)
            : json_string("default");
    bool has_due = v->in_queue && v->due != INT64_MAX && v->base == MESSAGE_QUEUED;
    return json_pack(
        "{s:o, s:s, s:n, s:o, s:s, s:o, s:o, s:o, s:o}", "id", part_id("msg", v->id), "state",
        v->state, "news", "to", recipient_of(db, v), "stream", lane_name(v->lane), "group", group,
        "campaign", v->campaign_num ? json_string(c->name) : json_null(), "server",
        name_of(db, "SELECT name, removed_at FROM server WHERE num = $1", v->server_num), "due_at",
        has_due ? part_time(v->due) : json_null());
}

/* ---- search ---- */

static bool state_fits(const struct view *v, const char *wanted)
{
    if (!wanted || !strcmp(wanted, v->state))
        return true;
    return !strcmp(wanted, message_state_name(v->base)); /* queued: deferred ones too */
}

/* Looks at one message and adds it when it fits. */
static bool consider(struct searching *x, struct view v)
{
    if (json_array_size(x->data) >= x->limit || x->looked >= LOOK_MAX) {
        x->full = true;
        return true;
    }
    x->looked++;
    x->last = v.id;
    if (!load_view(x->db, &v, &x->campaign, x->e))
        return false;
    if ((x->server_num && v.server_num != x->server_num) || !state_fits(&v, x->s->state))
        return true;
    json_array_append_new(x->data, view_json(x->db, &v, &x->campaign));
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
        ok = consider(x, (struct view){.id = (uint64_t)db_i64(s, 0),
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
                ok = consider(x, (struct view){.id = sl->first + i,
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
    struct view *at;
    size_t n;
};

static void candidate(struct candidates *c, struct view v)
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
        candidate(c, (struct view){.id = (uint64_t)db_i64(s, 0),
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
                candidate(c, (struct view){.id = (uint64_t)db_i64(s, 0) + i,
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
    const struct view *v = a, *w = b;
    return v->id < w->id ? -1 : v->id > w->id;
}

static bool walk_recipient(struct searching *x, uint64_t after)
{
    struct candidates c = {.at = alloc_many(struct view, CANDIDATES_MAX)};
    bool ok = (x->campaign_num || find_singles(x, &c)) && find_of_campaigns(x, &c);
    qsort(c.at, c.n, sizeof(*c.at), by_id);
    for (size_t i = 0; ok && !x->full && i < c.n; i++)
        if (c.at[i].id > after)
            ok = consider(x, c.at[i]);
    free(c.at);
    return ok;
}

/* ---- the door of search ---- */

static bool num_of(struct db *db, const char *sql, const char *what, const char *name, int64_t *out,
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
        !num_of(x->db, "SELECT num FROM campaign WHERE name = $1", "campaign", s->campaign,
                &x->campaign_num, x->e) ||
        !num_of(x->db, "SELECT num FROM server WHERE name = $1 AND removed_at IS NULL", "server",
                s->server, &x->server_num, x->e))
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

/* ---- show ---- */

static json_t *attempts_json(struct db *db, uint64_t id, json_t **why_out, struct err *e)
{
    struct stmt *s =
        db_stmt(db,
                "SELECT r.n, s.name, r.verdict, r.rule, r.code, r.enhanced, r.reply,"
                " r.phase, r.ms, r.at, r.why, r.conversation, r.server_num,"
                " s.removed_at FROM result r LEFT JOIN server s ON s.num = r.server_num"
                " WHERE r.message_id = $1 ORDER BY r.n",
                e);
    bool row = false, ok = true;
    if (!s)
        return NULL;
    json_t *all = json_array();
    db_bind_i64(s, 1, (int64_t)id);
    while ((ok = db_step(s, &row, e)) && row) {
        json_decref(*why_out);
        *why_out = part_column(s, 10);
        if (!db_i64(s, 12)) /* no server was asked: an end, but no attempt */
            continue;
        struct str server = db_text(s, 1);
        ptrdiff_t suffix = db_is_null(s, 13) ? -1 : str_rchr(server, '~');
        json_t *j = json_pack("{s:I, s:o, s:s, s:o, s:o, s:o, s:o, s:s, s:I, s:o, s:o, s:o}", "n",
                              (json_int_t)db_i64(s, 0), "server",
                              part_text(suffix > 0 ? str_cut(server, 0, (size_t)suffix) : server),
                              "verdict", verdict_name((enum verdict)db_i64(s, 2)), "rule",
                              part_column(s, 3), "code", part_count((uint64_t)db_i64(s, 4), true),
                              "enhanced", part_column(s, 5), "reply", part_column(s, 6), "phase",
                              phase_name((enum phase)db_i64(s, 7)), "ms", (json_int_t)db_i64(s, 8),
                              "at", part_time(db_i64(s, 9)), "why", part_column(s, 10),
                              "conversation", part_column(s, 11));
        json_array_append_new(all, j);
    }
    db_reset(s);
    if (ok)
        return all;
    json_decref(all);
    return NULL;
}

/* What only single messages keep. */
static bool add_single(struct db *db, uint64_t id, json_t *j, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT message_id, header_from, subject, from_address, created_at,"
                             " expires_at, tags, (SELECT k.name FROM api_key k WHERE"
                             " k.num = credential_num) FROM message WHERE id = $1",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, e))
        return false;
    if (row) {
        json_object_set_new(j, "message_id", part_column(s, 0));
        json_object_set_new(j, "from", part_column(s, 1));
        json_object_set_new(j, "subject", part_column(s, 2));
        json_object_set_new(j, "return_path", part_column(s, 3));
        json_object_set_new(j, "accepted_at", part_time(db_i64(s, 4)));
        json_object_set_new(j, "expires_at", part_time(db_i64(s, 5)));
        json_object_set_new(j, "tags", part_lines(s, 6));
        json_object_set_new(j, "credential", part_column(s, 7));
    }
    db_reset(s);
    return true;
}

static bool find_view(struct db *db, uint64_t id, struct view *v, bool *found, struct err *e)
{
    uint32_t campaign_num = 0;
    uint64_t contact = 0;
    struct stmt *s = db_stmt(db, "SELECT group_num, lane FROM message WHERE id = $1", e);
    if (!s)
        return false;
    *v = (struct view){.id = id};
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

/* The address in "Name <a@b>" or "a@b", from its '@' on; STR_NONE: there is none. */
static struct str domain_of(struct str mailbox)
{
    ptrdiff_t at = str_rchr(mailbox, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(mailbox, (size_t)at + 1);
    ptrdiff_t end = str_chr(domain, '>');
    return str_trim(end < 0 ? domain : str_cut(domain, 0, (size_t)end));
}

/* The From of the server that was asked last. */
static bool server_domain(struct db *db, int64_t server_num, char *out, size_t size, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT from_address FROM server WHERE num = $1", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, server_num);
    if (!db_step(s, &row, e))
        return false;
    str_copy(row ? domain_of(db_text(s, 0)) : STR_NONE, out, size);
    db_reset(s);
    return true;
}

/* As engine/render makes it: the domain of the campaign's From, else the sending host, else (a bare
 * host name is no domain of the world) that of the server's From. */
static bool message_id_of(struct db *db, const struct view *v, const struct campaign_view *c,
                          json_t **out, struct err *e)
{
    char id[24], domain[256];
    *out = NULL;
    if (!v->campaign_num) {
        *out = json_null();
        return true;
    }
    codec_id_format("msg", v->id, id);
    str_copy(domain_of(str_of(c->from)), domain, sizeof(domain));
    if (!domain[0] && gethostname(domain, sizeof(domain) - 1) == 0 && !strchr(domain, '.') &&
        v->server_num) {
        char of_server[256];
        if (!server_domain(db, v->server_num, of_server, sizeof(of_server), e))
            return false;
        if (of_server[0])
            str_copy(str_of(of_server), domain, sizeof(domain));
    }
    *out = json_sprintf("%s@%s", id, domain);
    return true;
}

static bool show(struct db *db, uint64_t id, json_t **out, struct err *e)
{
    struct view v;
    struct campaign_view c = {0};
    bool found = false;
    char text[24];
    if (!find_view(db, id, &v, &found, e))
        return false;
    if (!found) {
        codec_id_format("msg", id, text);
        return err_set(e, ERR_NOT_FOUND, "message \"%s\": there is none", text);
    }
    json_t *why = json_null(), *attempts = NULL;
    if (!load_view(db, &v, &c, e) || !(attempts = attempts_json(db, id, &why, e))) {
        json_decref(why);
        return false;
    }
    json_t *message_id = NULL;
    if (!message_id_of(db, &v, &c, &message_id, e)) {
        json_decref(attempts);
        json_decref(why);
        return false;
    }
    json_t *j = view_json(db, &v, &c);
    json_object_set_new(j, "message_id", message_id);
    json_object_set_new(j, "attempts", attempts);
    json_object_set_new(j, "why", why);
    *out = j;
    if (!v.campaign_num)
        return add_single(db, id, j, e);
    return true;
}

bool report_message(struct db *db, uint64_t id, json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    *out = NULL;
    bool ok = show(db, id, out, e);
    part_end(db, begun);
    if (!ok) {
        json_decref(*out);
        *out = NULL;
    }
    return ok;
}

bool report_message_body(struct db *db, uint64_t id, struct buf *out, bool *spooled_out,
                         struct err *e)
{
    char text[24];
    struct stmt *s = db_stmt(db, "SELECT body FROM message WHERE id = $1", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)id);
    if (!db_step(s, &row, e))
        return false;
    codec_id_format("msg", id, text);
    if (!row)
        return err_set(
            e, ERR_NOT_FOUND,
            "message \"%s\": its mail is not kept (mails of campaigns are made when they "
            "leave)",
            text);
    *spooled_out = db_is_null(s, 0);
    bool ok = *spooled_out || buf_addstr(out, db_blob(s, 0)) ||
              err_set(e, ERR_TOO_BIG, "message \"%s\": its mail is too large", text);
    db_reset(s);
    return ok;
}

static bool view_of(struct db *db, uint64_t contact, uint32_t campaign, json_t **out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT c.name, l.name, c.list_id, p.email, p.address, p.fields,"
                             " c.subject, c.html, c.text, c.started_at FROM campaign c"
                             " LEFT JOIN list l ON l.id = c.list_id"
                             " LEFT JOIN contact p ON p.id = $2 WHERE c.num = $1",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign);
    db_bind_i64(s, 2, (int64_t)contact);
    if (!part_row(s, "mail", "of this link", e))
        return false;
    *out = json_pack("{s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:I}", "campaign", part_column(s, 0),
                     "list", part_column(s, 1), "list_id", (json_int_t)db_i64(s, 2), "email",
                     part_column(s, db_is_null(s, 4) ? 3 : 4), "fields", part_json(s, 5), "subject",
                     part_column(s, 6), "html", part_column(s, 7), "text", part_column(s, 8),
                     "started_at", (json_int_t)db_i64(s, 9));
    db_reset(s);
    return true;
}

bool report_view(struct db *db, uint64_t message_id, json_t **out, struct err *e)
{
    bool begun;
    uint64_t contact = 0;
    uint32_t campaign = 0;
    if (!part_begin(db, &begun, e))
        return false;
    bool ok = outbox_contact_of(db, message_id, &contact, &campaign, e) &&
              view_of(db, contact, campaign, out, e);
    part_end(db, begun);
    return ok;
}
