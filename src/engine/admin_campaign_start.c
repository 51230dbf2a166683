/* The start of a campaign and what stands before it: check, preview, test.
 * A start fixes the audience and a copy of the content, so that later changes of list or template
 * do not reach a running campaign. What would not work is refused here, with its remedy. */
#include "base/alloc.h"
#include "base/arena.h"
#include "base/clock.h"
#include "engine/admin_outgoing.h"
#include "engine/admin_parts.h"
#include "mail/draft.h"
#include "mail/token.h"
#include "model/campaign.h"
#include "model/server.h"
#include "store/campaign_edit.h"
#include "fleet/route.h"
#include "mail/addr.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/lists.h"
#include "store/routes.h"
#include "store/reports.h"
#include "store/servers.h"
#include "store/templates.h"

#include <stdio.h>
#include <stdlib.h>

#define PROBLEMS_MAX 50

struct start {
    struct admin_context *c;
    struct campaign *cmp;
    struct contact_list list;
    struct stored_template *template;
    struct draft draft;
    json_t *problems, *warnings;
    size_t n_not_from; /* servers that may send, but not from this From domain */
    uint64_t recipients, contact_max;
};

static void problem(struct start *s, json_t *text)
{
    if (json_array_size(s->problems) < PROBLEMS_MAX)
        json_array_append_new(s->problems, text);
    else
        json_decref(text);
}

/* ---- content ---- */

static bool check_variable(void *arg, enum draft_part part, struct str name, bool has_default,
                           int line, int column, struct err *e)
{
    struct start *s = arg;
    bool has = draft_is_known(name) || has_default;
    char field[80];
    struct str of_contact = str_from_index(name, 8);
    if (has)
        return true;
    if (str_starts(name, STR("contact.")) && str_copy(of_contact, field, sizeof(field))) {
        if (!campaign_edit_has_field(s->c->db, s->list.id, field, &has, e))
            return false;
        if (!has)
            problem(s, json_sprintf("%s, line %d, column %d: no contact of list \"%s\" has a field "
                                    "%s; correct it, or write {{ " STR_F " | default: \"...\" }}",
                                    draft_part_name(part), line, column, s->list.name, field,
                                    STR_A(name)));
        return true;
    }
    problem(s, json_sprintf("%s, line %d, column %d: " STR_F
                            " is unknown and has no default; known are contact.FIELD, "
                            "campaign.name, list.name, unsubscribe_url, view_url, preferences_url "
                            "and date",
                            draft_part_name(part), line, column, STR_A(name)));
    return true;
}

static bool check_content(struct start *s, struct err *e)
{
    const struct stored_template *t = s->template;
    struct err bad;
    if (!draft_compile(t->subject, t->html, t->text, &s->draft, &bad)) {
        problem(s, json_string(bad.text));
        return true;
    }
    if (!draft_each(&s->draft, check_variable, s, e))
        return false;
    for (int p = DRAFT_HTML; p < DRAFT_PARTS && s->cmp->lane == LANE_BULK; p++)
        if (s->draft.part[p] && !draft_has(&s->draft, (enum draft_part)p, "unsubscribe_url"))
            problem(s,
                    json_sprintf("%s: has no unsubscribe link; put {{ unsubscribe_url }} into it "
                                 "(template \"%s\")",
                                 draft_part_name((enum draft_part)p), t->name));
    return true;
}

/* ---- servers ---- */

static void check_server(struct start *s, const struct server *server)
{
    if (!s->cmp->from && !server->from)
        problem(s, json_sprintf("from: neither the campaign nor server \"%s\" has one; give "
                                "`campaign create --from` or `server set %s --from`",
                                server->name, server->name));
    if (!s->c->public_url && !server_on_loopback(server))
        problem(s, json_sprintf("public_url is not set, so the links in the mails would lead "
                                "nowhere; set public_url in postfleet.yaml (server \"%s\" is not "
                                "on loopback)",
                                server->name));
    if (server->admin != ADMIN_ACTIVE)
        json_array_append_new(s->warnings, json_sprintf("server \"%s\" is %s", server->name,
                                                        admin_state_name(server->admin)));
}

/* The From of its messages there is the campaign's, else the server's own. */
static bool may_send_from(const struct start *s, const struct server *server)
{
    const char *from = s->cmp->from ? s->cmp->from : server->from;
    struct addr a;
    char name[256];
    struct err none;
    if (!server->n_from_domains || !from ||
        !addr_parse_mailbox(str_of(from), &a, name, sizeof name, &none))
        return true;
    for (size_t i = 0; i < server->n_from_domains; i++)
        if (str_is(addr_domain(&a), server->from_domains[i]))
            return true;
    return false;
}

/* Servers of one group; *n counts those that may send. */
static bool check_members(struct start *s, uint32_t group_num, size_t *n, struct group **out,
                          struct err *e)
{
    if (!groups_get_num(s->c->db, group_num, out, e))
        return false;
    for (size_t i = 0; i < (*out)->n_members; i++) {
        struct server *server = NULL;
        if (!servers_get_num(s->c->db, NULL, (*out)->members[i].server_num, &server, e))
            return false;
        check_server(s, server);
        bool is_on = server->admin != ADMIN_DISABLED, is_from = may_send_from(s, server);
        *n += is_on && is_from;
        s->n_not_from += is_on && !is_from;
        server_free(&server);
    }
    return true;
}

/* A group with its fallbacks. */
static bool check_group(struct start *s, uint32_t group_num, size_t *n, struct err *e)
{
    struct group *g = NULL, *fallback = NULL;
    bool ok = check_members(s, group_num, n, &g, e);
    for (size_t i = 0; ok && i < g->n_fallbacks; i++) {
        ok = check_members(s, g->fallbacks[i], n, &fallback, e);
        group_free(&fallback);
    }
    group_free(&g);
    return ok;
}

/* The groups that rules can send some of its messages to; *all_out: there is a rule for each. */
static bool check_routes(struct start *s, size_t *n, bool *all_out, struct err *e)
{
    struct route **list = NULL;
    struct addr a;
    char name[256];
    size_t n_list = 0;
    struct err none;
    struct route_facts f = {.lane = s->cmp->lane,
                            .campaign_num = s->cmp->num,
                            .list_id = s->cmp->list_id,
                            .tags = str_of(s->cmp->tags)};
    if (s->cmp->from && addr_parse_mailbox(str_of(s->cmp->from), &a, name, sizeof name, &none))
        f.from_domain = addr_domain(&a);
    bool ok = route_rows_list(s->c->db, &list, &n_list, e);
    for (size_t i = 0; ok && i < n_list && !*all_out; i++)
        if (route_could_take(list[i], &f, all_out))
            ok = check_group(s, list[i]->group_num, n, e);
        else
            *all_out = false;
    route_rows_free(list, n_list);
    return ok;
}

/* The campaign's group is fixed here: its own, else the list's, else default. */
static bool fix_group(struct start *s, struct err *e)
{
    struct group *g = NULL;
    if (!s->cmp->group_num)
        s->cmp->group_num = s->list.group_num;
    if (s->cmp->group_num)
        return true;
    if (!groups_get(s->c->db, GROUPS_DEFAULT, &g, e))
        return false;
    s->cmp->group_num = g->num;
    group_free(&g);
    return true;
}

static bool check_groups(struct start *s, struct err *e)
{
    size_t n = 0, by_routes = 0;
    bool all = false;
    struct group *g = NULL;
    if (!fix_group(s, e) || !check_routes(s, &by_routes, &all, e) ||
        (!all && !check_group(s, s->cmp->group_num, &n, e)) ||
        !groups_get_num(s->c->db, s->cmp->group_num, &g, e))
        return false;
    json_t *text = n || (all && by_routes) ? NULL
                   : s->n_not_from
                       ? json_sprintf("group \"%s\": none of its servers may send this From "
                                      "address; `campaign create --from`, or `server set ... "
                                      "--from-domain`",
                                      g->name)
                       : json_sprintf("group \"%s\": no server that may send is in it; "
                                      "`server add ... --group %s`",
                                      g->name, g->name);
    if (text && by_routes) /* what no rule names waits for one */
        json_array_append_new(s->warnings, text);
    else if (text)
        problem(s, text);
    group_free(&g);
    return true;
}

static bool check_audience(struct start *s, struct err *e)
{
    if (!campaign_edit_audience(s->c->db, s->list.id, &s->recipients, &s->contact_max, e))
        return false;
    if (!s->recipients)
        problem(s, json_sprintf("list \"%s\": nobody to write to; `contact import --list %s FILE`",
                                s->list.name, s->list.name));
    if (s->cmp->deadline && s->cmp->deadline <= s->c->wall_ms)
        problem(s, json_string("deadline: it has passed"));
    return true;
}

/* ---- begin and end of all four ---- */

static bool open_start(struct start *s, struct admin_context *c, json_t *args, struct err *e)
{
    const char *name = NULL;
    *s = (struct start){.c = c, .problems = json_array(), .warnings = json_array()};
    if (!args_need(args, "name", 4096, &name, e) || !campaign_edit_get(c->db, name, &s->cmp, e) ||
        !lists_get_id(c->db, s->cmp->list_id, &s->list, e))
        return false;
    if (s->cmp->state == CAMPAIGN_DRAFT || !s->cmp->subject)
        return templates_get_id(c->db, s->cmp->template_id, &s->template, e);
    /* a started one shows what it sends */
    s->template = alloc_one(struct stored_template);
    s->template->name = alloc_copy("(as started)");
    s->template->subject = alloc_copy(s->cmp->subject);
    s->template->html = alloc_copy(s->cmp->html);
    s->template->text = alloc_copy(s->cmp->text);
    return true;
}

static void close_start(struct start *s)
{
    draft_free(&s->draft);
    templates_free(&s->template);
    campaign_free(&s->cmp);
    json_decref(s->problems);
    json_decref(s->warnings);
}

static bool check_all(struct start *s, struct err *e)
{
    return check_content(s, e) && check_groups(s, e) && check_audience(s, e);
}

static bool run_check(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    struct start s;
    if (!args_known(args, (const char *const[]){"name", NULL}, e))
        return false;
    bool ok = open_start(&s, c, args, e) && check_all(&s, e);
    if (ok)
        *data_out = json_pack("{s:s, s:b, s:I, s:O, s:O}", "name", s.cmp->name, "ok",
                              !json_array_size(s.problems), "recipients", (json_int_t)s.recipients,
                              "errors", s.problems, "warnings", s.warnings);
    close_start(&s);
    return ok;
}

static bool refuse_problems(const struct start *s, struct err *e)
{
    size_t n = json_array_size(s->problems);
    if (!n)
        return true;
    const char *first = json_string_value(json_array_get(s->problems, 0));
    if (n == 1)
        return err_set(e, ERR_REFUSED, "campaign \"%s\": %s", s->cmp->name, first);
    return err_set(e, ERR_REFUSED, "campaign \"%s\": %s (and %zu more: `campaign check %s`)",
                   s->cmp->name, first, n - 1, s->cmp->name);
}

static void take_content(struct start *s)
{
    struct campaign *cmp = s->cmp;
    free(cmp->subject);
    free(cmp->html);
    free(cmp->text);
    cmp->subject = alloc_copy(s->template->subject);
    cmp->html = alloc_copy(s->template->html);
    cmp->text = alloc_copy(s->template->text);
    cmp->state = CAMPAIGN_RUNNING;
    cmp->started_at = s->c->wall_ms;
    cmp->contact_max = s->contact_max;
    cmp->recipients = s->recipients;
}

static bool start(struct start *s, struct err *e)
{
    if (s->cmp->state != CAMPAIGN_DRAFT && s->cmp->state != CAMPAIGN_SCHEDULED)
        return err_set(e, ERR_CONFLICT, "campaign \"%s\": it is %s already", s->cmp->name,
                       campaign_state_name(s->cmp->state));
    if (!check_all(s, e) || !refuse_problems(s, e))
        return false;
    take_content(s);
    changed_campaign(s->c, s->cmp->num);
    return campaign_edit_start(s->c->db, s->cmp, e) &&
           note_event(s->c, "campaign.started", s->cmp->name, e);
}

static bool run_start(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    struct start s;
    if (!args_known(args, (const char *const[]){"name", NULL}, e))
        return false;
    bool ok = open_start(&s, c, args, e) && start(&s, e) &&
              report_campaign(c->db, s.cmp->name, NULL, data_out, e);
    if (ok)
        json_object_set(*data_out, "warnings", s.warnings);
    close_start(&s);
    return ok;
}

/* ---- preview and test ---- */

struct links {
    char unsubscribe[1200], view[1200], date[40];
};

static void make_links(const struct start *s, uint64_t message_id, uint64_t contact_id,
                       struct links *l)
{
    const char *base = s->c->public_url ? s->c->public_url : s->c->http_url;
    char text[TOKEN_TEXT_MAX] = "TOKEN";
    struct token t = {TOKEN_UNSUBSCRIBE, message_id, s->list.id, contact_id};
    if (s->c->token_key)
        token_make(s->c->token_key, &t, text);
    snprintf(l->unsubscribe, sizeof(l->unsubscribe), "%s/u/%s", base ? base : "", text);
    t.kind = TOKEN_VIEW;
    if (s->c->token_key)
        token_make(s->c->token_key, &t, text);
    snprintf(l->view, sizeof(l->view), "%s/view/%s", base ? base : "", text);
}

static bool fill_facts(struct start *s, json_t *args, struct arena *a, struct links *l,
                       struct draft_facts *f, struct err *e)
{
    const char *contact = NULL;
    clock_format(s->c->wall_ms, l->date);
    l->date[10] = '\0';
    *f = (struct draft_facts){.email = "somebody@example.com",
                              .campaign = s->cmp->name,
                              .list = s->list.name,
                              .unsubscribe_url = l->unsubscribe,
                              .preferences_url = l->unsubscribe,
                              .view_url = l->view,
                              .date = l->date};
    return args_text(args, "contact", 600, &contact, e) &&
           (!contact || draft_of_contact(s->c, contact, a, f, e));
}

static bool render(struct start *s, json_t *args, uint64_t message_id, struct links *l,
                   json_t **parts_out, struct err *e)
{
    struct draft_facts f = {0};
    struct arena *a = arena_new(1u << 20);
    make_links(s, message_id, 0, l);
    bool ok =
        fill_facts(s, args, a, l, &f, e) &&
        draft_compile(s->template->subject, s->template->html, s->template->text, &s->draft, e) &&
        draft_answer(&s->draft, &f, parts_out, e);
    json_decref(f.fields);
    arena_free(&a);
    return ok;
}

static bool run_preview(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                        struct err *e)
{
    (void)tail;
    struct start s;
    struct links l;
    if (!args_known(args, (const char *const[]){"name", "contact", NULL}, e))
        return false;
    bool ok = open_start(&s, c, args, e) && render(&s, args, 0, &l, data_out, e);
    if (ok)
        json_object_set_new(*data_out, "from",
                            s.cmp->from ? json_string(s.cmp->from) : json_null());
    close_start(&s);
    return ok;
}

static const char *any_from(struct start *s, struct server **server_out)
{
    struct group *g = NULL;
    struct err e;
    if (s->cmp->from)
        return s->cmp->from;
    bool ok = s->cmp->group_num ? groups_get_num(s->c->db, s->cmp->group_num, &g, &e)
                                : groups_get(s->c->db, GROUPS_DEFAULT, &g, &e);
    for (size_t i = 0; ok && i < g->n_members; i++) {
        server_free(server_out);
        if (servers_get_num(s->c->db, NULL, g->members[i].server_num, server_out, &e) &&
            (*server_out)->from)
            break;
    }
    group_free(&g);
    return *server_out ? (*server_out)->from : NULL;
}

static struct str part_of(json_t *parts, const char *name)
{
    json_t *v = json_object_get(parts, name);
    return str_from(json_string_value(v), json_string_length(v));
}

static bool post_test(struct start *s, json_t *args, const char *to, json_t **data_out,
                      struct err *e)
{
    struct server *server = NULL;
    struct links l;
    json_t *parts = NULL;
    uint64_t id = ids_next(s->c->ids, s->c->wall_ms);
    struct outgoing o = {.seed = s->c->random ^ id,
                         .lane = LANE_TRANSACTIONAL,
                         .group_num = s->cmp->group_num,
                         .to = str_of(to),
                         .reply_to = str_of(s->cmp->reply_to)};
    const char *from = any_from(s, &server);
    bool ok = from || err_set(e, ERR_REFUSED,
                              "from: neither the campaign nor a server of its group has one");
    ok = ok && render(s, args, id, &l, &parts, e);
    if (ok) {
        o.from = str_of(from);
        o.subject = part_of(parts, "subject");
        o.html = part_of(parts, "html");
        o.text = part_of(parts, "text");
        o.list_unsubscribe = str_of(l.unsubscribe);
        ok = outgoing_post(s->c, &o, id, data_out, e);
    }
    json_decref(parts);
    server_free(&server);
    return ok;
}

/* One real mail of the campaign to an address of the user's; counts nowhere in its report. */
static bool run_test(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                     struct err *e)
{
    (void)tail;
    struct start s;
    const char *to = NULL;
    bool ok = args_known(args, (const char *const[]){"name", "to", "contact", NULL}, e) &&
              args_need(args, "to", 600, &to, e);
    if (!ok)
        return false;
    ok = open_start(&s, c, args, e) && post_test(&s, args, to, data_out, e);
    close_start(&s);
    return ok;
}

static const struct admin_entry entries[] = {
    {"campaign.start", run_start, false, false},
    {"campaign.check", run_check, true, false},
    {"campaign.preview", run_preview, true, false},
    {"campaign.test", run_test, false, false},
};
const struct admin_noun admin_campaign_starts = {entries, countof(entries)};
