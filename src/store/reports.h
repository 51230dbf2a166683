/* What the API's GETs show, as JSON in the fixed forms of the API: read-only, each report within
 * one read transaction, so that its sums agree. Changes nothing; knows nothing of HTTP.
 * Live figures (connections, health, quotas) come in as JSON from core; without them (core is
 * not reached) those fields are null.
 * Lists come as {"data":[...],"next":cursor or null,"has_more":bool}. Every *out is the caller's.
 */
#ifndef STORE_REPORTS_H
#define STORE_REPORTS_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "model/campaign.h"
#include "model/verdict.h"
#include "store/db.h"

#include <jansson.h>

#define REPORT_LIMIT_DEFAULT 100
#define REPORT_LIMIT_MAX     1000

struct report_page {
    const char *after;  /* `next` of the page before; NULL: from the start */
    uint64_t limit;     /* 0: REPORT_LIMIT_DEFAULT; at most REPORT_LIMIT_MAX */
    const char *filter; /* suppressions: a reason; campaigns: a state; NULL: all */
};

/* All limits beside those of servers; live: the data of core's live.limits, or NULL. */
bool report_limits(struct db *db, const json_t *live, json_t **out, struct err *e) MUST_USE;

/* live: the data of core's live.fleet, or NULL. */
/* The nums of a page of servers, or of the one of this name: whom to ask core about. */
bool report_server_nums(struct db *db, const struct report_page *p, const char *name, json_t **out,
                        struct err *e) MUST_USE;
bool report_servers(struct db *db, const struct report_page *p, const json_t *live, json_t **out,
                    struct err *e) MUST_USE;
bool report_server(struct db *db, const char *name, const json_t *live, json_t **out,
                   struct err *e) MUST_USE;
bool report_groups(struct db *db, const struct report_page *p, const json_t *live, json_t **out,
                   struct err *e) MUST_USE;
bool report_group(struct db *db, const char *name, const json_t *live, json_t **out,
                  struct err *e) MUST_USE;

/* What core's live.forecast wants to know: the campaign first, running ones behind it, warm-ups. */
bool report_forecast_facts(struct db *db, const char *name, json_t **out, struct err *e) MUST_USE;

/* Warm-ups of servers: where each stands; one with its curve and the days that are over. */
bool report_warmups(struct db *db, const struct report_page *p, json_t **out,
                    struct err *e) MUST_USE;
bool report_warmup(struct db *db, const char *server, json_t **out, struct err *e) MUST_USE;
const char *report_lifecycle(struct db *db,
                             uint16_t server_num); /* "warming" "active" "reserve" "resting" */
/* Webhooks by name, without secrets; the log of one, newest first, filter "failed" or NULL. */
bool report_webhooks(struct db *db, const struct report_page *p, json_t **out,
                     struct err *e) MUST_USE;
bool report_webhook(struct db *db, const char *name, json_t **out, struct err *e) MUST_USE;
bool report_webhook_log(struct db *db, const char *name, const struct report_page *p, json_t **out,
                        struct err *e) MUST_USE;
/* Routes in their order; the cursor is a position. */
bool report_routes(struct db *db, const struct report_page *p, json_t **out,
                   struct err *e) MUST_USE;
bool report_route(struct db *db, const char *name, json_t **out, struct err *e) MUST_USE;
/* What routing looks at besides the words of the question, for core's live.route_explain: of the
 * campaign (NULL: none) and of the contact with this key. {"campaign_num","list_id","group_num",
 * "stream","tags","from","size","fields","credential_num"}; only what there is. */
bool report_route_facts(struct db *db, const char *campaign, const char *credential,
                        const char *key, json_t **out, struct err *e) MUST_USE;

/* Domains with their keys (never the private half) and what the last check found. */
bool report_domains(struct db *db, const struct report_page *p, json_t **out,
                    struct err *e) MUST_USE;
bool report_domain(struct db *db, const char *name, json_t **out, struct err *e) MUST_USE;

bool report_lists(struct db *db, const struct report_page *p, json_t **out, struct err *e) MUST_USE;
bool report_list(struct db *db, const char *name, json_t **out, struct err *e) MUST_USE;
/* list: NULL for all contacts. */
bool report_contacts(struct db *db, const char *list, const struct report_page *p, json_t **out,
                     struct err *e) MUST_USE;
bool report_contact(struct db *db, const char *key, json_t **out, struct err *e) MUST_USE;
bool report_suppressions(struct db *db, const struct report_page *p, json_t **out,
                         struct err *e) MUST_USE;
bool report_suppression(struct db *db, const char *key, json_t **out, struct err *e) MUST_USE;
/* Walks contacts by id; `each` gets the JSON of report_contact. For exports. */
bool report_walk_contacts(struct db *db, const char *list,
                          bool (*each)(void *arg, const json_t *contact, struct err *e), void *arg,
                          struct err *e) MUST_USE;

bool report_templates(struct db *db, const struct report_page *p, json_t **out,
                      struct err *e) MUST_USE;
bool report_template(struct db *db, const char *name, json_t **out, struct err *e) MUST_USE;

/* live: the data of core's live.campaigns, or NULL. */
bool report_campaigns(struct db *db, const struct report_page *p, const json_t *live, json_t **out,
                      struct err *e) MUST_USE;
bool report_campaign(struct db *db, const char *name, const json_t *live, json_t **out,
                     struct err *e) MUST_USE;
/* The report of INTERFACES: recipients = sent + bounced + failed + uncertain + suppressed +
 * cancelled + expired + pending, in every snapshot. plan: the "groups" of core's live.plan, how the
 * routes spread the audience; NULL: all of it to the campaign's group, its list's, or default. */
bool report_campaign_figures(struct db *db, const char *name, const json_t *live,
                             const json_t *plan, int64_t wall_ms, json_t **out,
                             struct err *e) MUST_USE;
/* What core's live.plan wants to know of a campaign; NULL when no route exists, so that all goes to
 * the campaign's group. */
bool report_plan_facts(struct db *db, const char *name, json_t **out, struct err *e) MUST_USE;

/* Names of campaigns that run or are paused, the latest start first. */
bool report_running(struct db *db, uint64_t limit, json_t **names_out, struct err *e) MUST_USE;

struct report_search {
    const char *campaign, *server, *to, *state, *tag; /* NULL: any; `to` is a key of mail/addr.h */
};
bool report_messages(struct db *db, const struct report_search *s, const struct report_page *p,
                     json_t **out, struct err *e) MUST_USE;
bool report_message(struct db *db, uint64_t id, json_t **out, struct err *e) MUST_USE;

struct report_log { /* which attempts; NULL or 0: any */
    const char *campaign, *server;
    const char *to, *text; /* to: a key; text: a part of the reply or the rule */
    enum verdict verdict;  /* VERDICT_NONE: any */
    int64_t since, until;  /* wall ms, both included; until 0: now */
    bool oldest_first;
};
/* Attempts in the order their results were written (of one recipient: by time), newest first unless
 * told otherwise. The page has a "cursor" besides, also when nothing more is there: the place up to
 * which it looked, for asking again. It looks at 20,000 attempts at most. Attempts of before
 * version 4 of the database are found by `to` only. */
bool report_log(struct db *db, const struct report_log *q, const struct report_page *p,
                json_t **out, struct err *e) MUST_USE;

/* The mail of a single message; *spooled_out: it is in the spool instead, under *holder_out.
 * Campaign messages are made when they leave and not kept: ERR_NOT_FOUND. */
bool report_message_body(struct db *db, uint64_t id, struct buf *out, bool *spooled_out,
                         uint64_t *holder_out, struct err *e) MUST_USE;

/* Counts by lane and state; live: the data of core's live.queue, or NULL. */
bool report_queue(struct db *db, const json_t *live, int64_t wall_ms, json_t **out,
                  struct err *e) MUST_USE;
bool report_users(struct db *db, const struct report_page *p, json_t **out, struct err *e) MUST_USE;
/* The newest without a cursor, in the order they came. */
bool report_audit(struct db *db, const struct report_page *p, json_t **out, struct err *e) MUST_USE;
bool report_keys(struct db *db, const struct report_page *p, json_t **out, struct err *e) MUST_USE;
/* Oldest first after the event id `after`; newest page when there is no `after`. */
bool report_events(struct db *db, const struct report_page *p, json_t **out,
                   struct err *e) MUST_USE;
/* Totals of servers, contacts, messages: for status and metrics. */
bool report_totals(struct db *db, json_t **out, struct err *e) MUST_USE;
/* {"name","scopes":[...],"groups":[...]|null,"test"} of the live key with this hash; ERR_NOT_FOUND
 * when there is none, it is revoked or over. */
bool report_key_by_hash(struct db *db, struct str hash, int64_t wall_ms, json_t **out,
                        struct err *e) MUST_USE;
/* For the public pages: {"email","list","unsubscribed"}; ERR_NOT_FOUND when gone. */
bool report_subscription(struct db *db, uint64_t list_id, uint64_t contact_id, json_t **out,
                         struct err *e) MUST_USE;
/* What core's live.route_explain asks of a message: where it would go now. */
bool report_message_facts(struct db *db, uint64_t id, json_t **out, struct err *e) MUST_USE;
/* For "view in the browser": {"campaign","list","list_id","email","fields","subject","html","text",
 * "started_at"} of a campaign message. */
bool report_view(struct db *db, uint64_t message_id, json_t **out, struct err *e) MUST_USE;

#endif
