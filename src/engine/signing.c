/* Keys by domain, and signatures on top of mails: see signing.h. Runs on desks, but for loading.
 * Bodies that several messages share are hashed once: the last hashes are kept by the body's id. */
#include "engine/signing.h"

#include "base/alloc.h"
#include "base/log.h"
#include "mail/addr.h"
#include "store/domains.h"

#include <pthread.h>
#include <stdlib.h>

#define HASHES     64    /* bodies kept; a power of two */
#define SHARED_MIN 16384 /* smaller bodies are hashed again sooner than found */

struct signer {
    const char *domain; /* of its first key */
    const struct dkim_key *keys[DKIM_ALGORITHMS];
    size_t n;
    int64_t lifetime_ms;
};

struct signing {
    int refs; /* atomic */
    struct dkim_key **keys;
    size_t n_keys;
    struct signer *signers; /* by domain */
    size_t n;
};

/* ---- loading ---- */

static void add_key(struct signing *s, struct dkim_key *k, int64_t lifetime_ms)
{
    struct signer *last = s->n ? &s->signers[s->n - 1] : NULL;
    s->keys[s->n_keys++] = k;
    if (!last || strcmp(last->domain, dkim_key_domain(k)) != 0) {
        last = &s->signers[s->n++];
        *last = (struct signer){.domain = dkim_key_domain(k), .lifetime_ms = lifetime_ms};
    }
    if (last->n < countof(last->keys))
        last->keys[last->n++] = k;
}

bool signing_load(struct db *db, const struct secrets *secrets, struct signing **out, struct err *e)
{
    struct domain_key *rows = NULL;
    size_t n = 0;
    *out = NULL;
    if (!domain_keys_load(db, secrets, &rows, &n, e))
        return false;
    struct signing *s = alloc_one(struct signing);
    s->refs = 1;
    s->keys = alloc_many(struct dkim_key *, n);
    s->signers = alloc_many(struct signer, n);
    for (size_t i = 0; i < n; i++) {
        struct dkim_key *k = NULL;
        struct err own = {0};
        if (dkim_key_new(rows[i].domain, rows[i].selector, secret_reveal(rows[i].der), &k, &own))
            add_key(s, k, rows[i].lifetime_ms);
        else
            log_event(LOG_ERROR, "dkim.key_unreadable", "domain=%s selector=%s error=%s",
                      rows[i].domain, rows[i].selector, own.text);
    }
    domain_keys_free(rows, n);
    *out = s;
    return true;
}

void signing_keep(struct signing *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
}

void signing_drop(struct signing *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < s->n_keys; i++)
        dkim_key_free(&s->keys[i]);
    free(s->keys);
    free(s->signers);
    free(s);
}

/* ---- who signs ---- */

/* They sign what they send, with the user's domain once that is verified there; some change
 * Message-ID or Date behind us, which would break a signature of ours. */
static const char *const signing_providers[] = {
    "amazon-ses", "sendgrid",  "mailgun",      "postmark", "sparkpost",  "brevo",    "mailjet",
    "mandrill",   "smtp2go",   "elasticemail", "resend",   "mailersend", "mailtrap", "zeptomail",
    "google",     "microsoft", "yahoo",        "apple",    "zoho",       "fastmail"};
static const char *const signing_profiles[] = {"ses",       "sendgrid", "mailgun",     "postmark",
                                               "sparkpost", "gmail",    "microsoft365"};

static bool is_listed(const char *word, const char *const *list, size_t n)
{
    for (size_t i = 0; word && i < n; i++)
        if (!strcmp(word, list[i]))
            return true;
    return false;
}

bool signing_is_on(const struct server *s)
{
    if (s->dkim != DKIM_USE_AUTO)
        return s->dkim == DKIM_USE_ON;
    return !is_listed(s->provider, signing_providers, countof(signing_providers)) &&
           !is_listed(s->profile, signing_profiles, countof(signing_profiles));
}

bool signing_is_wanted(const struct signing *s, const struct server *server)
{
    return s && s->n && signing_is_on(server);
}

static int by_domain(const void *key, const void *at)
{
    const struct str *name = key;
    const struct signer *s = at;
    struct str own = str_of(s->domain);
    int c = memcmp(name->p, own.p, MIN(name->n, own.n));
    return c ? c : (name->n > own.n) - (name->n < own.n);
}

const struct signer *signing_find(const struct signing *s, const struct server *server,
                                  struct str domain)
{
    ptrdiff_t dot = 0;
    if (!signing_is_wanted(s, server))
        return NULL;
    for (; dot >= 0 && domain.n; domain = str_from_index(domain, (size_t)dot + 1)) {
        const struct signer *found =
            bsearch(&domain, s->signers, s->n, sizeof *s->signers, by_domain);
        if (found)
            return found;
        dot = str_chr(domain, '.');
        if (dot < 0)
            return NULL;
    }
    return NULL;
}

const char *signer_domain(const struct signer *s)
{
    return s->domain;
}

/* "Ann <a@b.example>, c@d.example" has the domain of its first address. */
static struct str first_mailbox(struct str list)
{
    ptrdiff_t open = str_chr(list, '<'), close = str_chr(list, '>');
    if (open >= 0 && close > open)
        return str_cut(list, (size_t)open + 1, (size_t)(close - open) - 1);
    ptrdiff_t comma = str_chr(list, ',');
    return str_trim(comma >= 0 ? str_cut(list, 0, (size_t)comma) : list);
}

bool signing_domain_of(struct str from, char out[DOMAIN_MAX + 1])
{
    struct addr a;
    struct err e;
    char name[1024];
    return (addr_parse_mailbox(from, &a, name, sizeof name, &e) ||
            addr_parse(first_mailbox(from), &a, &e)) &&
           str_copy(addr_domain(&a), out, DOMAIN_MAX + 1);
}

/* ---- hashes of shared bodies ---- */

static struct {
    pthread_mutex_t lock;
    struct {
        uint64_t id;
        uint8_t hash[DKIM_HASH_BYTES];
    } at[HASHES];
} hashes = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t place_of(uint64_t id)
{
    return (size_t)((id * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (HASHES - 1);
}

static void hash_body(uint64_t id, struct str body, uint8_t out[DKIM_HASH_BYTES])
{
    size_t at = place_of(id);
    pthread_mutex_lock(&hashes.lock);
    bool known = hashes.at[at].id == id;
    if (known)
        memcpy(out, hashes.at[at].hash, DKIM_HASH_BYTES);
    pthread_mutex_unlock(&hashes.lock);
    if (known)
        return;
    dkim_body_hash(body, out);
    pthread_mutex_lock(&hashes.lock);
    hashes.at[at].id = id;
    memcpy(hashes.at[at].hash, out, DKIM_HASH_BYTES);
    pthread_mutex_unlock(&hashes.lock);
}

/* ---- signing ---- */

/* What does not fit the room moves the mail. */
static bool put_on_top(struct buf *mail, size_t room, struct str fields, struct err *e)
{
    if (fields.n <= room) {
        memcpy(mail->p + room - fields.n, fields.p, fields.n);
        buf_consume(mail, room - fields.n);
        return true;
    }
    struct buf whole;
    buf_init(&whole, mail->max + fields.n);
    bool ok = buf_addstr(&whole, fields) && buf_addstr(&whole, str_from_index(buf_str(mail), room));
    buf_free(mail);
    *mail = whole;
    return ok || err_set(e, ERR_TOO_BIG, "the mail is too large to be signed");
}

bool signing_put(const struct signer *s, struct buf *mail, size_t room, uint64_t body_id,
                 int64_t time_ms, struct err *e)
{
    uint8_t hash[DKIM_HASH_BYTES];
    struct str text = str_from_index(buf_str(mail), room), body = dkim_body_of(text);
    struct dkim_terms terms = {.time_s = time_ms / 1000, .lifetime_s = s->lifetime_ms / 1000};
    struct buf fields;
    if (body_id && body.n >= SHARED_MIN) {
        hash_body(body_id, body, hash);
        terms.body_hash = hash;
    }
    buf_init(&fields, (size_t)DKIM_FIELD_MAX * DKIM_ALGORITHMS);
    bool ok = dkim_sign(s->keys, s->n, text, &terms, &fields, e) &&
              put_on_top(mail, room, buf_str(&fields), e);
    buf_free(&fields);
    return ok;
}
