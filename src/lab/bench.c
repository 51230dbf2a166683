/* `postfleet bench`: options, figures, and which bench runs. The sending benches are put together
 * here from the raw writer and bench_send; pick, import and start have files of their own. */
#include "lab/bench_inner.h"

#include "base/alloc.h"
#include "base/codec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONTACTS_USUAL    100000
#define CONNECTIONS_USUAL 50
#define SERVERS_USUAL     4
#define BODY_USUAL        10000
#define RAW_MESSAGES      60000
#define RTT_USUAL_MS      20
#define RTT_CONNECTIONS   20
#define SYNC_USUAL_MS     5

int lab_bench_main(int argc, char **argv);

volatile sig_atomic_t bench_asked_to_end;

static void on_signal(int sig)
{
    (void)sig;
    bench_asked_to_end = 1;
}

/* ---- figures ---- */

void bench_begin(struct bench_figures *f, const struct bench_options *o, const char *name)
{
    f->j = json_pack("{s:s}", "bench", name);
    f->json = o->json;
    if (!f->json)
        printf("%s\n", name);
}

void bench_put(struct bench_figures *f, const char *key, double value, const char *what,
               const char *unit)
{
    json_object_set_new(f->j, key, json_real(value));
    if (f->json || !what)
        return;
    int digits = value >= 100 || value == (double)(int64_t)value ? 0 : value >= 1 ? 2 : 4;
    printf("  %-44s %12.*f %s\n", what, digits, value, unit);
}

void bench_text(struct bench_figures *f, const char *key, const char *value, const char *what)
{
    json_object_set_new(f->j, key, json_string(value));
    if (!f->json && what)
        printf("  %-44s %12s\n", what, value);
}

void bench_end(struct bench_figures *f)
{
    if (f->json) {
        (void)json_dumpf(f->j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        fputc('\n', stdout);
    }
    (void)fflush(stdout);
    json_decref(f->j);
    f->j = NULL;
}

void bench_say(const char *fmt, ...)
{
    va_list ap;
    if (!isatty(2))
        return;
    va_start(ap, fmt);
    fputs("\r\033[K", stderr);
    (void)vfprintf(stderr, fmt, ap);
    fflush(stderr);
    va_end(ap);
}

/* ---- the baselines ---- */

struct raws { /* mean of a run before the campaign and one after it */
    const struct bench_case *c;
    double plain, ahead;
    int n;
};

static bool run_raws(void *arg, const uint16_t *ports, size_t n, struct err *e)
{
    struct raws *r = arg;
    struct bench_raw raw = {.ports = ports,
                            .n_ports = n,
                            .connections = r->c->connections,
                            .messages = RAW_MESSAGES,
                            .body = r->c->body};
    double plain = 0, ahead = 0;
    bench_say("raw writers");
    if (!bench_raw_run(&raw, &plain, e))
        return false;
    raw.ahead = true;
    if (!bench_raw_run(&raw, &ahead, e))
        return false;
    r->plain = (r->plain * r->n + plain) / (r->n + 1);
    r->ahead = (r->ahead * r->n + ahead) / (r->n + 1);
    r->n++;
    return true;
}

static struct bench_case usual_case(const struct bench_options *o)
{
    return (struct bench_case){.contacts = o->contacts ? o->contacts : CONTACTS_USUAL,
                               .servers = o->servers,
                               .connections = o->connections ? o->connections : CONNECTIONS_USUAL,
                               .body = o->body,
                               .per_connection = o->per_connection,
                               .ahead = o->ahead,
                               .sync_ms = o->sync_ms >= 0 && o->shim ? o->sync_ms : 0,
                               .text_only = !strcmp(o->form, "text"),
                               .shim = o->shim,
                               .keep = o->keep,
                               .dkim = o->dkim};
}

static void put_costs(struct bench_figures *f, const struct bench_sent *s)
{
    bench_put(f, "cpu_us_per_message", s->cpu_us, "CPU of core a message", "us");
    bench_put(f, "syncs_per_message", s->journal_syncs + s->db_syncs, "syncs a message", "");
    bench_put(f, "journal_syncs_per_message", s->journal_syncs, "  of the journal", "");
    bench_put(f, "db_syncs_per_message", s->db_syncs, "  of the database", "");
    bench_put(f, "bytes_written_per_message", s->journal_bytes + s->db_bytes,
              "bytes written a message", "");
    bench_put(f, "journal_bytes_per_message", s->journal_bytes, "  to the journal", "");
    bench_put(f, "db_bytes_per_message", s->db_bytes, "  to the database", "");
    bench_put(f, "rows_per_message", s->rows, "rows written a message", "");
    bench_put(f, "peak_rss_mb", s->peak_rss_mb, "peak memory of core", "MB");
}

static void put_rates(struct bench_figures *f, const struct bench_sent *s, const struct raws *r)
{
    bench_put(f, "messages", (double)s->messages, "messages", "");
    bench_put(f, "wire_bytes_per_message", s->wire_bytes, "size of a message", "bytes");
    bench_put(f, "seconds", s->seconds, "from start to all recorded", "s");
    bench_put(f, "rate_per_s", s->rate, "rate", "/s");
    bench_put(f, "raw_per_s", r->plain, "raw writer", "/s");
    bench_put(f, "raw_ahead_per_s", r->ahead, "raw writer, next envelope behind the dot", "/s");
    bench_put(f, "ratio_raw", s->rate / r->plain, "ratio to raw", "");
    bench_put(f, "ratio_raw_ahead", s->rate / r->ahead, "ratio to the second raw", "");
    bench_put(f, "first_tenth_per_s", s->first_tenth, "rate of the first tenth", "/s");
    bench_put(f, "last_tenth_per_s", s->last_tenth, "rate of the last tenth", "/s");
    bench_put(f, "last_to_first", s->last_tenth / s->first_tenth, "last tenth to first", "");
}

static int run_sending(const struct bench_options *o, struct bench_case *c, const char *name,
                       struct err *e)
{
    struct bench_figures f;
    struct bench_sent sent;
    struct raws raws = {.c = c};
    struct bench_around around = {run_raws, run_raws, &raws};
    if (!bench_send(c, &around, &sent, e))
        return -1;
    if (bench_asked_to_end)
        return 130;
    bench_say("%s", "");
    bench_begin(&f, o, name);
    put_rates(&f, &sent, &raws);
    put_costs(&f, &sent);
    if (c->tls != SINK_TLS_NONE) {
        bench_put(&f, "handshakes", sent.handshakes, "TLS handshakes", "");
        bench_put(&f, "resumed_share", sent.resumed / MAX(sent.handshakes, 1),
                  "  resumed, share of them", "");
    }
    bench_put(&f, "connections", (double)c->connections, "connections", "");
    bench_end(&f);
    return 0;
}

int bench_campaign(const struct bench_options *o, struct err *e)
{
    struct bench_case c = usual_case(o);
    return run_sending(o, &c, "campaign", e);
}

int bench_tls(const struct bench_options *o, struct err *e)
{
    struct bench_case c = usual_case(o);
    c.tls = !strcmp(o->tls, "tls") ? SINK_TLS_IMPLICIT : SINK_TLS_STARTTLS;
    if (!c.per_connection)
        c.per_connection = 500; /* so that sessions are taken up again */
    return run_sending(o, &c, "tls", e);
}

/* ---- round trips and slow syncs ---- */

static int run_against(const struct bench_options *o, struct bench_case *c, const char *name,
                       double baseline, const char *baseline_text, struct err *e)
{
    struct bench_figures f;
    struct bench_sent sent;
    if (!bench_send(c, NULL, &sent, e))
        return -1;
    if (bench_asked_to_end)
        return 130;
    bench_say("%s", "");
    bench_begin(&f, o, name);
    bench_put(&f, "messages", (double)sent.messages, "messages", "");
    bench_put(&f, "connections", (double)c->connections, "connections", "");
    bench_put(&f, "rtt_ms", (double)c->rtt_ms, "round trip", "ms");
    bench_put(&f, "sync_delay_ms", (double)c->sync_ms, "added to every sync", "ms");
    bench_put(&f, "ahead", (double)c->ahead, "ledger.ahead", "");
    bench_put(&f, "rate_per_s", sent.rate, "rate", "/s");
    bench_put(&f, "baseline_per_s", baseline, baseline_text, "/s");
    bench_put(&f, "ratio", sent.rate / baseline, "ratio", "");
    put_costs(&f, &sent);
    bench_end(&f);
    return 0;
}

int bench_rtt(const struct bench_options *o, struct err *e)
{
    static const char far_text[] = "connections / round trip";
    static const char near_text[] = "connections / (2 x sync)";
    struct bench_case far = usual_case(o), near = usual_case(o);
    int64_t sync_ms = o->sync_ms > 0 ? o->sync_ms : SYNC_USUAL_MS;
    far.rtt_ms = o->rtt_ms >= 0 ? o->rtt_ms : RTT_USUAL_MS;
    far.connections = o->connections ? o->connections : RTT_CONNECTIONS;
    far.contacts = o->contacts ? o->contacts : 10000;
    far.sync_ms = 0;
    near.contacts = o->contacts ? o->contacts : 40000;
    near.sync_ms = sync_ms;
    double far_rate = (double)far.connections * 1000 / (double)MAX(far.rtt_ms, (int64_t)1);
    double near_rate = (double)near.connections * 1000 / (2 * (double)sync_ms);
    int status = run_against(o, &far, "rtt", far_rate, far_text, e);
    if (status != 0)
        return status;
    if (!o->shim) {
        fprintf(stderr, "slow syncs are left out: they need --slow-sync FILE, see bench/run\n");
        return 0;
    }
    far.sync_ms = sync_ms;
    status = run_against(o, &far, "rtt, slow syncs", far_rate, far_text, e);
    if (status == 0)
        status = run_against(o, &near, "no round trip, slow syncs", near_rate, near_text, e);
    near.ahead = o->ahead ? o->ahead : 1024;
    if (status == 0)
        status = run_against(o, &near, "no round trip, slow syncs, ahead", near_rate, near_text, e);
    return status;
}

/* ---- options ---- */

struct number_option {
    const char *name;
    size_t at; /* of a uint64_t or int64_t */
    uint64_t least, most;
};

static const struct number_option numbers[] = {
    {"--contacts", offsetof(struct bench_options, contacts), 10, 50000000},
    {"--servers", offsetof(struct bench_options, servers), 1, BENCH_SERVERS_MAX},
    {"--connections", offsetof(struct bench_options, connections), 1, 5000},
    {"--body", offsetof(struct bench_options, body), 512, 1000000},
    {"--ahead", offsetof(struct bench_options, ahead), 0, 65536},
    {"--per-connection", offsetof(struct bench_options, per_connection), 0, 1000000},
    {"--rtt", offsetof(struct bench_options, rtt_ms), 0, 10000},
    {"--sync-delay", offsetof(struct bench_options, sync_ms), 0, 1000},
};

static const struct {
    const char *name;
    size_t at;
    const char *words[2]; /* NULL: any */
} texts[] = {
    {"--tls", offsetof(struct bench_options, tls), {"starttls", "tls"}},
    {"--form", offsetof(struct bench_options, form), {"html", "text"}},
    {"--dkim", offsetof(struct bench_options, dkim), {"rsa", "ed25519"}},
    {"--slow-sync", offsetof(struct bench_options, shim), {NULL, NULL}},
    {"--keep", offsetof(struct bench_options, keep), {NULL, NULL}},
};

static bool take_number(struct bench_options *o, const struct number_option *n, const char *value,
                        struct err *e)
{
    uint64_t v = 0;
    if (!codec_count_parse(str_of(value), &v) || v < n->least || v > n->most)
        return err_set(e, ERR_INVALID, "%s %.40s: not a number from %llu to %llu", n->name, value,
                       (unsigned long long)n->least, (unsigned long long)n->most);
    memcpy((char *)o + n->at, &v, sizeof(v));
    return true;
}

static bool take_value(struct bench_options *o, const char *name, const char *value, bool *known,
                       struct err *e)
{
    *known = true;
    for (size_t i = 0; i < countof(numbers); i++)
        if (!strcmp(numbers[i].name, name))
            return !value || take_number(o, &numbers[i], value, e);
    for (size_t i = 0; i < countof(texts); i++) {
        if (strcmp(texts[i].name, name) != 0)
            continue;
        if (value && texts[i].words[0] && strcmp(value, texts[i].words[0]) != 0 &&
            strcmp(value, texts[i].words[1]) != 0)
            return err_set(e, ERR_INVALID, "%s %.40s: is none of %s, %s", name, value,
                           texts[i].words[0], texts[i].words[1]);
        if (value)
            memcpy((char *)o + texts[i].at, &value, sizeof(value));
        return true;
    }
    *known = false;
    return true;
}

static bool read_options(struct bench_options *o, const char **which, int argc, char **argv,
                         struct err *e)
{
    for (int i = 1; i < argc; i++) {
        char name[32];
        bool known = false, is_option = !strncmp(argv[i], "-", 1);
        const char *equals = is_option ? strchr(argv[i], '=') : NULL;
        size_t n = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        if (!strcmp(argv[i], "--json")) {
            o->json = true;
            continue;
        }
        if (!is_option && !*which) {
            *which = argv[i];
            continue;
        }
        if (!str_copy(str_from(argv[i], n), name, sizeof(name)) ||
            !take_value(o, name, NULL, &known, e) || !known)
            return err_set(e, ERR_INVALID,
                           "unknown option or word `%.100s`, see postfleet bench "
                           "--help",
                           argv[i]);
        if (!equals && i + 1 >= argc)
            return err_set(e, ERR_INVALID, "%s needs a value", name);
        if (!take_value(o, name, equals ? equals + 1 : argv[++i], &known, e))
            return false;
    }
    return true;
}

static int run_one(const struct bench_options *o, const char *which, struct err *e)
{
    static const struct {
        const char *name;
        int (*run)(const struct bench_options *o, struct err *e);
    } benches[] = {{"campaign", bench_campaign}, {"tls", bench_tls},       {"rtt", bench_rtt},
                   {"pick", bench_pick},         {"import", bench_import}, {"start", bench_start},
                   {"http", bench_http},         {"dkim", bench_dkim},     {"relay", bench_relay}};
    for (size_t i = 0; which && i < countof(benches); i++)
        if (!strcmp(benches[i].name, which))
            return benches[i].run(o, e);
    err_set(e, ERR_INVALID,
            "name one of campaign, relay, dkim, tls, rtt, pick, import, start, http");
    return -1;
}

int lab_bench_main(int argc, char **argv)
{
    struct err e = {0};
    const char *which = NULL;
    struct bench_options o = {.servers = SERVERS_USUAL,
                              .body = BODY_USUAL,
                              .rtt_ms = -1,
                              .sync_ms = -1,
                              .tls = "starttls",
                              .form = "html"};
    struct sigaction sa = {.sa_handler = on_signal};
    bool ok = read_options(&o, &which, argc, argv, &e);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    int status = ok ? run_one(&o, which, &e) : -1;
    if (status >= 0)
        return status;
    if (bench_asked_to_end)
        return 130;
    fprintf(stderr, "postfleet bench: %s\n", e.text);
    return MAX(1, err_exit_status(e.code));
}
