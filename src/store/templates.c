/* Table template: see templates.h. */
#include "store/templates.h"

#include "base/alloc.h"
#include "store/names.h"

#include <stdlib.h>

#define COLUMNS "id, name, subject, created_at, updated_at, html, text, markdown"

void templates_free(struct stored_template **tp)
{
    struct stored_template *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    free(t->name);
    free(t->subject);
    free(t->html);
    free(t->text);
    free(t->markdown);
    free(t);
}

static bool body_fits(const char *body)
{
    return !body || strlen(body) <= TEMPLATES_BODY_MAX;
}

static bool check_template(const struct stored_template *t, struct err *e)
{
    if (!names_check("template", t->name, e))
        return false;
    if (!t->subject || strpbrk(t->subject, "\r\n"))
        return err_set(e, ERR_INVALID, "template %s: a subject of one line is needed", t->name);
    if (strlen(t->subject) > TEMPLATES_SUBJECT_MAX)
        return err_set(e, ERR_TOO_BIG, "template %s: a subject has at most %u bytes", t->name,
                       TEMPLATES_SUBJECT_MAX);
    if (!t->html && !t->text && !t->markdown)
        return err_set(e, ERR_INVALID, "template %s: give HTML, text or Markdown", t->name);
    if (!body_fits(t->html) || !body_fits(t->text) || !body_fits(t->markdown))
        return err_set(e, ERR_TOO_BIG, "template %s: a body has at most %u bytes", t->name,
                       TEMPLATES_BODY_MAX);
    return true;
}

static bool write_row(struct db *db, const char *sql, const struct stored_template *t,
                      struct err *e)
{
    struct err own = {0};
    struct stmt *st = db_stmt(db, sql, e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)t->id);
    db_bind_cstr(st, 2, t->name);
    db_bind_cstr(st, 3, t->subject);
    db_bind_i64(st, 4, t->created_at);
    db_bind_i64(st, 5, t->updated_at);
    db_bind_cstr(st, 6, t->html);
    db_bind_cstr(st, 7, t->text);
    db_bind_cstr(st, 8, t->markdown);
    if (db_run(st, &own))
        return true;
    if (own.code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "there is a template named %s already", t->name);
    return err_set(e, own.code, "%s", own.text);
}

bool templates_add(struct db *db, const struct stored_template *t, struct err *e)
{
    return check_template(t, e) &&
           write_row(db,
                     "INSERT INTO template (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                     t, e);
}

bool templates_update(struct db *db, const struct stored_template *t, struct err *e)
{
    if (!check_template(t, e) ||
        !write_row(db,
                   "UPDATE template SET name = $2, subject = $3, created_at = $4, updated_at = $5, "
                   "html = $6, text = $7, markdown = $8 WHERE id = $1",
                   t, e))
        return false;
    return db_changes(db) == 1 || err_set(e, ERR_NOT_FOUND, "there is no template %s", t->name);
}

static char *text_copy(struct stmt *st, int col)
{
    struct str s = db_text(st, col);
    return s.p ? str_dup(s) : NULL;
}

static struct stored_template *read_row(struct stmt *st, bool bodies)
{
    struct stored_template *t = alloc_one(struct stored_template);
    t->id = (uint64_t)db_i64(st, 0);
    t->name = text_copy(st, 1);
    t->subject = text_copy(st, 2);
    t->created_at = db_i64(st, 3);
    t->updated_at = db_i64(st, 4);
    if (bodies) {
        t->html = text_copy(st, 5);
        t->text = text_copy(st, 6);
        t->markdown = text_copy(st, 7);
    }
    return t;
}

static bool read_one(struct stmt *st, const char *what, struct stored_template **out, struct err *e)
{
    bool row = false;
    *out = NULL;
    if (!db_step(st, &row, e))
        return false;
    if (!row)
        return err_set(e, ERR_NOT_FOUND, "there is no template %.80s", what);
    *out = read_row(st, true);
    db_reset(st);
    return true;
}

bool templates_get(struct db *db, const char *name, struct stored_template **out, struct err *e)
{
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM template WHERE name = $1", e);
    if (!st)
        return false;
    db_bind_cstr(st, 1, name);
    return read_one(st, name, out, e);
}

bool templates_get_id(struct db *db, uint64_t id, struct stored_template **out, struct err *e)
{
    struct stmt *st = db_stmt(db, "SELECT " COLUMNS " FROM template WHERE id = $1", e);
    if (!st)
        return false;
    db_bind_i64(st, 1, (int64_t)id);
    return read_one(st, "of that id", out, e);
}

bool templates_each(struct db *db, bool (*each)(void *arg, const struct stored_template *t),
                    void *arg, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(
        db, "SELECT id, name, subject, created_at, updated_at FROM template ORDER BY name", e);
    if (!st)
        return false;
    while (db_step(st, &row, e)) {
        if (!row)
            return true;
        struct stored_template *t = read_row(st, false);
        bool more = each(arg, t);
        templates_free(&t);
        if (!more) {
            db_reset(st);
            return true;
        }
    }
    return false;
}

/* A started campaign has its own copy; draft and scheduled ones (states 0 and 1) read it yet. */
bool templates_remove(struct db *db, const char *name, struct err *e)
{
    bool row = false;
    struct stmt *st = db_stmt(db,
                              "SELECT c.name FROM campaign c JOIN template t ON t.id = "
                              "c.template_id WHERE t.name = $1 AND c.state <= 1 LIMIT 1",
                              e);
    if (!st)
        return false;
    db_bind_cstr(st, 1, name);
    if (!db_step(st, &row, e))
        return false;
    if (row)
        err_set(e, ERR_CONFLICT, "template %.80s is used by campaign " STR_F ": remove that first",
                name, STR_A(db_text(st, 0)));
    db_reset(st);
    if (row)
        return false;
    st = db_stmt(db, "DELETE FROM template WHERE name = $1", e);
    if (!st)
        return false;
    db_bind_cstr(st, 1, name);
    return db_run(st, e) &&
           (db_changes(db) == 1 || err_set(e, ERR_NOT_FOUND, "there is no template %.80s", name));
}
