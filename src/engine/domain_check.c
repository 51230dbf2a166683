/* One check of a domain: facts from the database and the fleet, questions to DNS all at once, then
 * the walks over SPF one by one, the judgement, and what follows from it. Reactor thread but for
 * the two ledger jobs; nothing waits for it but the caller. */
#include "engine/domain_check.h"

#include "base/alloc.h"
#include "base/log.h"
#include "engine/signing.h"
#include "engine/state.h"
#include "mail/addr.h"
#include "mail/dkim_record.h"
#include "net/dns.h"
#include "store/domains.h"
#include "store/events.h"
#include "store/reports.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECKS_MAX  8
#define EVERY_MS    INT64_C(21600000) /* six hours */
#define FINDING_MAX 262144

struct check;

struct query { /* a question whose answer is kept */
    struct check *c;
    void (*keep)(struct check *c, size_t index, const struct dns_answer *a);
    size_t index;
};

struct check {
    struct ledger_job lj;
    struct core *core;
    struct link_request *request; /* NULL: by the schedule */
    json_t *domain;               /* as reported, with its keys */
    json_t *result;
    struct check_facts f;
    char **texts; /* TXT answers, freed at the end */
    size_t n_texts;
    size_t pending;
    size_t walking;
    char seen[DOMAIN_KEYS_MAX][64]; /* selectors of waiting keys whose record is there */
    size_t n_seen;
    char changed[700]; /* what changed; "": nothing */
};

static unsigned n_checks; /* at work; reactor only */

static void check_free(struct check *c)
{
    for (size_t i = 0; i < c->f.n_walks; i++)
        spf_free(&c->f.walks[i].spf);
    for (size_t i = 0; i < c->n_texts; i++)
        free(c->texts[i]);
    free(c->texts);
    free(c->f.keys);
    json_decref(c->domain);
    free(c);
    n_checks--;
}

static void check_fail(struct check *c, const struct err *e)
{
    if (c->request)
        link_answer(c->request, link_answer_error(e));
    else
        log_event(LOG_WARNING, "domain.check", "%s: %s", c->f.name, e->text);
    json_decref(c->result);
    check_free(c);
}

/* ---- the end: kept, and what follows ---- */

/* The first finding that is not what it was. */
static void compare(struct check *c)
{
    size_t i;
    json_t *now, *old = json_object_get(c->domain, "check");
    json_t *before = json_object_get(old, "findings");
    if (!json_is_object(old) || json_equal(before, json_object_get(c->result, "findings")))
        return;
    snprintf(c->changed, sizeof c->changed, "a finding is gone");
    json_array_foreach(json_object_get(c->result, "findings"), i, now)
    {
        size_t k;
        json_t *was;
        bool known = false;
        json_array_foreach(before, k, was) known = known || json_equal(now, was);
        if (known)
            continue;
        snprintf(c->changed, sizeof c->changed, "%s: %.500s",
                 json_string_value(json_object_get(now, "about")),
                 json_string_value(json_object_get(now, "text")));
        return;
    }
}

static bool note_change(struct check *c, struct db *db, const char *reason, struct err *e)
{
    int64_t now = clock_wall_ms();
    struct event ev = {.id = ids_next(&c->core->ids, now),
                       .at = now,
                       .kind = STR("domain.changed"),
                       .subject = str_of(c->f.name),
                       .reason = str_of(reason),
                       .data = STR_NONE};
    return events_append(db, &ev, e);
}

static bool activate_seen(struct check *c, struct db *db, struct err *e)
{
    struct domain d;
    char reason[160];
    bool has = false;
    if (!c->n_seen)
        return true;
    if (!domains_get(db, c->f.name, &d, e))
        return false;
    for (size_t i = 0; i < c->n_seen; i++) {
        snprintf(reason, sizeof reason, "key %s is published and signs from now on", c->seen[i]);
        if (!domain_keys_has(db, d.num, c->seen[i], &has, e) ||
            (has &&
             (!domain_keys_set_state(db, d.num, c->seen[i], DKIM_KEY_ACTIVE, clock_wall_ms(), e) ||
              !note_change(c, db, reason, e))))
            return false;
    }
    return true;
}

static bool keep_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct check *c = container_of(lj, struct check, lj);
    char *text = json_dumps(c->result, JSON_COMPACT);
    bool ok = text && domains_keep_check(db, c->f.name, clock_wall_ms(), str_of(text), e) &&
              activate_seen(c, db, e) && (!c->changed[0] || note_change(c, db, c->changed, e));
    free(text);
    return ok;
}

static void keep_done(struct ledger_job *lj)
{
    struct check *c = container_of(lj, struct check, lj);
    if (!lj->ok) {
        check_fail(c, &lj->error);
        return;
    }
    if (c->n_seen)
        config_reload(c->core, false);
    if (c->changed[0])
        log_event(LOG_NOTICE, "domain.changed", "%s: %s", c->f.name, c->changed);
    if (c->request)
        link_answer(c->request, link_answer_ok(c->result));
    else
        json_decref(c->result);
    check_free(c);
}

static void finish(struct check *c)
{
    c->result = domain_judge(&c->f);
    for (size_t i = 0; i < c->f.n_keys; i++)
        if (c->f.keys[i].state == DKIM_KEY_WAITING && c->f.keys[i].is_good)
            (void)str_copy(str_of(c->f.keys[i].selector), c->seen[c->n_seen++], 64);
    compare(c);
    c->lj = (struct ledger_job){.order = LEDGER_ADMIN, .work = keep_work, .done = keep_done};
    ledger_post(c->core->ledger, &c->lj);
}

/* ---- SPF, walk by walk ---- */

static void walk_on(struct check *c);

static void tell(struct spf *spf, const struct dns_answer *a)
{
    struct spf_address addresses[DNS_RECORDS_MAX];
    const char *texts[DNS_RECORDS_MAX];
    struct spf_answer answer = {
        .failed = a->status == DNS_FAILED, .addresses = addresses, .texts = texts, .host = a->mx};
    char *lines = a->status == DNS_FOUND && a->type == DNS_TXT ? alloc_copy(a->txt) : NULL;
    answer.n = a->status == DNS_FOUND ? MIN(a->n, (size_t)DNS_RECORDS_MAX) : 0;
    for (size_t i = 0; i < answer.n && (a->type == DNS_A || a->type == DNS_AAAA); i++) {
        addresses[i].is_v6 = a->type == DNS_AAAA;
        memcpy(addresses[i].bytes, a->records[i].address, sizeof addresses[i].bytes);
    }
    if (a->type == DNS_TXT)
        answer.n = 0;
    for (char *line = lines; line && answer.n < DNS_RECORDS_MAX;) {
        char *end = strchr(line, '\n');
        texts[answer.n++] = line;
        if (end)
            *end++ = 0;
        line = end;
    }
    spf_tell(spf, &answer);
    free(lines);
}

static void on_walk_answer(void *arg, const struct dns_answer *a)
{
    struct check *c = arg;
    tell(c->f.walks[c->walking].spf, a);
    walk_on(c);
}

static void walk_on(struct check *c)
{
    static const enum dns_type types[] = {
        [SPF_TXT] = DNS_TXT, [SPF_A] = DNS_A, [SPF_AAAA] = DNS_AAAA, [SPF_MX] = DNS_MX};
    const char *name = NULL;
    enum spf_type type;
    while (c->walking < c->f.n_walks && !spf_ask(c->f.walks[c->walking].spf, &name, &type))
        c->walking++;
    if (c->walking == c->f.n_walks) {
        finish(c);
        return;
    }
    struct dns_question *q = dns_ask(net_dns(c->core->net), name, types[type], on_walk_answer, c);
    (void)q; /* always answered: nothing of a check is taken back */
}

/* The addresses of all servers with this return path are held against its SPF in one walk. */
static void begin_walks(struct check *c)
{
    for (size_t w = 0; w < c->f.n_walks; w++) {
        struct spf_address all[SPF_ADDRESSES_MAX];
        size_t n = 0;
        for (size_t i = 0; i < c->f.n_servers; i++) {
            struct check_server *s = &c->f.servers[i];
            if (s->walk != w)
                continue;
            s->n_addresses = MIN(s->n_addresses, SPF_ADDRESSES_MAX - n);
            s->first_address = n;
            memcpy(all + n, s->addresses, s->n_addresses * sizeof *all);
            n += s->n_addresses;
        }
        c->f.walks[w].spf = spf_new(c->f.walks[w].domain, all, n);
    }
    walk_on(c);
}

/* ---- the questions that are known beforehand ---- */

static void on_answer(void *arg, const struct dns_answer *a)
{
    struct query *q = arg;
    struct check *c = q->c;
    q->keep(c, q->index, a);
    free(q);
    if (--c->pending == 0)
        begin_walks(c);
}

static void ask(struct check *c, const char *name, enum dns_type type,
                void (*keep)(struct check *c, size_t index, const struct dns_answer *a),
                size_t index)
{
    struct query *q = alloc_one(struct query);
    *q = (struct query){c, keep, index};
    c->pending++;
    struct dns_question *question = dns_ask(net_dns(c->core->net), name, type, on_answer, q);
    (void)question;
}

static struct check_txt keep_txt(struct check *c, const struct dns_answer *a)
{
    struct check_txt t = {.failed = a->status == DNS_FAILED};
    if (a->status != DNS_FOUND || !a->txt)
        return t;
    c->texts = alloc_resize(c->texts, (c->n_texts + 1) * sizeof *c->texts);
    t.lines = c->texts[c->n_texts++] = alloc_copy(a->txt);
    t.n = a->n;
    return t;
}

static void keep_key(struct check *c, size_t i, const struct dns_answer *a)
{
    c->f.keys[i].found = keep_txt(c, a);
}

static void keep_dmarc(struct check *c, size_t above, const struct dns_answer *a)
{
    *(above ? &c->f.dmarc_above : &c->f.dmarc) = keep_txt(c, a);
}

static void keep_mx(struct check *c, size_t i, const struct dns_answer *a)
{
    (void)i;
    c->f.mx_failed = a->status == DNS_FAILED;
    c->f.has_mx = a->status == DNS_FOUND;
    (void)str_copy(str_of(a->mx), c->f.mx, sizeof c->f.mx);
}

static void keep_tracking(struct check *c, size_t i, const struct dns_answer *a)
{
    (void)i;
    c->f.tracking_found = c->f.tracking_found || (a->status == DNS_FOUND && a->n);
    c->f.tracking_failed = c->f.tracking_failed || a->status == DNS_FAILED;
}

static void keep_server(struct check *c, size_t i, const struct dns_answer *a)
{
    struct check_server *s = &c->f.servers[i];
    for (size_t k = 0; a->status == DNS_FOUND && k < a->n; k++) {
        if (s->n_addresses == CHECK_ADDRESSES_MAX)
            return;
        struct spf_address *to = &s->addresses[s->n_addresses++];
        to->is_v6 = a->type == DNS_AAAA;
        memcpy(to->bytes, a->records[k].address, sizeof to->bytes);
    }
}

static void ask_servers(struct check *c)
{
    for (size_t i = 0; i < c->f.n_servers; i++) {
        struct check_server *s = &c->f.servers[i];
        if (spf_address_parse(str_of(s->host), &s->addresses[0])) {
            s->n_addresses = 1;
            continue;
        }
        ask(c, s->host, DNS_A, keep_server, i);
        ask(c, s->host, DNS_AAAA, keep_server, i);
    }
}

static void ask_all(struct check *c)
{
    char name[DOMAIN_MAX + 80];
    struct str above = dmarc_organization(str_of(c->f.name));
    c->pending = 1; /* none is answered before all are asked */
    for (size_t i = 0; i < c->f.n_keys; i++) {
        snprintf(name, sizeof name, "%s._domainkey.%s", c->f.keys[i].selector, c->f.name);
        ask(c, name, DNS_TXT, keep_key, i);
    }
    snprintf(name, sizeof name, "_dmarc.%s", c->f.name);
    ask(c, name, DNS_TXT, keep_dmarc, 0);
    if (!str_is(above, c->f.name)) {
        snprintf(name, sizeof name, "_dmarc." STR_F, STR_A(above));
        ask(c, name, DNS_TXT, keep_dmarc, 1);
    }
    ask(c, c->f.name, DNS_MX, keep_mx, 0);
    if (c->f.tracking[0]) {
        ask(c, c->f.tracking, DNS_A, keep_tracking, 0);
        ask(c, c->f.tracking, DNS_AAAA, keep_tracking, 0);
    }
    ask_servers(c);
    if (--c->pending == 0)
        begin_walks(c);
}

/* ---- facts of our own ---- */

static void take_keys(struct check *c)
{
    size_t i;
    json_t *k, *list = json_object_get(c->domain, "keys");
    c->f.keys = alloc_many(struct check_key, json_array_size(list) + 1);
    json_array_foreach(list, i, k)
    {
        struct check_key *to = &c->f.keys[c->f.n_keys];
        to->selector = json_string_value(json_object_get(k, "selector"));
        to->public = json_string_value(json_object_get(k, "public"));
        const char *a = json_string_value(json_object_get(k, "algorithm"));
        const char *state = json_string_value(json_object_get(k, "state"));
        if (to->selector && to->public && a && state && c->f.n_keys < DOMAIN_KEYS_MAX)
            c->f.n_keys +=
                dkim_algorithm_parse(a, &to->algorithm) && dkim_key_state_parse(state, &to->state);
    }
}

static size_t walk_of(struct check *c, const char *domain)
{
    size_t i = 0;
    while (i < c->f.n_walks && strcmp(c->f.walks[i].domain, domain) != 0)
        i++;
    if (i == c->f.n_walks && i < CHECK_WALKS_MAX)
        (void)str_copy(str_of(domain), c->f.walks[c->f.n_walks++].domain, DOMAIN_MAX + 1);
    return i;
}

static bool may_send(const struct server *s, const char *domain)
{
    bool listed = s->n_from_domains == 0;
    for (size_t i = 0; i < s->n_from_domains && !listed; i++)
        listed = !strcmp(s->from_domains[i], domain);
    return listed && s->admin != ADMIN_DISABLED;
}

static void take_servers(struct check *c)
{
    for (size_t i = 0; i < c->core->n_outlets; i++) {
        struct outlet *o = c->core->outlets[i];
        if (!o || !o->server || o->is_removed || c->f.n_servers == CHECK_SERVERS_MAX ||
            !may_send(o->server->server, c->f.name))
            continue;
        const struct server *s = o->server->server;
        struct check_server *to = &c->f.servers[c->f.n_servers];
        *to = (struct check_server){.signs = signing_is_on(s)};
        to->by_provider = !to->signs && s->dkim == DKIM_USE_AUTO;
        if (!s->return_path || !signing_domain_of(str_of(s->return_path), to->return_domain))
            (void)str_copy(str_of(c->f.name), to->return_domain, sizeof to->return_domain);
        to->walk = walk_of(c, to->return_domain);
        if (to->walk >= CHECK_WALKS_MAX)
            continue; /* of more return paths than that nothing is said */
        (void)str_copy(str_of(s->name), to->name, sizeof to->name);
        (void)str_copy(str_of(s->host), to->host, sizeof to->host);
        (void)str_copy(str_of(s->provider), to->provider, sizeof to->provider);
        c->f.n_servers++;
    }
}

/* "https://links.example.com:8443/x" gives its host. */
static void take_tracking(struct check *c)
{
    struct str url = str_of(c->core->public_url);
    ptrdiff_t at = str_find(url, STR("://"));
    if (!url.n || at < 0)
        return;
    url = str_from_index(url, (size_t)at + 3);
    size_t n = 0;
    bool bracket = url.n && url.p[0] == '[';
    while (n < url.n && url.p[n] != '/' && (bracket ? url.p[n] != ']' : url.p[n] != ':'))
        n++;
    (void)str_copy(str_cut(url, 0, n + bracket), c->f.tracking, sizeof c->f.tracking);
}

static bool read_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct check *c = container_of(lj, struct check, lj);
    return report_domain(db, c->f.name, &c->domain, e);
}

static void read_done(struct ledger_job *lj)
{
    struct check *c = container_of(lj, struct check, lj);
    if (!lj->ok) {
        check_fail(c, &lj->error);
        return;
    }
    take_keys(c);
    (void)walk_of(c, c->f.name);
    take_servers(c);
    take_tracking(c);
    ask_all(c);
}

void domain_check_start(struct core *core, const char *name, struct link_request *r)
{
    struct err e;
    char folded[DOMAIN_MAX + 1] = "";
    char probe[ADDR_MAX + 1];
    bool ok = name && snprintf(probe, sizeof probe, "x@%s", name) < (int)sizeof probe &&
              signing_domain_of(str_of(probe), folded);
    if (!ok)
        err_set(&e, ERR_INVALID, "name: \"%.80s\" is no domain", name ? name : "");
    else if (n_checks >= CHECKS_MAX)
        ok = err_set(&e, ERR_LATER, "%u domains are being checked: try again soon", n_checks);
    if (!ok) {
        if (r)
            link_answer(r, link_answer_error(&e));
        return;
    }
    struct check *c = alloc_one(struct check);
    n_checks++;
    c->core = core;
    c->request = r;
    (void)str_copy(str_of(folded), c->f.name, sizeof c->f.name);
    c->lj = (struct ledger_job){
        .order = LEDGER_ADMIN, .is_read = true, .work = read_work, .done = read_done};
    ledger_post(core->ledger, &c->lj);
}

/* ---- the schedule ---- */

struct due {
    struct ledger_job lj;
    struct core *core;
    struct buf names;
};

static bool due_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct due *d = container_of(lj, struct due, lj);
    return domains_names(db, clock_wall_ms() - EVERY_MS, &d->names, e);
}

static void due_done(struct ledger_job *lj)
{
    struct due *d = container_of(lj, struct due, lj);
    struct str rest = buf_str(&d->names), name;
    char text[DOMAIN_MAX + 1];
    if (lj->ok && str_split(&rest, '\n', &name) && str_copy(name, text, sizeof text))
        domain_check_start(d->core, text, NULL);
    buf_free(&d->names);
    free(d);
}

void domain_check_minute(struct core *c)
{
    if (n_checks || !mailboxes_may_ask(c))
        return;
    struct due *d = alloc_one(struct due);
    d->core = c;
    buf_init(&d->names, 1 << 20);
    d->lj = (struct ledger_job){
        .order = LEDGER_ADMIN, .is_read = true, .work = due_work, .done = due_done};
    ledger_post(c->ledger, &d->lj);
}
