/* Operations on lists and contacts, the rows of an import, and leaving a list.
 * What a file looks like is the API's matter, here come addresses already in their key form.
 *
 * Rows in the binary tail, each:
 *   u16 length, key of the address (0: the caller found it invalid) | u16 length, address as given
 *   (0: same) | u8 number of fields | per field: u8 index into args.fields, u16 length, value
 * Numbers are big-endian. A call works in bites of a transaction each, and is synced as a whole; a
 * row that does not add up ends it there. */
#include "base/alloc.h"
#include "base/clock.h"
#include "engine/admin_outgoing.h"
#include "engine/admin_parts.h"
#include "mail/addr.h"
#include "store/fields.h"
#include "store/ids.h"
#include "store/lists.h"
#include "store/people.h"
#include "store/reports.h"

#include <stdlib.h>

#define IMPORT_ROWS_MAX 20000
#define CLOCK_ROWS      16  /* the clock is read once in so many rows */
#define REMOVE_ROWS     500 /* the clock is read after as many */

/* ---- lists ---- */

static bool run_list_add(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                         struct err *e)
{
    (void)tail;
    const char *name = NULL, *group = NULL;
    struct contact_list l = {.created_at = c->wall_ms};
    if (!args_known(args, (const char *const[]){"name", "group", NULL}, e) ||
        !args_name(args, "name", &name, e) || !args_text(args, "group", 4096, &group, e) ||
        !outgoing_group(c, group, &l.group_num, e))
        return false;
    l.id = ids_next(c->ids, c->wall_ms);
    if (l.group_num)
        c->changed.bits |= ADMIN_CHANGED_GROUPS;
    return str_copy(str_of(name), l.name, sizeof(l.name)) && lists_add(c->db, &l, e) &&
           report_list(c->db, name, data_out, e);
}

/* group: a name; null or "" takes it away. */
static bool run_list_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                         struct err *e)
{
    (void)tail;
    const char *name = NULL, *group = NULL;
    struct contact_list l;
    if (!args_known(args, (const char *const[]){"name", "group", NULL}, e) ||
        !args_need(args, "name", 4096, &name, e) || !lists_get(c->db, name, &l, e) ||
        !args_text(args, "group", 4096, &group, e) || !outgoing_group(c, group, &l.group_num, e) ||
        (json_object_get(args, "group") && !lists_set_group(c->db, l.id, l.group_num, e)))
        return false;
    c->changed.bits |= ADMIN_CHANGED_GROUPS;
    return report_list(c->db, name, data_out, e);
}

/* Long lists go in bites: the answer says whether to call again. */
static bool run_list_remove(struct admin_context *c, json_t *args, struct str tail,
                            json_t **data_out, struct err *e)
{
    (void)tail;
    const char *name = NULL;
    bool done = false;
    if (!args_only(args, "name", &name, e))
        return false;
    do
        if (!lists_remove(c->db, name, REMOVE_ROWS, &done, e))
            return false;
    while (!done && !time_is_over(c));
    *data_out = json_pack("{s:s, s:b}", "name", name, "removed", done);
    return true;
}

static const struct admin_entry list_entries[] = {{"list.add", run_list_add, false, false},
                                                  {"list.set", run_list_set, false, false},
                                                  {"list.remove", run_list_remove, false, false}};
const struct admin_noun admin_lists = {list_entries, countof(list_entries)};

/* ---- rows ---- */

struct row_reader {
    struct str rest;
    const char *names[CONTACT_FIELDS_MAX];
    size_t n_names;
    struct field fields[CONTACT_FIELDS_MAX]; /* of the row at hand */
};

static bool take(struct row_reader *r, size_t n, struct str *out)
{
    if (n > r->rest.n)
        return false;
    *out = str_cut(r->rest, 0, n);
    r->rest = str_from_index(r->rest, n);
    return true;
}

static bool take_text(struct row_reader *r, struct str *out)
{
    struct str h;
    if (!take(r, 2, &h))
        return false;
    const unsigned char *u = (const unsigned char *)h.p;
    return take(r, (size_t)u[0] << 8 | u[1], out);
}

static bool take_byte(struct row_reader *r, size_t *out)
{
    struct str s;
    if (!take(r, 1, &s))
        return false;
    *out = (unsigned char)s.p[0];
    return true;
}

static bool read_row(struct row_reader *r, struct people_row *row)
{
    size_t n = 0;
    if (!take_text(r, &row->key) || !take_text(r, &row->address) || !take_byte(r, &n) ||
        n > CONTACT_FIELDS_MAX)
        return false;
    if (!row->address.n)
        row->address = STR_NONE;
    struct field *fields = r->fields;
    for (size_t i = 0; i < n; i++) {
        size_t index = 0;
        if (!take_byte(r, &index) || index >= r->n_names || !take_text(r, &fields[i].value))
            return false;
        fields[i].name = str_of(r->names[index]);
    }
    row->fields = fields;
    row->n_fields = n;
    return true;
}

static bool add_name(void *arg, const char *name, struct err *e)
{
    struct row_reader *r = arg;
    char clean[CONTACT_FIELD_NAME_MAX + 1];
    if (r->n_names >= CONTACT_FIELDS_MAX)
        return err_set(e, ERR_INVALID, "fields: over %d columns", CONTACT_FIELDS_MAX);
    if (!fields_name(str_of(name), clean) || strcmp(clean, name) != 0)
        return err_set(e, ERR_INVALID, "fields: \"%.80s\" is no field name; use a-z, 0-9 and _",
                       name);
    r->names[r->n_names++] = name;
    return true;
}

struct import {
    uint64_t list_id, members;
    enum people_policy policy;
};

static bool read_import(struct admin_context *c, json_t *args, struct import *im, struct err *e)
{
    const char *list = NULL, *policy = NULL;
    struct contact_list l;
    *im = (struct import){.policy = PEOPLE_UPDATE};
    if (!args_text(args, "list", 4096, &list, e) || !args_text(args, "policy", 20, &policy, e))
        return false;
    if (policy && !people_policy_parse(policy, &im->policy))
        return err_set(e, ERR_INVALID, "policy: \"%s\" is none of update, new, skip", policy);
    if (!list)
        return true;
    if (!lists_get(c->db, list, &l, e))
        return false;
    im->list_id = l.id;
    im->members = l.members;
    return true;
}

static bool run_import_begin(struct admin_context *c, json_t *args, struct str tail,
                             json_t **data_out, struct err *e)
{
    (void)tail, (void)data_out;
    struct import im;
    return args_known(args, (const char *const[]){"list", "policy", NULL}, e) &&
           read_import(c, args, &im, e);
}

/* What a call keeps from bite to bite. */
struct importing {
    struct admin_kept kept;
    struct import im;
    struct row_reader rows;
    uint64_t at, n; /* rows read; rows of the call */
    struct people_counts counts;
    json_t *why; /* [[row, reason], ...] */
};

static void importing_free(struct admin_kept *k)
{
    struct importing *m = container_of(k, struct importing, kept);
    json_decref(m->why);
    free(m);
}

static json_t *counts_json(const struct importing *m)
{
    const struct people_counts *n = &m->counts;
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "rows", (json_int_t)n->rows, "imported",
        (json_int_t)n->of[PEOPLE_IMPORTED], "updated", (json_int_t)n->of[PEOPLE_UPDATED], "skipped",
        (json_int_t)n->of[PEOPLE_SKIPPED], "invalid", (json_int_t)n->of[PEOPLE_INVALID],
        "suppressed", (json_int_t)n->of[PEOPLE_SUPPRESSED], "why", json_copy(m->why));
}

static bool import_row(struct admin_context *c, struct importing *m, struct err *e)
{
    struct people_row row = {0};
    if (!read_row(&m->rows, &row))
        return err_set(e, ERR_INVALID, "rows: row %llu of the call is cut",
                       (unsigned long long)m->at + 1);
    if (!people_import_row(c->people, &row, e))
        return false;
    if (row.verdict == PEOPLE_INVALID && row.why)
        json_array_append_new(m->why, json_pack("[I, s]", (json_int_t)m->at, row.why));
    m->at++;
    return true;
}

/* Rows until they are over or the time is. */
static bool import_bite(struct admin_context *c, struct importing *m, struct err *e)
{
    uint64_t begun = m->at;
    if (!people_import_begin(c->people, m->im.list_id, m->im.policy, c->wall_ms, e))
        return false;
    while (m->at < m->n && !c->again) {
        if (!import_row(c, m, e))
            return false;
        if ((m->at - begun) % CLOCK_ROWS == 0)
            c->again = m->at < m->n && time_is_over(c);
    }
    if (m->at == m->n && m->rows.rest.n)
        return err_set(e, ERR_INVALID, "rows: more bytes than rows");
    return people_import_end(c->people, &m->counts, e);
}

static bool open_call(struct admin_context *c, json_t *args, struct str tail, struct err *e)
{
    struct importing *m = alloc_one(struct importing);
    c->kept = &m->kept;
    m->kept.free = importing_free;
    m->rows = (struct row_reader){.rest = tail};
    m->why = json_array();
    return args_known(args, (const char *const[]){"list", "policy", "fields", "n", NULL}, e) &&
           read_import(c, args, &m->im, e) &&
           args_count(args, "n", 0, 0, IMPORT_ROWS_MAX, &m->n, e) &&
           args_each(args, "fields", CONTACT_FIELD_NAME_MAX, add_name, &m->rows, e);
}

static bool run_import_rows(struct admin_context *c, json_t *args, struct str tail,
                            json_t **data_out, struct err *e)
{
    bool is_first = !c->kept;
    if (is_first && !open_call(c, args, tail, e))
        return false;
    struct importing *m = container_of(c->kept, struct importing, kept);
    if (!is_first) {
        json_decref(c->so_far);
        c->so_far = counts_json(m);
    }
    if (!import_bite(c, m, e))
        return false;
    if (!c->again)
        *data_out = counts_json(m);
    return true;
}

static bool run_import_end(struct admin_context *c, json_t *args, struct str tail,
                           json_t **data_out, struct err *e)
{
    (void)tail, (void)data_out;
    const char *list = json_string_value(json_object_get(args, "list"));
    return note_event(c, "import.finished", list ? list : "contacts", e);
}

/* ---- single contacts ---- */

static bool collect_fields(json_t *args, struct field *fields, size_t *n_out, struct err *e)
{
    json_t *all = json_object_get(args, "fields"), *v;
    const char *key;
    char clean[CONTACT_FIELD_NAME_MAX + 1];
    *n_out = 0;
    if (all && !json_is_null(all) && !json_is_object(all))
        return err_set(e, ERR_INVALID, "fields: must be an object of texts");
    json_object_foreach(all, key, v)
    {
        struct str value = str_from(json_string_value(v), json_string_length(v));
        if (*n_out >= CONTACT_FIELDS_MAX)
            return err_set(e, ERR_INVALID, "fields: over %d", CONTACT_FIELDS_MAX);
        if (!fields_name(str_of(key), clean) || strcmp(clean, key) != 0)
            return err_set(e, ERR_INVALID, "fields: \"%.80s\" is no field name; use a-z, 0-9 and _",
                           key);
        if (!json_is_string(v))
            return err_set(e, ERR_INVALID, "fields.%s: must be a text", key);
        if (!text_check(key, value, CONTACT_FIELD_VALUE_MAX, true, e))
            return err_prefix(e, "fields");
        fields[(*n_out)++] = (struct field){str_of(key), value};
    }
    return true;
}

/* A member more than before: it is this one. An import tells of itself as a whole. */
static bool tell_joined(struct admin_context *c, const char *key, const char *list,
                        uint64_t members, struct err *e)
{
    struct contact_list l;
    return lists_get(c->db, list, &l, e) &&
           (l.members == members ||
            note_event_with(c, "contact.subscribed", key, json_pack("{s:s}", "list", list), e));
}

static bool run_contact_add(struct admin_context *c, json_t *args, struct str tail,
                            json_t **data_out, struct err *e)
{
    (void)tail;
    const char *email = NULL, *list = json_string_value(json_object_get(args, "list"));
    char key[ADDR_MAX + 1];
    struct import im;
    struct field fields[CONTACT_FIELDS_MAX];
    struct people_counts counts = {0};
    struct people_row row = {.fields = fields};
    if (!args_known(args, (const char *const[]){"email", "list", "policy", "fields", NULL}, e) ||
        !args_need(args, "email", 600, &email, e) || !address_key("email", email, key, e) ||
        !read_import(c, args, &im, e) || !collect_fields(args, fields, &row.n_fields, e))
        return false;
    row.key = str_of(key);
    row.address = strcmp(key, email) != 0 ? str_of(email) : STR_NONE;
    if (!people_import_rows(c->people, im.list_id, im.policy, &row, 1, c->wall_ms, &counts, e))
        return false;
    if (row.verdict == PEOPLE_INVALID)
        return err_set(e, ERR_INVALID, "fields: %s", row.why ? row.why : "out of bounds");
    if (list && *list && !tell_joined(c, key, list, im.members, e))
        return false;
    return report_contact(c->db, key, data_out, e);
}

static bool run_contact_remove(struct admin_context *c, json_t *args, struct str tail,
                               json_t **data_out, struct err *e)
{
    (void)tail;
    const char *email = NULL;
    char key[ADDR_MAX + 1];
    if (!args_known(args, (const char *const[]){"email", NULL}, e) ||
        !args_need(args, "email", 600, &email, e) || !address_key("email", email, key, e) ||
        !people_remove(c->people, str_of(key), e))
        return false;
    *data_out = json_pack("{s:s, s:b}", "email", key, "removed", 1);
    return true;
}

static const struct admin_entry contact_entries[] = {
    {"contact.add", run_contact_add, false, false},
    {"contact.remove", run_contact_remove, false, false},
    {"people.import_begin", run_import_begin, true, false},
    {"people.import_rows", run_import_rows, false, false},
    {"people.import_end", run_import_end, false, false},
};
const struct admin_noun admin_contacts = {contact_entries, countof(contact_entries)};
