/* Judges the facts of a domain check: findings, servers, and the records to publish. Asks nothing:
 * see domain_check.h. */
#include "engine/domain_check.h"

#include "base/buf.h"
#include "mail/dkim_record.h"

#include <stdarg.h>
#include <stdio.h>

enum grade { GRADE_GOOD, GRADE_NOTE, GRADE_BAD };

struct verdict {
    struct check_facts *f;
    json_t *findings, *servers, *publish;
    enum grade worst;
    struct dmarc_record dmarc;
    bool has_dmarc;
    struct buf missing; /* SPF terms of servers that the record does not name */
};

static void find(struct verdict *v, enum grade g, const char *about, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
static void find(struct verdict *v, enum grade g, const char *about, const char *fmt, ...)
{
    static const char *const names[] = {"good", "note", "bad"};
    char text[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    v->worst = MAX(v->worst, g);
    json_array_append_new(
        v->findings, json_pack("{s:s, s:s, s:s}", "about", about, "state", names[g], "text", text));
}

static void publish(struct verdict *v, const char *name, struct str value, const char *why)
{
    json_t *record = txt_record_json(name, value);
    json_object_set_new(record, "why", json_string(why));
    json_array_append_new(v->publish, record);
}

/* The only line of a TXT answer for which `is` holds; *n_out: how many there are. */
static struct str only_line(const struct check_txt *t, bool (*is)(struct str), size_t *n_out)
{
    struct str rest = str_of(t->lines), line, found = STR_NONE;
    *n_out = 0;
    while (t->n && str_split(&rest, '\n', &line))
        if (!is || is(line)) {
            found = line;
            ++*n_out;
        }
    return found;
}

/* ---- DKIM ---- */

/* Why the published record is no good; "" when it is. */
static void look_at_record(const struct check_key *k, char out[700], bool *is_test_out)
{
    struct dkim_record r = {.is_test = false};
    struct err e = {0};
    size_t n = 0;
    out[0] = 0;
    struct str text = only_line(&k->found, NULL, &n);
    if (n == 0)
        snprintf(out, 700, "no record is published");
    else if (n > 1)
        snprintf(out, 700, "%zu TXT records are published; there must be one", n);
    else if (!dkim_record_parse(text, &r, &e))
        snprintf(out, 700, "the published record is no use: %s", e.text);
    else if (r.is_revoked)
        snprintf(out, 700, "the published record revokes the key (p= is empty)");
    else if (!dkim_record_matches(&r, k->algorithm, str_of(k->public)))
        snprintf(out, 700, "the published key is another one than ours");
    *is_test_out = r.is_test;
}

static void publish_key(struct verdict *v, const struct check_key *k)
{
    struct buf name, text;
    buf_init(&name, 1024);
    buf_init(&text, 16384);
    if (dkim_record_name(k->selector, v->f->name, &name) &&
        dkim_record_text(k->algorithm, str_of(k->public), &text))
        publish(v, buf_cstr(&name), buf_str(&text), "the key that mail is signed with");
    buf_free(&name);
    buf_free(&text);
}

static void judge_key(struct verdict *v, struct check_key *k)
{
    char why[700];
    bool is_test = false, waits = k->state == DKIM_KEY_WAITING;
    if (k->state == DKIM_KEY_RETIRED)
        return;
    if (k->found.failed) {
        find(v, GRADE_NOTE, "dkim", "%s: no DNS server answered for its record", k->selector);
        return;
    }
    look_at_record(k, why, &is_test);
    k->is_good = !why[0];
    if (k->is_good)
        find(v, is_test ? GRADE_NOTE : GRADE_GOOD, "dkim", "%s (%s): published%s%s", k->selector,
             dkim_algorithm_name(k->algorithm), waits ? ", signs from now on" : "",
             is_test ? ", but in test mode (t=y): receivers may ignore it" : "");
    else
        find(v, waits ? GRADE_NOTE : GRADE_BAD, "dkim", "%s (%s): %s", k->selector,
             dkim_algorithm_name(k->algorithm), why);
    if (!k->is_good)
        publish_key(v, k);
}

static void judge_dkim(struct verdict *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->f->n_keys; i++) {
        judge_key(v, &v->f->keys[i]);
        n += v->f->keys[i].state == DKIM_KEY_ACTIVE;
    }
    if (!n)
        find(v, GRADE_NOTE, "dkim", "no key signs: `postfleet dkim keygen %s` makes one",
             v->f->name);
}

/* ---- SPF ---- */

static void judge_limits(struct verdict *v, const struct check_walk *w)
{
    unsigned lookups = spf_lookups(w->spf), voids = spf_voids(w->spf);
    if (lookups > SPF_LOOKUPS_MAX)
        find(v, GRADE_BAD, "spf",
             "%s: %u DNS lookups, allowed are %d (RFC 7208 4.6.4): receivers treat it as broken; "
             "drop includes or write addresses instead",
             w->domain, lookups, SPF_LOOKUPS_MAX);
    else if (voids > SPF_VOIDS_MAX)
        find(v, GRADE_BAD, "spf", "%s: %u lookups lead nowhere, allowed are %d", w->domain, voids,
             SPF_VOIDS_MAX);
    else
        find(v, GRADE_BAD, "spf", "%s: %s", w->domain, spf_problem(w->spf));
}

static void judge_walk(struct verdict *v, const struct check_walk *w)
{
    enum spf_result standing = spf_standing(w->spf);
    char all = spf_all(w->spf);
    if (standing == SPF_NO_RECORD)
        find(v, GRADE_BAD, "spf", "%s: no SPF record", w->domain);
    else if (standing == SPF_TEMPERROR)
        find(v, GRADE_NOTE, "spf", "%s: %s", w->domain, spf_problem(w->spf));
    else if (standing == SPF_PERMERROR)
        judge_limits(v, w);
    else if (all == '+')
        find(v, GRADE_BAD, "spf", "%s: +all lets everybody send in its name", w->domain);
    else if (all == '?' || !all)
        find(v, GRADE_NOTE, "spf", "%s: it says nothing of strangers; end it with ~all or -all",
             w->domain);
    else
        find(v, spf_has_ptr(w->spf) ? GRADE_NOTE : GRADE_GOOD, "spf",
             "%s: %u of %d lookups, %u void, ends with %call%s", w->domain, spf_lookups(w->spf),
             SPF_LOOKUPS_MAX, spf_voids(w->spf), all,
             spf_has_ptr(w->spf) ? "; ptr is slow and should not be used" : "");
}

/* The record with what is missing put before its `all`, or a new one. */
static void publish_spf(struct verdict *v, const struct check_walk *w)
{
    struct buf text;
    struct str rest, term, old = str_of(spf_record(w->spf));
    bool put = false;
    buf_init(&text, 4096);
    (void)buf_adds(&text, "v=spf1");
    rest = str_from_index(old, 6);
    while (rest.n && str_split(&rest, ' ', &term)) {
        if (!term.n)
            continue;
        if (str_ends(term, STR("all")) && !put) {
            (void)buf_addstr(&text, buf_str(&v->missing));
            put = true;
        }
        (void)buf_addf(&text, " " STR_F, STR_A(term));
    }
    if (!put)
        (void)buf_addf(&text, STR_F "%s", STR_A(buf_str(&v->missing)),
                       str_find(old, STR("redirect=")) >= 0 ? "" : " ~all");
    publish(v, w->domain, buf_str(&text), "lets your servers send for the return path");
    buf_free(&text);
}

/* ---- DMARC ---- */

static void judge_dmarc(struct verdict *v)
{
    char name[DOMAIN_MAX + 10], report[DOMAIN_MAX + 80];
    struct err e = {0};
    size_t n = 0;
    const struct check_txt *t = &v->f->dmarc;
    struct str text = only_line(t, dmarc_is_record, &n);
    snprintf(name, sizeof name, "_dmarc.%s", v->f->name);
    if (n == 0 && !t->failed) {
        t = &v->f->dmarc_above;
        text = only_line(t, dmarc_is_record, &n);
    }
    if (n == 1 && dmarc_parse(text, &v->dmarc, &e)) {
        v->has_dmarc = true;
        find(v, v->dmarc.has_reports ? GRADE_GOOD : GRADE_NOTE, "dmarc",
             "policy %s for %u %%%s%s%s",
             dmarc_policy_name(t == &v->f->dmarc ? v->dmarc.policy : v->dmarc.subdomains),
             v->dmarc.percent, v->dmarc.strict_dkim ? ", DKIM strict" : "",
             v->dmarc.strict_spf ? ", SPF strict" : "",
             v->dmarc.has_reports ? "" : "; without rua= you get no reports");
        return;
    }
    if (t->failed) {
        find(v, GRADE_NOTE, "dmarc", "no DNS server answered for %s", name);
        return;
    }
    if (n > 1)
        find(v, GRADE_BAD, "dmarc", "%zu records are published: receivers ignore them all", n);
    else if (n)
        find(v, GRADE_BAD, "dmarc", "the record is no use: %s", e.text);
    else
        find(v, GRADE_BAD, "dmarc",
             "no record at %s; large mailbox providers want one of bulk "
             "senders",
             name);
    snprintf(report, sizeof report, "v=DMARC1; p=none; rua=mailto:dmarc@%s", v->f->name);
    publish(v, name, str_of(report), "the policy; p=none only asks for reports");
}

/* ---- servers ---- */

const char *domain_spf_include(const char *provider)
{
    static const struct {
        const char *provider, *include;
    } known[] = {{"amazon-ses", "amazonses.com"},
                 {"sendgrid", "sendgrid.net"},
                 {"mailgun", "mailgun.org"},
                 {"postmark", "spf.mtasv.net"},
                 {"sparkpost", "sparkpostmail.com"},
                 {"brevo", "spf.brevo.com"},
                 {"mailjet", "spf.mailjet.com"},
                 {"mandrill", "spf.mandrillapp.com"},
                 {"smtp2go", "spf.smtp2go.com"},
                 {"elasticemail", "_spf.elasticemail.com"},
                 {"mailersend", "_spf.mailersend.net"},
                 {"google", "_spf.google.com"},
                 {"microsoft", "spf.protection.outlook.com"},
                 {"fastmail", "spf.messagingengine.com"},
                 {"zoho", "zoho.com"},
                 {"ovh", "mx.ovh.com"}};
    for (size_t i = 0; i < countof(known); i++)
        if (!strcmp(known[i].provider, provider))
            return known[i].include;
    return NULL;
}

/* Loopback and networks of one's own (RFC 1918, RFC 4193): not what a receiver sees. */
static bool is_private(const struct spf_address *a)
{
    const uint8_t *b = a->bytes;
    if (a->is_v6)
        return (b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) ||
               (b[0] == 0 && b[15] == 1);
    return b[0] == 127 || b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) ||
           (b[0] == 192 && b[1] == 168);
}

static void add_missing(struct verdict *v, const struct check_server *s, const char *include)
{
    char term[300];
    if (include)
        snprintf(term, sizeof term, " include:%s", include);
    else
        snprintf(term, sizeof term, " a:%s", s->host);
    if (str_find(buf_str(&v->missing), str_of(term)) < 0)
        (void)buf_adds(&v->missing, term);
}

/* SPF of what this server sends: by its provider's include, else by its addresses. */
static const char *judge_spf_of(struct verdict *v, const struct check_server *s)
{
    const struct check_walk *w = &v->f->walks[s->walk];
    const char *include = domain_spf_include(s->provider);
    enum spf_result standing = spf_standing(w->spf), result = SPF_NEUTRAL;
    bool is_own = !strcmp(w->domain, v->f->name);
    if (include && spf_includes(w->spf, include) && standing == SPF_PASS)
        return "pass";
    bool unseen = !include;
    for (size_t i = 0; i < s->n_addresses; i++) {
        unseen = unseen && is_private(&s->addresses[i]);
        result = spf_result_of(w->spf, s->first_address + i);
        if (result == SPF_PASS)
            return "pass";
    }
    if (unseen)
        return "unknown"; /* a relay of one's own: its address outside is not known here */
    if (is_own && (standing == SPF_PASS || standing == SPF_NO_RECORD))
        add_missing(v, s, include);
    if (standing != SPF_PASS)
        return spf_result_name(standing);
    return spf_result_name(s->n_addresses ? result : SPF_NEUTRAL);
}

static bool some_key_is_good(const struct check_facts *f)
{
    for (size_t i = 0; i < f->n_keys; i++)
        if (f->keys[i].is_good && f->keys[i].state != DKIM_KEY_RETIRED)
            return true;
    return false;
}

static void judge_server(struct verdict *v, const struct check_server *s)
{
    const char *spf = judge_spf_of(v, s);
    bool aligned = dmarc_aligned(str_of(s->return_domain), str_of(v->f->name), v->dmarc.strict_spf);
    bool by_spf = !strcmp(spf, "pass") && aligned, by_dkim = s->signs && some_key_is_good(v->f);
    bool unknown = s->by_provider || (!strcmp(spf, "unknown") && aligned);
    const char *dkim = by_dkim          ? "pass"
                       : s->by_provider ? "by provider"
                       : s->signs       ? "fail"
                                        : "off";
    const char *dmarc = by_dkim || by_spf ? "pass" : unknown ? "unknown" : "fail";
    char about[160];
    snprintf(about, sizeof about, "server %s", s->name);
    find(v,
         !strcmp(dmarc, "pass") ? GRADE_GOOD
         : unknown              ? GRADE_NOTE
                                : GRADE_BAD,
         about, "From %s: DKIM %s%s, SPF %s for return path %s (%s): DMARC %s", v->f->name, dkim,
         by_dkim ? " with this domain" : "", spf, s->return_domain,
         aligned ? "aligned" : "not aligned", dmarc);
    json_array_append_new(v->servers,
                          json_pack("{s:s, s:s, s:s?, s:b, s:s, s:s, s:b, s:s}", "server", s->name,
                                    "dkim", dkim, "d", s->signs ? v->f->name : NULL, "dkim_aligned",
                                    (int)s->signs, "return_path", s->return_domain, "spf", spf,
                                    "spf_aligned", (int)aligned, "dmarc", dmarc));
}

/* ---- the rest ---- */

static void judge_mx(struct verdict *v)
{
    if (v->f->mx_failed)
        find(v, GRADE_NOTE, "mx", "no DNS server answered for the MX of %s", v->f->name);
    else if (!v->f->has_mx)
        find(v, GRADE_NOTE, "mx", "no MX: replies and bounces to %s find no way", v->f->name);
    else if (!v->f->mx[0])
        find(v, GRADE_NOTE, "mx", "a null MX: %s takes no mail, neither replies nor bounces",
             v->f->name);
    else
        find(v, GRADE_GOOD, "mx", "mail for %s goes to %s", v->f->name, v->f->mx);
}

static void judge_tracking(struct verdict *v)
{
    struct str host = str_of(v->f->tracking);
    struct spf_address literal;
    if (!host.n)
        find(v, GRADE_NOTE, "links", "public_url is not set: links work on this machine only");
    else if (spf_address_parse(host, &literal))
        find(v, GRADE_NOTE, "links", "links show the address %s; a name of %s looks better",
             v->f->tracking, v->f->name);
    else if (v->f->tracking_failed)
        find(v, GRADE_NOTE, "links", "no DNS server answered for %s", v->f->tracking);
    else if (!v->f->tracking_found)
        find(v, GRADE_BAD, "links",
             "%s, the host of public_url, has no address: links lead nowhere", v->f->tracking);
    else
        find(v, GRADE_GOOD, "links", "%s has an address%s", v->f->tracking,
             dmarc_aligned(host, str_of(v->f->name), false) ? "" : ", of another domain");
}

json_t *domain_judge(struct check_facts *f)
{
    static const char *const states[] = {"good", "warning", "bad"};
    struct verdict v = {
        .f = f, .findings = json_array(), .servers = json_array(), .publish = json_array()};
    buf_init(&v.missing, 2048);
    judge_dkim(&v);
    for (size_t i = 0; i < f->n_walks; i++)
        judge_walk(&v, &f->walks[i]);
    judge_dmarc(&v);
    judge_mx(&v);
    judge_tracking(&v);
    for (size_t i = 0; i < f->n_servers; i++)
        judge_server(&v, &f->servers[i]);
    for (size_t i = 0; i < f->n_walks; i++)
        if (!strcmp(f->walks[i].domain, f->name) &&
            (v.missing.n || spf_standing(f->walks[i].spf) == SPF_NO_RECORD))
            publish_spf(&v, &f->walks[i]);
    buf_free(&v.missing);
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", f->name, "state", states[v.worst],
                     "findings", v.findings, "servers", v.servers, "publish", v.publish);
}
