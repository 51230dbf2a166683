/* Imports of CSV: contacts, suppressions, servers. The file is read row by row and goes to core in
 * bites, each durable by itself, so memory stays flat and sending goes on. What is wrong with a row
 * is told with its line; a file that cannot be read as CSV stops the import at that row and says
 * how far it came. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/alloc.h"
#include "base/csv.h"
#include "mail/addr.h"
#include "model/contact.h"
#include "store/fields.h"
#include "api/trial.h"

#include <stdio.h>
#include <stdlib.h>

#define BITE_ROWS  500
#define BITE_BYTES (4u << 20)
#define ERRORS_MAX 100000
#define FEED_BYTES 65536
#define MAPS_MAX   64

struct row_note { /* what is remembered of a row until core has answered */
    uint64_t line;
    char email[300];
};

struct import {
    struct http_request *r;
    struct csv *csv;
    bool has_header;
    /* columns */
    int email_column;
    size_t n_columns;
    int field_of[CSV_COLUMNS_MAX]; /* index into fields, or -1 */
    json_t *fields;                /* names */
    /* the bite */
    struct buf tail;
    struct row_note notes[BITE_ROWS];
    size_t n;
    json_t *texts; /* suppressions: addresses */
    /* the sums */
    json_t *sums, *errors;
    bool too_many_errors;
    struct trial *trial; /* dry run of contacts */
    const char *list, *policy, *reason;
};

static void wrong_row(struct import *im, uint64_t line, const char *email, const char *why)
{
    if (json_array_size(im->errors) >= ERRORS_MAX) {
        im->too_many_errors = true;
        return;
    }
    json_t *e = json_string(email), *w = json_string(why);
    json_array_append_new(im->errors, json_pack("{s:I, s:o, s:o}", "line", (json_int_t)line,
                                                "email", e ? e : json_string("(not UTF-8)"),
                                                "error", w ? w : json_string("malformed")));
}

static void sum(struct import *im, const char *name, json_int_t n)
{
    json_int_t old = json_integer_value(json_object_get(im->sums, name));
    json_object_set_new(im->sums, name, json_integer(old + n));
}

/* Adds what core counted, and its reasons under the lines they belong to. */
static void take_counts(struct import *im, const json_t *data)
{
    const char *key;
    json_t *v, *item;
    size_t i;
    json_object_foreach((json_t *)(uintptr_t)data, key, v)
    {
        if (json_is_integer(v))
            sum(im, key, json_integer_value(v));
    }
    json_array_foreach(json_object_get(data, "why"), i, item)
    {
        size_t at = (size_t)json_integer_value(json_array_get(item, 0));
        if (at < im->n)
            wrong_row(im, im->notes[at].line, im->notes[at].email,
                      json_string_value(json_array_get(item, 1)));
    }
}

static bool feed_all(struct import *im, struct err *e)
{
    struct str rest = im->r->body;
    while (rest.n) {
        if (im->r->web->is_stopping)
            return err_set(e, ERR_LATER, "the daemon is stopping; import the file again later");
        size_t n = MIN(rest.n, (size_t)FEED_BYTES);
        if (!csv_feed(im->csv, rest.p, n, e))
            return false;
        rest = str_from_index(rest, n);
    }
    return csv_finish(im->csv, e);
}

static void open_import(struct import *im, struct http_request *r, const char *const *counters,
                        bool (*on_row)(void *arg, const struct csv_row *row, struct err *e))
{
    im->r = r;
    im->csv = csv_new(on_row, im);
    im->fields = json_array();
    im->texts = json_array();
    im->sums = json_object();
    im->errors = json_array();
    im->email_column = -1;
    buf_init(&im->tail, BITE_BYTES + (1u << 20));
    for (; *counters; counters++)
        json_object_set_new(im->sums, *counters, json_integer(0));
}

static void answer_import(struct import *im, bool ok, const struct err *e)
{
    struct err failed;
    if (ok) {
        json_object_set(im->sums, "errors", im->errors);
        if (im->too_many_errors)
            json_object_set_new(im->sums, "errors_cut", json_true());
        http_answer_json(im->r, 200, json_incref(im->sums));
        return;
    }
    err_set(&failed, e->code, "%s (%lld rows were taken over before)", e->text,
            (long long)json_integer_value(json_object_get(im->sums, "rows")));
    http_answer_error(im->r, &failed);
}

static void close_import(struct import **imp)
{
    struct import *im = *imp;
    *imp = NULL;
    csv_free(&im->csv);
    buf_free(&im->tail);
    json_decref(im->fields);
    json_decref(im->texts);
    json_decref(im->sums);
    json_decref(im->errors);
    trial_free(&im->trial);
    free(im);
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

static bool read_header(struct import *im, const struct csv_row *row, struct err *e)
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
        if (!strcmp(name, "email") || (im->email_column < 0 && is_email && im->reason)) {
            im->email_column = (int)i;
            continue;
        }
        im->field_of[i] = field_index(im, name);
    }
    if (json_array_size(im->fields) > CONTACT_FIELDS_MAX)
        return err_set(e, ERR_INVALID, "the file has over %d columns beside email",
                       CONTACT_FIELDS_MAX);
    return im->email_column >= 0 ||
           err_set(e, ERR_INVALID,
                   "the file has no column `email`; name it with map, for example map=Mail=email");
}

/* ---- contacts ---- */

static void add_length(struct buf *b, size_t n)
{
    buf_addc(b, (char)(n >> 8 & 0xff));
    buf_addc(b, (char)(n & 0xff));
}

static bool flush_contacts(struct import *im, struct err *e)
{
    json_t *data = NULL;
    if (!im->n)
        return true;
    json_t *args = json_pack("{s:s?, s:s?, s:O, s:I}", "list", im->list, "policy", im->policy,
                             "fields", im->fields, "n", (json_int_t)im->n);
    bool ok =
        call_data(im->r, "people.import_rows", args, buf_str(&im->tail), CALL_LONG_MS, &data, e);
    json_decref(args);
    if (ok)
        take_counts(im, data);
    json_decref(data);
    buf_clear(&im->tail);
    im->n = 0;
    return ok;
}

/* Why a row cannot be taken, or NULL; fills its key. */
static const char *look_at_row(struct import *im, const struct csv_row *row, struct addr *a,
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

static void encode_row(struct import *im, const struct csv_row *row, const char *key,
                       const struct addr *a)
{
    struct buf *b = &im->tail;
    size_t n_fields = 0;
    bool is_same = !strcmp(a->text, key);
    add_length(b, strlen(key));
    buf_adds(b, key);
    add_length(b, is_same ? 0 : a->n);
    if (!is_same)
        buf_add(b, a->text, a->n);
    for (size_t i = 0; i < row->n; i++)
        n_fields += im->field_of[i] >= 0 && row->fields[i].n;
    buf_addc(b, (char)n_fields);
    for (size_t i = 0; i < row->n; i++) {
        struct str value = csv_unguard(row->fields[i]);
        if (im->field_of[i] < 0 || !row->fields[i].n)
            continue;
        buf_addc(b, (char)im->field_of[i]);
        add_length(b, value.n);
        buf_addstr(b, value);
    }
}

static bool on_contact(void *arg, const struct csv_row *row, struct err *e)
{
    struct import *im = arg;
    struct addr a;
    struct err scratch;
    char key[ADDR_MAX + 1], email[300];
    if (!im->has_header)
        return read_header(im, row, e);
    if ((size_t)im->email_column >= row->n) {
        sum(im, "rows", 1);
        sum(im, "invalid", 1);
        wrong_row(im, row->line, "", "the row has no cell for the address");
        return true;
    }
    (void)str_copy(row->fields[im->email_column], email, sizeof(email));
    const char *why = look_at_row(im, row, &a, key, &scratch);
    if (why) {
        sum(im, "rows", 1);
        sum(im, "invalid", 1);
        wrong_row(im, row->line, email, why);
        return true;
    }
    if (im->trial) {
        sum(im, "rows", 1);
        const char *verdict = NULL;
        if (!trial_look(im->trial, key, &verdict, e))
            return false;
        sum(im, verdict, 1);
        return true;
    }
    im->notes[im->n].line = row->line;
    memcpy(im->notes[im->n].email, email, sizeof(email));
    encode_row(im, row, key, &a);
    im->n++;
    return im->n < BITE_ROWS && im->tail.n < BITE_BYTES ? true : flush_contacts(im, e);
}

static bool begin_contacts(struct import *im, struct err *e)
{
    static const char *const known[] = {"list", "policy", "map", "dry_run", NULL};
    struct http_request *r = im->r;
    if (!http_queries_known(r, known, e))
        return false;
    im->list = http_query(r, "list");
    im->policy = http_query(r, "policy");
    json_t *args = json_pack("{s:s?, s:s?}", "list", im->list, "policy", im->policy);
    bool ok = call_data(r, "people.import_begin", args, STR_NONE, CALL_MS, NULL, e);
    json_decref(args);
    const char *dry = http_query(r, "dry_run");
    if (ok && dry && !strcmp(dry, "1"))
        im->trial = trial_new(r->db, im->policy);
    return ok;
}

void on_import_contacts(struct http_request *r)
{
    static const char *const counters[] = {"rows",    "imported",   "updated", "skipped",
                                           "invalid", "suppressed", NULL};
    struct err e;
    struct import *im = alloc_one(struct import);
    open_import(im, r, counters, on_contact);
    bool ok = begin_contacts(im, &e) && feed_all(im, &e) && flush_contacts(im, &e);
    if (ok && !im->has_header)
        ok = err_set(&e, ERR_INVALID, "the file is empty: its first line must name the columns");
    if (ok && !im->trial) {
        json_t *args = json_pack("{s:s?}", "list", im->list);
        ok = call_data(r, "people.import_end", args, STR_NONE, CALL_MS, NULL, &e);
        json_decref(args);
    }
    answer_import(im, ok, &e);
    close_import(&im);
}

/* ---- suppressions ---- */

static bool flush_suppressions(struct import *im, struct err *e)
{
    json_t *data = NULL;
    if (!im->n)
        return true;
    const char *dry = http_query(im->r, "dry_run");
    json_t *args = json_pack("{s:O, s:s, s:b}", "addresses", im->texts, "reason", im->reason,
                             "dry_run", dry && !strcmp(dry, "1"));
    if (!json_is_true(json_object_get(args, "dry_run")))
        json_object_del(args, "dry_run");
    bool ok = call_data(im->r, "suppression.import_rows", args, STR_NONE, CALL_LONG_MS, &data, e);
    json_decref(args);
    if (ok)
        take_counts(im, data);
    json_decref(data);
    json_array_clear(im->texts);
    im->n = 0;
    return ok;
}

/* A file of one column needs no header: its first row may be an address. */
static bool on_suppression(void *arg, const struct csv_row *row, struct err *e)
{
    struct import *im = arg;
    if (!im->has_header) {
        bool is_bare = row->n == 1 && str_chr(row->fields[0], '@') >= 0;
        if (!is_bare)
            return read_header(im, row, e);
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
        sum(im, "rows", 1);
        sum(im, "invalid", 1);
        wrong_row(im, row->line, "", "no address");
        return true;
    }
    im->notes[im->n].line = row->line;
    (void)str_copy(email, im->notes[im->n].email, sizeof(im->notes[im->n].email));
    json_array_append_new(im->texts, text);
    im->n++;
    return im->n < BITE_ROWS ? true : flush_suppressions(im, e);
}

void on_import_suppressions(struct http_request *r)
{
    static const char *const counters[] = {"rows", "imported", "skipped", "invalid", NULL};
    static const char *const known[] = {"reason", "map", "dry_run", NULL};
    struct err e;
    struct import *im = alloc_one(struct import);
    open_import(im, r, counters, on_suppression);
    im->reason = http_query(r, "reason") ? http_query(r, "reason") : "manual";
    bool ok = http_queries_known(r, known, &e) && feed_all(im, &e) && flush_suppressions(im, &e);
    answer_import(im, ok, &e);
    close_import(&im);
}

/* ---- servers ---- */

struct server_import {
    struct import *base;
    char columns[CSV_COLUMNS_MAX][64];
    json_t *warnings;
    bool dry;
};

static bool read_server_header(struct server_import *s, const struct csv_row *row, struct err *e)
{
    bool has_name = false;
    s->base->has_header = true;
    s->base->n_columns = row->n;
    for (size_t i = 0; i < row->n; i++) {
        struct str column = str_trim(row->fields[i]);
        if (!str_copy(column, s->columns[i], sizeof(s->columns[i])))
            return err_set(e, ERR_INVALID, "column %zu: its name is too long", i + 1);
        for (char *p = s->columns[i]; *p; p++)
            *p = *p == '-' || *p == ' ' ? '_' : ascii_lower(*p);
        has_name = has_name || !strcmp(s->columns[i], "name");
    }
    return has_name || err_set(e, ERR_INVALID, "the file has no column `name`");
}

/* Cells with several values have one a line. */
static json_t *server_value(const char *column, struct str cell)
{
    static const char *const lists[] = {"group", "groups", "from_domain", "header"};
    struct str part;
    bool is_list = false;
    for (size_t i = 0; i < countof(lists); i++)
        is_list = is_list || !strcmp(lists[i], column);
    if (!is_list)
        return json_stringn(cell.p, cell.n);
    json_t *all = json_array();
    while (str_split(&cell, '\n', &part))
        if (str_trim(part).n)
            json_array_append_new(all, json_stringn(str_trim(part).p, str_trim(part).n));
    return all;
}

static json_t *server_args(struct server_import *s, const struct csv_row *row)
{
    json_t *args = json_object();
    for (size_t i = 0; i < MIN(row->n, s->base->n_columns); i++) {
        struct str cell = csv_unguard(str_trim(row->fields[i]));
        json_t *v = cell.n ? server_value(s->columns[i], cell) : NULL;
        if (v)
            json_object_set_new(args, s->columns[i], v);
    }
    if (s->dry)
        json_object_set_new(args, "dry_run", json_true());
    return args;
}

static void take_warnings(struct server_import *s, const char *name, const json_t *data)
{
    size_t i;
    json_t *w;
    json_array_foreach(json_object_get(data, "warnings"), i, w)
    {
        json_array_append_new(s->warnings, json_sprintf("%s: %s", name, json_string_value(w)));
    }
}

/* One that is there is changed to what the file says. */
static bool on_server(void *arg, const struct csv_row *row, struct err *e)
{
    struct server_import *s = arg;
    struct import *im = s->base;
    struct err bad;
    json_t *data = NULL;
    if (!im->has_header)
        return read_server_header(s, row, e);
    json_t *args = server_args(s, row);
    const char *name = json_string_value(json_object_get(args, "name"));
    const char *counter = "imported";
    bool ok = call_data(im->r, "server.add", args, STR_NONE, CALL_MS, &data, &bad);
    if (!ok && bad.code == ERR_CONFLICT) {
        counter = "updated";
        ok = call_data(im->r, "server.set", args, STR_NONE, CALL_MS, &data, &bad);
    }
    bool is_fatal =
        !ok && (bad.code == ERR_UNREACHABLE || bad.code == ERR_LATER || bad.code == ERR_FULL);
    sum(im, "rows", is_fatal ? 0 : 1);
    sum(im, ok ? counter : "invalid", is_fatal ? 0 : 1);
    if (ok)
        take_warnings(s, name ? name : "", data);
    else if (!is_fatal)
        wrong_row(im, row->line, name ? name : "", bad.text);
    json_decref(data);
    json_decref(args);
    return !is_fatal || err_set(e, bad.code, "%s", bad.text);
}

void on_import_servers(struct http_request *r)
{
    static const char *const counters[] = {"rows", "imported", "updated", "invalid", NULL};
    static const char *const known[] = {"dry_run", NULL};
    struct err e;
    struct import *im = alloc_one(struct import);
    struct server_import *s = alloc_one(struct server_import);
    const char *dry = http_query(r, "dry_run");
    open_import(im, r, counters, on_server);
    csv_free(&im->csv);
    im->csv = csv_new(on_server, s);
    *s = (struct server_import){.base = im, .warnings = json_array(), .dry = dry && *dry == '1'};
    bool ok = http_queries_known(r, known, &e) && feed_all(im, &e);
    if (ok)
        json_object_set(im->sums, "warnings", s->warnings);
    answer_import(im, ok, &e);
    json_decref(s->warnings);
    free(s);
    close_import(&im);
}
