/* Export of contacts as CSV, walked by id so that memory stays flat: see people.h. */
#include "store/people_inner.h"

#include "base/csv.h"
#include "store/fields.h"

#define NAMES_ARENA_MAX (1u << 20)
#define ROW_ARENA_MAX   (8u << 20)

bool people_export_begin(struct people_export *x, struct db *db, uint64_t list_id, bool all,
                         struct buf *out, struct err *e)
{
    *x = (struct people_export){.db = db, .list_id = list_id, .all = all && list_id};
    x->names_arena = arena_new(NAMES_ARENA_MAX);
    if (!people_field_names(db, x->names_arena, &x->names, &x->n_names, e)) {
        people_export_end(x);
        return false;
    }
    bool ok = csv_add_cell(out, STR("email"), true);
    for (size_t i = 0; ok && i < x->n_names; i++)
        ok = csv_add_cell(out, x->names[i], false);
    ok = ok && (!x->all || csv_add_cell(out, STR("unsubscribed"), false)) && csv_end_row(out);
    return ok || err_set(e, ERR_TOO_BIG, "no room for the header of the export");
}

struct walk {
    struct people_export *x;
    struct arena *arena;
    struct buf *out;
    size_t rows;
    bool ok;
    struct err *e;
};

static struct str value_of(const struct field *fields, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(fields[i].name, name))
            return fields[i].value;
    return STR("");
}

static bool add_person(void *arg, const struct person *p)
{
    struct walk *w = arg;
    struct people_export *x = w->x;
    struct field *fields = NULL;
    size_t n = 0;
    arena_reset(w->arena);
    w->ok = fields_read(p->fields, w->arena, &fields, &n, w->e);
    if (!w->ok)
        return err_prefix(w->e, "contact " STR_F, STR_A(p->key));
    bool fits = csv_add_cell(w->out, p->address, true);
    for (size_t i = 0; fits && i < x->n_names; i++)
        fits = csv_add_cell(w->out, value_of(fields, n, x->names[i]), false);
    fits = fits &&
           (!x->all || csv_add_cell(w->out, p->unsubscribed ? STR("yes") : STR(""), false)) &&
           csv_end_row(w->out);
    if (!fits)
        w->ok = err_set(w->e, ERR_TOO_BIG, "no room for a row of the export");
    x->after = p->id;
    w->rows++;
    return w->ok;
}

bool people_export_next(struct people_export *x, size_t limit, struct buf *out, bool *done_out,
                        struct err *e)
{
    struct walk w = {.x = x, .out = out, .ok = true, .e = e};
    w.arena = arena_new(ROW_ARENA_MAX);
    bool ok = people_each(x->db, x->list_id, x->all, x->after, limit, add_person, &w, e) && w.ok;
    arena_free(&w.arena);
    *done_out = ok && w.rows < limit;
    return ok;
}

void people_export_end(struct people_export *x)
{
    arena_free(&x->names_arena);
    x->names = NULL;
    x->n_names = 0;
}
