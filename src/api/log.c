/* GET /v1/log: attempts, searched and followed. Read from the database of this process: core is not
 * asked. Patterns of replies are in look.c. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/clock.h"
#include "base/codec.h"
#include "mail/addr.h"
#include "store/reports.h"

static bool read_time(struct http_request *r, const char *field, int64_t *out, struct err *e)
{
    const char *text = http_query(r, field);
    int64_t ms = 0;
    if (!text || clock_parse(text, out))
        return true;
    if (!codec_duration_parse(str_of(text), &ms))
        return err_set(e, ERR_INVALID,
                       "%s: \"%.40s\" is neither a time (2026-11-21T09:30:00Z) nor a duration (2h)",
                       field, text);
    *out = MAX(clock_wall_ms() - ms, INT64_C(1));
    return true;
}

static bool read_order(struct http_request *r, bool *oldest_out, struct err *e)
{
    const char *text = http_query(r, "order");
    *oldest_out = text && !strcmp(text, "oldest");
    return !text || *oldest_out || !strcmp(text, "newest") ||
           err_set(e, ERR_INVALID, "order: \"%.40s\" is none of newest, oldest", text);
}

static bool read_verdict(struct http_request *r, enum verdict *out, struct err *e)
{
    const char *text = http_query(r, "verdict");
    return !text || verdict_parse(str_of(text), out) ||
           err_set(e, ERR_INVALID,
                   "verdict: \"%.40s\" is none; accepted, failover, try_later, hard_bounce ... "
                   "(doc/DISPATCH.md lists them)",
                   text);
}

/* key: ADDR_MAX + 1 bytes, of the recipient */
static bool read_question(struct http_request *r, struct report_log *q, char *key, struct err *e)
{
    static const char *const known[] = {"server", "campaign", "verdict", "to",    "text", "since",
                                        "until",  "order",    "limit",   "after", NULL};
    struct addr a;
    const char *to = http_query(r, "to");
    *q = (struct report_log){.server = http_query(r, "server"),
                             .campaign = http_query(r, "campaign"),
                             .text = http_query(r, "text")};
    if (!http_queries_known(r, known, e) || !read_time(r, "since", &q->since, e) ||
        !read_time(r, "until", &q->until, e) || !read_order(r, &q->oldest_first, e) ||
        !read_verdict(r, &q->verdict, e))
        return false;
    if (!to)
        return true;
    if (!addr_parse(str_of(to), &a, e))
        return err_prefix(e, "to");
    addr_key(&a, key);
    q->to = key;
    return true;
}

void on_log(struct http_request *r)
{
    struct err e;
    struct report_page p;
    struct report_log q;
    char key[ADDR_MAX + 1];
    json_t *j = NULL;
    if (!read_page_of(r, &p))
        return;
    bool ok = read_question(r, &q, key, &e) && report_log(r->db, &q, &p, &j, &e);
    answer_report(r, ok, &j, &e);
}
