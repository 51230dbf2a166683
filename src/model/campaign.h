/* A campaign: one content to many contacts. */
#ifndef MODEL_CAMPAIGN_H
#define MODEL_CAMPAIGN_H

#include "base/base.h"
#include "model/message.h"

enum campaign_state {
    CAMPAIGN_DRAFT = 0,
    CAMPAIGN_SCHEDULED,
    CAMPAIGN_RUNNING,
    CAMPAIGN_PAUSED,
    CAMPAIGN_STALLED, /* running, but nothing can go: shown, never stored */
    CAMPAIGN_FINISHED,
    CAMPAIGN_CANCELLED,
    CAMPAIGN_FAILED,
    CAMPAIGN_STATE_COUNT
};

const char *campaign_state_name(enum campaign_state v);
bool campaign_state_parse(const char *s, enum campaign_state *out);

struct campaign {
    uint64_t id;  /* public id (cmp_...) */
    uint32_t num; /* small number, never reused */
    char *name;
    uint64_t list_id, template_id;
    uint32_t group_num; /* 0: by routing (default group) */
    enum lane lane;
    char *from, *reply_to;
    char *tags;       /* one a line; NULL: none */
    int64_t deadline; /* wall ms; 0: none */
    enum campaign_state state;
    char *state_reason;
    /* fixed at start: */
    uint64_t contact_max; /* highest contact id */
    uint64_t cursor;      /* contact ids up to here are leased */
    bool walked;          /* the audience is used up */
    uint64_t recipients;
    int64_t created_at, started_at, finished_at;
    char *subject, *html, *text; /* content, copied from the template at start */
};

void campaign_free(struct campaign **c);

#endif
