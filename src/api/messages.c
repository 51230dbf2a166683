/* /v1/messages: accepting (202 only when durable), searching, showing. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/codec.h"
#include "mail/addr.h"
#include "store/reports.h"
#include "store/spool.h"

#include <stdio.h>

/* A mail as it is: what is not in it comes in the query. */
static json_t *item_of_mail(struct http_request *r, struct err *e)
{
    static const char *const known[] = {
        "to", "from", "stream", "group", "expires_at", "expires_after", "send_at", "tag", NULL};
    if (!http_queries_known(r, known, e))
        return NULL;
    if (!r->body.n) {
        err_set(e, ERR_INVALID, "the body is empty: it must be the mail");
        return NULL;
    }
    json_t *item = json_object(), *tags = json_array();
    for (const char *const *f = known; f[1]; f++)
        if (http_query(r, *f))
            json_object_set_new(item, *f, json_string(http_query(r, *f)));
    for (size_t i = 0; i < r->n_queries; i++)
        if (!strcmp(r->queries[i].name, "tag"))
            json_array_append_new(tags, json_string(r->queries[i].value));
    json_object_set_new(item, "tags", tags);
    return item;
}

/* Core reads the body itself, on its desks. item: stolen; NULL: it is in the body. */
static void submit(struct http_request *r, const char *op, json_t *item)
{
    struct err e;
    json_t *data = NULL;
    json_t *args = json_pack("{s:b, s:O?}", "test", r->caller.is_test, "groups", r->caller.groups);
    if (item)
        json_object_set_new(args, "item", item);
    if (r->idempotency_key[0])
        json_object_set_new(args, "key", json_string(r->idempotency_key));
    bool ok = call_data(r, op, args, r->body, CALL_MS, &data, &e);
    json_decref(args);
    if (!ok) {
        http_answer_error(r, &e);
        return;
    }
    if (json_object_get(data, "replayed")) {
        json_object_del(data, "replayed");
        http_header(r, "Idempotent-Replayed", "true");
    }
    http_answer_json(r, 202, data);
}

void on_messages_send(struct http_request *r)
{
    struct err e;
    if (strcmp(r->content_type, "message/rfc822") != 0) {
        submit(r, "message.send_json", NULL);
        return;
    }
    json_t *item = item_of_mail(r, &e);
    if (item)
        submit(r, "message.send", item);
    else
        http_answer_error(r, &e);
}

void on_messages_batch(struct http_request *r)
{
    submit(r, "message.batch", NULL);
}

void on_messages_search(struct http_request *r)
{
    static const char *const known[] = {"campaign", "state", "server", "to",
                                        "tag",      "limit", "after",  NULL};
    struct err e;
    struct report_page p;
    struct addr a;
    char key[ADDR_MAX + 1];
    json_t *j = NULL;
    struct report_search s = {.campaign = http_query(r, "campaign"),
                              .server = http_query(r, "server"),
                              .state = http_query(r, "state"),
                              .tag = http_query(r, "tag"),
                              .to = http_query(r, "to")};
    if (!read_page_of(r, &p))
        return;
    bool ok = http_queries_known(r, known, &e);
    if (ok && s.to) {
        ok = addr_parse(str_of(s.to), &a, &e) || err_prefix(&e, "to");
        if (ok)
            addr_key(&a, key);
        s.to = key;
    }
    ok = ok && report_messages(r->db, &s, &p, &j, &e);
    answer_report(r, ok, &j, &e);
}

static bool id_of(struct http_request *r, uint64_t *id)
{
    struct err e;
    if (codec_id_parse("msg", str_of(r->params[0]), id))
        return true;
    err_set(&e, ERR_NOT_FOUND, "message \"%.60s\": there is none; an id looks like msg_0abc...",
            r->params[0]);
    http_answer_error(r, &e);
    return false;
}

/* Where a message that waits would go now, and what it waits for; without core it is not known. */
static void add_now(struct http_request *r, uint64_t id, json_t *message)
{
    struct err e;
    json_t *args = NULL, *now = NULL;
    const char *state = json_string_value(json_object_get(message, "state"));
    if (!state || (strcmp(state, "queued") != 0 && strcmp(state, "deferred") != 0))
        return;
    if (report_message_facts(r->db, id, &args, &e) &&
        call_data(r, "live.route_explain", args, STR_NONE, CALL_LOOK_MS, &now, &e)) {
        json_object_set(message, "group", json_object_get(now, "group"));
        json_object_set(message, "route", json_object_get(now, "rule"));
        json_object_set_new(
            message, "now",
            json_pack("{s:O, s:O, s:O, s:O}", "group", json_object_get(now, "group"), "route",
                      json_object_get(now, "rule"), "server", json_object_get(now, "server"), "why",
                      json_object_get(now, "why")));
    }
    json_decref(args);
    json_decref(now);
}

void on_messages_show(struct http_request *r)
{
    struct err e;
    uint64_t id;
    json_t *j = NULL;
    if (!id_of(r, &id))
        return;
    bool ok = report_message(r->db, id, &j, &e);
    if (ok)
        add_now(r, id, j);
    answer_report(r, ok, &j, &e);
}

void on_messages_raw(struct http_request *r)
{
    struct err e;
    struct buf b;
    uint64_t id;
    uint64_t holder = 0;
    bool spooled = false;
    char dir[4200];
    if (!id_of(r, &id))
        return;
    buf_init(&b, SPOOL_MAX);
    bool ok = report_message_body(r->db, id, &b, &spooled, &holder, &e);
    if (ok && spooled) {
        struct spool_body body;
        snprintf(dir, sizeof(dir), "%s/spool", r->web->config->data_dir);
        ok = spool_open(dir, holder, &body, &e);
        if (ok) {
            http_answer_text(r, 200, "message/rfc822", body.bytes);
            spool_close(&body);
        }
    } else if (ok) {
        http_answer_text(r, 200, "message/rfc822", buf_str(&b));
    }
    if (!ok)
        http_answer_error(r, &e);
    buf_free(&b);
}

void on_messages_cancel(struct http_request *r)
{
    call_core(r, 200, "message.cancel", named_body(r, "id"));
}

void on_messages_move(struct http_request *r)
{
    call_core(r, 200, "message.move", named_body(r, "id"));
}

void on_messages_retry(struct http_request *r)
{
    call_core(r, 200, "message.retry", named_body(r, "id"));
}
