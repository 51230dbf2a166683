/* See intake.h. A listener on loopback may do without TLS, since nobody else hears a password
 * there; any other needs the certificate of the configuration. */
#include "engine/intake_inner.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdlib.h>

/* ---- credentials in force */

struct rights *rights_keep(struct rights *r)
{
    r->refs++;
    return r;
}

void rights_drop(struct rights **rp)
{
    struct rights *r = *rp;
    *rp = NULL;
    if (!r || --r->refs > 0)
        return;
    credentials_free(&r->c);
    free(r->networks);
    secret_wipe(r->proof, sizeof r->proof);
    free(r);
}

static bool is_at(const struct rights *r, const char *peer)
{
    for (size_t i = 0; i < r->c->n_ips; i++)
        if (network_has(&r->networks[i], peer))
            return true;
    return r->c->n_ips == 0;
}

struct rights *intake_user(struct intake *in, struct str user, const char *peer)
{
    struct rights *r = map_str_get(in->users, user);
    bool ok = r && is_at(r, peer) && (!r->c->expires_at || clock_wall_ms() < r->c->expires_at);
    return ok ? r : NULL;
}

static void put_in_force(struct intake *in, struct credential **c)
{
    struct rights *r = alloc_one(struct rights);
    struct err e;
    r->refs = 1;
    r->c = *c;
    r->networks = alloc_many(struct network, r->c->n_ips + 1);
    *c = NULL;
    for (size_t i = 0; i < r->c->n_ips; i++)
        if (!network_parse(str_of(r->c->ips[i]), &r->networks[i], &e))
            r->networks[i] = (struct network){.n = 0}; /* of another version: matches nobody */
    map_str_set(in->users, str_of(r->c->name), r);
}

static void take_all_back(struct intake *in)
{
    size_t pos = 0;
    struct str name;
    void *value;
    while (map_str_next(in->users, &pos, &name, &value)) {
        struct rights *r = value;
        r->revoked = true;
        rights_drop(&r);
    }
    map_str_free(&in->users);
    in->users = map_str_new();
}

/* Who is logged in stays so while the credential is there unchanged in name; what it may do is
 * looked up again with each mail. */
static void apply(struct intake *in, struct credential **all, size_t n)
{
    take_all_back(in);
    for (size_t i = 0; i < n; i++)
        put_in_force(in, &all[i]);
    free(all);
}

struct loading {
    struct ledger_job lj;
    struct intake *in;
    struct credential **all;
    size_t n;
};

static bool load_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct loading *x = container_of(lj, struct loading, lj);
    return credentials_load(db, &x->all, &x->n, e);
}

static void load_done(struct ledger_job *lj)
{
    struct loading *x = container_of(lj, struct loading, lj);
    if (lj->ok)
        apply(x->in, x->all, x->n);
    else
        log_event(LOG_ERROR, "intake.credentials", "%s", lj->error.text);
    free(x);
}

void intake_reload(struct core *c)
{
    if (!c->intake)
        return;
    struct loading *x = alloc_one(struct loading);
    x->in = c->intake;
    x->lj.order = LEDGER_ADMIN;
    x->lj.is_read = true;
    x->lj.work = load_work;
    x->lj.done = load_done;
    ledger_post(c->ledger, &x->lj);
}

/* ---- listeners */

static void on_plain(void *arg, int fd)
{
    intake_session_begin(arg, fd, false);
}

static void on_tls(void *arg, int fd)
{
    intake_session_begin(arg, fd, true);
}

static bool is_loopback(const char *address)
{
    struct str s = str_of(address);
    return str_starts(s, STR("127.")) || str_starts(s, STR("localhost:")) ||
           str_starts(s, STR("[::1]:"));
}

static bool load_identity(struct intake *in, struct err *e)
{
    const struct engine_core_config *cfg = in->core->cfg;
    if (!cfg->cert_file && !cfg->key_file)
        return true;
    if (!cfg->cert_file || !cfg->key_file)
        return err_set(e, ERR_INVALID,
                       "submission needs tls.cert_file and tls.key_file together, one is missing");
    in->identity = tls_identity_new(cfg->cert_file, cfg->key_file, e);
    return in->identity != NULL;
}

static bool listen_at(struct intake *in, const char *address, bool tls, struct listener **out,
                      bool *loopback, struct err *e)
{
    char where[160];
    if (!address)
        return true;
    *loopback = is_loopback(address);
    if (!in->identity && (tls || !*loopback))
        return err_set(e, ERR_INVALID,
                       "submission on %s needs a certificate: set tls.cert_file and tls.key_file "
                       "in postfleet.yaml%s",
                       address, tls ? "" : ", or listen on 127.0.0.1");
    *out = listener_tcp(in->core->loop, address, tls ? on_tls : on_plain, in, e);
    if (!*out)
        return err_prefix(e, "submission");
    listener_describe(*out, where, sizeof where);
    log_event(LOG_NOTICE, "intake.listening", "on=%s tls=%s", where,
              tls            ? "implicit"
              : in->identity ? "starttls"
                             : "none");
    return true;
}

bool intake_start(struct core *c, struct db *db, struct err *e)
{
    struct credential **all = NULL;
    size_t n = 0;
    if (!c->cfg->submission && !c->cfg->submission_tls)
        return true;
    struct intake *in = c->intake = alloc_one(struct intake);
    in->core = c;
    in->users = map_str_new();
    in->peers = map_u64_new();
    list_init(&in->sessions);
    rand_secret(in->decoy, sizeof in->decoy);
    rand_secret(in->proof_key, sizeof in->proof_key);
    if (!credentials_load(db, &all, &n, e))
        return false;
    apply(in, all, n);
    return load_identity(in, e) &&
           listen_at(in, c->cfg->submission, false, &in->plain, &in->plain_is_loopback, e) &&
           listen_at(in, c->cfg->submission_tls, true, &in->tls, &in->tls_is_loopback, e);
}

/* ---- the end */

void intake_stop(struct core *c)
{
    struct intake *in = c->intake;
    if (!in)
        return;
    in->is_stopping = true;
    listener_close(&in->plain);
    listener_close(&in->tls);
    list_each_safe(it, &in->sessions)
        intake_session_stop(list_entry(it, struct intake_session, link));
}

bool intake_is_busy(const struct core *c)
{
    return c->intake && c->intake->n_busy > 0;
}
