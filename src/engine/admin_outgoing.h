/* A single mail on its way into the queue: built or normalised, checked against suppression,
 * stored. Shared by message.send and campaign.test. */
#ifndef ENGINE_ADMIN_OUTGOING_H
#define ENGINE_ADMIN_OUTGOING_H

#include "engine/admin_parts.h"
#include "mail/mime.h"
#include "model/message.h"

#define OUTGOING_MAX (40u << 20) /* bytes of a mail */

struct outgoing { /* strings are borrowed; STR_NONE: not given */
    uint64_t id;  /* of the message; 0: a fresh one */
    enum lane lane;
    uint32_t group_num;
    struct str to;   /* mailbox */
    struct str from; /* mailbox; with raw it goes before the header's From */
    struct str reply_to;
    struct str raw; /* a whole mail; else the following */
    struct str subject, html, text;
    struct str list_unsubscribe;
    const struct mime_header *headers;
    size_t n_headers;
    struct str tags;    /* one a line */
    int64_t expires_at; /* wall ms; 0: never */
    bool is_test;       /* checked and built, then dropped */
};

/* Answers {"id","message_id"}. ERR_REFUSED when the recipient is suppressed. */
bool outgoing_post(struct admin_context *c, const struct outgoing *o, json_t **data_out,
                   struct err *e) MUST_USE;
/* Num of the group of that name; NULL: 0. */
bool outgoing_group(struct admin_context *c, const char *name, uint32_t *num_out,
                    struct err *e) MUST_USE;

#endif
