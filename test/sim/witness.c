/* Stands beside each pick of the engine (the linker sends fleet_pick and due_run here): what does
 * the fleet say it would choose, what does `route explain`, to which group does the message belong
 * by the rules, and then: what was chosen? They must agree, at the same instant. It changes nothing
 * of the engine's, and what it learns (by whom a person's mail is to leave) lies in the world. */
#include "world.h"

#include "base/alloc.h"
#include "engine/state.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define REASONS_MAX 64
#define ROUTE_EVERY 7 /* picks, for the time it takes */

static struct core *core;
static uint64_t n_picks;
static bool is_asking; /* fleet_explain asks fleet_pick */

void __wrap_due_run(struct core *c);
void __real_due_run(struct core *c);
void __wrap_fleet_pick(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *out);
void __real_fleet_pick(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *out);

void __wrap_due_run(struct core *c)
{
    core = c;
    __real_due_run(c);
}

/* ---- names of the engine and of the world */

static uint32_t group_of(uint32_t num)
{
    const char *name = map_u64_get(core->group_names, num);
    for (uint32_t i = 0; name && i < W->n_groups; i++)
        if (!strcmp(W->groups[i].name, name))
            return i;
    return NO_GROUP;
}

static const char *server_name(uint16_t num)
{
    struct outlet *o = core_outlet(core, num);
    return o && o->server ? o->server->server->name : "?";
}

static uint32_t server_of(uint16_t num)
{
    const char *name = server_name(num);
    for (uint32_t i = 0; i < W->n_servers; i++)
        if (!strcmp(W->servers[i].name, name))
            return i;
    world_fail("a pick of server number %u, which nobody added", num);
}

static bool is_member(uint32_t group, uint32_t server)
{
    const struct vgroup *g = &W->groups[group];
    for (uint32_t i = 0; i < g->n_servers; i++)
        if (g->servers[i] == server)
            return true;
    return false;
}

/* The ask of a class borrows the class's own From domain: that is how it is known. */
static struct job *job_of(const struct ask *a)
{
    struct class *k =
        (struct class *)(uintptr_t)(a->from_domain.p - offsetof(struct class, from_domain));
    return list_first(&k->ready, struct job, link);
}

static uint32_t person_of(const struct job *j)
{
    uint64_t n = 0;
    if (!str_to_u64(str_cut(j->item->key, 1, 6), PEOPLE_MAX - 1, &n))
        world_fail("a pick for an address that is nobody's");
    return (uint32_t)n;
}

/* ---- what route explain says */

static const char *text_of(const json_t *answer, const char *field)
{
    const char *s = json_string_value(json_object_get(answer, field));
    return s ? s : "";
}

static json_t *question(const struct job *j)
{
    const struct content *k = j->run ? j->run->content : NULL;
    const struct lease_item *it = j->item;
    struct str tags = k ? str_of(k->tags) : it->tags;
    struct str from = k ? str_of(k->from) : it->envelope_from;
    return json_pack("{s:i, s:i, s:I, s:I, s:i, s:s, s:s%, s:s%, s:s%, s:s%}", "campaign_num",
                     (int)it->campaign_num, "credential_num", (int)it->credential_num, "list_id",
                     (json_int_t)(k ? k->list_id : 0), "size", (json_int_t)(k ? k->size : it->size),
                     "group_num", (int)(j->run ? j->run->group_num : 0), "stream",
                     lane_name(it->lane), "tags", tags.p ? tags.p : "", tags.n, "from",
                     from.p ? from.p : "", from.n, "fields", it->fields.p ? it->fields.p : "",
                     it->fields.n, "to", it->key.p, it->key.n);
}

/* Only what a user can ask for: a message at its first attempt that does not name a group. */
static json_t *ask_route(const struct job *j)
{
    json_t *args, *answer = NULL;
    struct err e;
    if (n_picks++ % ROUTE_EVERY || j->n_tried || j->item->keep_server || j->item->tries ||
        (!j->run && j->item->group_num))
        return NULL;
    args = question(j);
    if (!args || !routing_explain(core, args, &answer, &e))
        world_fail("route explain: %s", args ? e.text : "a question that cannot be asked");
    json_decref(args);
    return answer;
}

static void compare_route(const struct job *j, const struct pick *p, json_t *answer)
{
    bool sends = p->kind == PICK_SEND;
    const char *group = map_u64_get(core->group_names, sends ? p->group_num : j->group_num);
    const char *server = sends ? server_name(p->server_num) : "";
    const char *bound = bound_name(sends ? BOUND_NONE : p->bound);
    if (strcmp(text_of(answer, "group"), group) != 0 ||
        strcmp(text_of(answer, "server"), server) != 0 ||
        strcmp(text_of(answer, "limited_by"), bound) != 0)
        world_fail("route explain said group %s, server %s, limited by %s; the pick was group %s, "
                   "server %s, limited by %s (" STR_F ")",
                   text_of(answer, "group"), text_of(answer, "server"),
                   text_of(answer, "limited_by"), group, server, bound, STR_A(j->item->key));
    json_decref(answer);
}

/* ---- what the fleet says */

/* When to ask again for a busy server is the dispatcher's own affair: nobody is told it. */
static void compare_choice(const struct pick *told, const struct pick *p)
{
    bool other_time = told->until != p->until && p->bound != BOUND_BUSY;
    if (told->kind != p->kind || told->server_num != p->server_num ||
        told->group_num != p->group_num || told->bound != p->bound || other_time)
        world_fail("explained: kind %d, server %u, group %u, %s, until %lld; picked: kind %d, "
                   "server %u, group %u, %s, until %lld",
                   (int)told->kind, told->server_num, told->group_num, bound_name(told->bound),
                   (long long)told->until, (int)p->kind, p->server_num, p->group_num,
                   bound_name(p->bound), (long long)p->until);
}

/* Limits of the group, the campaign, the key or the provider, and common cause, are nobody's. */
static bool is_servers_own(enum bound b)
{
    return b != BOUND_BUSY && b != BOUND_COMMON_CAUSE && b != BOUND_PACE && b != BOUND_QUOTA &&
           b != BOUND_SPREAD && b != BOUND_RESERVE;
}

static void compare_reasons(const struct ask *a, const struct pick *p,
                            const struct server_reason *r, size_t n)
{
    bool chosen = p->kind != PICK_SEND;
    for (size_t i = 0; i < n; i++) {
        chosen |=
            r[i].server_num == p->server_num && r[i].group_num == p->group_num && r[i].eligible;
        if (p->kind != PICK_SEND && is_servers_own(p->bound) && r[i].eligible &&
            r[i].group_num == a->group_num)
            world_fail("%s is said to be able to send, and the pick says %s: %s",
                       server_name(r[i].server_num), bound_name(p->bound), p->why);
    }
    if (!chosen)
        for (size_t i = 0; i < n; i++)
            if (r[i].server_num == p->server_num)
                world_fail("%s was picked, and explain says it cannot: %s, %s",
                           server_name(p->server_num), bound_name(r[i].bound), r[i].why);
}

/* ---- where it belongs */

static uint32_t belongs_to(const struct vrouting *r, uint32_t person)
{
    uint32_t g = rules_group(r, person);
    return g == NO_GROUP ? group_of(core->default_group) : g;
}

/* A group of the world, or one of its fallbacks. */
static bool is_of(uint32_t group, uint32_t asked)
{
    for (int32_t g = (int32_t)asked; g >= 0; g = W->groups[g].fallback)
        if ((uint32_t)g == group)
            return true;
    return false;
}

static void judge_route(uint32_t person, const struct ask *a, const struct pick *p)
{
    uint32_t asked = group_of(a->group_num);
    uint32_t want = belongs_to(&W->routing, person);
    bool either = W->routing_moves && asked == belongs_to(&W->routing_next, person);
    if (asked != want && !either)
        world_fail("p%u: the routes say group %s, it was asked for in %s", person,
                   want == NO_GROUP ? "default" : W->groups[want].name,
                   asked == NO_GROUP ? "default" : W->groups[asked].name);
    if (p->kind != PICK_SEND)
        return;
    uint32_t server = server_of(p->server_num), group = group_of(p->group_num);
    if (!is_of(group, asked) || !is_member(group, server))
        world_fail("p%u of group %s was given to %s by group %u", person, W->groups[asked].name,
                   W->servers[server].name, group);
    W->people[person].picked_by[server] = (uint8_t)(group + 1);
}

uint8_t witness_group(uint32_t person, uint32_t server)
{
    uint8_t by = W->people[person].picked_by[server];
    if (!by)
        world_fail("p%u's mail came to %s, which was not picked for it", person,
                   W->servers[server].name);
    return (uint8_t)(by - 1);
}

void __wrap_fleet_pick(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *out)
{
    struct server_reason reasons[REASONS_MAX];
    struct pick told;
    size_t n = 0;
    if (is_asking || !core || f != core->fleet) {
        __real_fleet_pick(f, a, now_ms, out);
        return;
    }
    is_asking = true;
    const struct job *j = job_of(a);
    fleet_explain(f, a, now_ms, &told, reasons, REASONS_MAX, &n);
    json_t *answer = ask_route(j);
    __real_fleet_pick(f, a, now_ms, out);
    is_asking = false;
    compare_choice(&told, out);
    compare_reasons(a, out, reasons, n);
    if (answer)
        compare_route(j, out, answer);
    judge_route(person_of(j), a, out);
}
