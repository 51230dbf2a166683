/* One campaign through sinks of our own, measured from the call that starts it to the moment when
 * all of it is recorded: core alone as a child, sinks on a thread of ours. Core is started anew
 * between import and campaign, so that its peak memory is that of sending. */
#include "lab/bench_inner.h"

#include "base/buf.h"
#include "base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME       "bench"
#define LOOK_MS    2
#define ASK_EVERY  10 /* looks */
#define QUIET_MS   30000
#define BODY_LEAST 512
#define BODY_MOST  (1u << 20)

struct sending {
    const struct bench_case *c;
    struct sink *sink;
    struct lab_daemon daemon;
    char folder[LAB_PATH_MAX], data[LAB_PATH_MAX + 8], log[LAB_PATH_MAX + 16];
    uint16_t ports[BENCH_SERVERS_MAX];
    uint64_t base_messages, base_bytes; /* of the sinks, before the campaign */
    int64_t start_us, first_us, tenth_us, ninth_us, last_us, recorded_us;
};

/* ---- content ---- */

static void add_paragraph(struct buf *b, bool text_only, unsigned i)
{
    static const char *const names[] = {"contact.first_name", "contact.last_name", "contact.city",
                                        "contact.email"};
    const char *name = names[i % countof(names)];
    if (text_only)
        (void)buf_addf(b,
                       "%u. Dear {{ %s }}, the autumn fair opens its gates with three days of\n"
                       "music, bread from the wood-fired oven and a walk with lanterns.\n\n",
                       i + 1, name);
    else
        (void)buf_addf(b,
                       "<p class=\"item\">%u. Dear {{ %s }}, the autumn fair opens its gates with\n"
                       "three days of music, bread from the oven and a walk with lanterns.</p>\n",
                       i + 1, name);
}

/* HTML is about half of what leaves: its text form is sent beside it. */
static void build_body(const struct bench_case *c, struct buf *b)
{
    uint64_t wanted = c->text_only ? c->body : c->body * 52 / 100;
    buf_init(b, BODY_MOST);
    if (!c->text_only)
        (void)buf_adds(b, "<html><body>\n");
    for (unsigned i = 0; b->n + 160 < wanted; i++)
        add_paragraph(b, c->text_only, i);
    (void)buf_adds(b, c->text_only ? "Unsubscribe: {{ unsubscribe_url }}\n"
                                   : "<p><a href=\"{{ unsubscribe_url }}\">unsubscribe</a></p>\n"
                                     "</body></html>\n");
}

static bool add_template(struct sending *s, struct err *e)
{
    struct buf b;
    build_body(s->c, &b);
    json_t *args = json_pack("{s:s, s:s, s:s}", "name", NAME, "subject",
                             "{{ contact.first_name | default: \"Hello\" }}, the fair is coming",
                             s->c->text_only ? "text" : "html", buf_cstr(&b));
    buf_free(&b);
    return lab_daemon_do(&s->daemon, "template.add", args, e);
}

static bool add_server(struct sending *s, size_t i, struct err *e)
{
    static const char *const modes[] = {
        [SINK_TLS_NONE] = "none", [SINK_TLS_STARTTLS] = "starttls", [SINK_TLS_IMPLICIT] = "tls"};
    char name[24];
    uint64_t n = s->c->connections / s->c->servers + (i < s->c->connections % s->c->servers);
    snprintf(name, sizeof(name), "s%zu", i);
    json_t *args =
        json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:[s], s:I}", "name", name, "host", "127.0.0.1",
                  "port", (int)s->ports[i], "tls", modes[s->c->tls], "tls_verify", "none", "from",
                  "Shop <news@shop.example>", "group", NAME, "max_connections", (json_int_t)n);
    if (s->c->per_connection)
        json_object_set_new(args, "max_messages_per_connection",
                            json_integer((json_int_t)s->c->per_connection));
    return lab_daemon_do(&s->daemon, "server.add", args, e);
}

static bool prepare(struct sending *s, struct err *e)
{
    struct lab_crowd crowd;
    struct lab_daemon *d = &s->daemon;
    lab_crowd_new(&crowd, s->c->contacts, 1);
    bool ok =
        (!s->c->dkim ||
         lab_daemon_do(d, "domain.add",
                       json_pack("{s:s, s:s}", "name", "shop.example", "dkim", s->c->dkim), e)) &&
        lab_daemon_do(d, "group.add", json_pack("{s:s, s:s}", "name", NAME, "strategy", "weighted"),
                      e);
    for (size_t i = 0; ok && i < s->c->servers; i++)
        ok = add_server(s, i, e);
    bench_say("importing %llu contacts", (unsigned long long)s->c->contacts);
    return ok && add_template(s, e) &&
           lab_daemon_do(d, "list.add", json_pack("{s:s}", "name", NAME), e) &&
           lab_crowd_import(&crowd, d, NAME, NULL, NULL, e) &&
           lab_daemon_do(d, "campaign.create",
                         json_pack("{s:s, s:s, s:s, s:s}", "name", NAME, "list", NAME, "template",
                                   NAME, "group", NAME),
                         e);
}

/* ---- sinks and daemon ---- */

static bool open_sinks(struct sending *s, struct err *e)
{
    struct sink_config cfg = {.ports = (uint16_t)s->c->servers};
    if (!sink_start(&cfg, &s->sink, e))
        return false;
    for (size_t i = 0; i < s->c->servers; i++)
        s->ports[i] = sink_port(s->sink, i);
    return true;
}

/* The long line and TLS are for the campaign only: the raw writer speaks plain. */
static bool behave(struct sending *s, struct err *e)
{
    struct sink_behaviour b[2];
    size_t n = 0;
    const struct sink_behaviour base = {.share = 1, .to_ms = INT64_MAX};
    if (s->c->rtt_ms > 0) {
        b[n] = base;
        b[n].verb = SINK_DELAY;
        b[n++].ms = s->c->rtt_ms;
    }
    if (s->c->tls != SINK_TLS_NONE) {
        b[n] = base;
        b[n].verb = SINK_TLS;
        b[n++].tls = s->c->tls;
    }
    for (size_t i = 0; n && i < s->c->servers; i++)
        if (!sink_behave(s->sink, s->ports[i], b, n, e))
            return false;
    return true;
}

static bool start_daemon(struct sending *s, bool slow, struct err *e)
{
    char ahead[24], ms[24];
    struct lab_daemon_config cfg = {.dir = s->data, .log_path = s->log};
    snprintf(ahead, sizeof(ahead), "%llu", (unsigned long long)s->c->ahead);
    snprintf(ms, sizeof(ms), "%lld", (long long)s->c->sync_ms);
    if (s->c->ahead)
        cfg.ahead = ahead;
    if (slow && s->c->sync_ms > 0) {
        cfg.preload = s->c->shim;
        setenv("SLOW_SYNC_MS", ms, 1);
    }
    return lab_daemon_start(&s->daemon, &cfg, e);
}

/* ---- watching ---- */

static uint64_t arrived(const struct sending *s)
{
    struct sink_counts c = {0};
    sink_count(s->sink, 0, &c);
    return c.messages - s->base_messages;
}

static bool is_recorded(struct sending *s, bool *out, struct err *e)
{
    json_t *live = NULL;
    if (!lab_daemon_call(&s->daemon, "live.campaigns", NULL, STR_NONE, &live, e))
        return false;
    *out = json_array_size(json_object_get(live, "campaigns")) == 0;
    json_decref(live);
    return true;
}

static void mark(int64_t *at, bool reached, int64_t now)
{
    if (reached && !*at)
        *at = now;
}

static bool give_up(struct sending *s, uint64_t n, struct err *e)
{
    json_t *live = NULL;
    char *text = lab_daemon_call(&s->daemon, "live.queue", NULL, STR_NONE, &live, NULL)
                     ? json_dumps(live, JSON_COMPACT)
                     : NULL;
    err_set(e, ERR_FAILED, "%llu of %llu arrived, then nothing for %d s: %.300s",
            (unsigned long long)n, (unsigned long long)s->c->contacts, QUIET_MS / 1000,
            text ? text : "");
    free(text);
    json_decref(live);
    return false;
}

static bool watch(struct sending *s, struct err *e)
{
    uint64_t all = s->c->contacts, before = 0;
    int64_t moved_us = clock_boot_us();
    bool recorded = false;
    for (unsigned look = 0; !recorded && !bench_asked_to_end; look++) {
        uint64_t n = arrived(s);
        int64_t now = clock_boot_us();
        moved_us = n != before ? now : moved_us;
        mark(&s->first_us, n > 0, now);
        mark(&s->tenth_us, n >= all / 10, now);
        mark(&s->ninth_us, n >= all - all / 10, now);
        mark(&s->last_us, n >= all, now);
        if (n == before && now - moved_us > (int64_t)QUIET_MS * 1000)
            return give_up(s, n, e);
        if ((n >= all || (n == before && look % 500 == 0)) && !is_recorded(s, &recorded, e))
            return false;
        if (look % 250 == 0)
            bench_say("%llu of %llu sent", (unsigned long long)n, (unsigned long long)all);
        before = n;
        (void)poll(NULL, 0, LOOK_MS);
    }
    s->recorded_us = clock_boot_us();
    return true;
}

/* ---- figures ---- */

static double figure(const json_t *j, const char *name)
{
    return (double)json_integer_value(json_object_get(j, name));
}

static double per_s(double n, int64_t from_us, int64_t to_us)
{
    return n * 1e6 / (double)MAX(to_us - from_us, (int64_t)1);
}

static void add_handshakes(struct sending *s, struct bench_sent *out)
{
    struct sink_counts c = {0};
    sink_count(s->sink, 0, &c);
    out->handshakes = (double)(c.tls_full + c.tls_resumed);
    out->resumed = (double)c.tls_resumed;
    out->most_open = c.most_open;
    out->messages = c.messages - s->base_messages;
    out->wire_bytes = (double)(c.bytes - s->base_bytes) / (double)MAX(out->messages, 1u);
}

static void figures(struct sending *s, const json_t *before, const json_t *after,
                    struct bench_sent *out)
{
    double n = (double)s->c->contacts, tenth = (double)(s->c->contacts / 10);
    out->seconds = (double)(s->recorded_us - s->start_us) / 1e6;
    out->rate = n / out->seconds;
    out->first_tenth = per_s(tenth, s->first_us, s->tenth_us);
    out->last_tenth = per_s(tenth, s->ninth_us, s->last_us);
    out->cpu_us = (figure(after, "cpu_us") - figure(before, "cpu_us")) / n;
    out->journal_syncs = (figure(after, "journal_syncs") - figure(before, "journal_syncs")) / n;
    out->db_syncs = (figure(after, "db_syncs") - figure(before, "db_syncs")) / n;
    out->journal_bytes = (figure(after, "journal_bytes") - figure(before, "journal_bytes")) / n;
    out->db_bytes = (figure(after, "db_bytes") - figure(before, "db_bytes")) / n;
    out->rows = (figure(after, "db_rows") - figure(before, "db_rows")) / n;
    out->peak_rss_mb = lab_daemon_peak_mb(&s->daemon);
    add_handshakes(s, out);
}

static bool measure(struct sending *s, struct bench_sent *out, struct err *e)
{
    json_t *before = NULL, *after = NULL;
    struct sink_counts c = {0};
    sink_count(s->sink, 0, &c);
    s->base_messages = c.messages;
    s->base_bytes = c.bytes;
    bool ok = lab_daemon_call(&s->daemon, "live.status", NULL, STR_NONE, &before, e);
    s->start_us = clock_boot_us();
    ok = ok && lab_daemon_do(&s->daemon, "campaign.start", json_pack("{s:s}", "name", NAME), e) &&
         watch(s, e) && lab_daemon_call(&s->daemon, "live.status", NULL, STR_NONE, &after, e);
    if (ok)
        figures(s, before, after, out);
    json_decref(before);
    json_decref(after);
    return ok;
}

static bool take_folder(struct sending *s, struct err *e)
{
    bool ok = s->c->keep ? lab_folder_take(s->c->keep, s->folder, e)
                         : lab_folder_new("bench", s->folder, e);
    snprintf(s->data, sizeof(s->data), "%s/data", s->folder);
    snprintf(s->log, sizeof(s->log), "%s/daemon.log", s->folder);
    return ok;
}

static bool run(struct sending *s, const struct bench_around *around, struct bench_sent *out,
                struct err *e)
{
    const struct bench_around none = {0}, *a = around ? around : &none;
    if (!take_folder(s, e) || !open_sinks(s, e) ||
        (a->before && !a->before(a->arg, s->ports, s->c->servers, e)) || !behave(s, e) ||
        !start_daemon(s, false, e) || !prepare(s, e))
        return false;
    (void)lab_daemon_stop(&s->daemon);
    if (bench_asked_to_end)
        return err_set(e, ERR_FAILED, "interrupted");
    if (!start_daemon(s, true, e) || !measure(s, out, e))
        return false;
    (void)lab_daemon_stop(&s->daemon);
    return true;
}

bool bench_send(const struct bench_case *c, const struct bench_around *around,
                struct bench_sent *out, struct err *e)
{
    struct sending *s = calloc(1, sizeof(*s));
    struct sink_behaviour plain = {0};
    if (!s)
        return err_set(e, ERR_FAILED, "out of memory");
    s->c = c;
    *out = (struct bench_sent){0};
    bool ok = run(s, around, out, e);
    if (s->daemon.pid > 0)
        (void)lab_daemon_stop(&s->daemon);
    for (size_t i = 0; ok && i < c->servers; i++)
        ok = sink_behave(s->sink, s->ports[i], &plain, 0, e);
    if (ok && around && around->after && !bench_asked_to_end)
        ok = around->after(around->arg, s->ports, c->servers, e);
    if (s->sink)
        sink_stop(&s->sink);
    if (s->folder[0] && !c->keep)
        lab_folder_remove(s->folder);
    free(s);
    return ok;
}
