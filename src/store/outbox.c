/* Claiming, closing and loading of leases. */
#include "store/outbox.h"
#include "base/alloc.h"
#include "model/campaign.h"

#include <stdlib.h>

#define PAGE_CONTACTS    32768
#define PAGE_BYTES       (PAGE_CONTACTS / 8)
#define CLAIM_BODIES_MAX (8u * 1024 * 1024)
#define SCAN_MAX         4000 /* rows that a claim looks at */

void lease_free(struct lease **lp)
{
    struct lease *l = *lp;
    *lp = NULL;
    if (!l)
        return;
    arena_free(&l->arena);
    free(l->items);
    free(l);
}

static struct lease *lease_new(uint32_t max)
{
    struct lease *l = alloc_one(struct lease);
    l->items = alloc_many(struct lease_item, max);
    l->arena = arena_new(LEASE_BYTES_MAX);
    return l;
}

bool outbox_ids_pack(const uint64_t *ids, uint32_t n, struct buf *out)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < n; i++) {
        int64_t delta = (int64_t)(ids[i] - last);
        uint64_t z = delta < 0 ? ~((uint64_t)delta << 1) : (uint64_t)delta << 1;
        last = ids[i];
        for (; z >= 0x80; z >>= 7)
            if (!buf_addc(out, (char)(z | 0x80)))
                return false;
        if (!buf_addc(out, (char)z))
            return false;
    }
    return true;
}

uint32_t outbox_ids_unpack(struct str blob, uint64_t *ids, uint32_t max)
{
    uint32_t n = 0;
    uint64_t last = 0;
    for (size_t i = 0; i < blob.n && n < max;) {
        uint64_t z = 0;
        int shift = 0;
        bool more = true;
        for (; more && i < blob.n && shift < 64; shift += 7) {
            unsigned char c = (unsigned char)blob.p[i++];
            z |= (uint64_t)(c & 0x7F) << shift;
            more = c & 0x80;
        }
        if (more)
            break;
        last += (z >> 1) ^ (~(z & 1) + 1);
        ids[n++] = last;
    }
    return n;
}

static bool write_lease(struct db *db, const struct lease *l, const uint64_t *ids, uint64_t epoch,
                        int64_t now_ms, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "INSERT INTO lease (first_id, campaign_num, n, ids, low, high, node, "
                             "epoch, open, created_at) VALUES ($1,$2,$3,$4,$5,$6,0,$7,1,$8)",
                             e);
    if (!s)
        return false;
    struct buf blob;
    buf_init(&blob, LEASE_MAX * 10);
    outbox_ids_pack(ids, l->n, &blob);
    uint64_t low = UINT64_MAX, high = 0;
    for (uint32_t i = 0; i < l->n; i++) {
        low = MIN(low, ids[i]);
        high = MAX(high, ids[i]);
    }
    db_bind_i64(s, 1, (int64_t)l->first_id);
    db_bind_i64(s, 2, l->campaign_num);
    db_bind_i64(s, 3, l->n);
    db_bind_blob(s, 4, buf_str(&blob));
    db_bind_i64(s, 5, (int64_t)low);
    db_bind_i64(s, 6, (int64_t)high);
    db_bind_i64(s, 7, (int64_t)epoch);
    db_bind_i64(s, 8, now_ms);
    buf_free(&blob);
    return db_run(s, e);
}

/* ---- audience bitmap */

struct page {
    int64_t number; /* -1: none loaded */
    bool exists;
    uint8_t bits[PAGE_BYTES];
};

static bool page_save(struct db *db, uint32_t campaign_num, struct page *p, struct err *e)
{
    if (p->number < 0)
        return true;
    struct stmt *s =
        db_stmt(db,
                p->exists ? "UPDATE audience SET bits = $3 WHERE campaign_num = $1 AND page = $2"
                          : "INSERT INTO audience (campaign_num, page, bits) VALUES ($1, $2, $3)",
                e);
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    db_bind_i64(s, 2, p->number);
    db_bind_blob(s, 3, str_from((const char *)p->bits, PAGE_BYTES));
    return db_run(s, e);
}

static bool page_load(struct db *db, uint32_t campaign_num, int64_t number, struct page *p,
                      struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT bits FROM audience WHERE campaign_num = $1 AND page = $2", e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    db_bind_i64(s, 2, number);
    if (!db_step(s, &row, e))
        return false;
    memset(p->bits, 0, sizeof p->bits);
    p->exists = row;
    p->number = number;
    struct str blob = row ? db_blob(s, 0) : STR_NONE;
    if (blob.n)
        memcpy(p->bits, blob.p, MIN(blob.n, sizeof p->bits));
    db_reset(s);
    return true;
}

/* *fresh_out false: the contact has a message of this campaign already. */
static bool page_take(struct db *db, uint32_t campaign_num, uint64_t contact, struct page *p,
                      bool *fresh_out, struct err *e)
{
    int64_t number = (int64_t)(contact / PAGE_CONTACTS);
    if (number != p->number &&
        (!page_save(db, campaign_num, p, e) || !page_load(db, campaign_num, number, p, e)))
        return false;
    uint8_t *byte = &p->bits[contact % PAGE_CONTACTS / 8], bit = (uint8_t)(1u << contact % 8);
    *fresh_out = !(*byte & bit);
    *byte |= bit;
    return true;
}

/* ---- campaign slices */

struct slice {
    int64_t list_id, cursor, contact_max, started_at, group_num;
    int64_t lane, deadline;
};

static bool read_slice(struct db *db, uint32_t campaign_num, struct slice *out, bool *running_out,
                       struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT list_id, cursor, contact_max, started_at, group_num, lane, "
                             "walked, state, deadline FROM campaign WHERE num = $1",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    if (!db_step(s, &row, e))
        return false;
    *running_out = row && !db_i64(s, 6) && db_i64(s, 7) == 2; /* CAMPAIGN_RUNNING */
    if (row)
        *out = (struct slice){db_i64(s, 0), db_i64(s, 1), db_i64(s, 2), db_i64(s, 3),
                              db_i64(s, 4), db_i64(s, 5), db_i64(s, 8)};
    db_reset(s);
    return true;
}

static void fill_contact(struct lease *l, struct lease_item *it, struct stmt *s)
{
    it->contact_id = (uint64_t)db_i64(s, 0);
    it->key = arena_str(l->arena, db_text(s, 1));
    it->address = db_is_null(s, 2) ? it->key : arena_str(l->arena, db_text(s, 2));
    it->fields = db_is_null(s, 3) ? STR_NONE : arena_str(l->arena, db_text(s, 3));
    it->suppressed = !db_is_null(s, 4) || !db_is_null(s, 5);
}

#define CONTACT_COLUMNS "m.contact_id, c.email, c.address, c.fields, m.unsubscribed_at, s.since"

static bool read_members(struct db *db, uint32_t campaign_num, const struct slice *sl, uint32_t max,
                         struct lease *l, uint64_t *cursor_out, struct err *e)
{
    struct stmt *s = db_stmt(
        db,
        "SELECT " CONTACT_COLUMNS " FROM list_member m JOIN contact c ON c.id = m.contact_id "
        "LEFT JOIN suppression s ON s.address = c.email "
        "WHERE m.list_id = $1 AND m.contact_id > $2 AND m.contact_id <= $3 AND m.since <= $4 "
        "AND (m.unsubscribed_at IS NULL OR m.unsubscribed_at > $4) "
        "ORDER BY m.contact_id LIMIT $5",
        e);
    static struct page page; /* the ledger thread's own; 4 KB is much for a stack of calls */
    bool row = true, ok = true;
    if (!s)
        return false;
    page.number = -1;
    db_bind_i64(s, 1, sl->list_id);
    db_bind_i64(s, 2, sl->cursor);
    db_bind_i64(s, 3, sl->contact_max);
    db_bind_i64(s, 4, sl->started_at);
    db_bind_i64(s, 5, max);
    *cursor_out = (uint64_t)sl->cursor;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        bool fresh = false;
        *cursor_out = (uint64_t)db_i64(s, 0);
        ok = page_take(db, campaign_num, *cursor_out, &page, &fresh, e);
        if (ok && fresh)
            fill_contact(l, &l->items[l->n++], s);
    }
    db_reset(s);
    return ok && page_save(db, campaign_num, &page, e);
}

static bool move_cursor(struct db *db, uint32_t campaign_num, uint64_t cursor, uint32_t leased,
                        bool walked, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "UPDATE campaign SET cursor = $2, leased = leased + $3, walked = $4 "
                             "WHERE num = $1",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, campaign_num);
    db_bind_i64(s, 2, (int64_t)cursor);
    db_bind_i64(s, 3, leased);
    db_bind_i64(s, 4, walked);
    return db_run(s, e);
}

static void number_items(struct lease *l, uint32_t campaign_num, const struct slice *sl,
                         int64_t now_ms)
{
    l->campaign_num = campaign_num;
    for (uint32_t i = 0; i < l->n; i++) {
        struct lease_item *it = &l->items[i];
        it->message_id = l->first_id + i;
        it->campaign_num = campaign_num;
        it->group_num = (uint32_t)sl->group_num;
        it->lane = (enum lane)sl->lane;
        it->first_at = now_ms;
        it->expires_at = sl->deadline;
    }
}

bool outbox_claim_campaign(struct db *db, struct ids *ids, uint32_t campaign_num, uint32_t max,
                           int64_t now_ms, uint64_t epoch, struct lease **out, struct err *e)
{
    struct slice sl = {0};
    bool running = false;
    uint64_t cursor = 0, contacts[LEASE_MAX];
    *out = NULL;
    if (!read_slice(db, campaign_num, &sl, &running, e))
        return false;
    if (!running)
        return true;
    max = MIN(max, (uint32_t)LEASE_MAX);
    struct lease *l = lease_new(max);
    bool ok = read_members(db, campaign_num, &sl, max, l, &cursor, e);
    bool walked = cursor == (uint64_t)sl.cursor || cursor >= (uint64_t)sl.contact_max;
    ok = ok && move_cursor(db, campaign_num, cursor, l->n, walked, e);
    if (ok && l->n) {
        l->first_id = ids_block(ids, now_ms, l->n);
        l->walked = walked;
        number_items(l, campaign_num, &sl, now_ms);
        for (uint32_t i = 0; i < l->n; i++)
            contacts[i] = l->items[i].contact_id;
        ok = write_lease(db, l, contacts, epoch, now_ms, e);
    }
    if (ok && l->n)
        *out = l;
    else
        lease_free(&l);
    return ok;
}

/* ---- the queue */

#define QUEUE_COLUMNS                                                                              \
    "q.id, q.due, q.campaign_num, q.group_num, q.contact_id, q.attempts, q.tries, q.resends, "     \
    "q.server_num, q.first_at, COALESCE(q.expires_at, k.deadline), m.from_address, m.rcpt, "       \
    "m.rcpt_key, m.message_id, "                                                                   \
    "m.facts, CASE m.body_of WHEN 0 THEN m.body ELSE "                                             \
    "(SELECT b.body FROM message b WHERE b.id = m.body_of) END, c.email, c.address, c.fields, "    \
    "s.since, q.lane, l.unsubscribed_at, "                                                         \
    "(SELECT MAX(r.n) FROM result r WHERE r.message_id = q.id), k.state, l.list_id, "              \
    "m.header_from, m.tags, m.credential_num, w.fields, m.size, m.body_of, m.dsn "
#define QUEUE_FROM                                                                                 \
    "FROM queue q LEFT JOIN message m ON m.id = q.id LEFT JOIN contact c ON c.id = q.contact_id "  \
    "LEFT JOIN suppression s ON s.address = COALESCE(m.rcpt_key, c.email) "                        \
    "LEFT JOIN campaign k ON k.num = q.campaign_num "                                              \
    "LEFT JOIN contact w ON w.email = m.rcpt_key "                                                 \
    "LEFT JOIN list_member l ON l.list_id = k.list_id AND l.contact_id = q.contact_id "

static void fill_queued(struct lease *l, struct lease_item *it, struct stmt *s)
{
    *it = (struct lease_item){.message_id = (uint64_t)db_i64(s, 0),
                              .campaign_num = (uint32_t)db_i64(s, 2),
                              .group_num = (uint32_t)db_i64(s, 3),
                              .contact_id = (uint64_t)db_i64(s, 4),
                              .attempts = (uint32_t)db_i64(s, 5),
                              .tries = (uint32_t)db_i64(s, 6),
                              .resends = (uint32_t)db_i64(s, 7),
                              .keep_server = (uint16_t)db_i64(s, 8),
                              .first_at = db_i64(s, 9),
                              .expires_at = db_i64(s, 10),
                              .facts = (uint8_t)db_i64(s, 15),
                              .suppressed = !db_is_null(s, 20),
                              .lane = (enum lane)db_i64(s, 21),
                              .in_queue = true};
    it->was_deferred = it->tries > 0;
    /* Attempts that went on to another server are results the row does not know of. */
    it->tries = MAX(it->tries, (uint32_t)db_i64(s, 23));
    if (it->campaign_num) {
        bool removed = db_is_null(s, 17);
        bool unsubscribed = !db_is_null(s, 22) || db_is_null(s, 25);
        it->suppressed = it->suppressed || removed || unsubscribed;
        it->key = arena_str(l->arena, db_text(s, 17));
        it->address = db_is_null(s, 18) ? it->key : arena_str(l->arena, db_text(s, 18));
        it->fields = db_is_null(s, 19) ? STR_NONE : arena_str(l->arena, db_text(s, 19));
        return;
    }
    it->envelope_from = arena_str(l->arena, db_text(s, 11));
    it->address = arena_str(l->arena, db_text(s, 12));
    it->key = arena_str(l->arena, db_text(s, 13));
    it->message_id_text = arena_str(l->arena, db_text(s, 14));
    it->header_from = arena_str(l->arena, db_text(s, 26));
    it->tags = arena_str(l->arena, db_text(s, 27));
    it->dsn = arena_str(l->arena, db_text(s, 32));
    it->credential_num = (uint32_t)db_i64(s, 28);
    it->fields = arena_str(l->arena, db_text(s, 29));
    it->spooled = db_is_null(s, 16);
    it->body = it->spooled ? STR_NONE : arena_str(l->arena, db_blob(s, 16));
    it->body_id = db_i64(s, 31) ? (uint64_t)db_i64(s, 31) : it->message_id;
    it->size = MAX((uint64_t)db_i64(s, 30), (uint64_t)it->body.n);
}

static bool is_paused(struct stmt *s)
{
    return db_i64(s, 24) == CAMPAIGN_PAUSED;
}

/* Rows of paused campaigns are passed over, SCAN_MAX at most in a claim: the place moves on. */
static bool read_due(struct stmt *s, uint32_t max, struct outbox_place *place,
                     bool (*is_claimed)(void *arg, uint64_t id), void *arg, struct lease *l,
                     struct err *e)
{
    bool row = true, ok = true;
    for (uint32_t seen = 0;
         seen < SCAN_MAX && l->n < max && arena_used(l->arena) < CLAIM_BODIES_MAX &&
         (ok = db_step(s, &row, e)) && row;
         seen++) {
        place->id = (uint64_t)db_i64(s, 0);
        place->due = db_i64(s, 1);
        if (!is_paused(s) && !is_claimed(arg, place->id))
            fill_queued(l, &l->items[l->n++], s);
    }
    db_reset(s);
    return ok;
}

bool outbox_claim_queue(struct db *db, struct ids *ids, enum lane lane, int64_t now_ms,
                        uint64_t epoch, uint32_t max, struct outbox_place *place,
                        bool (*is_claimed)(void *arg, uint64_t id), void *arg, struct lease **out,
                        struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT " QUEUE_COLUMNS QUEUE_FROM
                             "WHERE q.lane = $1 AND q.due <= $2 AND (q.due, q.id) > ($3, $4) "
                             "ORDER BY q.due, q.id",
                             e);
    uint64_t message_ids[LEASE_MAX];
    *out = NULL;
    if (!s)
        return false;
    max = MIN(max, (uint32_t)LEASE_MAX);
    struct lease *l = lease_new(max);
    db_bind_i64(s, 1, lane);
    db_bind_i64(s, 2, now_ms);
    db_bind_i64(s, 3, place->due);
    db_bind_i64(s, 4, (int64_t)place->id);
    bool ok = read_due(s, max, place, is_claimed, arg, l, e);
    if (ok && l->n) {
        l->first_id = ids_block(ids, now_ms, 1);
        for (uint32_t i = 0; i < l->n; i++)
            message_ids[i] = l->items[i].message_id;
        ok = write_lease(db, l, message_ids, epoch, now_ms, e);
    }
    if (ok && l->n)
        *out = l;
    else
        lease_free(&l);
    return ok;
}

bool outbox_next_due(struct db *db, enum lane lane, const struct outbox_place *place,
                     int64_t *due_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT due FROM queue WHERE lane = $1 AND (due, id) > ($2, $3) "
                             "ORDER BY due, id LIMIT 1",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, lane);
    db_bind_i64(s, 2, place->due);
    db_bind_i64(s, 3, (int64_t)place->id);
    if (!db_step(s, &row, e))
        return false;
    *due_out = row ? db_i64(s, 0) : INT64_MAX;
    db_reset(s);
    return true;
}

bool outbox_close(struct db *db, uint64_t first_id, bool of_campaign, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             of_campaign ? "UPDATE lease SET open = 0 WHERE first_id = $1"
                                         : "DELETE FROM lease WHERE first_id = $1",
                             e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)first_id);
    return db_run(s, e);
}

/* ---- after a start */

bool outbox_open_leases(struct db *db, uint64_t **ids_out, size_t *n_out, struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT first_id FROM lease WHERE open = 1 ORDER BY first_id", e);
    bool row = true, ok = s != NULL;
    uint64_t *ids = NULL;
    size_t n = 0, cap = 0;
    while (ok && (ok = db_step(s, &row, e)) && row) {
        if (n == cap) {
            cap = MAX(cap * 2, (size_t)64);
            ids = alloc_resize(ids, cap * sizeof *ids);
        }
        ids[n++] = (uint64_t)db_i64(s, 0);
    }
    if (s)
        db_reset(s);
    *ids_out = ids;
    *n_out = n;
    return ok;
}

struct lease_row {
    uint32_t campaign_num, n;
    int64_t created_at;
    uint64_t ids[LEASE_MAX];
};

static bool read_lease(struct db *db, uint64_t first_id, struct lease_row *out, bool *found_out,
                       struct err *e)
{
    struct stmt *s =
        db_stmt(db, "SELECT campaign_num, ids, created_at FROM lease WHERE first_id = $1", e);
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)first_id);
    if (!db_step(s, found_out, e))
        return false;
    if (*found_out) {
        out->campaign_num = (uint32_t)db_i64(s, 0);
        out->n = outbox_ids_unpack(db_blob(s, 1), out->ids, LEASE_MAX);
        out->created_at = db_i64(s, 2);
    }
    db_reset(s);
    return true;
}

/* Highest attempt of a message and whether it settled it (final, or waits in the queue). */
static bool last_result(struct db *db, uint64_t message_id, uint32_t *n_out, bool *settled_out,
                        struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT MAX(r.n), (SELECT x.state FROM result x WHERE "
                             "x.message_id = $1 ORDER BY x.n DESC LIMIT 1), (SELECT q.id FROM "
                             "queue q WHERE q.id = $1) FROM result r WHERE r.message_id = $1",
                             e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)message_id);
    if (!db_step(s, &row, e))
        return false;
    *n_out = (uint32_t)db_i64(s, 0);
    *settled_out =
        (!db_is_null(s, 1) && message_state_is_final((enum message_state)db_i64(s, 1))) ||
        !db_is_null(s, 2);
    db_reset(s);
    return true;
}

static bool load_contact(struct db *db, struct lease *l, uint64_t contact, struct lease_item *it,
                         int64_t list_id, struct err *e)
{
    struct stmt *s =
        db_stmt(db,
                "SELECT c.id, c.email, c.address, c.fields, m.unsubscribed_at, s.since, m.list_id "
                "FROM contact c LEFT JOIN list_member m ON m.contact_id = c.id "
                "AND m.list_id = $2 LEFT JOIN suppression s ON s.address = c.email "
                "WHERE c.id = $1",
                e);
    bool row = false;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)contact);
    db_bind_i64(s, 2, list_id);
    if (!db_step(s, &row, e))
        return false;
    if (row)
        fill_contact(l, it, s);
    if (!row || db_is_null(s, 6))
        it->suppressed = true; /* the contact was removed, or left the list: it gets no mail */
    db_reset(s);
    return true;
}

static bool load_of_campaign(struct db *db, const struct lease_row *row, struct lease *l,
                             struct err *e)
{
    struct slice sl = {0};
    bool running = false, ok = read_slice(db, row->campaign_num, &sl, &running, e);
    for (uint32_t i = 0; ok && i < row->n; i++) {
        struct lease_item *it = &l->items[l->n];
        uint32_t tries = 0;
        bool settled = false;
        ok = last_result(db, l->first_id + i, &tries, &settled, e);
        if (!ok || settled)
            continue;
        *it = (struct lease_item){.message_id = l->first_id + i,
                                  .contact_id = row->ids[i],
                                  .campaign_num = row->campaign_num,
                                  .group_num = (uint32_t)sl.group_num,
                                  .lane = (enum lane)sl.lane,
                                  .tries = tries,
                                  .first_at = row->created_at,
                                  .expires_at = sl.deadline};
        ok = load_contact(db, l, row->ids[i], it, sl.list_id, e);
        l->n++;
    }
    return ok;
}

static bool load_of_queue(struct db *db, const struct lease_row *row, struct lease *l,
                          struct err *e)
{
    struct stmt *s = db_stmt(db, "SELECT " QUEUE_COLUMNS QUEUE_FROM "WHERE q.id = $1", e);
    bool ok = s != NULL;
    for (uint32_t i = 0; ok && i < row->n; i++) {
        bool found = false;
        db_bind_i64(s, 1, (int64_t)row->ids[i]);
        ok = db_step(s, &found, e);
        if (ok && found)
            fill_queued(l, &l->items[l->n++], s);
        db_reset(s);
    }
    return ok;
}

bool outbox_load(struct db *db, uint64_t first_id, struct lease **out, struct err *e)
{
    struct lease_row *row = alloc_one(struct lease_row);
    bool found = false, ok = read_lease(db, first_id, row, &found, e);
    struct lease *l = lease_new(LEASE_MAX);
    l->first_id = first_id;
    l->campaign_num = row->campaign_num;
    if (ok && found)
        ok = row->campaign_num ? load_of_campaign(db, row, l, e) : load_of_queue(db, row, l, e);
    free(row);
    if (ok)
        *out = l;
    else
        lease_free(&l);
    return ok;
}

bool outbox_contact_of(struct db *db, uint64_t message_id, uint64_t *contact_out,
                       uint32_t *campaign_out, struct err *e)
{
    struct stmt *s = db_stmt(db,
                             "SELECT first_id, campaign_num, ids, n FROM lease "
                             "WHERE first_id <= $1 AND campaign_num <> 0 "
                             "ORDER BY first_id DESC LIMIT 1",
                             e);
    uint64_t ids[LEASE_MAX];
    bool row = false;
    *contact_out = 0;
    *campaign_out = 0;
    if (!s)
        return false;
    db_bind_i64(s, 1, (int64_t)message_id);
    if (!db_step(s, &row, e))
        return false;
    if (row) {
        uint64_t at = message_id - (uint64_t)db_i64(s, 0);
        uint32_t n = outbox_ids_unpack(db_blob(s, 2), ids, LEASE_MAX);
        if (at < n) {
            *contact_out = ids[at];
            *campaign_out = (uint32_t)db_i64(s, 1);
        }
    }
    db_reset(s);
    return true;
}
