/* One mail by SMTP. Rights are looked at with MAIL, each recipient is held against suppression by
 * the ledger, a desk reads the header and makes the mail, and the ledger writes a message for each
 * recipient, all with one body. What the client is told follows what is durable. */
#include "engine/intake_inner.h"

#include "base/alloc.h"
#include "base/codec.h"
#include "base/log.h"
#include "engine/envelope.h"
#include "engine/spooling.h"
#include "mail/header.h"
#include "store/idempotency.h"
#include "store/suppression.h"
#include "store/suppression_filter.h"

#include <stdio.h>
#include <stdlib.h>

static const char too_much[] = "Too much mail at once: try again later";

static void answer(struct intake_session *s, int code, const char *enhanced, const char *text)
{
    smtp_server_answer(s->smtp, code, enhanced, str_of(text), loop_now_ms(s->in->core->loop));
}

static void mail_free(struct intake_mail *m)
{
    m->in->body_bytes -= m->body.n;
    buf_free(&m->body);
    buf_free(&m->raw);
    if (m->mails)
        composed_free(&m->mails[0]);
    free(m->mails);
    free(m->to);
    for (size_t i = 0; i < m->n; i++)
        free(m->dsn[i]);
    free(m->dsn);
    free(m->asked_dsn);
    intake_words_free(&m->words);
    admin_changes_free(&m->ctx.changed);
    rights_drop(&m->who);
    free(m);
}

void intake_mail_drop(struct intake_session *s)
{
    struct intake_mail *m = s->mail;
    s->mail = NULL;
    if (!m)
        return;
    m->session = NULL;
    if (!m->is_away)
        mail_free(m);
}

/* ---- MAIL */

static bool may_send_as(const struct credential *c, struct str domain)
{
    for (size_t i = 0; i < c->n_from_domains; i++)
        if (str_iis(domain, c->from_domains[i]))
            return true;
    return c->n_from_domains == 0;
}

/* Why nothing can be taken now; NULL: it can. */
static const char *closed(const struct intake_session *s)
{
    if (ledger_disk_full(s->in->core->ledger))
        return "No room on the disk: try again later";
    if (s->in->body_bytes > INTAKE_BODIES_MAX)
        return too_much;
    return NULL;
}

/* Rights change while somebody is logged in: the ones of now count. */
static bool still_may(struct intake_session *s)
{
    struct rights *now = intake_user(s->in, str_of(s->who->c->name), s->peer);
    if (!now || now->c->id != s->who->c->id)
        return false;
    rights_drop(&s->who);
    s->who = rights_keep(now);
    return true;
}

void intake_mail_begin(struct intake_session *s, const struct smtp_server_event *e)
{
    struct addr from = {.n = 0};
    struct err why;
    const char *full = closed(s);
    if (!still_may(s))
        answer(s, 535, "5.7.8", "This login was taken back, or has expired");
    else if (full)
        answer(s, 452, "4.3.1", full);
    else if (e->text.n && !addr_parse(e->text, &from, &why))
        answer(s, 553, "5.1.7", why.text);
    else if (from.n && !may_send_as(s->who->c, addr_domain(&from)))
        answer(s, 550, "5.7.1", "This login may not send in the name of that domain");
    else {
        struct intake_mail *m = s->mail = alloc_one(struct intake_mail);
        m->in = s->in;
        m->session = s;
        m->who = rights_keep(s->who);
        m->from = from;
        str_copy(e->ret, m->ret, sizeof m->ret);
        str_copy(e->envid, m->envid, sizeof m->envid);
        buf_init(&m->body, INTAKE_SIZE_MAX + 16);
        buf_init(&m->raw, OUTGOING_MAX);
        answer(s, 250, "2.1.0", "Sender taken");
    }
}

/* ---- RCPT */

static bool check_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct intake_mail *m = container_of(lj, struct intake_mail, lj);
    struct suppression found;
    char key[ADDR_MAX + 1], since[40];
    struct arena *a = arena_new(1u << 16);
    addr_key(&m->asked, key);
    bool ok = suppression_check(db, str_of(key), a, &found, &m->is_suppressed, e);
    if (ok && m->is_suppressed) {
        clock_format(found.since, since);
        snprintf(m->suppressed_why, sizeof m->suppressed_why,
                 "%s is suppressed (" STR_F " since %s)", key, STR_A(found.reason), since);
    }
    arena_free(&a);
    return ok;
}

static void add_recipient(struct intake_mail *m)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_eq(str_of(m->to[i].text), str_of(m->asked.text)))
            return; /* said twice, sent once */
    if (m->n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 4;
        m->to = alloc_resize(m->to, m->cap * sizeof *m->to);
        m->dsn = alloc_resize(m->dsn, m->cap * sizeof *m->dsn);
    }
    m->dsn[m->n] = m->asked_dsn;
    m->asked_dsn = NULL;
    m->to[m->n++] = m->asked;
}

static void take_recipient(struct intake_mail *m, struct intake_session *s)
{
    add_recipient(m);
    answer(s, 250, "2.1.5", "Recipient taken");
}

static void check_done(struct ledger_job *lj)
{
    struct intake_mail *m = container_of(lj, struct intake_mail, lj);
    struct intake_session *s = m->session;
    m->is_away = false;
    if (!s) {
        mail_free(m);
        return;
    }
    if (!lj->ok) {
        answer(s, 451, "4.3.0", "The recipient cannot be checked now: try again later");
    } else if (m->is_suppressed) {
        answer(s, 550, "5.7.1", m->suppressed_why);
    } else {
        take_recipient(m, s);
    }
    intake_session_pump(s);
}

void intake_mail_recipient(struct intake_session *s, const struct smtp_server_event *e)
{
    struct intake_mail *m = s->mail;
    struct err why;
    char key[ADDR_MAX + 1];
    if (!addr_parse(e->text, &m->asked, &why)) {
        answer(s, 553, "5.1.3", why.text);
        return;
    }
    free(m->asked_dsn);
    m->asked_dsn = dsn_pack(str_of(m->ret), str_of(m->envid), e->notify, e->orcpt);
    addr_key(&m->asked, key);
    if (!suppression_filter_may(s->in->core->suppressible, str_of(key))) {
        take_recipient(m, s);
        return;
    }
    m->lj = (struct ledger_job){
        .order = LEDGER_ACCEPT, .is_read = true, .work = check_work, .done = check_done};
    m->is_away = true;
    ledger_post(s->in->core->ledger, &m->lj);
}

/* ---- the body */

void intake_mail_data(struct intake_session *s)
{
    const char *full = closed(s);
    if (full)
        answer(s, 452, "4.3.1", full);
    else
        answer(s, 354, "2.0.0", "");
}

void intake_mail_body(struct intake_session *s, struct str bytes)
{
    struct intake_mail *m = s->mail;
    if (m->is_full)
        return;
    if (s->in->body_bytes + bytes.n > INTAKE_BODIES_MAX || !buf_addstr(&m->body, bytes)) {
        m->is_full = true; /* read to its end all the same: then there is an answer */
        s->in->body_bytes -= m->body.n;
        buf_free(&m->body);
    } else {
        s->in->body_bytes += bytes.n;
    }
}

/* ---- on a desk */

static void refuse(struct intake_mail *m, int code, const char *enhanced, const struct err *e)
{
    m->code = code;
    m->enhanced = enhanced;
    m->error = *e;
}

static bool may_say(struct intake_mail *m, struct err *e)
{
    const struct credential *c = m->who->c;
    const struct intake_words *w = &m->words;
    struct addr a;
    char name[512];
    if (!c->group || !c->group[0])
        return err_set(e, ERR_NOT_ALLOWED, "this login's group is there no more");
    if (w->group && strcmp(w->group, c->group))
        return err_set(e, ERR_NOT_ALLOWED, "X-Postfleet-Group: \"%.60s\" is not this login's group",
                       w->group);
    if (w->has_lane && w->lane < c->lane)
        return err_set(e, ERR_NOT_ALLOWED, "X-Postfleet-Stream: this login is for %s mail",
                       lane_name(c->lane));
    if (!c->n_from_domains)
        return true;
    if (!addr_parse_mailbox(str_of(m->mails[0].header_from), &a, name, sizeof name, e) ||
        !may_send_as(c, addr_domain(&a)))
        return err_set(e, ERR_NOT_ALLOWED,
                       "From: this login may not send in the name of that domain");
    return true;
}

static bool compose(struct intake_mail *m, struct err *e)
{
    const struct intake_words *w = &m->words;
    const struct outgoing o = {.lane = w->has_lane ? w->lane : m->who->c->lane,
                               .group_num = m->who->c->group_num,
                               .to = str_of(m->to[0].text),
                               .from = str_of(m->from.text),
                               .raw = buf_str(&m->raw),
                               .tags = w->tags.n ? buf_str(&w->tags) : STR_NONE,
                               .send_at = w->send_at,
                               .expires_at = w->expires_at,
                               .seed = rand_secret_u64()};
    m->mails = alloc_many(struct composed, m->n);
    if (!compose_mail(&o, m->ctx.wall_ms, &m->mails[0], e))
        return false;
    m->mails[0].from = m->from;
    if (w->metadata) {
        char *text = json_dumps(w->metadata, JSON_COMPACT | JSON_SORT_KEYS);
        m->mails[0].metadata = arena_str(w->arena, str_of(text));
        free(text);
    }
    for (size_t i = 1; i < m->n; i++)
        composed_again(&m->mails[0], &m->to[i], &m->mails[i]);
    for (size_t i = 0; i < m->n; i++)
        m->mails[i].dsn = str_of(m->dsn[i]);
    return true;
}

static void desk_work(struct pool_job *d)
{
    struct intake_mail *m = container_of(d, struct intake_mail, desk);
    struct err e;
    if (m->body.n == 0) {
        err_set(&e, ERR_INVALID, "the mail is empty");
        refuse(m, 554, "5.6.0", &e);
    } else if (!intake_header_read(m, &e) || !compose(m, &e)) {
        bool big = e.code == ERR_TOO_BIG;
        refuse(m, big ? 552 : 554, big ? "5.3.4" : "5.6.0", &e);
    } else if (!may_say(m, &e)) {
        refuse(m, 550, "5.7.1", &e);
    }
    if (!m->code && m->words.idempotency.n)
        idempotency_hash(STR("smtp"), buf_str(&m->body), m->hash);
}

/* ---- on the ledger */

static bool store_all(struct intake_mail *m, struct err *e)
{
    struct outgoing_body shared = {.mail = &m->mails[0]};
    for (size_t i = 0; i < m->n; i++) {
        uint64_t id = 0;
        if (!outgoing_store(&m->ctx, &m->mails[i], m->who->c->num, m->n > 1 ? &shared : NULL, &id,
                            e))
            return false;
        if (i == 0)
            m->first_id = id;
    }
    return true;
}

static bool store_once(struct intake_mail *m, struct err *e)
{
    const struct idempotent k = {
        .credential_num = m->who->c->num, .key = m->words.idempotency, .request = m->hash};
    char id[24], *found_text = NULL;
    bool found = false;
    if (!idempotency_find(m->ctx.db, &k, &found, &found_text, e))
        return false;
    if (found) {
        struct str text = str_trim(str_of(found_text));
        m->is_replayed =
            text.n > 2 && codec_id_parse("msg", str_cut(text, 1, text.n - 2), &m->first_id);
        free(found_text);
        return m->is_replayed || err_set(e, ERR_CORRUPT, "a kept answer cannot be read");
    }
    if (!store_all(m, e))
        return false;
    char answer_text[32];
    codec_id_format("msg", m->first_id, id);
    snprintf(answer_text, sizeof answer_text, "\"%s\"", id);
    return idempotency_keep(m->ctx.db, &k, str_of(answer_text), m->ctx.wall_ms, e);
}

static bool store_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct intake_mail *m = container_of(lj, struct intake_mail, lj);
    m->ctx.db = db;
    return m->words.idempotency.n ? store_once(m, e) : store_all(m, e);
}

/* ---- the answer */

static void classify(struct intake_mail *m, const struct err *e)
{
    switch (e->code) {
    case ERR_FULL: refuse(m, 452, "4.3.1", e); break;
    case ERR_REFUSED: refuse(m, 451, "4.7.1", e); break;
    case ERR_NOT_FOUND: refuse(m, 550, "5.7.1", e); break;
    case ERR_INVALID: refuse(m, 554, "5.6.0", e); break;
    default: refuse(m, 451, "4.3.0", e);
    }
}

static void say(struct intake_mail *m, struct intake_session *s)
{
    char id[24], text[200];
    if (m->code) {
        answer(s, m->code, m->enhanced, m->error.text);
        return;
    }
    codec_id_format("msg", m->first_id, id);
    if (m->words.is_test)
        snprintf(text, sizeof text, "test: checked, and not queued");
    else if (m->n > 1)
        snprintf(text, sizeof text, "queued as %s and %zu more", id, m->n - 1);
    else
        snprintf(text, sizeof text, "queued as %s", id);
    answer(s, 250, "2.0.0", text);
}

static void finish(struct intake_mail *m)
{
    struct intake_session *s = m->session;
    m->is_away = false;
    m->in->n_busy--;
    if (m->ctx.changed.bits & ADMIN_CHANGED_QUEUE) {
        campaigner_want_queue(m->in->core);
        campaigner_tick(m->in->core);
    }
    if (s) {
        say(m, s);
        s->mail = NULL;
    }
    mail_free(m);
    if (s)
        intake_session_pump(s);
}

static void store_done(struct ledger_job *lj)
{
    struct intake_mail *m = container_of(lj, struct intake_mail, lj);
    if (!lj->ok) {
        m->ctx.changed.bits = 0;
        classify(m, &lj->error);
    }
    finish(m);
}

/* The body is where it belongs, or small. Whoever hung up before the answer gets no mail of theirs
 * sent. */
static void spooled(void *owner, const struct err *failed)
{
    struct intake_mail *m = owner;
    if (failed)
        classify(m, failed);
    if (failed || !m->session) {
        finish(m);
        return;
    }
    m->lj = (struct ledger_job){.order = LEDGER_ACCEPT, .work = store_work, .done = store_done};
    ledger_post(m->in->core->ledger, &m->lj);
}

static void desk_done(struct pool_job *d)
{
    struct intake_mail *m = container_of(d, struct intake_mail, desk);
    if (m->code || m->words.is_test)
        finish(m);
    else if (spooling_is_needed(&m->mails[0]))
        spooling_start(m->in->core, m->mails, 1, m->ctx.wall_ms, spooled, m);
    else
        spooled(m, NULL);
}

/* RFC 5321, 4.4. The client's name is its own word; the address is what we saw. */
static void write_received(struct intake_mail *m, struct intake_session *s)
{
    struct core *c = s->in->core;
    char helo[256], date[HEADER_DATE_SIZE];
    str_copy(str_of(smtp_server_helo(s->smtp)), helo, sizeof helo);
    for (char *p = helo; *p; p++)
        if (!ascii_isalnum(*p) && !strchr(".-_:[]", *p))
            *p = '?';
    header_date(m->ctx.wall_ms, 0, date);
    snprintf(m->received, sizeof m->received,
             "Received: from %.200s ([%s%s])\r\n\tby %.200s with %s;\r\n\t%s\r\n", helo,
             strchr(s->peer, ':') ? "IPv6:" : "", s->peer, c->host, smtp_server_protocol(s->smtp),
             date);
}

void intake_mail_done(struct intake_session *s)
{
    struct intake_mail *m = s->mail;
    struct core *c = s->in->core;
    if (m->is_full) {
        answer(s, 452, "4.3.1", too_much);
        intake_mail_drop(s);
        return;
    }
    snprintf(m->spool, sizeof m->spool, "%s/spool", c->cfg->data_dir);
    m->ctx = (struct admin_context){.ids = &c->ids,
                                    .people = c->people,
                                    .places = c->places,
                                    .suppressible = c->suppressible,
                                    .wall_ms = core_steady(c),
                                    .random = rand_u64(&c->rand),
                                    .spool_dir = m->spool,
                                    .host = c->host,
                                    .actor = m->who->c->name};
    write_received(m, s);
    m->desk = (struct pool_job){.work = desk_work, .done = desk_done, .lane = (int)m->who->c->lane};
    m->is_away = true;
    s->in->n_busy++;
    pool_submit(c->desks, &m->desk);
}
