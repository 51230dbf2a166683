/* Import of contacts in batches of rows: see people.h. A new contact costs two inserts and no
 * lookup: the insert itself tells whether the address is known. */
#include "store/people_inner.h"

#include "store/fields.h"

struct import {
    struct people *p;
    uint64_t list_id;
    enum people_policy policy;
    int64_t now_ms;
    bool any_suppressed;                     /* there is a suppression at all */
    uint64_t joined;                         /* memberships made */
    struct str seen[PEOPLE_FIELD_NAMES_MAX]; /* names of fields met in this batch */
    size_t n_seen;
    struct stmt *add, *join;
};

static const char *const add_sql =
    "INSERT INTO contact (id, email, address, fields, created_at, updated_at) "
    "VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (email) DO NOTHING";
static const char *const join_sql =
    "INSERT INTO list_member (list_id, contact_id, since) VALUES ($1, $2, $3) "
    "ON CONFLICT (list_id, contact_id) DO NOTHING";

static bool too_many_names(struct err *e)
{
    return err_set(e, ERR_TOO_BIG,
                   "contacts have over %d different field names: leave columns out of the file",
                   PEOPLE_FIELD_NAMES_MAX);
}

/* Rows of a file share their header's bytes, so that the pointer mostly decides. */
static bool note_name(struct import *im, size_t hint, struct str name, struct err *e)
{
    if (hint < im->n_seen && im->seen[hint].p == name.p && im->seen[hint].n == name.n)
        return true;
    for (size_t i = 0; i < im->n_seen; i++)
        if (str_eq(im->seen[i], name))
            return true;
    if (im->n_seen == PEOPLE_FIELD_NAMES_MAX)
        return too_many_names(e);
    im->seen[im->n_seen++] = name;
    return true;
}

static bool note_names(struct import *im, const struct people_row *row, struct err *e)
{
    for (size_t i = 0; i < row->n_fields; i++)
        if (row->fields[i].value.n && !note_name(im, i, row->fields[i].name, e))
            return false;
    return true;
}

static bool store_names(struct import *im, struct err *e)
{
    for (size_t i = 0; i < im->n_seen; i++) {
        struct stmt *st = db_stmt(im->p->db,
                                  "INSERT INTO contact_field (name, position) SELECT "
                                  "CAST($1 AS TEXT), count(*) FROM contact_field WHERE TRUE "
                                  "ON CONFLICT (name) DO NOTHING",
                                  e);
        if (!st)
            return false;
        db_bind_text_ref(st, 1, im->seen[i]);
        if (!db_run(st, e))
            return false;
    }
    struct stmt *st = db_stmt(im->p->db, "SELECT count(*) FROM contact_field", e);
    bool row = false;
    if (!st || !db_step(st, &row, e))
        return false;
    int64_t n = db_i64(st, 0);
    db_reset(st);
    return n <= PEOPLE_FIELD_NAMES_MAX || too_many_names(e);
}

static bool is_suppressed(struct import *im, struct str key, bool *out, struct err *e)
{
    *out = false;
    if (!im->any_suppressed)
        return true;
    struct stmt *st = db_stmt(im->p->db, "SELECT 1 FROM suppression WHERE address = $1", e);
    if (!st)
        return false;
    db_bind_text_ref(st, 1, key);
    if (!db_step(st, out, e))
        return false;
    db_reset(st);
    return true;
}

static bool join_list(struct import *im, uint64_t contact_id, struct err *e)
{
    if (!im->list_id)
        return true;
    db_bind_i64(im->join, 1, (int64_t)im->list_id);
    db_bind_i64(im->join, 2, (int64_t)contact_id);
    db_bind_i64(im->join, 3, im->now_ms);
    if (!db_run(im->join, e))
        return false;
    im->joined += (uint64_t)db_changes(im->p->db);
    return true;
}

/* *added_out false: the address is known. */
static bool add_contact(struct import *im, struct people_row *row, bool *added_out, struct err *e)
{
    struct people *p = im->p;
    buf_clear(&p->json);
    if (!fields_write(row->fields, row->n_fields, &p->json, e))
        return false;
    db_bind_i64(im->add, 1, (int64_t)p->next_id);
    db_bind_text_ref(im->add, 2, row->key);
    db_bind_text_ref(im->add, 3, row->address);
    db_bind_text_ref(im->add, 4, p->json.n ? buf_str(&p->json) : STR_NONE);
    db_bind_i64(im->add, 5, im->now_ms);
    if (!db_run(im->add, e))
        return false;
    *added_out = db_changes(p->db) == 1;
    if (*added_out)
        row->contact_id = p->next_id++;
    return true;
}

static bool write_fields(struct import *im, uint64_t id, struct err *e)
{
    struct people *p = im->p;
    struct stmt *st =
        db_stmt(p->db, "UPDATE contact SET fields = $2, updated_at = $3 WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)id);
    db_bind_text_ref(st, 2, p->json.n ? buf_str(&p->json) : STR_NONE);
    db_bind_i64(st, 3, im->now_ms);
    return db_run(st, e);
}

/* The merged fields may be too many although each side was fine. */
static bool update_fields(struct import *im, struct people_row *row, const struct person *known,
                          struct err *e)
{
    struct people *p = im->p;
    struct err own = {0};
    buf_clear(&p->json);
    if (!fields_merge(known->fields, row->fields, row->n_fields, p->arena, &p->json, &own)) {
        if (own.code != ERR_INVALID)
            return err_set(e, own.code, "contact " STR_F ": %s", STR_A(row->key), own.text);
        row->verdict = PEOPLE_INVALID;
        row->why = "with those it has, more than 64 fields";
        return true;
    }
    return str_eq(buf_str(&p->json), known->fields) || write_fields(im, known->id, e);
}

static bool take_known(struct import *im, struct people_row *row, struct err *e)
{
    struct person known;
    bool found = false;
    arena_reset(im->p->arena);
    if (!people_find(im->p->db, row->key, im->p->arena, &known, &found, e))
        return false;
    if (!found)
        return err_set(e, ERR_CORRUPT, "contact " STR_F " is in an index but not in its table",
                       STR_A(row->key));
    row->contact_id = known.id;
    row->verdict = im->policy == PEOPLE_UPDATE ? PEOPLE_UPDATED : PEOPLE_SKIPPED;
    if (im->policy == PEOPLE_NEW)
        return true;
    if (im->policy == PEOPLE_UPDATE && row->n_fields && !update_fields(im, row, &known, e))
        return false;
    return row->verdict == PEOPLE_INVALID || join_list(im, known.id, e);
}

static bool take_row(struct import *im, struct people_row *row, struct err *e)
{
    bool added = false, suppressed = false;
    row->contact_id = 0;
    row->why = row->key.n ? fields_problem(row->fields, row->n_fields) : "no valid address";
    if (!row->key.n || row->key.n > CONTACT_EMAIL_MAX || row->why) {
        row->verdict = PEOPLE_INVALID;
        return true;
    }
    row->verdict = PEOPLE_IMPORTED;
    if (!note_names(im, row, e) || !add_contact(im, row, &added, e) ||
        !(added ? join_list(im, row->contact_id, e) : take_known(im, row, e)) ||
        !is_suppressed(im, row->key, &suppressed, e))
        return false;
    if (suppressed && row->verdict != PEOPLE_INVALID)
        row->verdict = PEOPLE_SUPPRESSED;
    return true;
}

static bool begin(struct import *im, struct err *e)
{
    struct stmt *st = db_stmt(im->p->db, "SELECT 1 FROM suppression LIMIT 1", e);
    if (!st || !db_step(st, &im->any_suppressed, e))
        return false;
    db_reset(st);
    im->add = db_stmt(im->p->db, add_sql, e);
    im->join = im->add ? db_stmt(im->p->db, join_sql, e) : NULL;
    return im->join != NULL;
}

static bool count_members(struct import *im, struct err *e)
{
    if (!im->list_id)
        return true;
    struct stmt *st = db_stmt(im->p->db, "UPDATE list SET members = members + $2 WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)im->list_id);
    db_bind_i64(st, 2, (int64_t)im->joined);
    return db_run(st, e) &&
           (db_changes(im->p->db) == 1 || err_set(e, ERR_NOT_FOUND, "the list is there no more"));
}

bool people_import_rows(struct people *p, uint64_t list_id, enum people_policy policy,
                        struct people_row *rows, size_t n, int64_t now_ms,
                        struct people_counts *counts, struct err *e)
{
    struct import im = {.p = p, .list_id = list_id, .policy = policy, .now_ms = now_ms};
    uint64_t of[PEOPLE_VERDICT_COUNT] = {0};
    if (!begin(&im, e))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!take_row(&im, &rows[i], e))
            return false;
        of[rows[i].verdict]++;
    }
    if (!store_names(&im, e) || !count_members(&im, e))
        return false;
    counts->rows += n;
    for (size_t v = 0; v < PEOPLE_VERDICT_COUNT; v++)
        counts->of[v] += of[v];
    return true;
}
