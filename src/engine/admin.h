/* What the user may ask of core: operations on servers, groups, lists, contacts, suppressions,
 * templates, campaigns, messages, keys and the system, by name with JSON arguments.
 * The one place that validates them for the API and the command line. It runs on the ledger thread
 * inside a transaction of the caller, touches no socket and no fleet state: what the reactor must
 * hear afterwards is collected in `changed`. Passwords are sealed before they are stored and are
 * never logged, echoed or put into an error. */
#ifndef ENGINE_ADMIN_H
#define ENGINE_ADMIN_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

struct db;
struct ids;
struct outbox_place;
struct people;
struct secrets;
struct suppression_filter;

enum admin_changed {
    ADMIN_CHANGED_SERVERS = 1 << 0, /* servers or memberships: read them again */
    ADMIN_CHANGED_GROUPS = 1 << 1,
    ADMIN_CHANGED_CAMPAIGNS = 1 << 2,   /* see campaigns[] */
    ADMIN_CHANGED_QUEUE = 1 << 3,       /* a message became due: look now */
    ADMIN_CHANGED_PAUSE = 1 << 4,       /* the global pause flag */
    ADMIN_CHANGED_SUPPRESSED = 1 << 5,  /* see suppressed[] */
    ADMIN_CHANGED_LEFT = 1 << 6,        /* see left[] */
    ADMIN_CHANGED_MESSAGES = 1 << 7,    /* see messages[] */
    ADMIN_CHANGED_CREDENTIALS = 1 << 9, /* who may submit by SMTP */
    ADMIN_CHANGED_MOVED = 1 << 8,       /* see moved_id */
    ADMIN_CHANGED_WEBHOOKS = 1 << 10,
};

struct admin_left {
    uint64_t list_id, contact_id;
};

struct admin_changes {
    unsigned bits;     /* of enum admin_changed */
    char **suppressed; /* keys of newly suppressed addresses */
    size_t n_suppressed, cap_suppressed;
    uint32_t *campaigns; /* nums whose state changed */
    size_t n_campaigns, cap_campaigns;
    uint64_t *messages; /* to be cancelled while core works on them: withdraw them
                           (before the dot) and settle them as cancelled */
    size_t n_messages, cap_messages;
    uint64_t moved_id; /* a message that is another group's now */
    uint32_t moved_group;
    struct admin_left *left; /* who left a list: mail of its campaigns is withdrawn */
    size_t n_left, cap_left;
};

struct admin_context {
    struct db *db;
    const struct secrets *secrets; /* seals passwords; store/secrets.h */
    const uint8_t *token_key;      /* TOKEN_KEY_BYTES, mail/token.h */
    struct ids *ids;               /* store/ids.h */
    struct people *people;         /* store/people.h, opened on db */
    int64_t wall_ms;
    struct secret *fresh_keys[2]; /* of DKIM, by algorithm, made beforehand; NULL: made here */
    uint64_t random;              /* fresh for each call: MIME boundaries */
    const char *spool_dir;        /* bodies over 64 KB */
    const char *host;             /* our name, right of '@' in Message-IDs */
    const char *public_url;       /* NULL: not configured */
    const char *http_url;         /* "http://127.0.0.1:8025": the HTTP listener */
    const char *actor;            /* who asks, for events */
    /* How far claims of the queue have come, by lane: a message that is accepted now stands behind
     * that. NULL: the caller sets claims back to the begin (ADMIN_CHANGED_QUEUE). */
    const struct outbox_place *places;
    const struct suppression_filter *suppressible; /* NULL: the table is asked each time */
    /* Does core work on this message of the queue? NULL: it works on none. */
    bool (*is_at_work)(void *arg, uint64_t message_id);
    void *is_at_work_arg;
    struct admin_changes changed; /* empty before; freed with admin_changes_free */
    /* Work in bites. until_us: boot time, us, at which an operation that may be long is to end its
     * transaction, commit included (0: whenever it is done). One of admin_in_bites that sets
     * `again` wants to be called with the same context and arguments after the commit; `kept` is
     * its own. so_far: what bites before this one have done, as the answer would say it. */
    int64_t until_us;
    bool again;
    bool is_dry; /* all of it is undone afterwards */
    struct admin_kept *kept;
    json_t *so_far;
};

struct admin_kept {
    void (*free)(struct admin_kept *k);
};

struct admin_answer {
    bool ok;
    json_t *data;     /* ok: the caller's; may be NULL (null) */
    struct err error; /* not ok */
};

/* Runs op, or a bite of it. The caller has begun a transaction; it commits when a->ok and rolls
 * back when not, and answers the user after the commit only. A failed commit must undo nothing
 * else: spool files written for it are orphans that the janitor removes. */
void admin_execute(struct admin_context *c, const char *op, json_t *args, struct str tail,
                   struct admin_answer *a);
/* False: no such op here ("live.*" and the like are the reactor's). */
bool admin_has(const char *op);
/* True when op only reads: no transaction for writing is needed. */
bool admin_reads_only(const char *op);
/* True when op may ask to be called again. */
bool admin_in_bites(const char *op);
void admin_changes_free(struct admin_changes *c);
/* After the last call with a context whose operation may work in bites. */
void admin_kept_free(struct admin_context *c);

#endif
