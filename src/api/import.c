/* What all imports of CSV share: reading the body row by row, the columns, the sums, what is wrong
 * with a row under its line, and the answer. A file that cannot be read as CSV stops the import at
 * that row and says how far it came. Contacts, suppressions and servers have files of their own. */
#include "api/import_inner.h"
#include "base/alloc.h"
#include "store/fields.h"

#include <stdlib.h>

#define ERRORS_MAX     100000
#define FEED_BYTES     65536
#define COLUMNS_MAX    240 /* bytes of the file's columns in an error */
#define NAME_MAX_SHOWN 60

void import_wrong_row(struct import *im, uint64_t line, struct str email, const char *why)
{
    if (json_array_size(im->errors) >= ERRORS_MAX) {
        im->too_many_errors = true;
        return;
    }
    json_t *e = json_stringn(email.p ? email.p : "", email.n), *w = json_string(why);
    json_array_append_new(im->errors, json_pack("{s:I, s:o, s:o}", "line", (json_int_t)line,
                                                "email", e ? e : json_string("(not UTF-8)"),
                                                "error", w ? w : json_string("malformed")));
}

void import_invalid(struct import *im, uint64_t line, struct str email, const char *why)
{
    import_sum(im, "rows", 1);
    import_sum(im, "invalid", 1);
    import_wrong_row(im, line, email, why);
}

void import_sum(struct import *im, const char *name, json_int_t n)
{
    json_int_t old = json_integer_value(json_object_get(im->sums, name));
    json_object_set_new(im->sums, name, json_integer(old + n));
}

void import_take_counts(struct import *im, const json_t *data)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)data, key, v)
    {
        if (json_is_integer(v))
            import_sum(im, key, json_integer_value(v));
    }
}

bool import_stopping(struct err *e)
{
    return err_set(e, ERR_LATER, "the daemon is stopping; import the file again later");
}

bool import_feed(struct import *im, struct err *e)
{
    struct str rest = im->r->body;
    while (rest.n) {
        if (im->r->web->is_stopping)
            return import_stopping(e);
        size_t n = MIN(rest.n, (size_t)FEED_BYTES);
        if (!csv_feed(im->csv, rest.p, n, e))
            return false;
        rest = str_from_index(rest, n);
    }
    return csv_finish(im->csv, e);
}

void import_open(struct import *im, struct http_request *r, const char *const *counters,
                 bool (*on_row)(void *arg, const struct csv_row *row, struct err *e), void *arg)
{
    im->r = r;
    im->csv = csv_new(on_row, arg);
    im->fields = json_array();
    im->sums = json_object();
    im->errors = json_array();
    im->email_column = -1;
    for (; *counters; counters++)
        json_object_set_new(im->sums, *counters, json_integer(0));
}

void import_close(struct import *im)
{
    csv_free(&im->csv);
    json_decref(im->fields);
    json_decref(im->sums);
    json_decref(im->errors);
}

static int compare_lines(const void *a, const void *b)
{
    json_int_t x = json_integer_value(json_object_get(*(json_t *const *)a, "line"));
    json_int_t y = json_integer_value(json_object_get(*(json_t *const *)b, "line"));
    return x < y ? -1 : x > y;
}

/* They came in the order in which the rows were taken over. */
static json_t *sorted_errors(const struct import *im)
{
    size_t n = json_array_size(im->errors);
    json_t **all = alloc_many(json_t *, n + 1), *out = json_array();
    for (size_t i = 0; i < n; i++)
        all[i] = json_array_get(im->errors, i);
    qsort(all, n, sizeof(*all), compare_lines);
    for (size_t i = 0; i < n; i++)
        json_array_append(out, all[i]);
    free(all);
    return out;
}

void import_answer(struct import *im, bool ok, const struct err *e)
{
    struct err failed;
    if (ok) {
        json_object_set_new(im->sums, "errors", sorted_errors(im));
        if (im->too_many_errors)
            json_object_set_new(im->sums, "errors_cut", json_true());
        http_answer_json(im->r, 200, json_incref(im->sums));
        return;
    }
    err_set(&failed, e->code, "%s (%lld rows were taken over before)", e->text,
            (long long)json_integer_value(json_object_get(im->sums, "rows")));
    http_answer_error(im->r, &failed);
}

/* ---- columns ---- */

/* The field that `map=COLUMN=FIELD` gives a column, or NULL. */
static const char *mapped(const struct http_request *r, struct str column)
{
    for (size_t i = 0; i < r->n_queries; i++) {
        struct str v = str_of(r->queries[i].value);
        ptrdiff_t eq = str_rchr(v, '=');
        if (strcmp(r->queries[i].name, "map") != 0 || eq < 0)
            continue;
        if (str_ieq(str_trim(str_cut(v, 0, (size_t)eq)), column))
            return v.p + eq + 1;
    }
    return NULL;
}

static bool maps_are_good(const struct http_request *r, const struct csv_row *row, struct err *e)
{
    for (size_t i = 0; i < r->n_queries; i++) {
        struct str v = str_of(r->queries[i].value);
        ptrdiff_t eq = str_rchr(v, '=');
        bool found = false;
        if (strcmp(r->queries[i].name, "map") != 0)
            continue;
        if (eq <= 0)
            return err_set(e, ERR_INVALID, "map: \"%.80s\" must look like COLUMN=FIELD", v.p);
        for (size_t k = 0; k < row->n; k++)
            found = found || str_ieq(str_trim(str_cut(v, 0, (size_t)eq)), str_trim(row->fields[k]));
        if (!found)
            return err_set(e, ERR_INVALID, "map: the file has no column \"%.*s\"", (int)eq, v.p);
    }
    return true;
}

static int field_index(struct import *im, const char *name)
{
    size_t i;
    json_t *v;
    json_array_foreach(im->fields, i, v)
    {
        if (!strcmp(json_string_value(v), name))
            return (int)i;
    }
    json_array_append_new(im->fields, json_string(name));
    return (int)json_array_size(im->fields) - 1;
}

static bool has_mail(struct str column)
{
    for (size_t i = 0; i + 4 <= column.n; i++)
        if (str_istarts(str_from_index(column, i), STR("mail")))
            return true;
    return false;
}

/* Names the columns there are, and the one that looks most like it. */
static bool no_email(const struct import *im, const struct csv_row *row, struct err *e)
{
    static const char *const words[] = {"email", "email or address"};
    struct str likely = str_trim(row->fields[0]);
    struct buf b;
    buf_init(&b, COLUMNS_MAX);
    for (size_t i = 0; i < row->n; i++) {
        struct str column = str_trim(row->fields[i]);
        if (has_mail(column) && !has_mail(likely))
            likely = column;
        if (b.n + column.n + 8 < COLUMNS_MAX)
            buf_addf(&b, "%s" STR_F, i ? ", " : "", STR_A(column));
        else if (b.n + 5 < COLUMNS_MAX)
            buf_adds(&b, " ...");
    }
    if (!likely.n || likely.n > NAME_MAX_SHOWN)
        likely = STR("COL");
    err_set(e, ERR_INVALID,
            "the file has no column %s; its columns are: %s. Say which one holds the addresses, "
            "for example --map " STR_F "=email (in the API: map=" STR_F "=email)",
            words[im->takes_address], buf_cstr(&b), STR_A(likely), STR_A(likely));
    buf_free(&b);
    return false;
}

bool import_header(struct import *im, const struct csv_row *row, struct err *e)
{
    im->has_header = true;
    im->n_columns = row->n;
    if (!maps_are_good(im->r, row, e))
        return false;
    for (size_t i = 0; i < row->n; i++) {
        struct str column = str_trim(row->fields[i]);
        const char *to = mapped(im->r, column);
        char name[CONTACT_FIELD_NAME_MAX + 1];
        im->field_of[i] = -1;
        if (!fields_name(to ? str_of(to) : column, name))
            continue;
        bool is_email = !strcmp(name, "email") || !strcmp(name, "e_mail") ||
                        !strcmp(name, "email_address") || !strcmp(name, "address");
        if (!strcmp(name, "email") || (im->email_column < 0 && is_email && im->takes_address)) {
            im->email_column = (int)i;
            continue;
        }
        im->field_of[i] = field_index(im, name);
    }
    if (json_array_size(im->fields) > CONTACT_FIELDS_MAX)
        return err_set(e, ERR_INVALID, "the file has over %d columns beside email",
                       CONTACT_FIELDS_MAX);
    return im->email_column >= 0 || no_email(im, row, e);
}
