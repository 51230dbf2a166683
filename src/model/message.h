/* A message (one mail to one recipient) and an attempt (one try on one server): words and states.
 */
#ifndef MODEL_MESSAGE_H
#define MODEL_MESSAGE_H

#include "base/base.h"
#include "model/verdict.h"

enum lane { LANE_TRANSACTIONAL = 0, LANE_PRIORITY, LANE_BULK, LANE_COUNT };
enum message_state {
    MESSAGE_QUEUED = 0,
    MESSAGE_HELD,
    MESSAGE_SENT,
    MESSAGE_UNCERTAIN,
    MESSAGE_BOUNCED,
    MESSAGE_FAILED,
    MESSAGE_SUPPRESSED,
    MESSAGE_CANCELLED,
    MESSAGE_EXPIRED,
    MESSAGE_STATE_COUNT
};

const char *lane_name(enum lane v); /* "transactional" "priority" "bulk" */
bool lane_parse(const char *s, enum lane *out);
const char *message_state_name(enum message_state v);
bool message_state_parse(const char *s, enum message_state *out);
/* True for a state that only the user can leave. */
bool message_state_is_final(enum message_state v);

/* One attempt that ended. Strings are borrowed. */
struct attempt {
    uint64_t message_id;
    uint32_t n;               /* 1 first */
    uint16_t server_num;      /* 0: none was asked */
    enum message_state state; /* what the message became by this attempt */
    bool hard;                /* bounced: hard or soft */
    enum verdict verdict;
    enum phase phase;
    int code;                /* 0: no reply */
    uint8_t enhanced[3];     /* 0 0 0: none; third number over 255 is stored as 255 */
    int64_t at;              /* wall ms of the end */
    int32_t ms;              /* from pick to end */
    struct str rule;         /* id of the rule that made the verdict */
    struct str reply;        /* the server's text, at most 1,000 bytes, UTF-8 */
    struct str why;          /* why this server, or why this attempt was made or ended */
    struct str conversation; /* full dialogue where kept; else empty */
};

#endif
