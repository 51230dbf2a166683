/* Why would a message go where it does? Asks the same functions as sending does: the rule by
 * routing_choose, the server by fleet_explain. Reserves nothing. */
#include "engine/routing.h"
#include "base/alloc.h"
#include "engine/state.h"
#include "mail/addr.h"

#include <stdio.h>
#include <stdlib.h>

#define SERVERS_MAX 4096

struct question {
    struct route_facts facts;
    struct route_groups groups;
    char from[256], to[256];
    uint32_t provider;
};

static int64_t number(const json_t *args, const char *field)
{
    return (int64_t)json_integer_value(json_object_get(args, field));
}

static struct str text(const json_t *args, const char *field)
{
    const json_t *v = json_object_get(args, field);
    return str_from(json_string_value(v), json_string_length(v));
}

static bool read_question(struct core *c, const json_t *args, struct question *q, struct err *e)
{
    struct str stream = text(args, "stream"), fields = text(args, "fields");
    struct str country = str_trim(routing_field(fields, "country"));
    uint64_t class = 0;
    char lane[40];
    struct route_facts *f = &q->facts;
    f->campaign_num = (uint32_t)number(args, "campaign_num");
    f->credential_num = (uint32_t)number(args, "credential_num");
    f->list_id = (uint64_t)number(args, "list_id");
    f->size = (uint64_t)number(args, "size");
    f->tags = text(args, "tags");
    str_copy(stream, lane, sizeof lane);
    if (stream.n && !lane_parse(lane, &f->lane))
        return err_set(e, ERR_INVALID, "stream: \"%s\" is none of transactional, priority, bulk",
                       lane);
    f->rcpt_domain = routing_domain(text(args, "to"), q->to, sizeof q->to);
    f->from_domain = routing_domain(text(args, "from"), q->from, sizeof q->from);
    routing_country(country, f->country);
    if (str_to_u64(str_trim(routing_field(fields, "engagement")), 7, &class))
        f->engagement = (uint32_t) class;
    q->provider = mailboxes_provider(c, f->rcpt_domain);
    f->provider = str_of(provider_name(providers_builtin(), q->provider));
    q->groups.own = (uint32_t)number(args, "own_group");
    q->groups.of_campaign = (uint32_t)number(args, "group_num");
    return true;
}

static json_t *server_name(struct core *c, uint16_t num)
{
    struct outlet *o = core_outlet(c, num);
    return o && o->server ? json_string(o->server->server->name) : json_null();
}

static json_t *group_name(struct core *c, uint32_t num)
{
    const char *name = map_u64_get(c->group_names, num);
    return name ? json_string(name) : json_null();
}

static json_t *rejected(struct core *c, const struct server_reason *r, size_t n, uint16_t chosen,
                        uint32_t asked)
{
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++) {
        if (r[i].server_num == chosen)
            continue;
        const char *why = !r[i].eligible            ? r[i].why
                          : r[i].group_num != asked ? "a fallback: only when its group cannot"
                          : !chosen                 ? "could send, but see above what all wait for"
                                                    : "can send too: another one's turn";
        json_array_append_new(out, json_pack("{s:o,s:o,s:s,s:s}", "server",
                                             server_name(c, r[i].server_num), "group",
                                             group_name(c, r[i].group_num), "bound",
                                             bound_name(r[i].bound), "why", why));
    }
    return out;
}

/* The server that its recipient sticks to, as the class of a message has it. */
static uint16_t home_of(struct core *c, uint32_t group_num, struct str to)
{
    char key[ADDR_MAX + 1];
    struct addr a;
    struct err none;
    if (!addr_parse(to, &a, &none))
        return 0;
    addr_key(&a, key);
    return fleet_home(c->fleet, group_num, hash_bytes(key, strlen(key), 0));
}

/* Of the group ("a rule names it"), and of the server, or what everything waits for. */
static json_t *why_of(const struct route_choice *choice, const struct pick *p)
{
    const char *server = p->why[0] ? p->why : p->kind == PICK_SEND ? "it is its turn" : "";
    return choice->rule ? json_sprintf("route %s; %s", choice->rule->name, server)
                        : json_sprintf("%s; %s", routing_reason(choice->reason), server);
}

bool routing_explain(struct core *c, const json_t *args, json_t **out, struct err *e)
{
    struct question q = {.facts.lane = LANE_TRANSACTIONAL};
    struct route_choice choice;
    struct pick p;
    size_t n = 0;
    if (!read_question(c, args, &q, e))
        return false;
    routing_choose(c, &q.facts, &q.groups, &choice);
    struct ask a = {.group_num = choice.group_num,
                    .lane = q.facts.lane,
                    .from_domain = q.facts.from_domain,
                    .provider = q.provider,
                    .campaign_num = q.facts.campaign_num,
                    .credential_num = q.facts.credential_num,
                    .size = q.facts.size,
                    .home = home_of(c, choice.group_num, text(args, "to")),
                    .engagement = (uint8_t)q.facts.engagement};
    memcpy(a.country, q.facts.country, sizeof a.country);
    struct server_reason *reasons = alloc_many(struct server_reason, SERVERS_MAX);
    fleet_explain(c->fleet, &a, core_steady(c), &p, reasons, SERVERS_MAX, &n);
    uint16_t chosen = p.kind == PICK_SEND ? p.server_num : 0;
    *out = json_pack("{s:o,s:o,s:o,s:o,s:s,s:s,s:o}", "rule",
                     choice.rule ? json_string(choice.rule->name) : json_null(), "group",
                     group_name(c, chosen ? p.group_num : choice.group_num), "server",
                     chosen ? server_name(c, chosen) : json_null(), "why", why_of(&choice, &p),
                     "limited_by", bound_name(chosen ? BOUND_NONE : p.bound), "provider",
                     provider_name(providers_builtin(), q.provider), "rejected",
                     rejected(c, reasons, n, chosen, choice.group_num));
    free(reasons);
    return true;
}
