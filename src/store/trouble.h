/* Attempts that did not end with "accepted", newest first, by the index result_trouble: what
 * patterns of replies and evidence for a provider are made of. Reads only. */
#ifndef STORE_TROUBLE_H
#define STORE_TROUBLE_H

#include "base/base.h"
#include "base/err.h"
#include "model/message.h"
#include "store/db.h"

struct trouble_ask {
    int64_t since, until; /* wall ms, both included */
    uint16_t server_num;  /* 0: of all */
    uint64_t limit;       /* rows looked at, other servers' included */
};

struct trouble_row {     /* texts are borrowed until the next one */
    struct attempt a;    /* conversation is not read; the enhanced code is in `enhanced` */
    struct str enhanced; /* "5.1.1"; STR_NONE */
    bool has_conversation;
};

/* each gives false to stop. *looked_out: rows looked at; at the limit there may be more. */
bool trouble_walk(struct db *db, const struct trouble_ask *ask,
                  bool (*each)(void *arg, const struct trouble_row *row), void *arg,
                  uint64_t *looked_out, struct err *e) MUST_USE;
/* The recipient's address of a message; "" when nobody knows any more. */
bool trouble_recipient(struct db *db, uint64_t message_id, char *out, size_t size,
                       struct err *e) MUST_USE;
/* The name of a server, a removed one under the name it had; "" when there is none. */
bool trouble_server_name(struct db *db, uint16_t num, char *out, size_t size,
                         struct err *e) MUST_USE;
/* The number of a server that is there; ERR_NOT_FOUND. */
bool trouble_server_num(struct db *db, const char *name, uint16_t *out, struct err *e) MUST_USE;

#endif
