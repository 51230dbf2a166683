/* What recipients reach: leaving a list (RFC 8058: GET shows, POST acts) and a mail in the browser.
 * No script, no cookie, no key: the token in the link is the proof. Who has none learns nothing. */
#include "api/inner.h"
#include "api/resources.h"
#include "base/clock.h"
#include "base/codec.h"
#include "mail/draft.h"
#include "store/reports.h"

#include <stdio.h>

#define PAGE_POLICY                                                                                \
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "         \
    "frame-ancestors 'none'"
#define VIEW_POLICY                                                                                \
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; "                    \
    "img-src http: https: data:; style-src 'unsafe-inline' https:; font-src https:; "              \
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static void page(struct http_request *r, int status, const char *title, struct str content)
{
    struct buf b;
    buf_init(&b, 1u << 20);
    buf_adds(&b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                 "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                 "<meta name=\"robots\" content=\"noindex\"><title>");
    codec_html_add(&b, str_of(title));
    buf_adds(&b, "</title><style>body{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;"
                 "margin:4em auto;padding:0 1em;color:#222;background:#fff}button{font:inherit;"
                 "padding:.5em 1.2em}</style></head><body><h1>");
    codec_html_add(&b, str_of(title));
    buf_adds(&b, "</h1>\n");
    buf_addstr(&b, content);
    buf_adds(&b, "\n</body></html>\n");
    http_header(r, "Content-Security-Policy", PAGE_POLICY);
    http_header(r, "Referrer-Policy", "no-referrer");
    http_answer_text(r, status, "text/html; charset=utf-8", buf_str(&b));
    buf_free(&b);
}

static void not_found(struct http_request *r)
{
    page(r, 404, "This link does not work",
         STR("<p>It may have been cut, or what it led to is not there any more.</p>"));
}

static void in_trouble(struct http_request *r)
{
    http_header(r, "Retry-After", "60");
    page(r, 503, "Please try again in a minute",
         STR("<p>The service is not reached at this moment. Nothing was changed.</p>"));
}

/* False: the page is answered already. */
static bool read_token(struct http_request *r, enum token_kind kind, struct token *t)
{
    uint8_t key[TOKEN_KEY_BYTES];
    struct err e;
    if (!web_token_key(r, key, &e)) {
        in_trouble(r);
        return false;
    }
    bool ok = token_read(key, str_of(r->params[0]), t);
    bool fits = t->kind == kind || (kind == TOKEN_UNSUBSCRIBE && t->kind == TOKEN_PREFERENCES);
    if (!ok || !fits)
        not_found(r);
    return ok && fits;
}

static void add_text(struct buf *b, const json_t *j, const char *field, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(j, field));
    codec_html_add(b, str_of(s ? s : otherwise));
}

void on_public_unsubscribe_page(struct http_request *r)
{
    struct token t = {0};
    struct err e;
    struct buf b;
    json_t *j = NULL;
    if (!read_token(r, TOKEN_UNSUBSCRIBE, &t))
        return;
    if (!report_subscription(r->db, t.list_id, t.contact_id, &j, &e)) {
        if (e.code == ERR_NOT_FOUND)
            not_found(r);
        else
            in_trouble(r);
        return;
    }
    buf_init(&b, 1u << 20);
    bool is_out = json_is_true(json_object_get(j, "unsubscribed"));
    buf_adds(&b, "<p><strong>");
    add_text(&b, j, "email", "");
    buf_adds(&b, is_out ? "</strong> is not subscribed to <strong>"
                        : "</strong> is subscribed to <strong>");
    add_text(&b, j, "list", "our mail");
    buf_adds(&b, "</strong>.</p>\n");
    if (!is_out)
        buf_adds(&b, "<form method=\"post\"><input type=\"hidden\" name=\"action\" "
                     "value=\"unsubscribe\"><button type=\"submit\">Unsubscribe</button></form>\n");
    buf_adds(&b, "<form method=\"post\"><p><input type=\"hidden\" name=\"everything\" value=\"1\">"
                 "<button type=\"submit\">Send me nothing at all any more</button></p></form>");
    page(r, 200, "Unsubscribe", buf_str(&b));
    buf_free(&b);
    json_decref(j);
}

/* One-click (List-Unsubscribe=One-Click) and both forms of the page. */
void on_public_unsubscribe(struct http_request *r)
{
    struct token t = {0};
    struct err e;
    json_t *data = NULL;
    if (!read_token(r, TOKEN_UNSUBSCRIBE, &t))
        return;
    bool everything = str_find(r->body, STR("everything=1")) >= 0;
    json_t *args = json_pack("{s:I, s:I, s:I, s:b}", "list_id", (json_int_t)t.list_id, "contact_id",
                             (json_int_t)t.contact_id, "message_id", (json_int_t)t.message_id,
                             "everything", everything);
    bool ok = call_data(r, "public.unsubscribe", args, STR_NONE, CALL_MS, &data, &e);
    json_decref(args);
    json_decref(data);
    if (ok)
        page(r, 200, "You are unsubscribed",
             everything ? STR("<p>You will get no mail from us any more.</p>")
                        : STR("<p>You will get no more mail of this list.</p>"));
    else if (e.code == ERR_NOT_FOUND)
        not_found(r);
    else
        in_trouble(r);
}

/* ---- a mail in the browser ---- */

static void make_links(struct http_request *r, const uint8_t *key, const struct token *t,
                       char *unsubscribe, char *view, size_t size)
{
    const char *base = r->web->config->public_url;
    char text[TOKEN_TEXT_MAX];
    struct token u = *t;
    u.kind = TOKEN_UNSUBSCRIBE;
    token_make(key, &u, text);
    snprintf(unsubscribe, size, "%s/u/%s", base ? base : "", text);
    snprintf(view, size, "%s/view/%s", base ? base : "", r->params[0]);
}

static bool render(struct http_request *r, const struct token *t, const json_t *j, struct buf *out)
{
    uint8_t key[TOKEN_KEY_BYTES];
    char unsubscribe[1200], view[1200], date[40];
    struct draft d;
    struct err e;
    const char *html = json_string_value(json_object_get(j, "html"));
    const char *text = json_string_value(json_object_get(j, "text"));
    if (!web_token_key(r, key, &e))
        return false;
    make_links(r, key, t, unsubscribe, view, sizeof(view));
    clock_format(json_integer_value(json_object_get(j, "started_at")), date);
    date[10] = '\0';
    struct draft_facts f = {.email = json_string_value(json_object_get(j, "email")),
                            .fields = json_object_get(j, "fields"),
                            .campaign = json_string_value(json_object_get(j, "campaign")),
                            .list = json_string_value(json_object_get(j, "list")),
                            .unsubscribe_url = unsubscribe,
                            .preferences_url = unsubscribe,
                            .view_url = view,
                            .date = date};
    bool ok = draft_compile(NULL, html, html ? NULL : text, &d, &e) &&
              draft_render(&d, html ? DRAFT_HTML : DRAFT_TEXT, &f, out, &e);
    draft_free(&d);
    return ok;
}

void on_public_view(struct http_request *r)
{
    struct token t = {0};
    struct err e;
    struct buf b;
    json_t *j = NULL;
    if (!read_token(r, TOKEN_VIEW, &t))
        return;
    buf_init(&b, 8u << 20);
    bool ok = t.message_id && report_view(r->db, t.message_id, &j, &e) && render(r, &t, j, &b);
    if (ok) {
        bool is_html = json_is_string(json_object_get(j, "html"));
        http_header(r, "Content-Security-Policy", VIEW_POLICY);
        http_header(r, "Referrer-Policy", "no-referrer");
        http_answer_text(r, 200, is_html ? "text/html; charset=utf-8" : "text/plain; charset=utf-8",
                         buf_str(&b));
    } else {
        not_found(r);
    }
    buf_free(&b);
    json_decref(j);
}
