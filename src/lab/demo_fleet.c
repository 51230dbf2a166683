/* The six servers of the demo: how fast each is, what is wrong with it, when it dies and returns,
 * and the words for it. Listens and speaks on 127.0.0.1 only. */
#include "lab/demo_inner.h"

#include "base/clock.h"
#include "base/rand.h"

#define HOST          "127.0.0.1"
#define DELAY_MOST_MS 150
#define SLOW_MOST_MS  400
#define QUOTA_LEAST   5

/* share: of the rate that the whole campaign needs; together well over 1, for some will fail. */
static const struct plan {
    const char *name;
    uint32_t connections, weight;
    double share;
} plans[DEMO_SERVERS] = {
    [DEMO_FAST] = {"fast", 10, 17, 0.85}, [DEMO_SLOW] = {"slow", 4, 1, 0.06},
    [DEMO_QUOTA] = {"quota", 5, 6, 0.30}, [DEMO_DYING] = {"dying", 4, 6, 0.30},
    [DEMO_SMALL] = {"small", 2, 2, 0.12}, [DEMO_WRONG] = {"wrong-pass", 5, 6, 0.30},
};

void demo_fleet_plan(struct demo *d, int64_t total_ms)
{
    struct rand r;
    double per_ms = (double)d->o.contacts / (double)total_ms;
    rand_seed(&r, d->o.seed);
    for (size_t i = 0; i < DEMO_SERVERS; i++) {
        struct demo_server *s = &d->server[i];
        const struct plan *p = &plans[i];
        double ms = p->connections / (per_ms * p->share);
        *s = (struct demo_server){.name = p->name,
                                  .connections = p->connections,
                                  .weight = p->weight,
                                  .out_ms = -1,
                                  .back_ms = -1};
        s->delay_ms = (int64_t)MIN(ms, (double)(i == DEMO_SLOW ? SLOW_MOST_MS : DELAY_MOST_MS));
    }
    d->server[DEMO_QUOTA].quota = MAX(d->o.contacts / 20, (uint64_t)QUOTA_LEAST);
    d->server[DEMO_SMALL].per_connection = 25;
    d->die_at = (uint64_t)((double)d->o.contacts * (0.12 + 0.08 * rand_unit(&r)));
    d->down_ms = (int64_t)((double)total_ms * (0.15 + 0.10 * rand_unit(&r)));
    d->died_ms = d->returned_ms = -1;
}

static size_t behaviours(const struct demo *d, size_t i, bool dead, struct sink_behaviour *b)
{
    const struct demo_server *s = &d->server[i];
    const struct sink_behaviour base = {.port = s->port, .share = 1, .to_ms = INT64_MAX};
    size_t n = 0;
    if (s->delay_ms) {
        b[n] = base;
        b[n].verb = SINK_DELAY;
        b[n].phase = PHASE_DOT;
        b[n++].ms = s->delay_ms;
    }
    if (s->quota) {
        b[n] = base;
        b[n].verb = SINK_QUOTA;
        b[n].code = 452;
        b[n++].count = (int64_t)s->quota;
    }
    if (i == DEMO_FAST || i == DEMO_WRONG) {
        b[n] = base;
        b[n].verb = SINK_TLS;
        b[n++].tls = SINK_TLS_STARTTLS;
        b[n] = base;
        b[n].verb = SINK_AUTH;
        b[n++].code = i == DEMO_WRONG ? 535 : 235;
    }
    if (dead) {
        b[n] = base;
        b[n++].verb = SINK_REFUSE;
    }
    return n;
}

static bool behave(struct demo *d, size_t i, bool dead, struct err *e)
{
    struct sink_behaviour b[6];
    size_t n = behaviours(d, i, dead, b);
    return sink_behave(d->sink, d->server[i].port, b, n, e);
}

bool demo_fleet_open(struct demo *d, struct err *e)
{
    struct sink_config cfg = {.host = HOST, .ports = DEMO_SERVERS, .log_path = d->sink_log};
    if (!sink_start(&cfg, &d->sink, e))
        return false;
    for (size_t i = 0; i < DEMO_SERVERS; i++) {
        d->server[i].port = sink_port(d->sink, i);
        if (!behave(d, i, false, e))
            return false;
    }
    return true;
}

static json_t *server_args(const struct demo *d, size_t i)
{
    const struct demo_server *s = &d->server[i];
    json_t *args = json_pack("{s:s, s:s, s:i, s:s, s:s, s:[s], s:i, s:i, s:s, s:s}", "name",
                             s->name, "host", HOST, "port", (int)s->port, "tls", "none", "from",
                             "Postfleet demo <hello@shop.example>", "group", "demo", "weight",
                             (int)s->weight, "max_connections", (int)s->connections,
                             "connect_timeout", "5s", "reply_timeout", "10s");
    if (s->quota)
        json_object_set_new(args, "per_hour", json_integer((json_int_t)s->quota));
    if (s->per_connection)
        json_object_set_new(args, "max_messages_per_connection",
                            json_integer((json_int_t)s->per_connection));
    if (i == DEMO_FAST || i == DEMO_WRONG) {
        json_object_set_new(args, "tls", json_string("starttls"));
        json_object_set_new(args, "tls_verify", json_string("none"));
        json_object_set_new(args, "user", json_string("shop"));
        json_object_set_new(args, "password",
                            json_string(i == DEMO_WRONG ? "not-the-password" : "the-password"));
    }
    return args;
}

bool demo_fleet_add(struct demo *d, struct err *e)
{
    if (!lab_daemon_do(&d->daemon, "group.add",
                       json_pack("{s:s, s:s}", "name", "demo", "strategy", "weighted"), e))
        return false;
    for (size_t i = 0; i < DEMO_SERVERS; i++)
        if (!lab_daemon_do(&d->daemon, "server.add", server_args(d, i), e))
            return false;
    return true;
}

bool demo_fleet_act(struct demo *d, struct err *e)
{
    int64_t now = clock_boot_ms() - d->start_ms;
    if (d->died_ms < 0 && d->t.sent >= (int64_t)d->die_at) {
        d->died_ms = now;
        demo_view_note(d, "the server `dying` dies: its port is closed, its connections are cut");
        return behave(d, DEMO_DYING, true, e);
    }
    if (d->died_ms >= 0 && d->returned_ms < 0 && now - d->died_ms >= d->down_ms) {
        d->returned_ms = now;
        demo_view_note(d, "the server `dying` is up again; Postfleet does not know yet");
        return behave(d, DEMO_DYING, false, e);
    }
    return true;
}

/* ---- words ---- */

static void words_dying(const struct demo *d, char *fault, char *handled, size_t size)
{
    const struct demo_server *s = &d->server[DEMO_DYING];
    if (d->died_ms < 0) {
        snprintf(fault, size, "was to die, but the run was over before");
        return;
    }
    if (d->returned_ms < 0)
        snprintf(fault, size, "dead from %.1f s on", (double)d->died_ms / 1000);
    else
        snprintf(fault, size, "dead from %.1f s to %.1f s", (double)d->died_ms / 1000,
                 (double)d->returned_ms / 1000);
    if (s->out_ms < 0)
        snprintf(handled, size, "the rest left by others before it counted as dead");
    else if (s->back_ms < 0)
        snprintf(handled, size, "taken out at %.1f s, its mail moved; not yet tried again",
                 (double)s->out_ms / 1000);
    else
        snprintf(handled, size, "taken out at %.1f s, its mail moved; probed, back at %.1f s",
                 (double)s->out_ms / 1000, (double)s->back_ms / 1000);
}

static void words_wrong(const struct demo *d, char *fault, char *handled, size_t size)
{
    uint64_t n = d->server[DEMO_WRONG].counts.auth_refused;
    snprintf(fault, size, "refuses our password (535)");
    snprintf(handled, size, "misconfigured after %llu login%s; no mail was blamed for it",
             (unsigned long long)n, n == 1 ? "" : "s");
}

static void words_small(const struct demo *d, char *fault, char *handled, size_t size)
{
    const struct demo_server *s = &d->server[DEMO_SMALL];
    snprintf(fault, size, "%u connections, %u messages each", s->connections, s->per_connection);
    snprintf(handled, size, "%llu connections in turn, never more than %u at once",
             (unsigned long long)s->counts.connections, s->counts.most_open);
}

void demo_fleet_words(const struct demo *d, size_t i, const struct demo_proof *p, char *fault,
                      char *handled, size_t size)
{
    const struct demo_server *s = &d->server[i];
    fault[0] = handled[0] = '\0';
    switch (i) {
    case DEMO_FAST:
        snprintf(fault, size, "nothing (TLS, login)");
        snprintf(handled, size, "took over what others could not carry");
        break;
    case DEMO_SLOW:
        snprintf(fault, size, "answers %lld ms late", (long long)s->delay_ms);
        snprintf(handled, size, "got what it can carry, held up nobody");
        break;
    case DEMO_QUOTA:
        snprintf(fault, size, "takes %llu an hour", (unsigned long long)s->quota);
        snprintf(handled, size, "%llu of %llu given, the rest left by others",
                 (unsigned long long)p->at_sink[i], (unsigned long long)s->quota);
        break;
    case DEMO_DYING: words_dying(d, fault, handled, size); break;
    case DEMO_SMALL: words_small(d, fault, handled, size); break;
    default: words_wrong(d, fault, handled, size); break;
    }
}
