/* What the user does before mail flows: groups, servers and who is in which, limits, lists with
 * their contacts, campaigns, routes. And what he does to the routes while mail flows. */
#include "world.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define BITE 500 /* rows of an import call */

static void set_number(json_t *args, const char *name, uint64_t n)
{
    if (n)
        json_object_set_new(args, name, json_integer((json_int_t)n));
}

static void set_text(json_t *args, const char *name, const char *text)
{
    if (text && *text)
        json_object_set_new(args, name, json_string(text));
}

/* ---- groups and servers */

static void add_group(const struct vgroup *g)
{
    json_t *args =
        json_pack("{s:s, s:s, s:s, s:s}", "name", g->name, "strategy", g->strategy, "at_limit",
                  g->spill ? "spill" : "wait", "shares", g->elastic ? "elastic" : "exact");
    set_text(args, "sticky", g->sticky ? "recipient" : NULL);
    if (g->rotate) {
        set_number(args, "rotate_active", g->rotate);
        set_text(args, "rotate_every", "20s");
    }
    if (g->fallback >= 0)
        json_object_set_new(args, "fallback", json_array());
    for (int32_t i = g->fallback; i >= 0; i = W->groups[i].fallback)
        json_array_append_new(json_object_get(args, "fallback"), json_string(W->groups[i].name));
    script_must(strcmp(g->name, "default") ? "group.add" : "group.set", args);
}

static void start_warm_up(const struct vserver *s)
{
    json_t *args = json_pack("{s:s, s:s}", "server", s->name, "curve", s->curve);
    if (s->gmail_curve[0])
        json_object_set_new(args, "provider", json_sprintf("gmail=%s", s->gmail_curve));
    script_must("warmup.start", args);
}

static void set_limits(json_t *args, const struct vserver *s)
{
    set_text(args, "spread", s->spread ? "even" : NULL);
    set_text(args, "counts", s->all_attempts ? "attempts" : NULL);
    set_text(args, "calendar", s->zone);
    set_number(args, "per_second", s->per_second);
    set_number(args, "per_minute", s->per_minute);
    set_number(args, "per_hour", s->per_hour);
    set_number(args, "per_day", s->per_day);
    set_number(args, "max_connections", s->max_connections);
    set_number(args, "max_messages_per_connection", s->max_messages);
    if (s->pause_us)
        json_object_set_new(args, "pause_between",
                            json_sprintf("%lldms", (long long)s->pause_us / 1000));
}

static json_t *groups_of(uint32_t server)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < W->n_groups; i++)
        for (uint32_t k = 0; k < W->groups[i].n_servers; k++)
            if (W->groups[i].servers[k] == server)
                json_array_append_new(names, json_string(W->groups[i].name));
    return names;
}

static void add_server(const struct vserver *s)
{
    json_t *args =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "name", s->name, "host", "127.0.0.1",
                  "port", (int)s->port, "tls", s->starttls ? "starttls" : "none", "from",
                  "Shop <hello@shop.example>", "connect_timeout", "10s", "reply_timeout", "30s");
    json_object_set_new(args, "group", groups_of((uint32_t)(s - W->servers)));
    set_text(args, "tls_verify", s->starttls ? "none" : NULL);
    set_text(args, "user", s->login ? "shop" : NULL);
    set_text(args, "password", s->login ? "secret" : NULL);
    set_limits(args, s);
    script_must("server.add", args);
    if (s->curve[0])
        start_warm_up(s);
}

static void join(const struct vgroup *g, uint32_t i)
{
    script_must("server.set",
                json_pack("{s:s, s:s, s:i, s:i}", "name", W->servers[g->servers[i]].name, "group",
                          g->name, "weight", (int)g->weights[i], "priority", (int)g->tiers[i]));
}

/* ---- limits beside the servers' own */

static void add_limit(const struct vlimit *l)
{
    json_t *args = json_object();
    set_number(args, "per_second", l->per_second);
    set_number(args, "per_minute", l->per_minute);
    set_number(args, "per_hour", l->per_hour);
    set_number(args, "per_day", l->per_day);
    set_text(args, "calendar", l->zone);
    switch (l->of) {
    case OF_GROUP: set_text(args, "group", W->groups[l->num].name); break;
    case OF_CAMPAIGN: set_text(args, "campaign", W->campaigns[l->num].name); break;
    case OF_CREDENTIAL: set_text(args, "credential", sim_key); break;
    case OF_SERVER_PROVIDER: set_text(args, "server", W->servers[l->num].name); /* fall through */
    case OF_PROVIDER: set_text(args, "provider", sim_providers[l->domain]); break;
    }
    script_must("limit.set", args);
}

/* ---- people and campaigns */

static void add_field(struct buf *b, uint8_t index, struct str value)
{
    buf_addc(b, (char)index);
    buf_addc(b, 0);
    buf_addc(b, (char)value.n);
    buf_addstr(b, value);
}

static void row_add(struct buf *b, uint32_t person)
{
    const struct person *p = &W->people[person];
    char a[64], class[4];
    int n = snprintf(a, sizeof a, "p%06u@%s", person, sim_domains[person % DOMAINS]);
    buf_addc(b, 0);
    buf_addc(b, (char)n);
    buf_addstr(b, str_from(a, (size_t)n));
    buf_addstr(b, str_from("\0\0", 2)); /* as given: the same */
    buf_addc(b, (char)((p->country > 0) + (p->engagement > 0)));
    snprintf(class, sizeof class, "%u", p->engagement);
    if (p->country)
        add_field(b, 0, str_of(sim_countries[p->country]));
    if (p->engagement)
        add_field(b, 1, str_of(class));
}

static void import(const char *list, uint32_t first, uint32_t n)
{
    struct buf b;
    buf_init(&b, 1u << 20);
    for (uint32_t at = 0; at < n; at += BITE) {
        uint32_t bite = MIN(n - at, (uint32_t)BITE);
        b.n = 0;
        for (uint32_t i = 0; i < bite; i++)
            row_add(&b, first + at + i);
        if (!script_call("people.import_rows",
                         json_pack("{s:s, s:[s,s], s:i}", "list", list, "fields", "country",
                                   "engagement", "n", (int)bite),
                         buf_str(&b), NULL))
            world_fail("the import failed");
    }
    buf_free(&b);
}

static void add_campaign(struct vcampaign *c)
{
    char list[40];
    snprintf(list, sizeof list, "list-of-%s", c->name);
    script_must("list.add", json_pack("{s:s}", "name", list));
    import(list, c->first, c->n);
    json_t *args = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", c->name, "list", list, "template",
                             "letter", "group", W->groups[c->group].name, "stream",
                             c->is_priority ? "priority" : "bulk");
    set_text(args, "tag", sim_tags[c->tag]);
    if (c->deadline_us) /* times of a plan count from ready: that is now but for a moment */
        c->deadline_ms = (world_wall_us() + c->deadline_us) / 1000;
    set_number(args, "deadline", (uint64_t)c->deadline_ms);
    script_must("campaign.create", args);
}

/* ---- routes */

static void add_condition(json_t *args, enum cond kind, uint32_t value)
{
    char list[40], classes[8];
    snprintf(classes, sizeof classes, value ? "1-%u" : "%u", value);
    snprintf(list, sizeof list, "list-of-%s", W->campaigns[value % CAMPAIGNS_MAX].name);
    switch (kind) {
    case COND_STREAM: set_text(args, "stream", sim_lanes[value]); break;
    case COND_TAG: set_text(args, "tag", sim_tags[value]); break;
    case COND_PROVIDER: set_text(args, "provider", sim_providers[value]); break;
    case COND_DOMAIN: set_text(args, "recipient_domain", sim_domains[value]); break;
    case COND_COUNTRY: set_text(args, "country", sim_countries[value]); break;
    case COND_ENGAGEMENT: set_text(args, "engagement", classes); break;
    case COND_SIZE: set_text(args, "size", ">20000"); break;
    case COND_CAMPAIGN: set_text(args, "campaign", W->campaigns[value].name); break;
    case COND_LIST: set_text(args, "list", list); break;
    case COND_CREDENTIAL: set_text(args, "credential", sim_key); break;
    case COND_COUNT: break;
    }
}

static void add_rule(const struct vrule *r)
{
    json_t *args = json_pack("{s:s, s:s}", "name", r->name, "group", W->groups[r->group].name);
    for (uint32_t i = 0; i < r->n_conds; i++)
        add_condition(args, r->conds[i].kind, r->conds[i].value);
    script_must("route.add", args);
}

/* After a crash in the middle it is done once more: refused then when it had been done. */
void script_edit(struct edit *e)
{
    W->routing_next = W->routing;
    rules_edit(&W->routing_next, e);
    W->routing_moves = true;
    json_t *args = json_pack("{s:s}", "name", e->rule);
    if (e->kind == EDIT_GROUP)
        set_text(args, "group", W->groups[e->group].name);
    if (e->kind == EDIT_LAST)
        json_object_set_new(args, "last", json_true());
    (void)script_call(e->kind == EDIT_REMOVE ? "route.remove" : "route.set", args, STR_NONE, NULL);
    W->routing = W->routing_next;
    W->routing_moves = false;
    e->done = true;
}

/* ---- all */

static void add_content(void)
{
    script_must("template.add",
                json_pack("{s:s, s:s, s:s, s:s}", "name", "letter", "subject", "News for you",
                          "text", "Hello.\n.. and goodbye: {{ unsubscribe_url }}\n", "html",
                          "<p>Hello. <a href=\"{{ unsubscribe_url }}\">Leave</a></p>"));
}

void script_set_up(void)
{
    for (uint32_t i = W->n_groups; i > 0; i--)
        add_group(&W->groups[i - 1]);
    for (uint32_t i = 0; i < W->n_servers; i++)
        add_server(&W->servers[i]);
    for (uint32_t i = 0; i < W->n_groups; i++)
        for (uint32_t k = 0; k < W->groups[i].n_servers; k++)
            join(&W->groups[i], k);
    if (W->with_key)
        script_must("key.create",
                    json_pack("{s:s, s:s}", "name", sim_key, "scope", "messages:send"));
    add_content();
    for (uint32_t i = 0; i < W->n_campaigns; i++)
        add_campaign(&W->campaigns[i]);
    for (uint32_t i = 0; i < W->n_limits; i++)
        add_limit(&W->limits[i]);
    for (uint32_t i = 0; i < W->routing.n; i++)
        add_rule(&W->routing.rules[i]);
    W->ready_us = W->boot_us;
}
