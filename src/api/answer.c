/* Answers: JSON, text, files and problem documents, with the headers that every answer carries.
 * Guarantees that what a browser is given never runs a script and is never taken for another type.
 */
#include "api/http.h"

#include "base/alloc.h"
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void http_header(struct http_request *r, const char *name, const char *value)
{
    check(r->n_headers < HTTP_HEADERS_MAX);
    r->headers[r->n_headers++] = (struct http_pair){alloc_copy(name), alloc_copy(value)};
}

static bool has_header(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (!strcmp(r->headers[i].name, name))
            return true;
    return false;
}

static void begin(struct http_request *r, int status, const char *type)
{
    check(!r->status);
    r->status = status;
    r->answer_fd = -1;
    http_header(r, "Content-Type", type);
    http_header(r, "X-Content-Type-Options", "nosniff");
    http_header(r, "Cache-Control", "no-store");
    if (!has_header(r, "Content-Security-Policy"))
        http_header(r, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
}

static void put_json(struct http_request *r, int status, const char *type, json_t *j)
{
    begin(r, status, type);
    r->answer = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
    check(r->answer);
    r->answer_n = strlen(r->answer);
    json_decref(j);
}

void http_answer_json(struct http_request *r, int status, json_t *j)
{
    put_json(r, status, "application/json", j ? j : json_null());
}

void http_answer_text(struct http_request *r, int status, const char *type, struct str text)
{
    begin(r, status, type);
    r->answer = str_dup(text);
    r->answer_n = text.n;
}

/* Only plain characters go into the file name of the header. */
void http_answer_file(struct http_request *r, const char *type, int fd, const char *filename)
{
    char disposition[200];
    begin(r, 200, type);
    r->answer_fd = fd;
    if (!filename)
        return;
    snprintf(disposition, sizeof(disposition), "attachment; filename=\"%.100s\"", filename);
    http_header(r, "Content-Disposition", disposition);
}

static const char *title_of(int status)
{
    switch (status) {
    case 400: return "The request is malformed";
    case 401: return "A key is needed";
    case 403: return "Not allowed";
    case 404: return "Not found";
    case 405: return "Method not allowed";
    case 409: return "Conflict with what is there";
    case 413: return "Too large";
    case 415: return "Unsupported media type";
    case 422: return "Refused";
    case 429: return "Too many requests";
    case 501: return "Not implemented";
    case 503: return "Try again later";
    case 507: return "No space left";
    default: return "It did not work";
    }
}

void http_answer_problem(struct http_request *r, int status, const char *code, const char *detail)
{
    char type[100];
    snprintf(type, sizeof(type), "urn:postfleet:error:%s", code);
    json_t *text = json_string(detail);
    json_t *j = json_pack(
        "{s:s, s:s, s:i, s:o, s:s}", "type", type, "title", title_of(status), "status", status,
        "detail", text ? text : json_string("an error whose text is not UTF-8"), "code", code);
    if (status == 401)
        http_header(r, "WWW-Authenticate", "Bearer realm=\"postfleet\"");
    if (status == 503)
        http_header(r, "Retry-After", "2");
    put_json(r, status, "application/problem+json", j);
}

/* The place of an INVALID error is in its text ("port: 0 is outside ..."): errors names it. */
void http_answer_error(struct http_request *r, const struct err *e)
{
    int status = e->code == ERR_UNREACHABLE ? 503 : err_http_status(e->code);
    http_answer_problem(r, status, err_code_name(e->code), e->text);
}
