/* The mail room as a filter for oracles: JSON objects in, a line each; JSON objects out.
 *   mail_tool build      {"from","to","subject","text","html","headers":[[n,v]...],...} ->
 * {"ok","raw"} (base64) mail_tool normalise  {"raw"} (base64) ->
 * {"ok","raw","is_8bit","needs_utf8","has_leading_dot"} mail_tool liquid
 * {"template","kind":"text|html","values":{...}} -> {"ok","out"} or {"error"} mail_tool dkim
 * {"mail" (base64),"keys":[{"pem","domain","selector"}...],"time","lifetime"} -> {"ok","signed"}
 * (base64) mail_tool bench times mime_build on a 10 KB campaign mail and its signatures (no input)
 * Used by test/peer only; no part of the product. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/codec.h"
#include "mail/dkim.h"
#include "mail/mime.h"
#include "mail/template.h"

#define OUT_MAX (64 << 20)

static struct str member(json_t *o, const char *name)
{
    json_t *v = json_object_get(o, name);
    return json_is_string(v) ? str_from(json_string_value(v), json_string_length(v)) : STR_NONE;
}

static void put_base64(json_t *o, const char *name, struct buf *b)
{
    struct buf text;
    buf_init(&text, OUT_MAX);
    (void)codec_base64_add(&text, b->p, b->n);
    json_object_set_new(o, name, json_stringn(text.n ? text.p : "", text.n));
    buf_free(&text);
}

static void put_facts(json_t *o, const struct mime_facts *f)
{
    json_object_set_new(o, "is_8bit", json_boolean(f->is_8bit));
    json_object_set_new(o, "needs_utf8", json_boolean(f->needs_utf8));
    json_object_set_new(o, "has_leading_dot", json_boolean(f->has_leading_dot));
}

static json_t *failed(const struct err *e)
{
    return json_pack("{s:b, s:s}", "ok", 0, "error", e->text);
}

static json_t *run_build(json_t *in)
{
    struct mime_header headers[64];
    struct mime_message m = {.from = member(in, "from"),
                             .to = member(in, "to"),
                             .reply_to = member(in, "reply_to"),
                             .subject = member(in, "subject"),
                             .message_id = member(in, "message_id"),
                             .text = member(in, "text"),
                             .html = member(in, "html"),
                             .list_unsubscribe = member(in, "list_unsubscribe"),
                             .feedback_id = member(in, "feedback_id"),
                             .one_click = json_is_true(json_object_get(in, "one_click")),
                             .date_ms = json_integer_value(json_object_get(in, "date_ms")),
                             .headers = headers};
    json_t *pair;
    size_t i;
    json_array_foreach(json_object_get(in, "headers"), i, pair)
    {
        json_t *n = json_array_get(pair, 0), *v = json_array_get(pair, 1);
        headers[m.n_headers++] =
            (struct mime_header){str_from(json_string_value(n), json_string_length(n)),
                                 str_from(json_string_value(v), json_string_length(v))};
    }
    m.boundary_seed = (uint64_t)json_integer_value(json_object_get(in, "seed"));
    struct buf out;
    struct mime_facts facts;
    struct err e;
    buf_init(&out, OUT_MAX);
    json_t *answer;
    if (mime_build(&m, &out, &facts, &e)) {
        answer = json_pack("{s:b}", "ok", 1);
        put_base64(answer, "raw", &out);
        put_facts(answer, &facts);
    } else {
        answer = failed(&e);
    }
    buf_free(&out);
    return answer;
}

static json_t *run_normalise(json_t *in)
{
    struct buf raw, out;
    struct mime_facts facts;
    struct err e;
    json_t *answer;
    buf_init(&raw, OUT_MAX);
    buf_init(&out, OUT_MAX);
    (void)codec_base64_decode(member(in, "raw"), &raw);
    if (mime_normalise(buf_str(&raw), STR("added@postfleet.test"), 1700000000000, NULL, 0, &out,
                       &facts, &e)) {
        answer = json_pack("{s:b}", "ok", 1);
        put_base64(answer, "raw", &out);
        put_facts(answer, &facts);
    } else {
        answer = failed(&e);
    }
    buf_free(&raw);
    buf_free(&out);
    return answer;
}

/* The value of a variable: "a.b" is looked up in nested objects. */
static struct str lookup(json_t *values, struct str path)
{
    struct str part;
    while (str_split(&path, '.', &part)) {
        char name[256];
        if (!str_copy(part, name, sizeof(name)))
            return STR_NONE;
        values = json_object_get(values, name);
    }
    return json_is_string(values) ? str_from(json_string_value(values), json_string_length(values))
                                  : STR_NONE;
}

static json_t *run_liquid(json_t *in)
{
    struct template *t;
    struct err e;
    struct buf out;
    json_t *answer;
    enum template_kind kind = str_is(member(in, "kind"), "html") ? TEMPLATE_HTML : TEMPLATE_TEXT;
    if (!template_compile(member(in, "template"), kind, &t, &e))
        return failed(&e);
    size_t n = template_variables(t);
    struct str *values = calloc(n + 1, sizeof(*values));
    for (size_t i = 0; i < n; i++)
        values[i] =
            lookup(json_object_get(in, "values"), template_variable(t, i, NULL, NULL, NULL));
    buf_init(&out, OUT_MAX);
    if (template_render(t, values, NULL, &out, &e))
        answer = json_pack("{s:b, s:o}", "ok", 1, "out", json_stringn(out.n ? out.p : "", out.n));
    else
        answer = failed(&e);
    buf_free(&out);
    free(values);
    template_free(&t);
    return answer;
}

static struct dkim_key *read_key(json_t *in, struct err *e)
{
    struct dkim_key *k = NULL;
    struct buf der;
    buf_init(&der, 65536);
    if (dkim_pem_to_der(member(in, "pem"), &der, e))
        (void)!dkim_key_new(json_string_value(json_object_get(in, "domain")),
                            json_string_value(json_object_get(in, "selector")), buf_str(&der), &k,
                            e);
    buf_free(&der);
    return k;
}

static json_t *run_dkim(json_t *in)
{
    struct dkim_key *keys[8] = {NULL};
    struct dkim_terms terms = {.time_s = json_integer_value(json_object_get(in, "time")),
                               .lifetime_s = json_integer_value(json_object_get(in, "lifetime"))};
    struct buf mail, out;
    struct err e = {0};
    size_t n = 0;
    json_t *one;
    json_t *answer;
    bool ok = true;
    buf_init(&mail, OUT_MAX);
    buf_init(&out, OUT_MAX);
    json_array_foreach(json_object_get(in, "keys"), n, one)
    {
        ok = ok && n < countof(keys) && (keys[n] = read_key(one, &e)) != NULL;
    }
    (void)codec_base64_decode(member(in, "mail"), &mail);
    ok = ok && dkim_sign((const struct dkim_key *const *)keys, n, buf_str(&mail), &terms, &out, &e);
    if (ok && buf_addstr(&out, buf_str(&mail))) {
        answer = json_pack("{s:b}", "ok", 1);
        put_base64(answer, "signed", &out);
    } else {
        answer = failed(&e);
    }
    for (size_t i = 0; i < countof(keys); i++)
        dkim_key_free(&keys[i]);
    buf_free(&mail);
    buf_free(&out);
    return answer;
}

static int run_lines(json_t *(*run)(json_t *))
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        json_error_t error;
        json_t *in = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, &error);
        if (!in) {
            fprintf(stderr, "mail_tool: %s\n", error.text);
            return 1;
        }
        json_t *answer = run(in);
        json_dumpf(answer, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
        puts("");
        json_decref(answer);
        json_decref(in);
    }
    free(line);
    return 0;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A campaign mail of about 10 KB: 2.5 KB text, 7.5 KB HTML. */
static void fill(struct buf *b, size_t n, const char *line)
{
    while (b->n < n)
        (void)buf_adds(b, line);
}

static void bench(const char *name, const char *text_line, const char *html_line, bool with_text)
{
    struct buf text, html, out;
    struct mime_facts facts;
    struct err e;
    buf_init(&text, 1 << 20);
    buf_init(&html, 1 << 20);
    buf_init(&out, 1 << 20);
    fill(&text, 2500, text_line);
    fill(&html, 7500, html_line);
    struct mime_message m = {
        .from = STR("Example Shop <news@shop.example>"),
        .to = STR("Ada Lovelace <ada@example.org>"),
        .subject = STR("Ada, your November offers are here"),
        .message_id = STR("0abcdefghijkl.1@mail.shop.example"),
        .date_ms = 1763761080000,
        .text = with_text ? buf_str(&text) : STR_NONE,
        .html = buf_str(&html),
        .list_unsubscribe = STR(
            "https://shop.example/u/AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKlMnOpQrStUvW"),
        .one_click = true,
        .feedback_id = STR("c1:list1:bulk:postfleet")};
    int rounds = 20000;
    for (int i = 0; i < rounds / 10; i++) {
        buf_clear(&out);
        (void)!mime_build(&m, &out, &facts, &e);
    }
    double begin = now_s();
    for (int i = 0; i < rounds; i++) {
        m.boundary_seed = (uint64_t)i;
        buf_clear(&out);
        if (!mime_build(&m, &out, &facts, &e))
            exit(1);
    }
    double us = (now_s() - begin) * 1e6 / rounds;
    /* The same bytes copied once, as the baseline. */
    char *copy = malloc(out.n);
    volatile char sink = 0;
    begin = now_s();
    for (int i = 0; i < rounds; i++) {
        memcpy(copy, out.p, out.n);
        sink ^= copy[i % 100];
    }
    double copy_us = (now_s() - begin) * 1e6 / rounds;
    printf("%-28s %6zu bytes  %7.2f us  memcpy %6.3f us  ratio %.0f\n", name, out.n, us, copy_us,
           us / copy_us);
    free(copy);
    buf_free(&text);
    buf_free(&html);
    buf_free(&out);
}

static int run_bench(void)
{
    bench("ascii", "Dear reader, this is one line of a plain campaign text.\n",
          "<p style=\"margin:0\">One paragraph of <b>markup</b> with a <a "
          "href=\"https://shop.example/x\">link</a>.</p>\n",
          true);
    bench("utf-8, some accents", "Liebe Leserin, schöne Grüße aus dem Laden um die Ecke.\n",
          "<p style=\"margin:0\">Ein Absatz mit schönen <b>Worten</b> und <a "
          "href=\"https://shop.example/x\">Verweis</a>.</p>\n",
          true);
    bench("utf-8, cyrillic (base64)", "Дорогой читатель, это строка обычного текста.\n",
          "<p>Абзац текста с разметкой и длинными словами кампании</p>\n", true);
    bench("html only (text derived)", "x\n",
          "<p style=\"margin:0\">One paragraph of <b>markup</b> with a <a "
          "href=\"https://shop.example/x\">link</a>.</p>\n",
          false);
    return 0;
}

int main(int argc, char **argv)
{
    struct str verb = str_of(argc == 2 ? argv[1] : "");
    if (str_is(verb, "build"))
        return run_lines(run_build);
    if (str_is(verb, "normalise"))
        return run_lines(run_normalise);
    if (str_is(verb, "liquid"))
        return run_lines(run_liquid);
    if (str_is(verb, "dkim"))
        return run_lines(run_dkim);
    if (str_is(verb, "bench"))
        return run_bench();
    fputs("usage: mail_tool build|normalise|liquid|dkim|bench\n", stderr);
    return 2;
}
