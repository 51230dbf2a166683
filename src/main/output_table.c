/* Aligned tables. A page of rows is kept as finished cells, then printed by the widest cell. */
#include "main/output.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define LIST_SHOWN  12 /* of a list in a cell; --json has all of it */
#define COLUMNS_MAX 24
#define PAGE_ROWS   500
#define CELL_MAX    4096

struct table {
    const struct column *columns;
    size_t n_columns;
    size_t width[COLUMNS_MAX];
    bool shown[COLUMNS_MAX];
    char *cells[PAGE_ROWS][COLUMNS_MAX]; /* NULL: no such field */
    size_t n_rows;
    size_t total;
    bool headed, color;
};

struct table *table_new(const struct column *columns)
{
    struct table *t = alloc_one(struct table);
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    t->columns = columns;
    while (columns[t->n_columns].title && t->n_columns < COLUMNS_MAX)
        t->n_columns++;
    t->color = isatty(1) && !(no && no[0]) && term && strcmp(term, "dumb") != 0;
    return t;
}

static const json_t *field_of(const json_t *row, const char *key)
{
    struct str rest = str_of(key), part;
    while (row && str_split(&rest, '.', &part)) {
        char name[64];
        if (!str_copy(part, name, sizeof(name)))
            return NULL;
        row = json_object_get(row, name);
    }
    return json_is_null(row) ? NULL : row;
}

static void add_quota(struct buf *b, const json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        const char *window = json_string_value(json_object_get(one, "window"));
        buf_addf(b, "%s%s %lld/%lld", i ? ", " : "", window ? window : "?",
                 (long long)json_integer_value(json_object_get(one, "used")),
                 (long long)json_integer_value(json_object_get(one, "limit")));
    }
}

static void add_plain(struct buf *b, const json_t *v)
{
    size_t i;
    json_t *one;
    if (json_is_string(v))
        output_safe_add(b, str_from(json_string_value(v), json_string_length(v)));
    else if (json_is_integer(v))
        buf_addf(b, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        buf_addf(b, "%.6g", json_real_value(v));
    else if (json_is_boolean(v))
        buf_adds(b, json_is_true(v) ? "yes" : "no");
    json_array_foreach(v, i, one)
    {
        if (i == LIST_SHOWN && json_array_size(v) > LIST_SHOWN + 1) {
            buf_addf(b, " and %zu more", json_array_size(v) - i);
            break;
        }
        if (i > 0)
            buf_adds(b, ", ");
        if (json_is_object(one))
            one = json_object_get(one, json_object_get(one, "name") ? "name" : "server");
        if (one)
            add_plain(b, one);
    }
}

static void add_time(struct buf *b, const json_t *v)
{
    struct str s = str_of(json_string_value(v));
    if (s.n < 19) {
        add_plain(b, v);
        return;
    }
    output_safe_add(b, str_cut(s, 0, 10));
    buf_addc(b, ' ');
    output_safe_add(b, str_cut(s, 11, 8));
}

/* "in 5m 10s"; a time that is none stays as it is. */
static void add_when(struct buf *b, const json_t *v)
{
    int64_t at = 0;
    char text[32];
    const char *given = json_string_value(v);
    if (!given || !clock_parse(given, &at)) {
        add_plain(b, v);
        return;
    }
    int64_t ms = at - clock_wall_ms();
    output_duration(ms < 0 ? -ms : ms, text);
    buf_addf(b, ms < 0 ? "%s ago" : "in %s", text);
}

static char *cell_of(const struct column *c, const json_t *row)
{
    const json_t *v = field_of(row, c->key);
    char text[32];
    struct buf b;
    if (!v)
        return NULL;
    buf_init(&b, CELL_MAX);
    bool is_time = c->form == FORM_TIME || c->form == FORM_WHEN;
    switch (json_is_number(v) || json_is_array(v) || is_time ? c->form : FORM_TEXT) {
    case FORM_COUNT:
        output_count((int64_t)json_number_value(v), text);
        buf_adds(&b, text);
        break;
    case FORM_MS:
        output_duration((int64_t)json_number_value(v), text);
        buf_adds(&b, text);
        break;
    case FORM_SHARE: buf_addf(&b, "%.1f %%", json_number_value(v) * 100); break;
    case FORM_QUOTA: add_quota(&b, v); break;
    case FORM_TIME: add_time(&b, v); break;
    case FORM_WHEN: add_when(&b, v); break;
    case FORM_AGE:
        output_duration((int64_t)json_number_value(v) * 1000, text);
        buf_adds(&b, json_number_value(v) > 0 ? text : "-");
        break;
    default: add_plain(&b, v); break;
    }
    return buf_steal(&b, NULL);
}

static bool is_right(enum column_form form)
{
    return form == FORM_COUNT || form == FORM_MS || form == FORM_SHARE || form == FORM_AGE;
}

static const char *state_color(const char *word)
{
    static const struct {
        const char *word, *color;
    } colors[] = {
        {"healthy", "32"},       {"sent", "32"},        {"finished", "32"},  {"delivered", "32"},
        {"running", "36"},       {"degraded", "33"},    {"half_open", "33"}, {"ramp", "33"},
        {"exhausted", "33"},     {"paused", "33"},      {"stalled", "33"},   {"draining", "33"},
        {"suspect", "33"},       {"held", "33"},        {"uncertain", "35"}, {"open", "31"},
        {"misconfigured", "31"}, {"quarantined", "31"}, {"bounced", "31"},   {"failed", "31"},
    };
    for (size_t i = 0; i < countof(colors); i++)
        if (!strcmp(colors[i].word, word))
            return colors[i].color;
    return NULL;
}

static void print_cell(const struct table *t, size_t i, const char *text, bool last)
{
    const struct column *c = &t->columns[i];
    size_t cells = output_width(str_of(text));
    int pad = cells < t->width[i] ? (int)(t->width[i] - cells) : 0;
    const char *color = t->color && c->form == FORM_STATE ? state_color(text) : NULL;
    if (is_right(c->form))
        printf("%*s", pad, "");
    if (color)
        printf("\033[%sm%s\033[0m", color, text);
    else
        printf("%s", text);
    if (!last)
        printf("%*s  ", is_right(c->form) ? 0 : pad, "");
}

static void print_row(const struct table *t, size_t r, bool head)
{
    size_t last = 0;
    for (size_t i = 0; i < t->n_columns; i++)
        if (t->shown[i])
            last = i;
    for (size_t i = 0; i <= last; i++) {
        const char *text = head ? t->columns[i].title : t->cells[r][i];
        if (t->shown[i])
            print_cell(t, i, text && text[0] ? text : "-", i == last);
    }
    printf("\n");
}

static void print_page(struct table *t)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        bool any = false;
        for (size_t r = 0; r < t->n_rows; r++) {
            const char *text = t->cells[r][i];
            any = any || (text && text[0]);
            t->width[i] = MAX(t->width[i], output_width(str_of(text ? text : "-")));
        }
        if (!t->headed) {
            t->shown[i] = any || !t->columns[i].optional;
            t->width[i] = MAX(t->width[i], output_width(str_of(t->columns[i].title)));
        }
    }
    if (!t->headed)
        print_row(t, 0, true);
    t->headed = true;
    for (size_t r = 0; r < t->n_rows; r++) {
        print_row(t, r, false);
        for (size_t i = 0; i < t->n_columns; i++)
            free(t->cells[r][i]);
    }
    t->n_rows = 0;
}

void table_add(struct table *t, const json_t *row)
{
    t->total++;
    if (output_is_json()) {
        output_json(row);
        return;
    }
    for (size_t i = 0; i < t->n_columns; i++)
        t->cells[t->n_rows][i] = cell_of(&t->columns[i], row);
    if (++t->n_rows == PAGE_ROWS)
        print_page(t);
}

void table_end(struct table **t, const char *nothing)
{
    if ((*t)->n_rows > 0)
        print_page(*t);
    if ((*t)->total == 0 && nothing && !output_is_json())
        output_note("%s", nothing);
    free(*t);
    *t = NULL;
}
