/* Who receives for a recipient domain: the table of rules/providers.yaml, else where its mail goes
 * (MX), looked up in the background. Until the answer is there a domain is `other`; then its ready
 * messages move to their new class within a second. Domains of the table cost no question, reserved
 * ones (RFC 2606, RFC 6761) are never asked for, and nothing is asked while every server stands on
 * loopback, unless the configuration names DNS servers: tests and demos stay on this machine. */
#include "base/alloc.h"
#include "engine/state.h"
#include "net/dns.h"

#include <stdlib.h>

#define DOMAINS_MAX 50000
#define ASKING_MAX  64
#define KNOWN_MS    (6 * 3600000) /* how long an answer serves */
#define FAILED_MS   600000        /* and how long none does */

struct domain {
    struct list age; /* oldest answer first; those without one at the end */
    struct core *core;
    struct dns_question *question;
    uint32_t provider;
    int64_t expires_ms; /* boot */
    char name[256];
};

struct mailboxes {
    struct map_str *domains;
    struct list ages;
    bool may_ask, changed;
    uint32_t asking;
    uint64_t asked, found;
};

static struct mailboxes *of(struct core *c)
{
    if (!c->mailboxes) {
        c->mailboxes = alloc_one(struct mailboxes);
        c->mailboxes->domains = map_str_new();
        list_init(&c->mailboxes->ages);
    }
    return c->mailboxes;
}

static bool is_reserved(struct str d)
{
    static const char *const tops[] = {".example",  ".test",        ".invalid",    ".localhost",
                                       ".local",    ".example.com", ".onion",      ".example.net",
                                       ".internal", ".arpa",        ".example.org"};
    if (str_chr(d, '.') < 0 || str_is(d, "example.com") || str_is(d, "example.net") ||
        str_is(d, "example.org"))
        return true;
    for (size_t i = 0; i < countof(tops); i++)
        if (str_ends(d, str_of(tops[i])))
            return true;
    return d.p[0] == '['; /* an address */
}

static void answered(void *arg, const struct dns_answer *a)
{
    struct domain *d = arg;
    struct core *c = d->core;
    struct mailboxes *m = c->mailboxes;
    uint32_t before = d->provider;
    d->question = NULL;
    m->asking--;
    if (a->status == DNS_FOUND && a->mx)
        d->provider = provider_of_mx(providers_builtin(), str_of(a->mx));
    d->expires_ms = loop_now_ms(c->loop) + (a->status == DNS_FAILED ? FAILED_MS : KNOWN_MS);
    m->found += d->provider != PROVIDER_OTHER;
    m->changed |= d->provider != before;
    list_remove(&d->age);
    list_push_back(&m->ages, &d->age);
}

static void ask(struct core *c, struct domain *d)
{
    struct mailboxes *m = c->mailboxes;
    m->asking++;
    m->asked++;
    d->question = dns_ask(net_dns(c->net), d->name, DNS_MX, answered, d);
}

static struct domain *new_domain(struct core *c, struct str name)
{
    struct mailboxes *m = c->mailboxes;
    struct domain *oldest = list_empty(&m->ages) ? NULL : list_first(&m->ages, struct domain, age);
    if (map_str_count(m->domains) >= DOMAINS_MAX && oldest && !oldest->question) {
        map_str_remove(m->domains, str_of(oldest->name));
        list_remove(&oldest->age);
        free(oldest);
    }
    if (map_str_count(m->domains) >= DOMAINS_MAX)
        return NULL;
    struct domain *d = alloc_one(struct domain);
    d->core = c;
    str_copy(name, d->name, sizeof d->name);
    map_str_set(m->domains, name, d);
    list_push_back(&m->ages, &d->age);
    return d;
}

uint32_t mailboxes_provider(struct core *c, struct str name)
{
    struct mailboxes *m = of(c);
    uint32_t known = provider_of_domain(providers_builtin(), name);
    if (known || !m->may_ask || !name.n || name.n >= 254 || is_reserved(name))
        return known;
    struct domain *d = map_str_get(m->domains, name);
    bool wants = !d || (!d->question && loop_now_ms(c->loop) >= d->expires_ms);
    if (wants && m->asking < ASKING_MAX && (d || (d = new_domain(c, name)) != NULL))
        ask(c, d);
    return d ? d->provider : PROVIDER_OTHER;
}

bool mailboxes_look_again(struct core *c, struct job *j)
{
    ptrdiff_t at = str_rchr(j->item->key, '@');
    uint32_t before = j->provider;
    if (at >= 0)
        j->provider = mailboxes_provider(c, str_from_index(j->item->key, (size_t)at + 1));
    return j->provider != before;
}

void mailboxes_configure(struct core *c, bool all_on_loopback)
{
    of(c)->may_ask = !all_on_loopback || c->cfg->dns_servers != NULL;
}

bool mailboxes_may_ask(struct core *c)
{
    return of(c)->may_ask;
}

void mailboxes_second(struct core *c)
{
    struct mailboxes *m = of(c);
    if (!m->changed)
        return;
    m->changed = false;
    routing_refresh(c);
}

json_t *mailboxes_live(const struct core *c)
{
    const struct mailboxes *m = c->mailboxes;
    return json_pack("{s:b,s:i,s:i,s:I,s:I}", "looks_up", m && m->may_ask, "domains",
                     m ? (int)map_str_count(m->domains) : 0, "asking", m ? (int)m->asking : 0,
                     "asked", m ? (json_int_t)m->asked : 0, "found", m ? (json_int_t)m->found : 0);
}
