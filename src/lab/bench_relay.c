/* `bench relay`: mail in by SMTP, durable before its 250, out by SMTP to sinks of ours. The same
 * load goes through Postfix, tuned, to the same sinks, where there is one. Time runs from the first
 * connect to the moment when the sinks have all of it. */
#include "lab/bench_inner.h"

#include "base/clock.h"
#include "net/listen.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME              "relay"
#define MESSAGES_USUAL    40000
#define POSTFIX_LESS      5 /* Postfix gets a fifth of them: its rate shows as well */
#define RAW_MESSAGES      40000
#define CONNECTIONS_USUAL 50
#define PER_CONNECTION    50
#define LOOK_MS           2
#define QUIET_MS          60000

struct relay {
    const struct bench_options *o;
    struct sink *sink;
    struct lab_daemon daemon;
    struct bench_postfix postfix;
    char folder[LAB_PATH_MAX], data[LAB_PATH_MAX + 8], log[LAB_PATH_MAX + 16];
    char submission[64], password[200];
    uint16_t ports[BENCH_SERVERS_MAX], port;
    uint64_t connections;
};

struct relayed {
    struct bench_loaded in;
    double rate; /* from the first connect until the sinks have all */
};

struct costs { /* of core, a message */
    double cpu_us, db_syncs, journal_syncs, db_bytes, journal_bytes, rows, peak_rss_mb;
};

/* ---- one load through whoever listens */

static uint64_t arrived(const struct relay *r)
{
    struct sink_counts c = {0};
    sink_count(r->sink, 0, &c);
    return c.messages;
}

static bool wait_for(const struct relay *r, uint64_t all, struct err *e)
{
    uint64_t n = arrived(r), before = 0;
    for (int64_t moved = clock_boot_ms(); n < all && !bench_asked_to_end; n = arrived(r)) {
        moved = n != before ? clock_boot_ms() : moved;
        if (clock_boot_ms() - moved > QUIET_MS)
            return err_set(e, ERR_FAILED, "%llu of %llu reached the sinks, then nothing for %d s",
                           (unsigned long long)n, (unsigned long long)all, QUIET_MS / 1000);
        before = n;
        (void)poll(NULL, 0, LOOK_MS);
    }
    return true;
}

static bool run_load(struct relay *r, uint16_t port, uint64_t messages, const char *user,
                     struct relayed *out, struct err *e)
{
    const struct bench_load l = {.port = port,
                                 .connections = r->connections,
                                 .messages = messages,
                                 .per_connection =
                                     r->o->per_connection ? r->o->per_connection : PER_CONNECTION,
                                 .domains = r->o->servers,
                                 .body = r->o->body,
                                 .user = user,
                                 .password = r->password};
    uint64_t before = arrived(r);
    if (!bench_load_run(&l, &out->in, e) || !wait_for(r, before + messages, e))
        return false;
    int64_t us = MAX(clock_boot_us() - out->in.start_us, (int64_t)1);
    out->rate = (double)messages * 1e6 / (double)us;
    return true;
}

/* ---- ours */

static bool prepare(struct relay *r, struct err *e)
{
    struct lab_daemon *d = &r->daemon;
    json_t *data = NULL;
    if (!lab_daemon_do(d, "group.add",
                       json_pack("{s:s, s:s}", "name", NAME, "strategy", "weighted"), e))
        return false;
    for (size_t i = 0; i < r->o->servers; i++) {
        char name[24];
        uint64_t n = r->connections / r->o->servers + (i < r->connections % r->o->servers);
        snprintf(name, sizeof(name), "s%zu", i);
        if (!lab_daemon_do(d, "server.add",
                           json_pack("{s:s, s:s, s:i, s:s, s:[s], s:I}", "name", name, "host",
                                     "127.0.0.1", "port", (int)r->ports[i], "tls", "none", "group",
                                     NAME, "max_connections", (json_int_t)MAX(n, (uint64_t)1)),
                           e))
            return false;
    }
    bool ok = lab_daemon_call(
        d, "credential.create",
        json_pack("{s:s, s:s, s:s}", "name", NAME, "group", NAME, "stream", "transactional"),
        STR_NONE, &data, e);
    snprintf(r->password, sizeof(r->password), "%s",
             ok ? json_string_value(json_object_get(data, "password")) : "");
    json_decref(data);
    return ok;
}

static bool start_daemon(struct relay *r, struct err *e)
{
    struct lab_daemon_config cfg = {
        .dir = r->data, .log_path = r->log, .submission = r->submission};
    int fd = listen_tcp_socket("127.0.0.1:0", &r->port, e);
    if (fd < 0)
        return false;
    close(fd);
    snprintf(r->submission, sizeof(r->submission), "127.0.0.1:%u", r->port);
    return lab_daemon_start(&r->daemon, &cfg, e);
}

static double grown(const json_t *before, const json_t *after, const char *name)
{
    return (double)(json_integer_value(json_object_get(after, name)) -
                    json_integer_value(json_object_get(before, name)));
}

static bool run_ours(struct relay *r, uint64_t messages, struct relayed *out, struct costs *k,
                     struct err *e)
{
    json_t *before = NULL, *after = NULL;
    double n = (double)messages;
    bench_say("Postfleet");
    bool ok = lab_daemon_call(&r->daemon, "live.status", NULL, STR_NONE, &before, e) &&
              run_load(r, r->port, messages, NAME, out, e) &&
              lab_daemon_call(&r->daemon, "live.status", NULL, STR_NONE, &after, e);
    if (ok)
        *k = (struct costs){.cpu_us = grown(before, after, "cpu_us") / n,
                            .db_syncs = grown(before, after, "db_syncs") / n,
                            .journal_syncs = grown(before, after, "journal_syncs") / n,
                            .db_bytes = grown(before, after, "db_bytes") / n,
                            .journal_bytes = grown(before, after, "journal_bytes") / n,
                            .rows = grown(before, after, "db_rows") / n,
                            .peak_rss_mb = lab_daemon_peak_mb(&r->daemon)};
    json_decref(before);
    json_decref(after);
    return ok;
}

/* ---- the baselines */

static bool run_raw(struct relay *r, double *rate_out, struct err *e)
{
    const struct bench_raw raw = {.ports = r->ports,
                                  .n_ports = r->o->servers,
                                  .connections = r->connections,
                                  .messages = RAW_MESSAGES,
                                  .body = r->o->body};
    bench_say("raw writer");
    return bench_raw_run(&raw, rate_out, e);
}

static bool run_postfix(struct relay *r, uint64_t messages, struct relayed *out, struct err *e)
{
    bench_say("Postfix");
    bool ok =
        bench_postfix_start(&r->postfix, r->folder, r->ports, r->o->servers, r->connections, e) &&
        run_load(r, r->postfix.port, MAX(messages / POSTFIX_LESS, (uint64_t)10), NULL, out, e);
    bench_postfix_stop(&r->postfix);
    return ok;
}

/* ---- the whole */

static void put_all(const struct bench_options *o, uint64_t messages, const struct relayed *ours,
                    const struct costs *k, double raw, const struct relayed *postfix,
                    const char *why_not)
{
    struct bench_figures f;
    bench_say("%s", "");
    bench_begin(&f, o, "relay");
    bench_put(&f, "messages", (double)messages, "messages", "");
    bench_put(&f, "body_bytes", (double)o->body, "size of a message, about", "bytes");
    bench_put(&f, "rate_per_s", ours->rate, "SMTP in, durable, SMTP out", "/s");
    bench_put(&f, "accepted_per_s", ours->in.rate, "  250 said to the clients", "/s");
    bench_put(&f, "accept_p50_ms", ours->in.p50_ms, "  a client waits for its 250, p50", "ms");
    bench_put(&f, "accept_p99_ms", ours->in.p99_ms, "  p99", "ms");
    bench_put(&f, "raw_per_s", raw, "raw writer to the same sinks", "/s");
    bench_put(&f, "ratio_raw", ours->rate / raw, "ratio to raw", "");
    if (why_not) {
        bench_text(&f, "postfix", why_not, "Postfix");
    } else {
        bench_put(&f, "postfix_per_s", postfix->rate, "Postfix, tuned, the same load and sinks",
                  "/s");
        bench_put(&f, "postfix_accepted_per_s", postfix->in.rate, "  250 said to the clients",
                  "/s");
        bench_put(&f, "postfix_accept_p99_ms", postfix->in.p99_ms, "  a client waits, p99", "ms");
        bench_put(&f, "ratio_postfix", ours->rate / postfix->rate, "ratio to Postfix", "");
    }
    bench_put(&f, "cpu_us_per_message", k->cpu_us, "CPU of core a message", "us");
    bench_put(&f, "db_syncs_per_message", k->db_syncs, "syncs of the database a message", "");
    bench_put(&f, "journal_syncs_per_message", k->journal_syncs, "syncs of the journal", "");
    bench_put(&f, "db_bytes_per_message", k->db_bytes, "bytes to the database", "");
    bench_put(&f, "journal_bytes_per_message", k->journal_bytes, "bytes to the journal", "");
    bench_put(&f, "rows_per_message", k->rows, "rows written", "");
    bench_put(&f, "peak_rss_mb", k->peak_rss_mb, "peak memory of core", "MB");
    bench_end(&f);
}

static bool open_sinks(struct relay *r, struct err *e)
{
    struct sink_config cfg = {.ports = (uint16_t)r->o->servers};
    if (!sink_start(&cfg, &r->sink, e))
        return false;
    for (size_t i = 0; i < r->o->servers; i++)
        r->ports[i] = sink_port(r->sink, i);
    return true;
}

static bool run(struct relay *r, struct err *e)
{
    const struct bench_options *o = r->o;
    struct relayed ours = {0}, postfix = {0};
    struct costs k = {0};
    double raw = 1;
    uint64_t messages = o->contacts ? o->contacts : MESSAGES_USUAL;
    const char *why_not = bench_postfix_why_not();
    bool ok =
        o->keep ? lab_folder_take(o->keep, r->folder, e) : lab_folder_new("bench", r->folder, e);
    snprintf(r->data, sizeof(r->data), "%s/data", r->folder);
    snprintf(r->log, sizeof(r->log), "%s/daemon.log", r->folder);
    if (!ok || !open_sinks(r, e) || !run_raw(r, &raw, e) || !start_daemon(r, e) || !prepare(r, e) ||
        !run_ours(r, messages, &ours, &k, e))
        return false;
    (void)lab_daemon_stop(&r->daemon);
    if (bench_asked_to_end || (!why_not && !run_postfix(r, messages, &postfix, e)))
        return false;
    put_all(o, messages, &ours, &k, raw, &postfix, why_not);
    return true;
}

int bench_relay(const struct bench_options *o, struct err *e)
{
    struct relay *r = calloc(1, sizeof(*r));
    if (!r) {
        err_set(e, ERR_FAILED, "out of memory");
        return -1;
    }
    r->o = o;
    r->connections = o->connections ? o->connections : CONNECTIONS_USUAL;
    bool ok = run(r, e);
    if (r->daemon.pid > 0)
        (void)lab_daemon_stop(&r->daemon);
    if (r->sink)
        sink_stop(&r->sink);
    if (r->folder[0] && !o->keep)
        lab_folder_remove(r->folder);
    free(r);
    return bench_asked_to_end ? 130 : ok ? 0 : -1;
}
