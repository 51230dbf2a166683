/* Operations on domains and their DKIM keys: add, set, remove; keygen, activate, retire, and the
 * removal of a key. Private keys come from store/domain_make or as PEM, are sealed, and never come
 * out. The first key of its kind signs at once; a later one waits until its record has been seen.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/codec.h"
#include "engine/admin_parts.h"
#include "mail/addr.h"
#include "mail/dkim.h"
#include "mail/dkim_record.h"
#include "store/domains.h"
#include "store/ids.h"
#include "store/reports.h"

#include <stdio.h>
#include <stdlib.h>

#define LIFETIME_MIN_MS 3600000
#define LIFETIME_MAX_MS (INT64_C(365) * 24 * 3600000)
#define PEM_MAX         65536

/* "Example.ORG" and IDN in lower-case A-labels. */
static bool read_name(json_t *args, const char *field, char out[DOMAIN_MAX + 1], struct err *e)
{
    const char *text = NULL;
    char probe[ADDR_MAX + 1];
    struct addr a;
    if (!args_need(args, field, 1024, &text, e))
        return false;
    int n = snprintf(probe, sizeof probe, "x@%s", text);
    if (n < 3 || (size_t)n >= sizeof probe || strchr(text, '@') || text[0] == '[' ||
        !strchr(text, '.') || !addr_parse(str_of(probe), &a, e))
        return err_set(e, ERR_INVALID, "%s: \"%.80s\" is no domain; write example.com", field,
                       text);
    return str_copy(addr_domain(&a), out, DOMAIN_MAX + 1) ||
           err_set(e, ERR_INVALID, "%s: a domain has at most %d bytes", field, DOMAIN_MAX);
}

static bool find_domain(struct admin_context *c, json_t *args, const char *field,
                        struct domain *out, struct err *e)
{
    char name[DOMAIN_MAX + 1];
    return read_name(args, field, name, e) && domains_get(c->db, name, out, e);
}

/* x= of signatures: a duration, or null for none. */
static bool read_lifetime(json_t *args, int64_t *out, struct err *e)
{
    const char *text = NULL;
    if (!json_object_get(args, "expires"))
        return true;
    if (!args_text(args, "expires", 40, &text, e))
        return false;
    *out = 0;
    if (!text)
        return true;
    if (!codec_duration_parse(str_of(text), out) || *out < LIFETIME_MIN_MS ||
        *out > LIFETIME_MAX_MS)
        return err_set(e, ERR_INVALID,
                       "expires: \"%.40s\" is no time from 1h to 365d that signatures hold", text);
    return true;
}

static bool answer_domain(struct admin_context *c, const char *name, const char *event,
                          json_t **data_out, struct err *e)
{
    c->changed.bits |= ADMIN_CHANGED_SERVERS;
    if (!note_event(c, event, name, e) || !report_domain(c->db, name, data_out, e))
        return false;
    dkim_add_records(*data_out);
    return true;
}

/* ---- keys ---- */

struct making {
    struct domain domain;
    enum dkim_algorithm algorithm;
    const char *selector; /* NULL: pf, year, month and a letter */
    const char *start;    /* "now", "published"; NULL: as it stands above */
    struct str pem;       /* STR_NONE: made here */
};

static bool make_private(struct admin_context *c, const struct making *m, struct secret **der_out,
                         struct err *e)
{
    struct buf der;
    if (!m->pem.n && c->fresh_keys[m->algorithm]) {
        *der_out = secret_clone(c->fresh_keys[m->algorithm]);
        return true;
    }
    if (!m->pem.n)
        return domain_key_make(m->algorithm, der_out, e);
    buf_init(&der, PEM_MAX);
    bool ok = dkim_pem_to_der(m->pem, &der, e) || err_prefix(e, "private_key");
    if (ok)
        *der_out = secret_new(der.p, der.n);
    if (der.p)
        secret_wipe(der.p, der.n);
    buf_free(&der);
    return ok;
}

/* pf202611r, then pf202611ra, pf202611rb ... */
static bool default_selector(struct admin_context *c, const struct making *m, char out[64],
                             struct err *e)
{
    char when[32];
    bool taken = true;
    clock_format(c->wall_ms, when);
    for (int i = 0; taken && i <= 26; i++) {
        snprintf(out, 64, "pf%.4s%.2s%c", when, when + 5,
                 m->algorithm == DKIM_RSA_SHA256 ? 'r' : 'e');
        if (i)
            snprintf(out + strlen(out), 2, "%c", 'a' + i - 1);
        if (!domain_keys_has(c->db, m->domain.num, out, &taken, e))
            return false;
    }
    return !taken || err_set(e, ERR_CONFLICT, "selector: give one; all of this month are in use");
}

static bool first_state(struct admin_context *c, const struct making *m,
                        enum dkim_key_state *state_out, struct err *e)
{
    bool has_active = false;
    if (!domain_keys_has_active(c->db, m->domain.num, m->algorithm, &has_active, e))
        return false;
    *state_out = has_active ? DKIM_KEY_WAITING : DKIM_KEY_ACTIVE;
    if (m->start && !strcmp(m->start, "now"))
        *state_out = DKIM_KEY_ACTIVE;
    else if (m->start && !strcmp(m->start, "published"))
        *state_out = DKIM_KEY_WAITING;
    else if (m->start)
        return err_set(e, ERR_INVALID, "start: \"%.40s\" is none of now, published", m->start);
    return true;
}

/* Fills algorithm and public of the row from the private key itself. */
static bool look_at_key(struct domain_key *k, struct err *e)
{
    struct dkim_key *key = NULL;
    struct buf public;
    if (!dkim_key_new(k->domain, k->selector, secret_reveal(k->der), &key, e))
        return false;
    buf_init(&public, PEM_MAX);
    bool ok = dkim_key_public(key, &public);
    k->algorithm = dkim_key_algorithm(key);
    k->public = ok ? alloc_copy(buf_cstr(&public)) : NULL;
    buf_free(&public);
    dkim_key_free(&key);
    return ok || err_set(e, ERR_FAILED, "the public half of the key cannot be read");
}

static bool make_key(struct admin_context *c, struct making *m, struct err *e)
{
    struct domain_key k = {.domain_num = m->domain.num, .id = ids_next(c->ids, c->wall_ms)};
    char selector[64];
    if (!m->selector && !default_selector(c, m, selector, e))
        return false;
    struct str name = str_of(m->selector ? m->selector : selector);
    if (!dkim_selector_check(name, e))
        return false;
    (void)str_copy(name, k.selector, sizeof k.selector);
    (void)str_copy(str_of(m->domain.name), k.domain, sizeof k.domain);
    for (char *p = k.selector; *p; p++)
        *p = ascii_lower(*p);
    bool ok = make_private(c, m, &k.der, e) && look_at_key(&k, e);
    m->algorithm = k.algorithm;
    ok = ok && first_state(c, m, &k.state, e) &&
         domain_keys_add(c->db, c->secrets, &k, c->wall_ms, e);
    secret_free(&k.der);
    free(k.public);
    return ok;
}

/* ---- operations on domains ---- */

static bool make_first_keys(struct admin_context *c, struct making *m, const char *which,
                            struct err *e)
{
    static const char *const words[] = {"rsa", "ed25519", "both", "none"};
    size_t i = 0;
    while (i < countof(words) && strcmp(which, words[i]) != 0)
        i++;
    if (i == countof(words))
        return err_set(e, ERR_INVALID, "dkim: \"%.40s\" is none of rsa, ed25519, both, none",
                       which);
    bool both = i == 2;
    if (both && m->selector)
        return err_set(e, ERR_INVALID, "selector: two keys need two; leave it out");
    m->algorithm = DKIM_RSA_SHA256;
    if ((i == 0 || both) && !make_key(c, m, e))
        return false;
    m->algorithm = DKIM_ED25519_SHA256;
    return (i != 1 && !both) || make_key(c, m, e);
}

static bool run_add(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    struct making m = {.selector = NULL};
    const char *which = NULL;
    if (!args_known(args, (const char *const[]){"name", "dkim", "selector", "expires", NULL}, e) ||
        !read_name(args, "name", m.domain.name, e) ||
        !read_lifetime(args, &m.domain.lifetime_ms, e) || !args_text(args, "dkim", 40, &which, e) ||
        !args_text(args, "selector", 200, &m.selector, e))
        return false;
    m.domain.id = ids_next(c->ids, c->wall_ms);
    return domains_add(c->db, &m.domain, c->wall_ms, e) &&
           make_first_keys(c, &m, which ? which : "rsa", e) &&
           answer_domain(c, m.domain.name, "domain.added", data_out, e);
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    struct domain d;
    if (!args_known(args, (const char *const[]){"name", "expires", NULL}, e) ||
        !find_domain(c, args, "name", &d, e) || !read_lifetime(args, &d.lifetime_ms, e))
        return false;
    return domains_set_lifetime(c->db, d.num, d.lifetime_ms, c->wall_ms, e) &&
           answer_domain(c, d.name, "domain.set", data_out, e);
}

static bool run_remove(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    struct domain d;
    if (!args_known(args, (const char *const[]){"name", NULL}, e) ||
        !find_domain(c, args, "name", &d, e) || !domains_remove(c->db, d.name, e) ||
        !note_event(c, "domain.removed", d.name, e))
        return false;
    c->changed.bits |= ADMIN_CHANGED_SERVERS;
    *data_out = json_pack("{s:s, s:b}", "name", d.name, "removed", 1);
    return true;
}

/* ---- operations on keys ---- */

/* The domain of args.domain; one that is not there yet is made. */
static bool need_domain(struct admin_context *c, json_t *args, struct domain *out, struct err *e)
{
    struct err own = {0};
    if (!read_name(args, "domain", out->name, e))
        return false;
    char name[DOMAIN_MAX + 1];
    memcpy(name, out->name, sizeof name);
    if (domains_get(c->db, name, out, &own))
        return true;
    if (own.code != ERR_NOT_FOUND)
        return err_set(e, own.code, "%s", own.text);
    *out = (struct domain){.id = ids_next(c->ids, c->wall_ms)};
    memcpy(out->name, name, sizeof name);
    return domains_add(c->db, out, c->wall_ms, e) && note_event(c, "domain.added", name, e);
}

static bool run_keygen(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    struct making m = {.algorithm = DKIM_RSA_SHA256};
    const char *algorithm = NULL;
    if (!args_known(
            args,
            (const char *const[]){"domain", "selector", "algorithm", "start", "private_key", NULL},
            e) ||
        !args_text(args, "algorithm", 40, &algorithm, e) ||
        !args_text(args, "selector", 200, &m.selector, e) ||
        !args_text(args, "start", 40, &m.start, e) ||
        !args_body(args, "private_key", PEM_MAX, &m.pem, e))
        return false;
    if (algorithm && !dkim_algorithm_parse(algorithm, &m.algorithm))
        return err_set(e, ERR_INVALID, "algorithm: \"%.40s\" is none of rsa, ed25519", algorithm);
    return need_domain(c, args, &m.domain, e) && make_key(c, &m, e) &&
           answer_domain(c, m.domain.name, "dkim.made", data_out, e);
}

static bool read_key_place(struct admin_context *c, json_t *args, struct domain *d,
                           const char **selector_out, struct err *e)
{
    return args_known(args, (const char *const[]){"domain", "selector", NULL}, e) &&
           find_domain(c, args, "domain", d, e) &&
           args_need(args, "selector", 200, selector_out, e);
}

static bool set_state(struct admin_context *c, json_t *args, enum dkim_key_state state,
                      const char *event, json_t **data_out, struct err *e)
{
    struct domain d;
    const char *selector = NULL;
    return read_key_place(c, args, &d, &selector, e) &&
           domain_keys_set_state(c->db, d.num, selector, state, c->wall_ms, e) &&
           answer_domain(c, d.name, event, data_out, e);
}

static bool run_activate(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                         struct err *e)
{
    (void)tail;
    return set_state(c, args, DKIM_KEY_ACTIVE, "dkim.activated", data_out, e);
}

static bool run_retire(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    return set_state(c, args, DKIM_KEY_RETIRED, "dkim.retired", data_out, e);
}

static bool run_remove_key(struct admin_context *c, json_t *args, struct str tail,
                           json_t **data_out, struct err *e)
{
    (void)tail;
    struct domain d;
    const char *selector = NULL;
    return read_key_place(c, args, &d, &selector, e) &&
           domain_keys_remove(c->db, d.num, selector, e) &&
           answer_domain(c, d.name, "dkim.removed", data_out, e);
}

static const struct admin_entry entries[] = {
    {"domain.add", run_add, false, true},          {"domain.set", run_set, false, false},
    {"domain.remove", run_remove, false, false},   {"dkim.keygen", run_keygen, false, true},
    {"dkim.activate", run_activate, false, false}, {"dkim.retire", run_retire, false, false},
    {"dkim.remove", run_remove_key, false, false}};
const struct admin_noun admin_domains = {entries, countof(entries)};
