/* Import of contacts from CSV. Rows are gathered in a window, sorted by address and go to core from
 * there: neighbours in the database's index then arrive together, which is many times cheaper than
 * one page of the disk for each row. Rows of the same address stay in the order of the file, so the
 * last one wins as the policy says. Core takes each call in bites of a transaction each and answers
 * when all are synced; memory stays flat and sending goes on. */
#include "api/import_inner.h"
#include "api/resources.h"
#include "api/trial.h"
#include "base/alloc.h"
#include "mail/addr.h"

#include <stdlib.h>

#define WINDOW_ROWS  65536
#define WINDOW_BYTES (16u << 20)
#define CALL_ROWS    8192
#define CALL_BYTES   (4u << 20)

struct row {         /* of the window */
    uint64_t prefix; /* the first 8 bytes of its key, big-endian */
    uint64_t line;
    size_t at, n;     /* where its bytes are */
    const char *text; /* while the window is sorted */
};

struct contacts {
    struct import base;
    struct buf bytes; /* of the rows, as core reads them */
    struct row *rows; /* WINDOW_ROWS */
    size_t n;
    struct buf call;     /* bytes of the rows of a call */
    struct trial *trial; /* dry run */
    const char *list, *policy;
};

/* ---- the window ---- */

static size_t length_at(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    return (size_t)u[0] << 8 | u[1];
}

/* The key is the first thing in a row's bytes. */
static struct str key_of(const struct row *r)
{
    return str_from(r->text + 2, length_at(r->text));
}

/* As the database orders texts; the same address: as the file does. */
static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    struct str p = key_of(x), q = key_of(y);
    int order = memcmp(p.p, q.p, MIN(p.n, q.n));
    if (order == 0 && p.n != q.n)
        order = p.n < q.n ? -1 : 1;
    return order ? order : x->at < y->at ? -1 : 1;
}

static void sort_window(struct contacts *c)
{
    bool is_sorted = true;
    for (size_t i = 0; i < c->n; i++) {
        c->rows[i].text = c->bytes.p + c->rows[i].at;
        is_sorted = is_sorted && (!i || compare_rows(&c->rows[i - 1], &c->rows[i]) < 0);
    }
    if (!is_sorted)
        qsort(c->rows, c->n, sizeof(*c->rows), compare_rows);
}

/* The address as it was given, which is told of a row that core does not take. */
static struct str given(const struct row *r)
{
    struct str key = key_of(r);
    const char *address = key.p + key.n;
    size_t n = length_at(address);
    return n ? str_from(address + 2, n) : key;
}

/* Core's reasons come under the lines they belong to. */
static void take_reasons(struct contacts *c, size_t first, size_t n, const json_t *why)
{
    json_t *item;
    size_t i;
    json_array_foreach(why, i, item)
    {
        size_t at = (size_t)json_integer_value(json_array_get(item, 0));
        if (at >= n)
            continue;
        const struct row *r = &c->rows[first + at];
        import_wrong_row(&c->base, r->line, given(r), json_string_value(json_array_get(item, 1)));
    }
}

/* Some of the rows may be in although the call failed: they are counted, too. */
static bool take_answer(struct contacts *c, size_t first, size_t n, const json_t *data,
                        struct err *e)
{
    json_t *failed = json_object_get(data, "failed");
    import_take_counts(&c->base, data);
    take_reasons(c, first, n, json_object_get(data, "why"));
    if (!failed)
        return true;
    json_t *answer = json_pack("{s:b, s:O}", "ok", 0, "error", failed);
    bool ok = link_answer_read(answer, NULL, e);
    json_decref(answer);
    return ok;
}

/* Sends rows from `first` on, as many as a call takes. */
static bool send_call(struct contacts *c, size_t first, size_t *n_out, struct err *e)
{
    json_t *data = NULL;
    size_t n = 0;
    buf_clear(&c->call);
    while (first + n < c->n && n < CALL_ROWS && (!n || c->call.n < CALL_BYTES)) {
        const struct row *r = &c->rows[first + n++];
        buf_add(&c->call, r->text, r->n);
    }
    json_t *args = json_pack("{s:s?, s:s?, s:O, s:I}", "list", c->list, "policy", c->policy,
                             "fields", c->base.fields, "n", (json_int_t)n);
    bool ok = call_data(c->base.r, "people.import_rows", args, buf_str(&c->call), CALL_LONG_MS,
                        &data, e) &&
              take_answer(c, first, n, data, e);
    json_decref(args);
    json_decref(data);
    *n_out = n;
    return ok;
}

static bool flush(struct contacts *c, struct err *e)
{
    bool ok = true;
    size_t n = 0;
    sort_window(c);
    for (size_t at = 0; ok && at < c->n; at += n)
        ok = c->base.r->web->is_stopping ? import_stopping(e) : send_call(c, at, &n, e);
    buf_clear(&c->bytes);
    c->n = 0;
    return ok;
}

/* ---- rows ---- */

/* Why a row cannot be taken, or NULL; fills its key. */
static const char *look_at_row(const struct import *im, const struct csv_row *row, struct addr *a,
                               char *key, struct err *scratch)
{
    struct str email = csv_unguard(str_trim(row->fields[im->email_column]));
    if (row->n > im->n_columns)
        return "the row has more cells than the header";
    if (!email.n)
        return "no address";
    if (!addr_parse(email, a, scratch))
        return scratch->text;
    addr_key(a, key);
    for (size_t i = 0; i < row->n; i++)
        if (im->field_of[i] >= 0 && row->fields[i].n > CONTACT_FIELD_VALUE_MAX)
            return "a field is too long";
    return NULL;
}

static void add_text(struct buf *b, struct str s)
{
    buf_addc(b, (char)(s.n >> 8 & 0xff));
    buf_addc(b, (char)(s.n & 0xff));
    buf_addstr(b, s);
}

static uint64_t prefix_of(struct str key)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++)
        v = v << 8 | (i < key.n ? (unsigned char)key.p[i] : 0);
    return v;
}

static void add_row(struct contacts *c, const struct csv_row *row, struct str key, struct str given)
{
    const struct import *im = &c->base;
    struct buf *b = &c->bytes;
    struct row *r = &c->rows[c->n++];
    *r = (struct row){.prefix = prefix_of(key), .line = row->line, .at = b->n};
    size_t n_fields = 0;
    add_text(b, key);
    add_text(b, str_eq(given, key) ? STR("") : given);
    for (size_t i = 0; i < row->n; i++)
        n_fields += im->field_of[i] >= 0 && row->fields[i].n;
    buf_addc(b, (char)n_fields);
    for (size_t i = 0; i < row->n; i++) {
        if (im->field_of[i] < 0 || !row->fields[i].n)
            continue;
        buf_addc(b, (char)im->field_of[i]);
        add_text(b, csv_unguard(row->fields[i]));
    }
    r->n = b->n - r->at;
}

static bool try_row(struct contacts *c, const char *key, struct err *e)
{
    const char *verdict = NULL;
    import_sum(&c->base, "rows", 1);
    if (!trial_look(c->trial, key, &verdict, e))
        return false;
    import_sum(&c->base, verdict, 1);
    return true;
}

static bool on_contact(void *arg, const struct csv_row *row, struct err *e)
{
    struct contacts *c = arg;
    struct import *im = &c->base;
    struct addr a;
    struct err scratch;
    char key[ADDR_MAX + 1], email[300];
    if (!im->has_header)
        return import_header(im, row, e);
    if ((size_t)im->email_column >= row->n) {
        import_invalid(im, row->line, STR(""), "the row has no cell for the address");
        return true;
    }
    const char *why = look_at_row(im, row, &a, key, &scratch);
    if (why) {
        (void)str_copy(row->fields[im->email_column], email, sizeof(email));
        import_invalid(im, row->line, str_of(email), why);
        return true;
    }
    if (c->trial)
        return try_row(c, key, e);
    add_row(c, row, str_of(key), str_from(a.text, a.n));
    return (c->n < WINDOW_ROWS && c->bytes.n < WINDOW_BYTES) || flush(c, e);
}

/* ---- the whole ---- */

static bool begin(struct contacts *c, struct err *e)
{
    static const char *const known[] = {"list", "policy", "map", "dry_run", NULL};
    struct http_request *r = c->base.r;
    if (!http_queries_known(r, known, e))
        return false;
    c->list = http_query(r, "list");
    c->policy = http_query(r, "policy");
    json_t *args = json_pack("{s:s?, s:s?}", "list", c->list, "policy", c->policy);
    bool ok = call_data(r, "people.import_begin", args, STR_NONE, CALL_MS, NULL, e);
    json_decref(args);
    const char *dry = http_query(r, "dry_run");
    if (ok && dry && !strcmp(dry, "1"))
        c->trial = trial_new(r->db, c->policy);
    return ok;
}

static bool end(struct contacts *c, struct err *e)
{
    if (!c->base.has_header)
        return err_set(e, ERR_INVALID,
                       "the file is empty: its first line must name the columns, email among them");
    if (c->trial)
        return true;
    json_t *args = json_pack("{s:s?}", "list", c->list);
    bool ok = call_data(c->base.r, "people.import_end", args, STR_NONE, CALL_MS, NULL, e);
    json_decref(args);
    return ok;
}

void on_import_contacts(struct http_request *r)
{
    static const char *const counters[] = {"rows",    "imported",   "updated", "skipped",
                                           "invalid", "suppressed", NULL};
    struct err e;
    struct contacts *c = alloc_one(struct contacts);
    import_open(&c->base, r, counters, on_contact, c);
    buf_init(&c->bytes, WINDOW_BYTES + (2u << 20));
    buf_init(&c->call, CALL_BYTES + (2u << 20));
    c->rows = alloc_many(struct row, WINDOW_ROWS);
    bool ok = begin(c, &e) && import_feed(&c->base, &e) && flush(c, &e) && end(c, &e);
    import_answer(&c->base, ok, &e);
    import_close(&c->base);
    buf_free(&c->bytes);
    buf_free(&c->call);
    trial_free(&c->trial);
    free(c->rows);
    free(c);
}
