/* What receivers of webhooks can be told: the events by name, and the state of a webhook.
 * Events of messages are derived from results and have a number; all others are kinds of table
 * event, some under another name. */
#ifndef MODEL_HOOK_H
#define MODEL_HOOK_H

#include "base/base.h"
#include "base/str.h"

enum hook_event { /* stored in outcome_log: below 16, never renumbered */
                  HOOK_QUEUED = 0,
                  HOOK_SENT,
                  HOOK_DEFERRED,
                  HOOK_BOUNCED,
                  HOOK_FAILED,
                  HOOK_UNCERTAIN,
                  HOOK_SUPPRESSED,
                  HOOK_CANCELLED,
                  HOOK_EXPIRED,
                  HOOK_SUPPRESSION, /* suppression.created by a result */
                  HOOK_EVENTS
};

const char *hook_event_name(enum hook_event v); /* "message.queued" */
bool hook_event_parse(struct str name, enum hook_event *out);
/* The name under which a kind of table event is told; NULL: it is not. */
const char *hook_name_of_kind(struct str kind);
/* All names that can be told, in the order of the documentation; NULL at the end. */
const char *hook_name_at(size_t i);
/* Does the pattern ("message.bounced", "campaign.*", "*") name this event? */
bool hook_pattern_has(struct str pattern, struct str name);
/* Lines of patterns; STR_NONE: all. */
bool hook_patterns_have(struct str patterns, struct str name);

enum webhook_state {
    WEBHOOK_ACTIVE,
    WEBHOOK_PAUSED,   /* by the user */
    WEBHOOK_DISABLED, /* by us: it failed for too long, or said that it is gone */
    WEBHOOK_STATES
};

const char *webhook_state_name(enum webhook_state v);

#endif
