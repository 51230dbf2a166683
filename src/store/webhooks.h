/* Webhooks: who is told of what, how far each has come, what is to be tried again, and the log of
 * deliveries. Secrets are sealed like passwords ("webhook|id|secret", see secrets.h). A webhook
 * that was removed takes all of it along; what is still written about it then is dropped. */
#ifndef STORE_WEBHOOKS_H
#define STORE_WEBHOOKS_H

#include "base/base.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "model/hook.h"
#include "store/db.h"
#include "store/secrets.h"

#define WEBHOOKS_MAX        1000
#define WEBHOOK_URL_MAX     2000
#define WEBHOOK_SECRET_MIN  24 /* bytes; Standard Webhooks: 24 to 64 */
#define WEBHOOK_SECRET_MAX  64
#define WEBHOOK_EVENT_MAX   48   /* an event's id with its NUL */
#define WEBHOOK_WAIT_MAX    1000 /* of a webhook that fails; then its place stands still */
#define WEBHOOK_LOG_MAX     2000 /* kept of each */
#define WEBHOOK_RESEND_MAX  1000 /* by one call */
#define WEBHOOK_FILTERS_MAX 4000 /* bytes of each */
#define WEBHOOK_REPLY_KEPT  1024 /* bytes of an answer */

struct webhook { /* strings are malloc'd; filters are lines, NULL: all */
    uint64_t id;
    char *name, *url, *events, *servers, *groups, *tags, *state_reason;
    struct secret *secret, *old_secret; /* the bytes; NULL when they were not asked for */
    int64_t old_until;                  /* wall ms */
    bool allow_private;
    enum webhook_state state;
    int64_t state_at, created_at, updated_at;
};

struct webhook *webhook_new(void) MUST_USE;
void webhook_free(struct webhook **w);
void webhooks_free_list(struct webhook **list, size_t n);

/* All of w; its place is behind everything that is there. ERR_CONFLICT: the name is taken. */
bool webhooks_create(struct db *db, const struct secrets *s, const struct webhook *w,
                     struct err *e) MUST_USE;
/* All but id, name and created_at. Secrets that are NULL stay as they are. */
bool webhooks_update(struct db *db, const struct secrets *s, const struct webhook *w,
                     struct err *e) MUST_USE;
/* s NULL: without secrets. ERR_NOT_FOUND */
bool webhooks_get(struct db *db, const struct secrets *s, const char *name, struct webhook **out,
                  struct err *e) MUST_USE;
/* All, oldest first. One whose secret does not open is left out, and logged. */
bool webhooks_load(struct db *db, const struct secrets *s, struct webhook ***out, size_t *n_out,
                   struct err *e) MUST_USE;
bool webhooks_remove(struct db *db, uint64_t id, struct err *e) MUST_USE;
/* Which kinds of outcome_log any of them wants: a bit for each enum hook_event. */
bool webhooks_wanted(struct db *db, unsigned *out, struct err *e) MUST_USE;
/* From active to disabled; *changed_out false: it was something else, or is gone. */
bool webhooks_disable(struct db *db, uint64_t id, const char *reason, int64_t now_ms,
                      bool *changed_out, struct err *e) MUST_USE;

/* ---- places (webhook_place.c) */

struct webhook_place {
    uint64_t webhook_id, event_id, message_id;
    int64_t log_seq;
    uint32_t log_at;
    int64_t delivered, failed, skipped, failing_since;
};

bool webhook_place_get(struct db *db, uint64_t id, struct webhook_place *out, bool *found_out,
                       struct err *e) MUST_USE;
bool webhook_place_put(struct db *db, const struct webhook_place *p, struct err *e) MUST_USE;
/* Rows of outcome_log that every webhook has behind it. */
bool webhook_places_through(struct db *db, int64_t *seq_out, struct err *e) MUST_USE;
/* The newest ids of the tables event and message; 0: none. */
bool webhook_newest(struct db *db, uint64_t *event_out, uint64_t *message_out,
                    struct err *e) MUST_USE;
/* The first row of table event behind `after`; *type_out: the name under which it is told, NULL: it
 * is not. */
bool webhook_next_event(struct db *db, uint64_t after, uint64_t *id_out, int64_t *at_out,
                        const char **type_out, bool *found_out, struct err *e) MUST_USE;
/* Ids of single messages behind `after`, at most limit. */
bool webhook_messages_after(struct db *db, uint64_t after, uint32_t limit, uint64_t *out,
                            uint32_t *n_out, struct err *e) MUST_USE;

/* ---- what waits */

struct webhook_wait {
    char event[WEBHOOK_EVENT_MAX];
    uint32_t attempts;
    int64_t due; /* wall ms */
};

/* A row of this event that is due at another time than was_due (0: none was known) stays as it is:
 * it was asked for by hand meanwhile. */
bool webhook_wait_put(struct db *db, uint64_t id, const struct webhook_wait *w, int64_t was_due,
                      struct err *e) MUST_USE;
/* Whatever is there, it waits anew. */
bool webhook_wait_ask(struct db *db, uint64_t id, const char *event, int64_t now_ms,
                      struct err *e) MUST_USE;
/* The same holds as for webhook_wait_put. */
bool webhook_wait_remove(struct db *db, uint64_t id, const char *event, int64_t was_due,
                         struct err *e) MUST_USE;
/* The first ones by due, due by now_ms or not; at most limit. */
bool webhook_wait_first(struct db *db, uint64_t id, uint32_t limit, struct webhook_wait *out,
                        uint32_t *n_out, struct err *e) MUST_USE;
bool webhook_wait_count(struct db *db, uint64_t id, uint32_t *out, struct err *e) MUST_USE;
/* All that wait are due now: the receiver answers again. */
bool webhook_wait_hurry(struct db *db, uint64_t id, int64_t now_ms, struct err *e) MUST_USE;
/* The same from the start of their schedule. */
bool webhook_wait_restart(struct db *db, uint64_t id, int64_t now_ms, struct err *e) MUST_USE;
/* Those in the log of this span (wall ms) wait again, due now; failed_only: those that were never
 * delivered. At most WEBHOOK_RESEND_MAX, newest first. */
bool webhook_wait_range(struct db *db, uint64_t id, int64_t since, int64_t until, bool failed_only,
                        int64_t now_ms, uint64_t *n_out, struct err *e) MUST_USE;

/* ---- the log */

struct webhook_delivery { /* strings are borrowed */
    uint64_t webhook_id;
    const char *event, *type;
    int64_t at, ms, next_at; /* wall ms; next_at 0: no further attempt */
    uint32_t attempt;
    int status;         /* 0: no answer */
    const char *detail; /* "": delivered */
    struct str reply;
};

bool webhook_log_add(struct db *db, const struct webhook_delivery *d, struct err *e) MUST_USE;
/* Removes at most limit of the oldest beyond WEBHOOK_LOG_MAX. */
bool webhook_log_trim(struct db *db, uint64_t id, uint32_t limit, struct err *e) MUST_USE;

#endif
