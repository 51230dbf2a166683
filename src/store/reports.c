/* The tools of all reports: rows to JSON, pages with a cursor, read transactions.
 * Knows no table. */
#include "store/reports.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "store/reports_parts.h"

json_t *part_text(struct str s)
{
    if (!s.p)
        return json_null();
    json_t *j = json_stringn(s.p, s.n);
    if (j)
        return j;
    struct buf b;
    buf_init(&b, s.n * 6 + 16);
    if (codec_json_string_add(&b, s))
        j = json_loadb(b.p, b.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    buf_free(&b);
    return j ? j : json_string("");
}

json_t *part_column(struct stmt *s, int col)
{
    return part_text(db_text(s, col));
}

json_t *part_time(int64_t wall_ms)
{
    char text[40];
    if (wall_ms <= 0)
        return json_null();
    clock_format(wall_ms, text);
    return json_string(text);
}

json_t *part_json(struct stmt *s, int col)
{
    struct str t = db_text(s, col);
    json_t *j = t.p ? json_loadb(t.p, t.n, JSON_DECODE_ANY, NULL) : NULL;
    return j ? j : json_null();
}

json_t *part_id(const char *prefix, uint64_t id)
{
    char text[24];
    codec_id_format(prefix, id, text);
    return json_string(text);
}

json_t *part_count(uint64_t n, bool zero_is_null)
{
    return zero_is_null && !n ? json_null() : json_integer((json_int_t)n);
}

bool part_begin(struct db *db, bool *begun_out, struct err *e)
{
    *begun_out = false;
    if (db_in_transaction(db))
        return true;
    if (!db_begin(db, e))
        return false;
    *begun_out = true;
    return true;
}

void part_end(struct db *db, bool begun)
{
    if (begun)
        db_rollback(db);
}

json_t *part_lines(struct stmt *s, int col)
{
    struct str rest = db_text(s, col), line;
    json_t *j = json_array();
    while (str_split(&rest, '\n', &line))
        json_array_append_new(j, part_text(line));
    return j;
}

json_t *part_name(struct stmt *s, int name_col, int removed_col)
{
    struct str name = db_text(s, name_col);
    ptrdiff_t suffix = db_is_null(s, removed_col) ? -1 : str_rchr(name, '~');
    return part_text(suffix > 0 ? str_cut(name, 0, (size_t)suffix) : name);
}

uint64_t part_limit(const struct report_page *p)
{
    if (!p->limit)
        return REPORT_LIMIT_DEFAULT;
    return MIN(p->limit, (uint64_t)REPORT_LIMIT_MAX);
}

json_t *part_page_of(json_t *data, json_t *next)
{
    bool has_more = next && !json_is_null(next);
    return json_pack("{s:o, s:o, s:b}", "data", data, "next", next ? next : json_null(), "has_more",
                     has_more);
}

bool part_page(struct db *db, struct stmt *s, uint64_t limit, int key_col, part_make *make,
               void *arg, json_t **out, struct err *e)
{
    json_t *data = json_array(), *last = json_null(), *next = NULL;
    bool row = false, ok;
    while ((ok = db_step(s, &row, e)) && row) {
        json_t *one = make(arg, db, s);
        if (!one)
            continue;
        if (json_array_size(data) == limit) {
            json_decref(one);
            next = json_incref(last);
            break;
        }
        json_decref(last);
        last = part_column(s, key_col);
        json_array_append_new(data, one);
    }
    db_reset(s);
    json_decref(last);
    if (!ok) {
        json_decref(data);
        json_decref(next);
        return false;
    }
    *out = part_page_of(data, next);
    return true;
}

bool part_row(struct stmt *s, const char *what, const char *name, struct err *e)
{
    bool row = false;
    if (!db_step(s, &row, e))
        return false;
    if (row)
        return true;
    db_reset(s);
    return err_set(e, ERR_NOT_FOUND, "%s \"%.120s\": there is none", what, name);
}

bool part_select(struct db *db, const char *sql, const struct report_page *p, int key_col,
                 part_make *make, void *arg, json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    struct stmt *s = db_stmt(db, sql, e);
    bool ok = false;
    if (s) {
        db_bind_cstr(s, 1, p->after ? p->after : "");
        db_bind_i64(s, 2, (int64_t)part_limit(p) + 1);
        if (p->filter && strstr(sql, "$3"))
            db_bind_cstr(s, 3, p->filter);
        ok = part_page(db, s, part_limit(p), key_col, make, arg, out, e);
    }
    part_end(db, begun);
    return ok;
}

bool part_select_one(struct db *db, const char *sql, const char *what, const char *name,
                     part_make *make, void *arg, json_t **out, struct err *e)
{
    bool begun;
    if (!part_begin(db, &begun, e))
        return false;
    struct stmt *s = db_stmt(db, sql, e);
    bool ok = false;
    if (s) {
        db_bind_cstr(s, 1, name);
        ok = part_row(s, what, name, e);
        if (ok) {
            *out = make(arg, db, s);
            db_reset(s);
        }
    }
    part_end(db, begun);
    return ok;
}
