/* The desk's work: from contact and content to the bytes of a mail for one server. Runs on a desk
 * thread; reads only what is immutable (content, server settings, the lease's strings). */
#include "engine/state.h"
#include "engine/signing.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/codec.h"
#include "mail/addr.h"
#include "mail/mime.h"
#include "store/spool.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOB_MAX      (48u << 20)
#define OUTPUT_MAX    (1u << 20)
#define VARIABLES_MAX 256
#define URL_MAX       1024
#define FROM_MAX      2048 /* bytes of a From field that are looked at */

struct urls {
    char unsubscribe[URL_MAX], view[URL_MAX], preferences[URL_MAX];
    char date[32];
};

static void make_url(const struct core *c, const struct job *j, enum token_kind kind,
                     const char *path, char *out)
{
    char text[TOKEN_TEXT_MAX];
    const char *public_url = __atomic_load_n(&c->public_url, __ATOMIC_ACQUIRE);
    const char *http_url = c->cfg->http_url ? c->cfg->http_url : "";
    const char *base = public_url ? public_url : http_url;
    struct token t = {.kind = kind,
                      .message_id = j->item->message_id,
                      .list_id = j->run->content->list_id,
                      .contact_id = j->item->contact_id};
    token_make(c->token_key, &t, text);
    snprintf(out, URL_MAX, "%s/%s/%s", base, path, text);
}

static void make_urls(const struct job *j, struct urls *u)
{
    char when[32];
    make_url(j->core, j, TOKEN_UNSUBSCRIBE, "u", u->unsubscribe);
    make_url(j->core, j, TOKEN_VIEW, "view", u->view);
    make_url(j->core, j, TOKEN_PREFERENCES, "u", u->preferences);
    clock_format(j->run->content->date_ms, when);
    snprintf(u->date, sizeof u->date, "%.10s", when);
}

static struct str field_value(json_t *fields, struct str name)
{
    char key[CONTACT_FIELD_NAME_MAX + 1];
    if (!fields || !str_copy(name, key, sizeof key))
        return STR_NONE;
    json_t *v = json_object_get(fields, key);
    if (!json_is_string(v) ||
        json_string_length(v) == 0) /* an empty text would be true in Liquid */
        return STR_NONE;
    return str_from(json_string_value(v), json_string_length(v));
}

static struct str variable(const struct job *j, const struct urls *u, json_t *fields,
                           struct str name)
{
    const struct content *c = j->run->content;
    if (str_is(name, "contact.email"))
        return j->item->address;
    if (str_starts(name, STR("contact.")))
        return field_value(fields, str_from_index(name, 8));
    if (str_is(name, "campaign.name"))
        return str_of(c->campaign_name);
    if (str_is(name, "list.name"))
        return str_of(c->list_name);
    if (str_is(name, "unsubscribe_url"))
        return str_of(u->unsubscribe);
    if (str_is(name, "view_url"))
        return str_of(u->view);
    if (str_is(name, "preferences_url"))
        return str_of(u->preferences);
    if (str_is(name, "date"))
        return str_of(u->date);
    return STR_NONE;
}

static bool fill(const struct job *j, const struct template *t, const struct urls *u,
                 json_t *fields, struct buf *out, struct err *e)
{
    struct str values[VARIABLES_MAX];
    size_t n = template_variables(t);
    bool has_default = false;
    int line = 0, column = 0;
    if (n > VARIABLES_MAX)
        return err_set(e, ERR_TOO_BIG, "a template may use %d variables at most", VARIABLES_MAX);
    for (size_t i = 0; i < n; i++)
        values[i] = variable(j, u, fields, template_variable(t, i, &has_default, &line, &column));
    return template_render(t, values, NULL, out, e);
}

/* From: message, else campaign, else the server's. */
static const char *from_of(const struct job *j)
{
    const struct content *c = j->run->content;
    return c->from ? c->from : j->server->server->from;
}

static size_t server_headers(const struct server *s, struct mime_header *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_headers && n < max; i++) {
        struct str line = str_of(s->headers[i]);
        ptrdiff_t colon = str_chr(line, ':');
        if (colon > 0)
            out[n++] = (struct mime_header){str_trim(str_cut(line, 0, (size_t)colon)),
                                            str_trim(str_from_index(line, (size_t)colon + 1))};
    }
    return n;
}

static bool set_envelope_from(struct job *j, const char *from, struct err *e)
{
    struct addr a;
    char name[512];
    const struct server *s = j->server->server;
    struct str given = str_of(s->return_path ? s->return_path : from);
    if (!addr_parse_mailbox(given, &a, name, sizeof name, e))
        return err_prefix(e, "From of the message");
    snprintf(j->from, sizeof j->from, "%s", a.text);
    return true;
}

/* ---- signatures ---- */

/* Leaves room before the mail for the signatures, when its From has keys that this server wants. */
static bool begin_blob(struct job *j, struct str from, size_t max, const struct signer **signer_out)
{
    char domain[DOMAIN_MAX + 1];
    *signer_out = NULL;
    buf_init(&j->blob, max);
    if (!signing_is_wanted(j->signing, j->server->server) || !signing_domain_of(from, domain))
        return true;
    *signer_out = signing_find(j->signing, j->server->server, str_of(domain));
    if (!*signer_out)
        return true;
    j->blob.max += SIGNING_ROOM;
    if (!buf_reserve(&j->blob, SIGNING_ROOM))
        return false;
    buf_commit(&j->blob, SIGNING_ROOM);
    return true;
}

static bool sign_blob(struct job *j, const struct signer *s, struct err *e)
{
    uint64_t body_id = j->run ? 0 : j->item->body_id;
    return !s || signing_put(s, &j->blob, SIGNING_ROOM, body_id, clock_wall_ms(), e);
}

static bool build(struct job *j, const struct urls *u, struct buf *subject, struct buf *html,
                  struct buf *text, struct err *e)
{
    const struct content *c = j->run->content;
    const struct server *s = j->server->server;
    struct mime_header headers[SERVER_HEADERS_MAX];
    struct mime_facts facts = {0};
    char id[24], message_id[400], feedback[300];
    const char *from = from_of(j);
    if (!from)
        return err_set(e, ERR_INVALID, "no From: give the campaign or server %s one", s->name);
    if (!set_envelope_from(j, from, e))
        return false;
    codec_id_format("msg", j->item->message_id, id);
    const char *at = strrchr(j->from, '@');
    const char *domain = c->from_domain[0] ? c->from_domain : j->core->host;
    if (!strchr(domain, '.') && at) /* a bare host name is no domain of the world */
        domain = at + 1;
    snprintf(message_id, sizeof message_id, "%s@%s", id, domain);
    snprintf(feedback, sizeof feedback, "%u:%llu:%s:postfleet", j->item->campaign_num,
             (unsigned long long)c->list_id, lane_name(j->item->lane));
    const char *reply_to = c->reply_to ? c->reply_to : s->reply_to;
    struct mime_message m = {.from = str_of(from),
                             .to = j->item->address,
                             .reply_to = str_of(reply_to),
                             .subject = buf_str(subject),
                             .message_id = str_of(message_id),
                             .date_ms = clock_wall_ms(),
                             .text = c->has_text ? buf_str(text) : STR_NONE,
                             .html = c->has_html ? buf_str(html) : STR_NONE,
                             .list_unsubscribe = str_of(u->unsubscribe),
                             .one_click = true,
                             .feedback_id = str_of(feedback),
                             .headers = headers,
                             .n_headers = server_headers(s, headers, SERVER_HEADERS_MAX),
                             .boundary_seed = j->item->message_id};
    const struct signer *signer = NULL;
    bool ok = begin_blob(j, m.from, BLOB_MAX, &signer) && mime_build(&m, &j->blob, &facts, e) &&
              sign_blob(j, signer, e);
    j->is_8bit = facts.is_8bit;
    j->needs_utf8 = facts.needs_utf8;
    j->has_leading_dot = facts.has_leading_dot;
    return ok;
}

static bool render_campaign(struct job *j, struct err *e)
{
    const struct content *c = j->run->content;
    struct buf subject, html, text;
    struct urls u;
    json_error_t why;
    json_t *fields =
        j->item->fields.n ? json_loadb(j->item->fields.p, j->item->fields.n, 0, &why) : NULL;
    buf_init(&subject, 64 * 1024);
    buf_init(&html, OUTPUT_MAX);
    buf_init(&text, OUTPUT_MAX);
    make_urls(j, &u);
    bool ok = fill(j, c->subject, &u, fields, &subject, e) &&
              (!c->has_html || fill(j, c->html, &u, fields, &html, e)) &&
              (!c->has_text || fill(j, c->text, &u, fields, &text, e)) &&
              build(j, &u, &subject, &html, &text, e);
    json_decref(fields);
    buf_free(&subject);
    buf_free(&html);
    buf_free(&text);
    return ok;
}

static bool render_single(struct job *j, struct err *e)
{
    const struct lease_item *it = j->item;
    struct str body = it->body;
    struct spool_body spooled = {0};
    if (it->spooled) {
        char dir[4200];
        snprintf(dir, sizeof dir, "%s/spool", j->core->cfg->data_dir);
        if (!spool_open(dir, it->body_id, &spooled, e))
            return false;
        body = spooled.bytes;
    }
    const struct server *s = j->server->server;
    struct str from =
        s->return_path && it->envelope_from.n ? str_of(s->return_path) : it->envelope_from;
    snprintf(j->from, sizeof j->from, "%.*s", STR_A(from));
    const struct signer *signer = NULL;
    char scratch[FROM_MAX];
    struct str header_from = mime_field(body, "From", scratch, sizeof scratch);
    bool ok = begin_blob(j, header_from, SPOOL_MAX + 1, &signer) && buf_addstr(&j->blob, body);
    if (it->spooled)
        spool_close(&spooled);
    if (!ok)
        return err_set(e, ERR_TOO_BIG, "the body is over %u bytes", SPOOL_MAX);
    j->is_8bit = it->facts & 1;
    j->needs_utf8 = it->facts & 2;
    j->has_leading_dot = it->facts & 4;
    return sign_blob(j, signer, e);
}

/* The number of this desk thread, for the page that tells the parent who lay on which desk. */
static unsigned desk_number(void)
{
    static _Atomic unsigned next;
    static _Thread_local unsigned mine = POISON_DESKS;
    if (mine == POISON_DESKS)
        mine = atomic_fetch_add(&next, 1) % POISON_DESKS;
    return mine;
}

static void work(struct pool_job *d)
{
    struct job *j = container_of(d, struct job, desk);
    struct err e = {0};
    poison_take(j->core->poison, desk_number(), j->item->message_id);
    bool ok = j->run ? render_campaign(j, &e) : render_single(j, &e);
    poison_put(j->core->poison, desk_number());
    j->render_failed = !ok;
    if (!ok)
        snprintf(j->render_error, sizeof j->render_error, "%s", e.text);
}

static void done(struct pool_job *d)
{
    struct job *j = container_of(d, struct job, desk);
    struct outlet *o = j->outlet;
    if (j->run)
        content_drop(j->run->content);
    signing_drop(j->signing);
    j->signing = NULL;
    if (!core_outlet(j->core, j->server->server->num))
        return; /* the engine has stopped: a start finds the message ready */
    o->n_rendering--;
    if (!j->render_failed) {
        outlet_take(o, j);
        return;
    }
    fleet_return(j->core->fleet, &j->hold, core_steady(j->core));
    j->outlet = NULL;
    settle_without_attempt(j, MESSAGE_FAILED, j->render_error);
}

void render_start(struct core *c, struct job *j)
{
    j->desk.work = work;
    j->desk.done = done;
    j->desk.lane = (int)j->item->lane;
    if (j->run)
        content_keep(j->run->content);
    j->signing = c->signing;
    if (j->signing)
        signing_keep(j->signing);
    pool_submit(c->desks, &j->desk);
}

void render_forget(struct job *j)
{
    buf_free(&j->blob);
    if (j->server)
        server_ref_drop(j->server);
    j->server = NULL;
    j->outlet = NULL;
    j->render_failed = false;
}
