/* Operations on credentials for SMTP: create, revoke, test. The password is made here, shown once
 * in the answer of create, and not kept. */
#include "base/alloc.h"
#include "base/codec.h"
#include "base/rand.h"
#include "base/secret.h"
#include "engine/admin_parts.h"
#include "engine/compose.h"
#include "engine/network.h"
#include "fleet/fleet.h"
#include "mail/addr.h"
#include "smtp/keys.h"
#include "store/credentials.h"
#include "store/groups.h"
#include "store/ids.h"
#include "store/limits.h"

#include <stdlib.h>

#define PASSWORD_BYTES 24
#define LIMIT_MOST     1000000000000ull

static bool add_text(char ***list, size_t *n, const char *field, const char *text, struct err *e)
{
    if (*n >= CREDENTIALS_LIST_MAX)
        return err_set(e, ERR_INVALID, "%s: over %d of them", field, CREDENTIALS_LIST_MAX);
    *list = alloc_resize(*list, (*n + 1) * sizeof(char *));
    (*list)[(*n)++] = alloc_copy(text);
    return true;
}

static bool add_domain(void *arg, const char *text, struct err *e)
{
    struct credential *c = arg;
    char lower[256];
    struct addr a;
    struct buf b;
    buf_init(&b, 300);
    bool ok = buf_addf(&b, "x@%s", text) && addr_parse(buf_str(&b), &a, e);
    buf_free(&b);
    if (!ok)
        return err_prefix(e, "from_domain");
    str_copy(addr_domain(&a), lower, sizeof lower);
    for (char *p = lower; *p; p++)
        *p = ascii_lower(*p);
    return add_text(&c->from_domains, &c->n_from_domains, "from_domain", lower, e);
}

static bool add_ip(void *arg, const char *text, struct err *e)
{
    struct credential *c = arg;
    struct network n;
    return network_parse(str_of(text), &n, e) && add_text(&c->ips, &c->n_ips, "ip", text, e);
}

static bool read_lane(json_t *args, enum lane *out, struct err *e)
{
    const char *text = NULL;
    if (!args_need(args, "stream", 40, &text, e))
        return false;
    return lane_parse(text, out) ||
           err_set(e, ERR_INVALID, "stream: \"%.40s\" is none of transactional, priority, bulk",
                   text);
}

static bool read_group(struct admin_context *cx, json_t *args, struct credential *c, struct err *e)
{
    const char *name = NULL;
    struct group *g = NULL;
    if (!args_need(args, "group", 4096, &name, e) || !groups_get(cx->db, name, &g, e))
        return false;
    c->group_num = g->num;
    group_free(&g);
    return true;
}

/* Bytes, or a text like "10M". */
static bool read_size(json_t *args, uint64_t *out, struct err *e)
{
    json_t *j = json_object_get(args, "size_max");
    const char *text = NULL;
    if (json_is_integer(j))
        return args_count(args, "size_max", 0, 0, OUTGOING_MAX, out, e);
    if (!args_text(args, "size_max", 20, &text, e))
        return false;
    return !text || (codec_size_parse(str_of(text), out) && *out <= OUTGOING_MAX) ||
           err_set(e, ERR_INVALID, "size_max: \"%.20s\" is no size up to %u MB (10M)", text,
                   OUTGOING_MAX >> 20);
}

static bool read_rights(struct admin_context *cx, json_t *args, struct credential *c, struct err *e)
{
    bool ok = read_group(cx, args, c, e) && read_lane(args, &c->lane, e) &&
              args_each(args, "from_domain", 255, add_domain, c, e) &&
              args_each(args, "from_domains", 255, add_domain, c, e) &&
              args_each(args, "ip", 60, add_ip, c, e) && args_each(args, "ips", 60, add_ip, c, e) &&
              read_size(args, &c->size_max, e) && args_time(args, "expires_at", &c->expires_at, e);
    if (ok && c->expires_at && c->expires_at <= cx->wall_ms)
        ok = err_set(e, ERR_INVALID, "expires_at: is in the past");
    return ok;
}

/* Limits beside: what they hold back waits in the queue. */
static bool read_limits(json_t *args, struct limits *l, bool *any, struct err *e)
{
    const struct {
        const char *name;
        uint64_t *at;
    } fields[] = {{"per_second", &l->per_second},
                  {"per_minute", &l->per_minute},
                  {"per_hour", &l->per_hour},
                  {"per_day", &l->per_day},
                  {"per_month", &l->per_month}};
    for (size_t i = 0; i < countof(fields); i++) {
        if (!args_count(args, fields[i].name, 0, 0, LIMIT_MOST, fields[i].at, e))
            return false;
        *any |= *fields[i].at > 0;
    }
    return true;
}

static bool set_limits(struct admin_context *cx, json_t *args, const struct credential *c,
                       struct err *e)
{
    struct limit_row l = {.kind = LIMIT_CREDENTIAL, .num = c->num};
    bool any = false;
    if (!read_limits(args, &l.limits, &any, e))
        return false;
    if (!any)
        return true;
    cx->changed.bits |= ADMIN_CHANGED_SERVERS;
    return limits_set(cx->db, &l, cx->wall_ms, e);
}

static bool make_keys(struct credential *c, struct str password, struct err *e)
{
    struct smtp_keys k = {.iterations = SMTP_KEYS_ITERATIONS};
    struct secret *s = secret_new(password.p, password.n);
    rand_secret(k.salt, sizeof k.salt);
    bool ok = smtp_keys_make(&k, s);
    secret_free(&s);
    memcpy(c->salt, k.salt, sizeof c->salt);
    memcpy(c->stored_key, k.stored, sizeof c->stored_key);
    memcpy(c->server_key, k.server, sizeof c->server_key);
    c->iterations = k.iterations;
    secret_wipe(&k, sizeof k);
    return ok || err_set(e, ERR_FAILED, "SHA-256 is not available here");
}

static bool create(struct admin_context *cx, json_t *args, struct credential *c, struct buf *word,
                   struct err *e)
{
    uint8_t bytes[PASSWORD_BYTES];
    rand_secret(bytes, sizeof bytes);
    bool ok = codec_base64url_add(word, bytes, sizeof bytes);
    secret_wipe(bytes, sizeof bytes);
    cx->changed.bits |= ADMIN_CHANGED_CREDENTIALS;
    return ok && read_rights(cx, args, c, e) && make_keys(c, buf_str(word), e) &&
           credentials_create(cx->db, c, e) && set_limits(cx, args, c, e) &&
           note_event(cx, "credential.created", c->name, e);
}

static bool run_create(struct admin_context *cx, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    static const char *const known[] = {"name",         "group",      "stream",     "from_domain",
                                        "from_domains", "ip",         "ips",        "size_max",
                                        "expires_at",   "per_second", "per_minute", "per_hour",
                                        "per_day",      "per_month",  NULL};
    const char *name = NULL;
    struct buf word;
    (void)tail;
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e))
        return false;
    struct credential *c = credentials_new();
    c->id = ids_next(cx->ids, cx->wall_ms);
    c->name = alloc_copy(name);
    c->created_at = cx->wall_ms;
    buf_init(&word, 100);
    bool ok = create(cx, args, c, &word, e);
    if (ok)
        *data_out =
            json_pack("{s:s, s:s, s:s}", "name", name, "user", name, "password", buf_cstr(&word));
    if (word.n)
        secret_wipe(word.p, word.n);
    buf_free(&word);
    credentials_free(&c);
    return ok;
}

static bool run_revoke(struct admin_context *cx, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *name = NULL;
    if (!args_known(args, (const char *const[]){"name", NULL}, e) ||
        !args_need(args, "name", 4096, &name, e) ||
        !credentials_revoke(cx->db, name, cx->wall_ms, e) ||
        !note_event(cx, "credential.revoked", name, e))
        return false;
    cx->changed.bits |= ADMIN_CHANGED_CREDENTIALS;
    *data_out = json_pack("{s:s, s:b}", "name", name, "revoked", 1);
    return true;
}

static bool fits(const struct credential *c, const char *password)
{
    struct smtp_keys k = {.iterations = c->iterations};
    struct smtp_derivation d;
    uint8_t salted[SMTP_SALTED_SIZE];
    struct secret *s = secret_new(password, strlen(password));
    memcpy(k.salt, c->salt, sizeof k.salt);
    memcpy(k.stored, c->stored_key, sizeof k.stored);
    smtp_keys_derivation(&k, &d);
    bool ok = smtp_derive(&d, s, salted) && smtp_keys_fit(&k, salted);
    secret_free(&s);
    secret_wipe(salted, sizeof salted);
    return ok;
}

static bool run_test(struct admin_context *cx, json_t *args, struct str tail, json_t **data_out,
                     struct err *e)
{
    (void)tail;
    const char *name = NULL, *password = NULL;
    struct credential *c = NULL;
    if (!args_known(args, (const char *const[]){"name", "password", NULL}, e) ||
        !args_need(args, "name", 4096, &name, e) ||
        !args_need(args, "password", 1024, &password, e) || !credentials_get(cx->db, name, &c, e))
        return false;
    bool expired = c->expires_at && c->expires_at <= cx->wall_ms;
    bool ok = fits(c, password);
    credentials_free(&c);
    if (!ok)
        return err_set(e, ERR_NOT_ALLOWED, "credential %s: the password is another", name);
    if (expired)
        return err_set(e, ERR_REFUSED, "credential %s: has expired", name);
    *data_out = json_pack("{s:s, s:b}", "name", name, "ok", 1);
    return true;
}

static const struct admin_entry entries[] = {{"credential.create", run_create, false, false},
                                             {"credential.revoke", run_revoke, false, false},
                                             {"credential.test", run_test, true, false}};
const struct admin_noun admin_credentials = {entries, countof(entries)};
