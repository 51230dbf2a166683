/* From what an application said to a mail that can be stored: built or normalised, with sender,
 * recipient and Message-ID found. Runs on desks; touches no database, so group, suppression and id
 * are left to the store. Shared by the API, submission and campaign tests. */
#ifndef ENGINE_COMPOSE_H
#define ENGINE_COMPOSE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "mail/addr.h"
#include "mail/mime.h"
#include "model/message.h"

#include <jansson.h>

#define OUTGOING_MAX    (40u << 20) /* bytes of a mail */
#define ATTACHMENTS_MAX 50
#define METADATA_MAX    4096 /* bytes of the JSON text */
#define BATCH_MAX       1000 /* messages of a batch */
#define SEND_AT_MAX_MS  (366 * 86400000ll)
#define COMPOSE_MAX     (96u << 20) /* bytes of an arena for one item */

struct outgoing { /* strings are borrowed; STR_NONE: not given */
    enum lane lane;
    const char *group;  /* name; NULL: by group_num */
    uint32_t group_num; /* 0: by routing */
    struct str to;      /* mailbox */
    struct str from;    /* mailbox; with raw it goes before the header's From */
    struct str reply_to;
    struct str raw; /* a whole mail; else the following */
    struct str subject, html, text;
    struct str list_unsubscribe;
    const struct mime_header *headers;
    size_t n_headers;
    const struct mime_attachment *attachments;
    size_t n_attachments;
    struct str tags;     /* one a line */
    struct str metadata; /* JSON object */
    int64_t send_at;     /* wall ms; 0: now */
    int64_t expires_at;  /* wall ms; 0: never */
    uint64_t seed;       /* of Message-ID and boundaries; random */
};

struct composed { /* a mail ready to be stored; strings live in it or are borrowed from `outgoing`
                   */
    enum lane lane;
    const char *group;
    uint32_t group_num;
    struct addr from, to;
    char key[ADDR_MAX + 1]; /* of the recipient */
    char message_id[512], header_from[1000], subject[1000];
    bool names_id; /* message_id is ours: it begins with a stand-in for the message's id */
    struct buf mail;
    uint64_t spooled_id; /* its body lies in the spool already, under this id; 0: it does not */
    struct mime_facts facts;
    struct str tags, metadata;
    struct str dsn; /* of this recipient, as engine/envelope.h says */
    int64_t due, expires_at;
};

/* Free with composed_free in any case. ERR_INVALID, ERR_TOO_BIG. now_ms: wall. */
bool compose_mail(const struct outgoing *o, int64_t now_ms, struct composed *out,
                  struct err *e) MUST_USE;
/* The same mail for another recipient; its bytes stay with the first. */
void composed_again(const struct composed *m, const struct addr *to, struct composed *out);
/* Once the id is known: puts it into the Message-ID that is ours. */
void composed_name(struct composed *m, uint64_t id);
void composed_free(struct composed *m);

/* ---- what the API says (compose_read.c) ---- */

struct draft;

/* The template of that name; NULL: not at hand. */
typedef const struct draft *compose_find(void *arg, const char *name);

struct compose_context {
    int64_t now_ms; /* wall */
    uint64_t random;
    const json_t *groups; /* names the caller may use; NULL: all */
    compose_find *find;
    void *find_arg;
};

/* The template an item names; NULL: none. Borrowed. */
const char *compose_template_of(const json_t *item, const json_t *defaults);
/* One message: item with `defaults` (may be NULL) where it says nothing; raw: the mail itself, or
 * STR_NONE. index tells the items of a batch apart. The strings of *out live in `a`.
 * ERR_INVALID with the field's name, ERR_NOT_ALLOWED (group), ERR_NOT_FOUND (template). */
bool compose_item(const struct compose_context *cx, json_t *item, const json_t *defaults,
                  struct str raw, uint32_t index, struct arena *a, struct composed *out,
                  struct err *e) MUST_USE;

#endif
