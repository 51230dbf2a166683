/* What the resources share: reading a JSON body, asking core, answering with a report. */
#include "api/inner.h"

#include "base/codec.h"
#include "store/reports.h"

#include <stdio.h>
#include <stdlib.h>

bool body_is_understood(struct http_request *r)
{
    const char *type = r->content_type, *path = r->route->pattern;
    bool is_mail = !strcmp(type, "message/rfc822") && !strcmp(path, "/v1/messages");
    char text[200];
    if (!*type || !str_trim(r->body).n || r->route->body_max == HTTP_FILE_MAX ||
        !str_starts(str_of(path), STR("/v1/")) || is_mail || !strcmp(type, "application/json") ||
        !strcmp(type, "application/x-www-form-urlencoded"))
        return true;
    snprintf(text, sizeof(text),
             "content-type: %.60s is not understood here; send application/json%s", type,
             !strcmp(path, "/v1/messages") ? " (or a single mail as message/rfc822)" : "");
    http_answer_problem(r, 415, "invalid", text);
    return false;
}

json_t *body_object(struct http_request *r, struct err *e)
{
    json_error_t je;
    if (!str_trim(r->body).n)
        return json_object();
    json_t *j = json_loadb(r->body.p, r->body.n, JSON_REJECT_DUPLICATES, &je);
    if (!j) {
        err_set(e, ERR_INVALID, "the body is no valid JSON: %.200s (line %d, column %d)", je.text,
                je.line, je.column);
        return NULL;
    }
    if (json_is_object(j))
        return j;
    json_decref(j);
    err_set(e, ERR_INVALID, "the body must be a JSON object");
    return NULL;
}

bool call_data(struct http_request *r, const char *op, json_t *args, struct str tail,
               int timeout_ms, json_t **data_out, struct err *e)
{
    return link_call(r->web->link, op, args, tail, r->caller.name, timeout_ms, data_out, e);
}

void call_core(struct http_request *r, int status, const char *op, json_t *args)
{
    struct err e;
    json_t *data = NULL;
    if (!args)
        return;
    bool ok =
        call_data(r, op, args, STR_NONE, r->route->is_slow ? CALL_LONG_MS : CALL_MS, &data, &e);
    json_decref(args);
    if (ok)
        http_answer_json(r, status, data);
    else
        http_answer_error(r, &e);
}

void call_with_body(struct http_request *r, int status, const char *op)
{
    struct err e;
    json_t *body = body_object(r, &e);
    if (body)
        call_core(r, status, op, body);
    else
        http_answer_error(r, &e);
}

bool caller_may_group(struct http_request *r, const json_t *body)
{
    size_t i;
    json_t *item;
    const char *group = json_string_value(json_object_get(body, "group"));
    if (!r->caller.groups)
        return true;
    json_array_foreach(r->caller.groups, i, item)
    {
        if (group && !strcmp(group, json_string_value(item)))
            return true;
    }
    http_answer_problem(r, 403, "not_allowed", "group: the key is not allowed to use this group");
    return false;
}

json_t *call_live(struct http_request *r, const char *op)
{
    struct err e;
    json_t *data = NULL;
    return call_data(r, op, NULL, STR_NONE, CALL_LOOK_MS, &data, &e) ? data : NULL;
}

json_t *call_live_servers(struct http_request *r, json_t *nums)
{
    struct err e;
    json_t *data = NULL, *args = nums ? json_pack("{s:o}", "nums", nums) : NULL;
    bool ok = call_data(r, "live.fleet", args, STR_NONE, CALL_LOOK_MS, &data, &e);
    json_decref(args);
    return ok ? data : NULL;
}

json_t *named_body(struct http_request *r, const char *field)
{
    struct err e;
    json_t *j = body_object(r, &e), *given = json_object_get(j, field);
    if (given && (!json_is_string(given) || strcmp(json_string_value(given), r->params[0]) != 0)) {
        err_set(&e, ERR_INVALID, "%s: stands in the path already, and the body says another",
                field);
        json_decref(j);
        j = NULL;
    }
    if (j)
        json_object_set_new(j, field, json_string(r->params[0]));
    else
        http_answer_error(r, &e);
    return j;
}

void answer_report(struct http_request *r, bool ok, json_t **j, const struct err *e)
{
    if (ok)
        http_answer_json(r, 200, *j);
    else
        http_answer_error(r, e);
}

bool read_page(struct http_request *r, struct report_page *p)
{
    return read_page_with(r, NULL, p);
}

bool read_page_with(struct http_request *r, const char *filter, struct report_page *p)
{
    const char *const known[] = {"limit", "after", filter, NULL};
    struct err e;
    if (!http_queries_known(r, known, &e)) {
        http_answer_error(r, &e);
        return false;
    }
    return read_page_of(r, p);
}

bool read_page_of(struct http_request *r, struct report_page *p)
{
    struct err e;
    const char *limit = http_query(r, "limit");
    *p = (struct report_page){.after = http_query(r, "after")};
    if (!limit || (str_to_u64(str_of(limit), INT64_MAX, &p->limit) && p->limit))
        return true;
    err_set(&e, ERR_INVALID, "limit: \"%.40s\" is no number from 1", limit);
    http_answer_error(r, &e);
    return false;
}

bool web_token_key(struct http_request *r, uint8_t out[TOKEN_KEY_BYTES], struct err *e)
{
    struct web *w = r->web;
    struct buf b;
    json_t *data = NULL;
    pthread_mutex_lock(&w->keys_lock);
    bool has = w->has_token_key;
    if (has)
        memcpy(out, w->token_key, TOKEN_KEY_BYTES);
    pthread_mutex_unlock(&w->keys_lock);
    if (has)
        return true;
    if (!call_data(r, "system.web_keys", NULL, STR_NONE, CALL_MS, &data, e))
        return false;
    buf_init(&b, 256);
    bool ok = codec_hex_decode(str_of(json_string_value(json_object_get(data, "token_key"))), &b) &&
              b.n == TOKEN_KEY_BYTES;
    if (ok) {
        memcpy(out, b.p, TOKEN_KEY_BYTES);
        pthread_mutex_lock(&w->keys_lock);
        memcpy(w->token_key, b.p, TOKEN_KEY_BYTES);
        w->has_token_key = true;
        pthread_mutex_unlock(&w->keys_lock);
    }
    buf_free(&b);
    json_decref(data);
    return ok || err_set(e, ERR_FAILED, "core gave no usable key for links");
}
