/* Routing of messages in memory, see routing.h. */
#include "engine/routing.h"
#include "base/alloc.h"
#include "engine/state.h"
#include "store/routes.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- loading ---- */

static void add_default(void *arg, uint64_t of, uint32_t group_num)
{
    map_u64_set(arg, of, (void *)(uintptr_t)group_num);
}

bool routing_load(struct db *db, struct routing **out, struct err *e)
{
    struct route **list = NULL;
    size_t n = 0;
    *out = NULL;
    if (!route_rows_list(db, &list, &n, e))
        return false;
    struct routing *r = alloc_one(struct routing);
    r->routes = routes_new(list, n);
    r->list_groups = map_u64_new();
    if (!route_rows_of_lists(db, add_default, r->list_groups, e))
        routing_free(&r);
    *out = r;
    return r != NULL;
}

void routing_free(struct routing **rp)
{
    struct routing *r = *rp;
    *rp = NULL;
    if (!r)
        return;
    routes_free(&r->routes);
    map_u64_free(&r->list_groups);
    free(r);
}

/* ---- the decision ---- */

static uint32_t group_of(const struct map_u64 *m, uint64_t key)
{
    return key ? (uint32_t)(uintptr_t)map_u64_get(m, key) : 0;
}

void routing_choose(const struct core *c, const struct route_facts *f, const struct route_groups *g,
                    struct route_choice *out)
{
    const struct routing *r = c->routing;
    *out = (struct route_choice){.group_num = g->own, .reason = ROUTE_BY_MESSAGE};
    if (out->group_num)
        return;
    out->rule = r ? routes_find(r->routes, f) : NULL;
    if (out->rule) {
        out->group_num = out->rule->group_num;
        out->reason = ROUTE_BY_RULE;
        return;
    }
    const struct {
        uint32_t group_num;
        enum route_reason reason;
    } others[] = {{g->of_campaign, ROUTE_BY_CAMPAIGN},
                  {r ? group_of(r->list_groups, f->list_id) : 0, ROUTE_BY_LIST},
                  {c->default_group, ROUTE_BY_DEFAULT}};
    for (size_t i = 0; i < countof(others) && !out->group_num; i++) {
        out->group_num = others[i].group_num;
        out->reason = others[i].reason;
    }
}

const char *routing_reason(enum route_reason r)
{
    static const char *const words[] = {
        "the message names it", "a rule names it", "no rule matches: the campaign's group",
        "no rule matches: the list's group", "no rule matches: the default group"};
    return (size_t)r < countof(words) ? words[r] : "?";
}

/* ---- messages ---- */

struct str routing_field(struct str fields, const char *name)
{
    char key[68];
    int n = snprintf(key, sizeof key, "\"%s\"", name);
    for (ptrdiff_t at; (at = str_find(fields, str_from(key, (size_t)n))) >= 0;) {
        fields = str_trim(str_from_index(fields, (size_t)at + (size_t)n));
        if (!str_starts(fields, STR(":"))) /* a value of that text */
            continue;
        fields = str_trim(str_from_index(fields, 1));
        bool quoted = str_starts(fields, STR("\""));
        fields = str_from_index(fields, quoted);
        size_t end = 0;
        while (end < fields.n && (quoted ? fields.p[end] != '"' : ascii_isalnum(fields.p[end])))
            end++;
        return str_cut(fields, 0, end);
    }
    return STR_NONE;
}

void routing_country(struct str given, char out[3])
{
    bool is_code = given.n == 2 && ascii_isalpha(given.p[0]) && ascii_isalpha(given.p[1]);
    for (int i = 0; is_code && i < 2; i++)
        out[i] = (char)(ascii_lower(given.p[i]) - 32);
    out[is_code ? 2 : 0] = 0;
}

void routing_read(struct job *j)
{
    struct str fields = j->item->fields;
    uint64_t class = 0;
    if (!fields.n)
        return;
    routing_country(str_trim(routing_field(fields, "country")), j->country);
    if (str_to_u64(str_trim(routing_field(fields, "engagement")), 7, &class))
        j->engagement = (uint8_t) class;
}

struct str routing_domain(struct str mailbox, char *out, size_t size)
{
    ptrdiff_t at = str_rchr(mailbox, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(mailbox, (size_t)at + 1);
    ptrdiff_t end = str_chr(domain, '>');
    str_copy(str_trim(end < 0 ? domain : str_cut(domain, 0, (size_t)end)), out, size);
    for (char *p = out; *p; p++)
        *p = ascii_lower(*p);
    return str_of(out);
}

bool routing_job(struct core *c, struct job *j)
{
    const struct lease_item *it = j->item;
    const struct content *k = j->run ? j->run->content : NULL;
    char from[256];
    ptrdiff_t at = str_rchr(it->key, '@');
    struct str sender = it->header_from.n ? it->header_from : it->envelope_from;
    struct route_facts f = {
        .lane = it->lane,
        .campaign_num = it->campaign_num,
        .credential_num = it->credential_num,
        .list_id = k ? k->list_id : 0,
        .tags = k ? str_of(k->tags) : it->tags,
        .from_domain =
            routing_domain(k ? str_of(k->from ? k->from : "") : sender, from, sizeof from),
        .rcpt_domain = at < 0 ? STR_NONE : str_from_index(it->key, (size_t)at + 1),
        .provider = str_of(provider_name(providers_builtin(), j->provider)),
        .engagement = j->engagement,
        .size = k ? k->size : it->size};
    struct route_groups g = {.own = j->run ? 0 : it->group_num,
                             .of_campaign = j->run ? j->run->group_num : 0};
    struct route_choice choice;
    memcpy(f.country, j->country, sizeof f.country);
    routing_choose(c, &f, &g, &choice);
    uint32_t before = j->group_num;
    j->group_num = choice.group_num;
    j->route_num = choice.rule ? choice.rule->num : 0;
    j->routing_turn = c->routing_turn;
    return before != j->group_num;
}

/* ---- rules that change while messages are ready ---- */

void routing_refresh(struct core *c)
{
    c->routing_turn++;
    list_each(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        for (uint32_t i = 0; i < b->lease->n; i++) {
            struct job *j = &b->jobs[i];
            if (j->place != JOB_READY)
                continue;
            bool moves = mailboxes_look_again(c, j);
            if (!routing_job(c, j) && !moves)
                continue;
            due_remove(c, j);
            j->class = NULL;
            due_add(c, j, false);
        }
    }
}

/* Groups that a rule gives transactional mail keep their reserve before the first has come. */
static void expect_transactional(struct core *c)
{
    uint32_t groups[256];
    size_t n = c->routing
                   ? route_reaches(c->routing->routes, LANE_TRANSACTIONAL, groups, countof(groups))
                   : 0;
    for (size_t i = 0; i < n; i++)
        fleet_expect_transactional(c->fleet, groups[i], INT64_MAX);
}

void routing_apply(struct core *c, struct routing *r)
{
    routing_free(&c->routing);
    c->routing = r;
    expect_transactional(c);
    routing_refresh(c);
}
