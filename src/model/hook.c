/* See hook.h. One table: what is told, and what it is called in table event. */
#include "model/hook.h"

static const struct {
    const char *name;
    const char *kind; /* in table event; NULL: the same */
} names[] = {
    {"message.queued", NULL},         {"message.sent", NULL},
    {"message.deferred", NULL},       {"message.bounced", NULL},
    {"message.failed", NULL},         {"message.uncertain", NULL},
    {"message.suppressed", NULL},     {"message.cancelled", NULL},
    {"message.expired", NULL},        {"suppression.created", NULL},
    {"suppression.deleted", NULL},    {"suppression.reverted", NULL},
    {"contact.subscribed", NULL},     {"contact.unsubscribed", NULL},
    {"campaign.started", NULL},       {"campaign.paused", NULL},
    {"campaign.resumed", NULL},       {"campaign.finished", NULL},
    {"campaign.cancelled", NULL},     {"server.degraded", NULL},
    {"server.suspect", NULL},         {"server.opened", NULL},
    {"server.misconfigured", NULL},   {"server.quarantined", NULL},
    {"server.recovered", NULL},       {"server.quota_reached", "server.exhausted"},
    {"reputation.noticed", NULL},     {"reputation.pending", NULL},
    {"reputation.lowered", NULL},     {"reputation.resting", NULL},
    {"reputation.quarantined", NULL}, {"reputation.probation", NULL},
    {"reputation.recovered", NULL},   {"warmup.started", NULL},
    {"warmup.advanced", NULL},        {"warmup.held", NULL},
    {"warmup.stepped_back", NULL},    {"warmup.finished", NULL},
    {"warmup.stopped", NULL},         {"import.finished", NULL},
    {"domain.changed", NULL},         {"sending.paused", NULL},
    {"sending.resumed", NULL},        {"sending.held", NULL},
    {"fleet.cut_off", NULL},          {"fleet.back", NULL},
    {"webhook.disabled", NULL},
};

const char *hook_event_name(enum hook_event v)
{
    return (unsigned)v < HOOK_EVENTS ? names[v].name : "unknown";
}

bool hook_event_parse(struct str name, enum hook_event *out)
{
    for (unsigned i = 0; i < HOOK_EVENTS; i++)
        if (str_is(name, names[i].name)) {
            *out = (enum hook_event)i;
            return true;
        }
    return false;
}

const char *hook_name_of_kind(struct str kind)
{
    for (size_t i = HOOK_SUPPRESSION; i < countof(names); i++)
        if (str_is(kind, names[i].kind ? names[i].kind : names[i].name))
            return names[i].name;
    return NULL;
}

const char *hook_name_at(size_t i)
{
    return i < countof(names) ? names[i].name : NULL;
}

bool hook_pattern_has(struct str pattern, struct str name)
{
    if (str_is(pattern, "*"))
        return true;
    if (pattern.n > 2 && str_ends(pattern, STR(".*")))
        return str_starts(name, str_cut(pattern, 0, pattern.n - 1));
    return str_eq(pattern, name);
}

bool hook_patterns_have(struct str patterns, struct str name)
{
    struct str one;
    if (!patterns.n)
        return true;
    while (str_split(&patterns, '\n', &one))
        if (one.n && hook_pattern_has(one, name))
            return true;
    return false;
}

const char *webhook_state_name(enum webhook_state v)
{
    static const char *const words[WEBHOOK_STATES] = {"active", "paused", "disabled"};
    return (unsigned)v < WEBHOOK_STATES ? words[v] : "unknown";
}
