/* A composed mail on its way into the queue: its group found, its recipient checked against
 * suppression, its rows written. On the ledger thread, for every entrance. */
#ifndef ENGINE_ADMIN_OUTGOING_H
#define ENGINE_ADMIN_OUTGOING_H

#include "engine/admin_parts.h"
#include "engine/compose.h"

/* Whose body a message has: several recipients of one mail share one. */
struct outgoing_body {
    struct composed *mail; /* whose mail it is, and whose Message-ID */
    uint64_t of;           /* the message that holds it; 0: not stored yet, then set */
};

/* Writes the message under `id` (0: a fresh one). shared: NULL, or what the messages of one mail
 * have in common. ERR_REFUSED when the recipient is suppressed, ERR_NOT_FOUND (group). */
bool outgoing_store(struct admin_context *c, struct composed *m, uint32_t credential_num,
                    struct outgoing_body *shared, uint64_t *id, struct err *e) MUST_USE;
/* All at once, for one mail built here; answers {"id","message_id"}. */
bool outgoing_post(struct admin_context *c, const struct outgoing *o, uint64_t id,
                   json_t **data_out, struct err *e) MUST_USE;
/* {"id","message_id"}, and {"test":true} for one that is dropped. NULL with *e when the Message-ID
 * is no UTF-8. */
json_t *outgoing_answer(const struct composed *m, uint64_t id, bool is_test, struct err *e);
/* Num of the group of that name; NULL: 0. */
bool outgoing_group(struct admin_context *c, const char *name, uint32_t *num_out,
                    struct err *e) MUST_USE;

#endif
