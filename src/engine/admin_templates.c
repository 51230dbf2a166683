/* Operations on templates: add, set, remove, render, lint. A template that does not compile is not
 * stored; the error names the part, the line and the column. */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "engine/admin_parts.h"
#include "mail/addr.h"
#include "mail/draft.h"
#include "mail/markdown.h"
#include "store/ids.h"
#include "store/lists.h"
#include "store/people.h"
#include "store/reports.h"
#include "store/templates.h"

#include <stdlib.h>

static const char *const known[] = {"name", "new_name", "subject", "html",
                                    "text", "markdown", NULL};

static void replace(char **at, struct str s)
{
    free(*at);
    *at = s.n ? str_dup(s) : NULL;
}

static bool html_of_markdown(struct str markdown, struct stored_template *t, struct err *e)
{
    struct buf b;
    buf_init(&b, TEMPLATES_BODY_MAX);
    bool ok = markdown_to_html(markdown, &b, e);
    if (ok)
        replace(&t->html, buf_str(&b));
    buf_free(&b);
    return ok;
}

/* Markdown is the source that html is made from; html given beside it wins nothing. */
static bool read_bodies(json_t *args, struct stored_template *t, struct err *e)
{
    struct str html, text, markdown, subject;
    if (!args_body(args, "html", TEMPLATES_BODY_MAX, &html, e) ||
        !args_body(args, "text", TEMPLATES_BODY_MAX, &text, e) ||
        !args_body(args, "markdown", TEMPLATES_BODY_MAX, &markdown, e) ||
        !args_body(args, "subject", TEMPLATES_SUBJECT_MAX, &subject, e) ||
        !text_check("subject", subject, TEMPLATES_SUBJECT_MAX, false, e))
        return false;
    if (html.n && markdown.n)
        return err_set(e, ERR_INVALID, "markdown: give either html or markdown, not both");
    if (json_object_get(args, "subject"))
        replace(&t->subject, subject);
    if (json_object_get(args, "text"))
        replace(&t->text, text);
    if (json_object_get(args, "html")) {
        replace(&t->html, html);
        replace(&t->markdown, STR_NONE);
    }
    if (json_object_get(args, "markdown"))
        replace(&t->markdown, markdown);
    return !markdown.n || html_of_markdown(markdown, t, e);
}

static bool compiles(const struct stored_template *t, struct err *e)
{
    struct draft d;
    if (!t->subject)
        return err_set(e, ERR_INVALID, "subject: is needed");
    if (!t->html && !t->text)
        return err_set(e, ERR_INVALID, "html, text or markdown: one of them is needed");
    bool ok = draft_compile(t->subject, t->html, t->text, &d, e);
    draft_free(&d);
    return ok;
}

static bool run_add(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e))
        return false;
    struct stored_template *t = alloc_one(struct stored_template);
    t->id = ids_next(c->ids, c->wall_ms);
    t->name = alloc_copy(name);
    t->created_at = t->updated_at = c->wall_ms;
    bool ok = read_bodies(args, t, e) && compiles(t, e) && templates_add(c->db, t, e) &&
              report_template(c->db, name, data_out, e);
    templates_free(&t);
    return ok;
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    const char *name = NULL, *new_name = NULL;
    struct stored_template *t = NULL;
    if (!args_known(args, known, e) || !args_need(args, "name", 4096, &name, e) ||
        (json_object_get(args, "new_name") && !args_name(args, "new_name", &new_name, e)) ||
        !templates_get(c->db, name, &t, e))
        return false;
    if (new_name)
        replace(&t->name, str_of(new_name));
    t->updated_at = c->wall_ms;
    bool ok = read_bodies(args, t, e) && compiles(t, e) && templates_update(c->db, t, e) &&
              report_template(c->db, t->name, data_out, e);
    templates_free(&t);
    return ok;
}

static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_only(args, "name", &name, e) || !templates_remove(c->db, name, e))
        return false;
    *data_out = answer_removed(name);
    return true;
}

/* ---- lint ---- */

struct linting {
    json_t *variables, *warnings;
    const struct draft *draft;
};

static bool lint_variable(void *arg, enum draft_part part, struct str name, bool has_default,
                          int line, int column, struct err *e)
{
    (void)e;
    struct linting *l = arg;
    json_array_append_new(l->variables,
                          json_pack("{s:s%, s:s, s:i, s:i, s:b}", "name", name.p, name.n, "part",
                                    draft_part_name(part), "line", line, "column", column,
                                    "has_default", has_default));
    bool is_contact = str_starts(name, STR("contact."));
    if (!is_contact && !draft_is_known(name) && !has_default)
        json_array_append_new(l->warnings,
                              json_sprintf("%s, line %d, column %d: " STR_F
                                           " is no variable of Postfleet; see doc/TEMPLATES.md",
                                           draft_part_name(part), line, column, STR_A(name)));
    else if (is_contact && !has_default && !draft_is_known(name))
        json_array_append_new(l->warnings,
                              json_sprintf("%s, line %d, column %d: " STR_F
                                           " has no default for contacts without that field",
                                           draft_part_name(part), line, column, STR_A(name)));
    return true;
}

static void lint_links(const struct draft *d, json_t *warnings)
{
    for (int p = DRAFT_HTML; p < DRAFT_PARTS; p++)
        if (d->part[p] && !draft_has(d, (enum draft_part)p, "unsubscribe_url"))
            json_array_append_new(warnings,
                                  json_sprintf("%s: has no {{ unsubscribe_url }}; a bulk campaign "
                                               "would be refused",
                                               draft_part_name((enum draft_part)p)));
}

/* Of a stored template by name, or of bodies given. Never an error for a bad template: the answer
 * says what is wrong with it. */
static bool run_lint(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                     struct err *e)
{
    (void)tail;
    const char *name = NULL;
    struct stored_template *t = NULL;
    if (!args_known(args, known, e) || !args_text(args, "name", 4096, &name, e))
        return false;
    if (name && !templates_get(c->db, name, &t, e))
        return false;
    if (!t)
        t = alloc_one(struct stored_template);
    struct draft d = {{NULL}};
    struct err bad = {0};
    json_t *errors = json_array();
    struct linting l = {json_array(), json_array(), &d};
    bool ok = read_bodies(args, t, &bad) && draft_compile(t->subject, t->html, t->text, &d, &bad) &&
              draft_each(&d, lint_variable, &l, &bad);
    if (ok)
        lint_links(&d, l.warnings);
    else
        json_array_append_new(errors, json_string(bad.text));
    *data_out = json_pack("{s:b, s:o, s:o, s:o}", "ok", ok, "errors", errors, "warnings",
                          l.warnings, "variables", l.variables);
    draft_free(&d);
    templates_free(&t);
    return true;
}

/* ---- render ---- */

bool draft_of_contact(struct admin_context *c, const char *email, struct arena *a,
                      struct draft_facts *f, struct err *e)
{
    struct person p;
    bool found = false;
    char key[ADDR_MAX + 1];
    if (!address_key("contact", email, key, e) ||
        !people_find(c->db, str_of(key), a, &p, &found, e))
        return false;
    if (!found)
        return err_set(e, ERR_NOT_FOUND, "contact \"%s\": there is none", email);
    f->email = arena_cstr(a, p.address.n ? p.address : p.key);
    f->fields = p.fields.n ? json_loadb(p.fields.p, p.fields.n, 0, NULL) : NULL;
    return true;
}

static bool run_render(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    static const char *const fields[] = {"name", "contact", "fields", "list", "campaign", NULL};
    const char *name = NULL, *contact = NULL, *list = NULL, *campaign = NULL;
    struct stored_template *t = NULL;
    if (!args_known(args, fields, e) || !args_need(args, "name", 4096, &name, e) ||
        !args_text(args, "contact", 600, &contact, e) || !args_text(args, "list", 4096, &list, e) ||
        !args_text(args, "campaign", 4096, &campaign, e) || !templates_get(c->db, name, &t, e))
        return false;
    struct draft d = {{NULL}};
    struct arena *a = arena_new(1u << 20);
    char date[40];
    clock_format(c->wall_ms, date);
    date[10] = '\0';
    struct draft_facts f = {.email = "somebody@example.com",
                            .campaign = campaign ? campaign : "campaign",
                            .list = list ? list : "list",
                            .unsubscribe_url = "https://example.com/u/TOKEN",
                            .view_url = "https://example.com/view/TOKEN",
                            .preferences_url = "https://example.com/u/TOKEN",
                            .date = date};
    bool ok = !contact || draft_of_contact(c, contact, a, &f, e);
    json_t *given = json_object_get(args, "fields");
    if (ok && given && !json_is_null(given) && !json_is_object(given))
        ok = err_set(e, ERR_INVALID, "fields: must be an object");
    if (ok && json_is_object(given)) {
        json_t *all = f.fields ? f.fields : json_object();
        json_object_update(all, given);
        f.fields = all;
    }
    ok = ok && draft_compile(t->subject, t->html, t->text, &d, e) &&
         draft_answer(&d, &f, data_out, e);
    json_decref(f.fields);
    draft_free(&d);
    arena_free(&a);
    templates_free(&t);
    return ok;
}

static const struct admin_entry entries[] = {
    {"template.add", run_add, false, false},       {"template.set", run_set, false, false},
    {"template.remove", run_remove, false, false}, {"template.lint", run_lint, true, false},
    {"template.render", run_render, true, false},
};
const struct admin_noun admin_templates = {entries, countof(entries)};
