/* /v1/routes: the rules that send messages to groups, and why one goes where it does. Changes and
 * the decision itself are core's. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/codec.h"
#include "mail/addr.h"
#include "store/reports.h"

void on_routes_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_routes(r->db, &p, &j, &e), &j, &e);
}

void on_routes_show(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    answer_report(r, report_route(r->db, r->params[0], &j, &e), &j, &e);
}

void on_routes_add(struct http_request *r)
{
    call_with_body(r, 201, "route.add");
}

void on_routes_set(struct http_request *r)
{
    call_core(r, 200, "route.set", named_body(r, "name"));
}

void on_routes_remove(struct http_request *r)
{
    call_core(r, 200, "route.remove", named_body(r, "name"));
}

/* ---- explain ---- */

static bool check_tags(struct http_request *r, struct buf *tags, struct err *e)
{
    for (size_t i = 0; i < r->n_queries; i++) {
        if (strcmp(r->queries[i].name, "tag") != 0)
            continue;
        if ((tags->n && !buf_addc(tags, '\n')) || !buf_adds(tags, r->queries[i].value))
            return err_set(e, ERR_INVALID, "tag: too many");
    }
    return true;
}

/* The words of the question go before what the campaign says; tags add up. */
static bool add_question(struct http_request *r, json_t *args, struct err *e)
{
    struct buf tags;
    uint64_t size = 0;
    const char *own = json_string_value(json_object_get(args, "tags"));
    const char *from = http_query(r, "from"), *stream = http_query(r, "stream");
    buf_init(&tags, 4096);
    if (own)
        buf_adds(&tags, own);
    bool ok = check_tags(r, &tags, e);
    if (ok && http_query(r, "size") && !codec_size_parse(str_of(http_query(r, "size")), &size))
        ok = err_set(e, ERR_INVALID, "size: \"%.40s\" is none; write 300k or 5M",
                     http_query(r, "size"));
    if (http_query(r, "size"))
        json_object_set_new(args, "size", json_integer((json_int_t)MIN(size, (uint64_t)INT64_MAX)));
    if (from)
        json_object_set_new(args, "from", json_string(from));
    if (stream)
        json_object_set_new(args, "stream", json_string(stream));
    json_object_set_new(args, "tags", json_stringn(tags.p ? tags.p : "", tags.n));
    buf_free(&tags);
    return ok;
}

static bool explain(struct http_request *r, json_t **out, struct err *e)
{
    static const char *const known[] = {"to",       "from", "tag",        "stream",
                                        "campaign", "size", "credential", NULL};
    struct addr a;
    char key[ADDR_MAX + 1];
    json_t *args = NULL;
    const char *to = http_query(r, "to");
    if (!http_queries_known(r, known, e))
        return false;
    if (!to)
        return err_set(e, ERR_INVALID, "to: is needed");
    if (!addr_parse(str_of(to), &a, e))
        return err_prefix(e, "to");
    addr_key(&a, key);
    bool ok = report_route_facts(r->db, http_query(r, "campaign"), http_query(r, "credential"), key,
                                 &args, e) &&
              add_question(r, args, e);
    if (ok) {
        json_object_set_new(args, "to", json_string(key));
        ok = call_data(r, "live.route_explain", args, STR_NONE, CALL_LOOK_MS, out, e);
    }
    json_decref(args);
    return ok;
}

void on_routes_explain(struct http_request *r)
{
    struct err e;
    json_t *j = NULL;
    answer_report(r, explain(r, &j, &e), &j, &e);
}
