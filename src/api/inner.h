/* Private to src/api: what the process holds, and what its files ask of each other. */
#ifndef API_INNER_H
#define API_INNER_H

#include "api/http.h"
#include "api/web.h"
#include "base/queue.h"
#include "link/link.h"
#include "mail/token.h"

#include <pthread.h>
#include <stdatomic.h>

#define CALL_MS      30000  /* a usual call to core */
#define CALL_LOOK_MS 2000   /* live figures */
#define CALL_LONG_MS 300000 /* tests of servers, bites of imports */

struct web {
    const struct api_web_config *config;
    char *db_path;
    struct link_client *link;
    struct throttle *throttle; /* of logins */
    struct queue *fast, *slow; /* requests for the workers */
    atomic_bool is_stopping;
    pthread_mutex_t keys_lock;
    bool has_token_key;
    uint8_t token_key[TOKEN_KEY_BYTES];
    int64_t started_at; /* wall ms */
};

/* ---- listeners (http.c) ---- */

struct http_listener;
/* fd: bound and listening, taken over. */
bool http_listen(struct web *w, int fd, bool is_local, struct http_listener **out,
                 struct err *e) MUST_USE;
void http_quiesce(struct http_listener *l);
/* No request may be suspended any more. */
void http_stop(struct http_listener **l);
/* The worker is done with it: the answer may leave. */
void http_resume(struct http_request *r);

/* ---- bodies (body.c) ---- */

struct body {
    struct buf small; /* until it is too large */
    int fd;           /* -1, or the unlinked file */
    size_t n, max;
    void *map;
    const char *dir; /* where files may be made */
};
void body_init(struct body *b, const char *dir, size_t max);
/* ERR_TOO_BIG, ERR_FULL, ERR_LATER (too many large bodies at a time). */
bool body_add(struct body *b, const char *p, size_t n, struct err *e) MUST_USE;
bool body_str(struct body *b, struct str *out, struct err *e) MUST_USE;
void body_free(struct body *b);
/* An unlinked file in dir for reading and writing; -1 with *e. */
int body_temp_file(const char *dir, struct err *e) MUST_USE;

/* ---- slow peers (watch.c) ---- */

struct watched;
struct watched *watch_add(int fd);    /* a connection begins */
void watch_remove(struct watched *x); /* before its descriptor is closed */
void watch_head(struct watched *x);   /* waits for a request */
void watch_body(struct watched *x);   /* reads a body */
void watch_got(struct watched *x, size_t n);
void watch_busy(struct watched *x); /* answers: no limit */
bool watch_start(void) MUST_USE;
void watch_stop(void);

/* ---- routes (routes.c, router.c) ---- */

extern const struct http_route http_routes[];
extern const size_t http_routes_n;
enum route_found { ROUTE_FOUND, ROUTE_NO_PATH, ROUTE_NO_METHOD };
/* Finds the route of a raw path and fills params. */
enum route_found route_find(struct http_request *r, struct str path, char allow[64]);
bool route_queries(struct http_request *r, struct str query, struct err *e) MUST_USE;

/* ---- who asks (auth.c) ---- */

/* authorization: the header's value or NULL. On false *status_out is 401 or 403 (or 503). */
bool auth_check(struct http_request *r, struct db *db, const char *authorization, int *status_out,
                struct err *e) MUST_USE;
/* The database of this thread, opened on first use; NULL with *e. */
struct db *web_db(struct web *w, struct err *e);

/* ---- for the resources (resource.c) ---- */

/* The body is of a type that the route takes: JSON, which forms' type and `curl -d` may carry too,
 * a mail as it is, any file for an import; false: answered, 415. */
bool body_is_understood(struct http_request *r) MUST_USE;
json_t *body_object(struct http_request *r, struct err *e); /* {} for an empty body; NULL with *e */
/* Calls core; answers with its data under `status`, or its error. args is stolen. */
void call_core(struct http_request *r, int status, const char *op, json_t *args);
/* The same with the request's body as arguments. */
void call_with_body(struct http_request *r, int status, const char *op);
/* A key that may use some groups only must name one of them in "group"; false: answered, 403. */
bool caller_may_group(struct http_request *r, const json_t *body) MUST_USE;
bool call_data(struct http_request *r, const char *op, json_t *args, struct str tail,
               int timeout_ms, json_t **data_out, struct err *e) MUST_USE;
json_t *call_live(struct http_request *r, const char *op); /* NULL: core is not there */
/* live.fleet of these servers alone; takes nums over (NULL: of all). */
json_t *call_live_servers(struct http_request *r, json_t *nums);
/* The body with `field` set to the first path parameter; NULL: answered already. */
json_t *named_body(struct http_request *r, const char *field);
/* *j, which is taken over, when ok; by address, because it is made by an argument before it. */
void answer_report(struct http_request *r, bool ok, json_t **j, const struct err *e);
struct report_page;
/* limit and after, the only fields of the query; false: answered already. */
bool read_page(struct http_request *r, struct report_page *p);
bool read_page_with(struct http_request *r, const char *filter, struct report_page *p);
/* The same, where the caller looks at what else is there. */
bool read_page_of(struct http_request *r, struct report_page *p);
bool web_token_key(struct http_request *r, uint8_t out[TOKEN_KEY_BYTES], struct err *e) MUST_USE;

/* ---- forecasts (forecast.c) ---- */

/* May the campaign of the first path parameter start now, by its deadline? ERR_REFUSED with
 * figures; true when there is no deadline, or nothing can be said. */
bool forecast_allows(struct http_request *r, struct err *e) MUST_USE;
/* The forecast of that campaign. */
bool forecast_of(struct http_request *r, int timeout_ms, json_t **out, struct err *e) MUST_USE;

/* ---- what reports say beyond the counts (outlook.c) ---- */

/* How the routes spread the audience of the campaign of the first path parameter, for
 * report_campaign_figures; NULL: no routes, or core is not there. */
json_t *outlook_plan(struct http_request *r) MUST_USE;
/* Adds "eta" and "exact_shares" to its report, reckoned at most every ten seconds. */
void outlook_add(struct http_request *r, json_t *report);

/* ---- imports (import.c) ---- */

void on_import_contacts(struct http_request *r);
void on_import_suppressions(struct http_request *r);
void on_import_servers(struct http_request *r);

#endif
