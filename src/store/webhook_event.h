/* An event as its receivers see it, made again from the tables whenever it is needed, so that
 * nothing of it has to be kept: its id says what it was. Times, names and states are those of the
 * event itself; a name that is gone is null. Reads only. */
#ifndef STORE_WEBHOOK_EVENT_H
#define STORE_WEBHOOK_EVENT_H

#include "base/base.h"
#include "base/err.h"
#include "model/hook.h"
#include "store/db.h"
#include "store/message_view.h"
#include "store/webhooks.h"

#include <jansson.h>

struct hook_ref {          /* which event it is */
    uint64_t id;           /* of the message, or of the row in table event */
    bool is_message;       /* else of table event */
    enum hook_event event; /* of a message */
    uint32_t number;       /* of the attempt; 0: none */
};

/* "evt_" and its parts; the same event has the same id for good. out: WEBHOOK_EVENT_MAX bytes. */
void hook_ref_format(const struct hook_ref *r, char *out);
bool hook_ref_parse(const char *text, struct hook_ref *out);

struct hook_facts { /* what filters ask for; "" when the event has none */
    char type[40];
    char server[132], group[132], tags[TAGS_TEXT_MAX];
};

/* *found_out false: what it was about is not there any more, or is nothing that is told. *body_out
 * is the caller's: {"id","type","timestamp","data"}. *c keeps the campaign looked at last; zeroed
 * before the first call. */
bool webhook_event_make(struct db *db, const struct hook_ref *r, struct campaign_view *c,
                        struct hook_facts *f, json_t **body_out, bool *found_out,
                        struct err *e) MUST_USE;
/* Is it wanted, by the filters of the webhook? An event without server, group or tag passes no
 * filter that asks for one. */
bool webhook_wants(const struct webhook *w, const struct hook_facts *f);

#endif
