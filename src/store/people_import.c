/* Import of contacts in batches of rows: see people.h. A new contact costs one insert and no
 * lookup: the insert itself tells whether the address is known. New ones have ids in a row, so one
 * statement at the end makes all of them members. */
#include "store/people_inner.h"

#include "store/fields.h"

static const char *const add_sql =
    "INSERT INTO contact (id, email, address, fields, created_at, updated_at) "
    "VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (email) DO NOTHING";
static const char *const join_sql =
    "INSERT INTO list_member (list_id, contact_id, since) VALUES ($1, $2, $3) "
    "ON CONFLICT (list_id, contact_id) DO NOTHING";

/* The new ones of a batch: a known one among their ids has joined already. */
static const char *const join_new_sql =
    "INSERT INTO list_member (list_id, contact_id, since) SELECT CAST($1 AS BIGINT), id, "
    "CAST($2 AS BIGINT) FROM contact WHERE id >= $3 ON CONFLICT (list_id, contact_id) DO NOTHING";

static bool too_many_names(struct err *e)
{
    return err_set(e, ERR_TOO_BIG,
                   "contacts have over %d different field names: leave columns out of the file",
                   PEOPLE_FIELD_NAMES_MAX);
}

/* Rows of a file share their header's bytes, so that the pointer mostly decides. */
static bool note_name(struct people_batch *b, size_t hint, struct str name, struct err *e)
{
    if (hint < b->n_seen && b->seen[hint].p == name.p && b->seen[hint].n == name.n)
        return true;
    for (size_t i = 0; i < b->n_seen; i++)
        if (str_eq(b->seen[i], name))
            return true;
    if (b->n_seen == PEOPLE_FIELD_NAMES_MAX)
        return too_many_names(e);
    b->seen[b->n_seen++] = name;
    return true;
}

static bool note_names(struct people_batch *b, const struct people_row *row, struct err *e)
{
    for (size_t i = 0; i < row->n_fields; i++)
        if (row->fields[i].value.n && !note_name(b, i, row->fields[i].name, e))
            return false;
    return true;
}

static bool store_names(struct people *p, struct err *e)
{
    struct people_batch *b = &p->batch;
    for (size_t i = 0; i < b->n_seen; i++) {
        struct stmt *st = db_stmt(p->db,
                                  "INSERT INTO contact_field (name, position) SELECT "
                                  "CAST($1 AS TEXT), count(*) FROM contact_field WHERE TRUE "
                                  "ON CONFLICT (name) DO NOTHING",
                                  e);
        if (!st)
            return false;
        db_bind_text_ref(st, 1, b->seen[i]);
        if (!db_run(st, e))
            return false;
    }
    struct stmt *st = db_stmt(p->db, "SELECT count(*) FROM contact_field", e);
    bool row = false;
    if (!st || !db_step(st, &row, e))
        return false;
    int64_t n = db_i64(st, 0);
    db_reset(st);
    return n <= PEOPLE_FIELD_NAMES_MAX || too_many_names(e);
}

static bool is_suppressed(struct people *p, struct str key, bool *out, struct err *e)
{
    struct people_batch *b = &p->batch;
    *out = false;
    if (!b->any_suppressed)
        return true;
    struct stmt *st = db_stmt(p->db, "SELECT 1 FROM suppression WHERE address = $1", e);
    if (!st)
        return false;
    db_bind_text_ref(st, 1, key);
    if (!db_step(st, out, e))
        return false;
    db_reset(st);
    return true;
}

static bool join_list(struct people *p, uint64_t contact_id, struct err *e)
{
    struct people_batch *b = &p->batch;
    if (!b->list_id)
        return true;
    db_bind_i64(b->join, 1, (int64_t)b->list_id);
    db_bind_i64(b->join, 2, (int64_t)contact_id);
    db_bind_i64(b->join, 3, b->now_ms);
    if (!db_run(b->join, e))
        return false;
    b->joined += (uint64_t)db_changes(p->db);
    return true;
}

/* *added_out false: the address is known. */
static bool add_contact(struct people *p, struct people_row *row, bool *added_out, struct err *e)
{
    struct people_batch *b = &p->batch;
    buf_clear(&p->json);
    if (!fields_write(row->fields, row->n_fields, &p->json, e))
        return false;
    db_bind_i64(b->add, 1, (int64_t)p->next_id);
    db_bind_text_ref(b->add, 2, row->key);
    db_bind_text_ref(b->add, 3, row->address);
    db_bind_text_ref(b->add, 4, p->json.n ? buf_str(&p->json) : STR_NONE);
    db_bind_i64(b->add, 5, b->now_ms);
    if (!db_run(b->add, e))
        return false;
    *added_out = db_changes(p->db) == 1;
    if (*added_out)
        row->contact_id = p->next_id++;
    return true;
}

static bool write_fields(struct people *p, uint64_t id, struct err *e)
{
    struct people_batch *b = &p->batch;
    struct stmt *st =
        db_stmt(p->db, "UPDATE contact SET fields = $2, updated_at = $3 WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)id);
    db_bind_text_ref(st, 2, p->json.n ? buf_str(&p->json) : STR_NONE);
    db_bind_i64(st, 3, b->now_ms);
    return db_run(st, e);
}

/* The merged fields may be too many although each side was fine. */
static bool update_fields(struct people *p, struct people_row *row, const struct person *known,
                          struct err *e)
{
    struct err own = {0};
    buf_clear(&p->json);
    if (!fields_merge(known->fields, row->fields, row->n_fields, p->arena, &p->json, &own)) {
        if (own.code != ERR_INVALID)
            return err_set(e, own.code, "contact " STR_F ": %s", STR_A(row->key), own.text);
        row->verdict = PEOPLE_INVALID;
        row->why = "with those it has, more than 64 fields";
        return true;
    }
    return str_eq(buf_str(&p->json), known->fields) || write_fields(p, known->id, e);
}

static bool take_known(struct people *p, struct people_row *row, struct err *e)
{
    struct people_batch *b = &p->batch;
    struct person known;
    bool found = false;
    arena_reset(p->arena);
    if (!people_find(p->db, row->key, p->arena, &known, &found, e))
        return false;
    if (!found)
        return err_set(e, ERR_CORRUPT, "contact " STR_F " is in an index but not in its table",
                       STR_A(row->key));
    row->contact_id = known.id;
    row->verdict = b->policy == PEOPLE_UPDATE ? PEOPLE_UPDATED : PEOPLE_SKIPPED;
    if (b->policy == PEOPLE_NEW)
        return true;
    if (b->policy == PEOPLE_UPDATE && row->n_fields && !update_fields(p, row, &known, e))
        return false;
    return row->verdict == PEOPLE_INVALID || join_list(p, known.id, e);
}

static bool take_row(struct people *p, struct people_row *row, struct err *e)
{
    bool added = false, suppressed = false;
    row->contact_id = 0;
    row->why = row->key.n ? fields_problem(row->fields, row->n_fields) : "no valid address";
    if (!row->key.n || row->key.n > CONTACT_EMAIL_MAX || row->why) {
        row->verdict = PEOPLE_INVALID;
        return true;
    }
    row->verdict = PEOPLE_IMPORTED;
    if (!note_names(&p->batch, row, e) || !add_contact(p, row, &added, e) ||
        (!added && !take_known(p, row, e)) || !is_suppressed(p, row->key, &suppressed, e))
        return false;
    if (suppressed && row->verdict != PEOPLE_INVALID)
        row->verdict = PEOPLE_SUPPRESSED;
    return true;
}

bool people_import_begin(struct people *p, uint64_t list_id, enum people_policy policy,
                         int64_t now_ms, struct err *e)
{
    struct people_batch *b = &p->batch;
    *b = (struct people_batch){
        .list_id = list_id, .policy = policy, .now_ms = now_ms, .first_new = p->next_id};
    struct stmt *st = db_stmt(p->db, "SELECT 1 FROM suppression LIMIT 1", e);
    if (!st || !db_step(st, &b->any_suppressed, e))
        return false;
    db_reset(st);
    b->add = db_stmt(p->db, add_sql, e);
    b->join = b->add ? db_stmt(p->db, join_sql, e) : NULL;
    return b->join != NULL;
}

bool people_import_row(struct people *p, struct people_row *row, struct err *e)
{
    if (!take_row(p, row, e))
        return false;
    p->batch.counts.rows++;
    p->batch.counts.of[row->verdict]++;
    return true;
}

static bool join_new(struct people *p, struct err *e)
{
    struct people_batch *b = &p->batch;
    if (!b->list_id || b->first_new == p->next_id)
        return true;
    struct stmt *st = db_stmt(p->db, join_new_sql, e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)b->list_id);
    db_bind_i64(st, 2, b->now_ms);
    db_bind_i64(st, 3, (int64_t)b->first_new);
    if (!db_run(st, e))
        return false;
    b->joined += (uint64_t)db_changes(p->db);
    return true;
}

static bool count_members(struct people *p, struct err *e)
{
    struct people_batch *b = &p->batch;
    if (!b->list_id)
        return true;
    struct stmt *st = db_stmt(p->db, "UPDATE list SET members = members + $2 WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)b->list_id);
    db_bind_i64(st, 2, (int64_t)b->joined);
    return db_run(st, e) &&
           (db_changes(p->db) == 1 || err_set(e, ERR_NOT_FOUND, "the list is there no more"));
}

bool people_import_end(struct people *p, struct people_counts *counts, struct err *e)
{
    const struct people_counts *done = &p->batch.counts;
    if (!store_names(p, e) || !join_new(p, e) || !count_members(p, e))
        return false;
    counts->rows += done->rows;
    for (size_t v = 0; v < PEOPLE_VERDICT_COUNT; v++)
        counts->of[v] += done->of[v];
    return true;
}

bool people_import_rows(struct people *p, uint64_t list_id, enum people_policy policy,
                        struct people_row *rows, size_t n, int64_t now_ms,
                        struct people_counts *counts, struct err *e)
{
    if (!people_import_begin(p, list_id, policy, now_ms, e))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!people_import_row(p, &rows[i], e))
            return false;
    return people_import_end(p, counts, e);
}
