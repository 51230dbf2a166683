/* What a campaign says, compiled once, and counted because desks hold it while they render. */
#include "engine/state.h"
#include "base/alloc.h"
#include "mail/addr.h"
#include "mail/mime.h"

#include <stdio.h>
#include <stdlib.h>

#define DERIVED_MAX (1u << 20)

void content_keep(struct content *c)
{
    __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
}

void content_drop(struct content *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    free(c->campaign_name);
    free(c->list_name);
    free(c->from);
    free(c->reply_to);
    free(c->tags);
    template_free(&c->subject);
    template_free(&c->html);
    template_free(&c->text);
    free(c);
}

/* A text part out of the HTML template, once a campaign: tags of the template are text in both.
 * Where that does not compile (a tag inside an attribute, say) every message gets its text from its
 * HTML. */
static void derive_text(struct content *c, const char *html)
{
    struct buf text;
    struct err e;
    buf_init(&text, DERIVED_MAX);
    if (mime_text_of_html(str_of(html), &text))
        c->has_text = template_compile(buf_str(&text), TEMPLATE_TEXT, &c->text, &e);
    buf_free(&text);
}

static bool compile(struct content *c, const struct campaign *cmp, struct err *e)
{
    c->has_html = cmp->html != NULL;
    c->has_text = cmp->text != NULL;
    if (!template_compile(str_of(cmp->subject ? cmp->subject : ""), TEMPLATE_TEXT, &c->subject,
                          e) ||
        (c->has_html && !template_compile(str_of(cmp->html), TEMPLATE_HTML, &c->html, e)) ||
        (c->has_text && !template_compile(str_of(cmp->text), TEMPLATE_TEXT, &c->text, e)))
        return false;
    if (!c->has_text && c->has_html)
        derive_text(c, cmp->html);
    return true;
}

struct content *content_new(const struct campaign *cmp, const char *list_name, int64_t now_ms,
                            struct err *e)
{
    struct content *c = alloc_one(struct content);
    struct addr a;
    char name[256];
    c->refs = 1;
    c->campaign_name = alloc_copy(cmp->name);
    c->list_name = alloc_copy(list_name);
    c->list_id = cmp->list_id;
    c->from = alloc_copy(cmp->from);
    c->reply_to = alloc_copy(cmp->reply_to);
    c->tags = alloc_copy(cmp->tags);
    c->size = strlen(cmp->subject ? cmp->subject : "") + strlen(cmp->html ? cmp->html : "") +
              strlen(cmp->text ? cmp->text : "");
    c->date_ms = cmp->started_at ? cmp->started_at : now_ms;
    bool ok = compile(c, cmp, e);
    if (ok && c->from) {
        ok = addr_parse_mailbox(str_of(c->from), &a, name, sizeof name, e);
        if (ok)
            str_copy(addr_domain(&a), c->from_domain, sizeof c->from_domain);
    }
    if (!ok)
        content_drop(c);
    return ok ? c : NULL;
}
