/* Import of suppressions: CSV with a column email or address, or one address a line. Goes to core
 * in calls of a few hundred addresses, each durable by itself. */
#include "api/import_inner.h"
#include "api/resources.h"
#include "base/alloc.h"

#include <stdlib.h>

#define CALL_ROWS 250 /* under 5 ms of work for the ledger */

struct note { /* what is remembered of a row until core has answered */
    uint64_t line;
    char email[300];
};

struct suppressions {
    struct import base;
    const char *reason;
    struct note notes[CALL_ROWS];
    size_t n;
    json_t *texts; /* addresses */
};

/* Core's reasons come under the lines they belong to. */
static void take_reasons(struct suppressions *s, const json_t *why)
{
    json_t *item;
    size_t i;
    json_array_foreach(why, i, item)
    {
        size_t at = (size_t)json_integer_value(json_array_get(item, 0));
        if (at < s->n)
            import_wrong_row(&s->base, s->notes[at].line, str_of(s->notes[at].email),
                             json_string_value(json_array_get(item, 1)));
    }
}

static bool flush(struct suppressions *s, struct err *e)
{
    json_t *data = NULL;
    if (!s->n)
        return true;
    const char *dry = http_query(s->base.r, "dry_run");
    json_t *args = json_pack("{s:O, s:s}", "addresses", s->texts, "reason", s->reason);
    if (dry && !strcmp(dry, "1"))
        json_object_set_new(args, "dry_run", json_true());
    bool ok =
        call_data(s->base.r, "suppression.import_rows", args, STR_NONE, CALL_LONG_MS, &data, e);
    json_decref(args);
    if (ok) {
        import_take_counts(&s->base, data);
        take_reasons(s, json_object_get(data, "why"));
    }
    json_decref(data);
    json_array_clear(s->texts);
    s->n = 0;
    return ok;
}

/* A file of one column needs no header: its first row may be an address. */
static bool on_suppression(void *arg, const struct csv_row *row, struct err *e)
{
    struct suppressions *s = arg;
    struct import *im = &s->base;
    if (!im->has_header) {
        bool is_bare = row->n == 1 && str_chr(row->fields[0], '@') >= 0;
        if (!is_bare)
            return import_header(im, row, e);
        im->has_header = true;
        im->email_column = 0;
        im->n_columns = 1;
    }
    struct str email = (size_t)im->email_column < row->n
                           ? csv_unguard(str_trim(row->fields[im->email_column]))
                           : STR("");
    json_t *text = json_stringn(email.p ? email.p : "", email.n);
    if (!text || !email.n || email.n > 500 || memchr(email.p, '\0', email.n)) {
        json_decref(text);
        import_invalid(im, row->line, STR(""), "no address");
        return true;
    }
    s->notes[s->n].line = row->line;
    (void)str_copy(email, s->notes[s->n].email, sizeof(s->notes[s->n].email));
    json_array_append_new(s->texts, text);
    s->n++;
    return s->n < CALL_ROWS ? true : flush(s, e);
}

void on_import_suppressions(struct http_request *r)
{
    static const char *const counters[] = {"rows", "imported", "skipped", "invalid", NULL};
    static const char *const known[] = {"reason", "map", "dry_run", NULL};
    struct err e;
    struct suppressions *s = alloc_one(struct suppressions);
    import_open(&s->base, r, counters, on_suppression, s);
    s->base.takes_address = true;
    s->texts = json_array();
    s->reason = http_query(r, "reason") ? http_query(r, "reason") : "manual";
    bool ok = http_queries_known(r, known, &e) && import_feed(&s->base, &e) && flush(s, &e);
    import_answer(&s->base, ok, &e);
    import_close(&s->base);
    json_decref(s->texts);
    free(s);
}
