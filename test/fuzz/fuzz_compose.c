/* The bodies of POST /v1/messages and :batch as core reads them: any bytes as JSON, each message
 * with the defaults. Behind the first byte: what the caller may do, and whether a raw mail follows
 * a NUL. What is refused says why; what is taken is a mail: CRLF lines only, a Message-ID of its
 * own, one From, and the same again from the same words. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "engine/compose.h"
#include "mail/draft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_MS   1795339800000
#define ITEMS_AT 4

static const struct draft *find(void *arg, const char *name)
{
    return strcmp(name, "nowhere") != 0 ? arg : NULL;
}

static void check_mail(const struct composed *m)
{
    struct str mail = buf_str(&m->mail);
    size_t head = 0, from = 0;
    check(m->to.n > 0 && m->key[0] && m->message_id[0]);
    check(mail.n > 4 && str_ends(mail, STR("\r\n")));
    for (size_t i = 0; i < mail.n; i++) {
        check(mail.p[i] != '\0' || !m->names_id);
        check(mail.p[i] != '\n' || (i > 0 && mail.p[i - 1] == '\r'));
        check(mail.p[i] != '\r' || (i + 1 < mail.n && mail.p[i + 1] == '\n'));
    }
    for (struct str line, rest = mail; str_split(&rest, '\n', &line) && line.n > 1; head++) {
        from += str_istarts(line, STR("From:"));
        check(!str_istarts(line, STR("Bcc:")));
    }
    check(head > 2 && from >= 1);
    check(str_is_utf8(str_of(m->message_id)));
}

static void compose_one(const struct compose_context *cx, json_t *item, const json_t *defaults,
                        struct str raw, uint32_t index)
{
    struct arena *a = arena_new(COMPOSE_MAX), *b = arena_new(COMPOSE_MAX);
    struct composed one, other;
    struct err e = {.text = ""}, f = {.text = ""};
    bool ok = compose_item(cx, item, defaults, raw, index, a, &one, &e);
    bool again = compose_item(cx, item, defaults, raw, index, b, &other, &f);
    check(ok == again && (ok || (e.text[0] && !strcmp(e.text, f.text))));
    if (ok) {
        check_mail(&one);
        check(str_eq(buf_str(&one.mail), buf_str(&other.mail)));
        check(one.due == other.due && one.lane == other.lane);
        composed_name(&one, 0x123456789abcdefull);
        check_mail(&one);
    }
    composed_free(&one);
    composed_free(&other);
    arena_free(&a);
    arena_free(&b);
}

static void compose_all(const struct compose_context *cx, json_t *body, struct str raw)
{
    json_t *all = json_object_get(body, "messages"), *item;
    const json_t *defaults = json_object_get(body, "defaults");
    size_t i;
    (void)compose_template_of(body, defaults);
    if (!json_is_array(all)) {
        compose_one(cx, body, NULL, raw, 0);
        return;
    }
    json_array_foreach(all, i, item)
    {
        if (i < ITEMS_AT)
            compose_one(cx, item, json_is_object(defaults) ? defaults : NULL, STR_NONE,
                        (uint32_t)i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct draft draft;
    struct err e;
    if (!draft.part[DRAFT_SUBJECT])
        check(draft_compile("Order {{ order.id }}", "<p>{{ name | default: 'you' }}</p>",
                            "{{ contact.email }} {{ paid }} {{ total | times: 2 }}", &draft, &e));
    if (size < 1)
        return 0;
    struct str all = str_from((const char *)data + 1, size - 1), raw = all, text = STR_NONE;
    if (!(data[0] & 1) || !str_split(&raw, '\0', &text)) {
        text = all;
        raw = STR_NONE;
    }
    json_t *body = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    json_t *groups = data[0] & 2 ? json_pack("[s]", "fast") : NULL;
    const struct compose_context cx = {
        .now_ms = NOW_MS, .random = data[0], .groups = groups, .find = find, .find_arg = &draft};
    if (body)
        compose_all(&cx, body, raw.n ? raw : STR_NONE);
    json_decref(body);
    json_decref(groups);
    return 0;
}
