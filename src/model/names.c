/* Every enum of the model with its names; lookups only, no behaviour.
 * The names are stored, shown and parsed: they never change. */
#include "base/str.h"
#include "model/campaign.h"
#include "model/domain.h"
#include "model/message.h"
#include "model/server.h"
#include "model/verdict.h"

static bool find_name(const char *const *names, size_t n, struct str s, int *out)
{
    for (size_t i = 0; i < n; i++)
        if (names[i] && str_is(s, names[i])) {
            *out = (int)i;
            return true;
        }
    return false;
}

#define NAME_OF(type, fn, table)                                                                   \
    const char *fn##_name(enum type v)                                                             \
    {                                                                                              \
        return (size_t)v < countof(table) && table[v] ? table[v] : "?";                            \
    }
#define NAMES_CSTR(type, table)                                                                    \
    NAME_OF(type, type, table)                                                                     \
    bool type##_parse(const char *s, enum type *out)                                               \
    {                                                                                              \
        int i = 0;                                                                                 \
        if (!find_name(table, countof(table), str_of(s), &i))                                      \
            return false;                                                                          \
        *out = (enum type)i;                                                                       \
        return true;                                                                               \
    }
#define NAMES_STR(type, table)                                                                     \
    NAME_OF(type, type, table)                                                                     \
    bool type##_parse(struct str s, enum type *out)                                                \
    {                                                                                              \
        int i = 0;                                                                                 \
        if (!find_name(table, countof(table), s, &i))                                              \
            return false;                                                                          \
        *out = (enum type)i;                                                                       \
        return true;                                                                               \
    }

static const char *const verdicts[VERDICT_COUNT] = {
    "none",         "accepted", "failover",    "uncertain",   "try_later",
    "rate_limited", "quota",    "auth_config", "hard_bounce", "soft_bounce",
    "blocked",      "content",  "protocol",    "unknown"};
static const char *const phases[PHASE_COUNT] = {"none", "dns",      "connect", "tls",  "greeting",
                                                "ehlo", "starttls", "auth",    "mail", "rcpt",
                                                "data", "dot",      "quit"};
static const char *const faults[FAULT_COUNT] = {
    "nobody", "server", "server_from", "server_provider", "recipient", "message", "campaign"};
static const char *const tls_modes[] = {"none", "starttls", "tls"};
static const char *const countses[] = {"accepted", "attempts", "recipients"};
static const char *const admin_states[] = {"active", "paused", "draining", "disabled"};
static const char *const oper_states[OPER_COUNT] = {"healthy",   "degraded",      "suspect",
                                                    "open",      "half_open",     "ramp",
                                                    "exhausted", "misconfigured", "quarantined"};
static const char *const strategies[] = {"round-robin",  "weighted", "priority",
                                         "least-loaded", "adaptive", "cheapest"};
static const char *const at_limits[] = {"wait", "spill"};
static const char *const shareses[] = {"exact", "elastic"};
static const char *const spreads[] = {"asap", "even"};
static const char *const roles[] = {"active", "reserve", "resting"};
static const char *const stickies[] = {"none", "message", "recipient"};
static const char *const lanes[LANE_COUNT] = {"transactional", "priority", "bulk"};
static const char *const message_states[MESSAGE_STATE_COUNT] = {
    "queued", "held",       "sent",      "uncertain", "bounced",
    "failed", "suppressed", "cancelled", "expired"};
static const char *const campaign_states[CAMPAIGN_STATE_COUNT] = {
    "draft", "scheduled", "running", "paused", "stalled", "finished", "cancelled", "failed"};
static const char *const dkim_algorithms[DKIM_ALGORITHMS] = {"rsa", "ed25519"};
static const char *const dkim_key_states[] = {"waiting", "active", "retired"};
static const char *const dkim_uses[] = {"auto", "on", "off"};

NAMES_STR(verdict, verdicts)
NAMES_STR(phase, phases)
NAME_OF(fault, fault, faults)
NAMES_CSTR(tls_mode, tls_modes)
NAMES_CSTR(counts, countses)
NAMES_CSTR(admin_state, admin_states)
NAMES_CSTR(oper_state, oper_states)
NAMES_CSTR(strategy, strategies)
NAMES_CSTR(at_limit, at_limits)
NAMES_CSTR(shares, shareses)
NAMES_CSTR(sticky, stickies)
NAMES_CSTR(spread, spreads)
NAMES_CSTR(role, roles)
NAMES_CSTR(lane, lanes)
NAMES_CSTR(message_state, message_states)
NAMES_CSTR(campaign_state, campaign_states)
NAMES_CSTR(dkim_algorithm, dkim_algorithms)
NAMES_CSTR(dkim_key_state, dkim_key_states)
NAMES_CSTR(dkim_use, dkim_uses)

bool message_state_is_final(enum message_state v)
{
    return v != MESSAGE_QUEUED && v != MESSAGE_HELD;
}
