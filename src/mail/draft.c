/* See draft.h. Holds no state; decides nothing about campaigns. */
#include "mail/draft.h"

#include "base/alloc.h"
#include "mail/mime.h"

#include <stdlib.h>

static const char *const part_names[DRAFT_PARTS] = {"subject", "html", "text"};

const char *draft_part_name(enum draft_part p)
{
    return part_names[p];
}

bool draft_compile(const char *subject, const char *html, const char *text, struct draft *out,
                   struct err *e)
{
    const char *sources[DRAFT_PARTS] = {subject, html, text};
    *out = (struct draft){{NULL}};
    for (int p = 0; p < DRAFT_PARTS; p++) {
        enum template_kind kind = p == DRAFT_HTML ? TEMPLATE_HTML : TEMPLATE_TEXT;
        if (sources[p] && !template_compile(str_of(sources[p]), kind, &out->part[p], e))
            return err_prefix(e, "%s", part_names[p]);
    }
    return true;
}

void draft_free(struct draft *c)
{
    for (int p = 0; p < DRAFT_PARTS; p++)
        template_free(&c->part[p]);
}

bool draft_each(const struct draft *c,
                bool (*each)(void *arg, enum draft_part part, struct str name, bool has_default,
                             int line, int column, struct err *e),
                void *arg, struct err *e)
{
    for (int p = 0; p < DRAFT_PARTS; p++) {
        size_t n = c->part[p] ? template_variables(c->part[p]) : 0;
        for (size_t i = 0; i < n; i++) {
            bool has_default = false;
            int line = 0, column = 0;
            struct str name = template_variable(c->part[p], i, &has_default, &line, &column);
            if (!each(arg, (enum draft_part)p, name, has_default, line, column, e))
                return false;
        }
    }
    return true;
}

bool draft_is_known(struct str name)
{
    static const char *const words[] = {
        "contact.email", "campaign.name",   "list.name", "unsubscribe_url",
        "view_url",      "preferences_url", "date"};
    for (size_t i = 0; i < countof(words); i++)
        if (str_is(name, words[i]))
            return true;
    return false;
}

bool draft_has(const struct draft *c, enum draft_part part, const char *name)
{
    size_t n = c->part[part] ? template_variables(c->part[part]) : 0;
    for (size_t i = 0; i < n; i++) {
        bool has_default;
        int line, column;
        if (str_is(template_variable(c->part[part], i, &has_default, &line, &column), name))
            return true;
    }
    return false;
}

struct str draft_value(const struct draft_facts *f, struct str name)
{
    const struct {
        const char *word, *value;
    } facts[] = {{"contact.email", f->email},
                 {"campaign.name", f->campaign},
                 {"list.name", f->list},
                 {"unsubscribe_url", f->unsubscribe_url},
                 {"view_url", f->view_url},
                 {"preferences_url", f->preferences_url},
                 {"date", f->date}};
    for (size_t i = 0; i < countof(facts); i++)
        if (str_is(name, facts[i].word))
            return str_of(facts[i].value);
    if (!str_starts(name, STR("contact.")) || !f->fields)
        return STR_NONE;
    struct str field = str_from_index(name, 8);
    json_t *v = json_object_getn(f->fields, field.p, field.n);
    return str_from(json_string_value(v), json_string_length(v));
}

bool draft_render(const struct draft *c, enum draft_part part, const struct draft_facts *f,
                  struct buf *out, struct err *e)
{
    const struct template *t = c->part[part];
    size_t n = template_variables(t);
    struct str *values = alloc_many(struct str, n + 1);
    for (size_t i = 0; i < n; i++) {
        bool has_default;
        int line, column;
        struct str name = template_variable(t, i, &has_default, &line, &column);
        values[i] = draft_value(f, name);
    }
    bool ok = template_render(t, values, NULL, out, e);
    free(values);
    return ok || err_prefix(e, "%s", part_names[part]);
}

bool draft_answer(const struct draft *d, const struct draft_facts *f, json_t **data_out,
                  struct err *e)
{
    struct buf b;
    buf_init(&b, 8u << 20);
    json_t *j = json_object();
    bool ok = true;
    for (int p = 0; ok && p < DRAFT_PARTS; p++) {
        buf_clear(&b);
        if (d->part[p])
            ok = draft_render(d, (enum draft_part)p, f, &b, e);
        else if (p == DRAFT_TEXT && json_object_get(j, "html"))
            ok = mime_text_of_html(str_of(json_string_value(json_object_get(j, "html"))), &b) ||
                 err_set(e, ERR_TOO_BIG, "text: made from html it is too large");
        if (ok)
            json_object_set_new(j, draft_part_name((enum draft_part)p),
                                b.n ? json_stringn(b.p, b.n) : json_null());
    }
    buf_free(&b);
    if (ok)
        *data_out = j;
    else
        json_decref(j);
    return ok;
}
