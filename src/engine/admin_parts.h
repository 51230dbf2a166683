/* Private to engine/admin_*.c: the table of operations and the reading of their arguments.
 * Every reader checks type, length, range and characters, and names field, value and remedy in its
 * error. A field that an operation does not know is refused, never ignored. */
#ifndef ENGINE_ADMIN_PARTS_H
#define ENGINE_ADMIN_PARTS_H

#include "engine/admin.h"

/* args: an object. *data_out: the answer's data, NULL before. False with *e. */
typedef bool admin_op(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e);

struct admin_entry {
    const char *op;
    admin_op *run;
    bool reads_only;
    bool can_dry_run; /* args.dry_run: all is done and undone again */
};

struct admin_noun {
    const struct admin_entry *entries;
    size_t n;
};

extern const struct admin_noun admin_servers, admin_groups, admin_lists, admin_contacts,
    admin_templates, admin_campaigns, admin_campaign_starts, admin_suppressions, admin_messages,
    admin_keys, admin_system, admin_warmups, admin_quarantines, admin_routes, admin_reputation,
    admin_failovers, admin_limits, admin_domains, admin_users, admin_credentials, admin_webhooks,
    admin_server_rows;

/* Another operation as a part of this one: no audit, no dry run of its own. */
bool admin_run_part(struct admin_context *c, const char *op, json_t *args, json_t **data_out,
                    struct err *e) MUST_USE;
/* accept_standing with the recipient's mailbox provider. */
struct standing;
bool admin_standing(struct admin_context *c, uint64_t id, struct standing *out,
                    struct err *e) MUST_USE;

/* Is it time to end the transaction? Long operations ask after every few rows, and leave the rest
 * to the next call. */
bool time_is_over(const struct admin_context *c);

/* ---- arguments (admin_args.c) ---- */

/* Refuses fields that are not in `known` (ends with NULL), with the nearest known one. */
bool args_known(json_t *args, const char *const *known, struct err *e) MUST_USE;
/* A text without control characters, NULL when absent, null or "". Borrowed from args. */
bool args_text(json_t *args, const char *field, size_t max, const char **out,
               struct err *e) MUST_USE;
/* As args_text, but must be there. */
bool args_need(json_t *args, const char *field, size_t max, const char **out,
               struct err *e) MUST_USE;
/* The one field that an operation takes; it must be there. */
bool args_only(json_t *args, const char *field, const char **out, struct err *e) MUST_USE;
/* May hold line breaks and tabs; STR_NONE when absent. */
bool args_body(json_t *args, const char *field, size_t max, struct str *out,
               struct err *e) MUST_USE;
/* A name of a thing of ours, as store/names.h wants it. */
bool args_name(json_t *args, const char *field, const char **out, struct err *e) MUST_USE;
bool args_bool(json_t *args, const char *field, bool fallback, bool *out, struct err *e) MUST_USE;
/* A JSON integer or a text like "50k". */
bool args_count(json_t *args, const char *field, uint64_t fallback, uint64_t min, uint64_t max,
                uint64_t *out, struct err *e) MUST_USE;
/* A text or an array of texts; calls `each` for every one. */
bool args_each(json_t *args, const char *field, size_t max,
               bool (*each)(void *arg, const char *text, struct err *e), void *arg,
               struct err *e) MUST_USE;
/* A time: RFC 3339, or a JSON integer of epoch milliseconds; 0 when absent. */
bool args_time(json_t *args, const char *field, int64_t *out, struct err *e) MUST_USE;
/* Texts from elsewhere under the same rules. */
bool text_check(const char *field, struct str s, size_t max, bool lines_too,
                struct err *e) MUST_USE;
/* "Name <a@b>" or "a@b". */
bool mailbox_check(const char *field, const char *text, struct err *e) MUST_USE;
/* The key of an address (mail/addr.h). out: ADDR_MAX + 1 bytes. */
bool address_key(const char *field, const char *text, char *out, struct err *e) MUST_USE;

/* Edits between two words of at most 64 bytes; 64 when one is longer. */
size_t word_distance(const char *a, const char *b);
/* One tag: 1 to TAG_MAX bytes, one line. */
bool tag_check(const char *field, const char *text, struct err *e) MUST_USE;
/* args.tags and args.tag as the text that is stored, one a line; NULL: none. The caller frees. */
bool args_tags(json_t *args, char **out, struct err *e) MUST_USE;

/* ---- contacts for previews (admin_templates.c) ---- */

struct draft_facts;
struct arena;
/* Of a stored contact: fills email and fields (json_decref it). Strings live in the arena. */
bool draft_of_contact(struct admin_context *c, const char *email, struct arena *a,
                      struct draft_facts *f, struct err *e) MUST_USE;

/* ---- changes and events (admin.c) ---- */

/* Who asked, for people: "user ana" of this machine, "key shop", "a recipient". */
#define ACTOR_MAX 120
const char *actor_name(const struct admin_context *c, char out[ACTOR_MAX]);
/* Appends an event in the caller's transaction. */
bool note_event(struct admin_context *c, const char *kind, const char *subject,
                struct err *e) MUST_USE;

/* The same with an object of further facts, which is stolen. */
bool note_event_with(struct admin_context *c, const char *kind, const char *subject, json_t *data,
                     struct err *e) MUST_USE;

/* {"name","removed"}, for what is gone now. */
json_t *answer_removed(const char *name) MUST_USE;
void changed_campaign(struct admin_context *c, uint32_t num);
void changed_suppressed(struct admin_context *c, const char *key);
void changed_message(struct admin_context *c, uint64_t id);
void changed_left(struct admin_context *c, uint64_t list_id, uint64_t contact_id);

/* ---- fields of a struct as a table (admin_fields.c) ---- */

enum field_kind {
    FIELD_TEXT,    /* char *, one line */
    FIELD_LINES,   /* char *, may have line breaks */
    FIELD_MAILBOX, /* char * */
    FIELD_PATH,    /* char *: an address, "" or "<>" for the null path */
    FIELD_HOST,    /* char * */
    FIELD_COUNT,   /* uint64_t */
    FIELD_U32,
    FIELD_U16,
    FIELD_REAL,     /* double, not negative */
    FIELD_DURATION, /* int64_t ms; a text "5s", or a number of seconds */
    FIELD_BOOL,
    FIELD_WORD, /* an enum, by `word` */
    FIELD_ZONE, /* char *: a time zone */
};

struct field_spec {
    const char *name;
    enum field_kind kind;
    size_t offset;
    uint64_t min, max;                        /* numbers: range; texts: bytes at most in max */
    uint64_t fallback;                        /* what null or "" means; DURATION in ms */
    bool (*word)(const char *text, void *at); /* FIELD_WORD */
    const char *words;                        /* "none, starttls, tls", for the error */
};

/* Sets every field of the table that args has; others keep their value. */
bool specs_read(json_t *args, const struct field_spec *specs, size_t n, void *object,
                struct err *e) MUST_USE;

#endif
