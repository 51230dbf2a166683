/* /v1/messages: accepting (202 only when durable), searching, showing. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/codec.h"
#include "mail/addr.h"
#include "store/reports.h"
#include "store/spool.h"

#include <stdio.h>

/* A mail as it is: what is not in it comes in the query. */
static json_t *args_of_mail(struct http_request *r, struct err *e)
{
    static const char *const fields[] = {"to", "from", "stream", "group", "expires_at", NULL};
    static const char *const all[] = {"to", "from", "stream", "group", "expires_at", "tag", NULL};
    if (!http_queries_known(r, all, e))
        return NULL;
    if (!r->body.n) {
        err_set(e, ERR_INVALID, "the body is empty: it must be the mail");
        return NULL;
    }
    json_t *args = json_object(), *tags = json_array();
    for (const char *const *f = fields; *f; f++)
        if (http_query(r, *f))
            json_object_set_new(args, *f, json_string(http_query(r, *f)));
    for (size_t i = 0; i < r->n_queries; i++)
        if (!strcmp(r->queries[i].name, "tag"))
            json_array_append_new(tags, json_string(r->queries[i].value));
    json_object_set_new(args, "tags", tags);
    return args;
}

static void send(struct http_request *r, json_t *args, struct str tail)
{
    struct err e;
    json_t *data = NULL;
    if (r->caller.is_test)
        json_object_set_new(args, "test", json_true());
    if (!call_data(r, "message.send", args, tail, CALL_MS, &data, &e))
        http_answer_error(r, &e);
    else
        http_answer_json(r, 202, data);
}

void on_messages_send(struct http_request *r)
{
    struct err e;
    bool is_mail = !strcmp(r->content_type, "message/rfc822");
    json_t *args = is_mail ? args_of_mail(r, &e) : body_object(r, &e);
    if (!args) {
        http_answer_error(r, &e);
        return;
    }
    if (caller_may_group(r, args))
        send(r, args, is_mail ? r->body : STR_NONE);
    json_decref(args);
}

void on_messages_search(struct http_request *r)
{
    static const char *const known[] = {"campaign", "state", "server", "to",
                                        "limit",    "after", NULL};
    struct err e;
    struct report_page p;
    struct addr a;
    char key[ADDR_MAX + 1];
    json_t *j = NULL;
    struct report_search s = {.campaign = http_query(r, "campaign"),
                              .server = http_query(r, "server"),
                              .state = http_query(r, "state"),
                              .to = http_query(r, "to")};
    if (!read_page(r, &p))
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

void on_messages_show(struct http_request *r)
{
    struct err e;
    uint64_t id;
    json_t *j = NULL;
    if (id_of(r, &id))
        answer_report(r, report_message(r->db, id, &j, &e), &j, &e);
}

void on_messages_raw(struct http_request *r)
{
    struct err e;
    struct buf b;
    uint64_t id;
    bool spooled = false;
    char dir[4200];
    if (!id_of(r, &id))
        return;
    buf_init(&b, SPOOL_MAX);
    bool ok = report_message_body(r->db, id, &b, &spooled, &e);
    if (ok && spooled) {
        struct spool_body body;
        snprintf(dir, sizeof(dir), "%s/spool", r->web->config->data_dir);
        ok = spool_open(dir, id, &body, &e);
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

void on_messages_retry(struct http_request *r)
{
    call_core(r, 200, "message.retry", named_body(r, "id"));
}
