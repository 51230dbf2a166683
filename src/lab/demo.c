/* `postfleet demo`: a campaign of invented contacts through six servers of our own on loopback,
 * some failing and coming back, and the count at the end. Everything lies in a throw-away folder
 * unless --keep; children are ended by their ids. Talks to nothing but 127.0.0.1. */
#include "lab/demo_inner.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/codec.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define CONTACTS_USUAL 20000
#define CONTACTS_MOST  10000000
#define SECONDS_MOST   3600
#define TOTAL_USUAL_MS 26000
#define TOTAL_LEAST_MS 2000
#define LIMIT_LEAST_MS 120000

int lab_demo_main(int argc, char **argv);

static volatile sig_atomic_t asked_to_end;

static void on_signal(int sig)
{
    (void)sig;
    asked_to_end = 1;
}

/* ---- options ---- */

static bool read_count(const char *name, const char *value, uint64_t least, uint64_t most,
                       uint64_t *out, struct err *e)
{
    if (codec_count_parse(str_of(value), out) && *out >= least && *out <= most)
        return true;
    return err_set(e, ERR_INVALID, "%s %.40s: not a number from %llu to %llu", name, value,
                   (unsigned long long)least, (unsigned long long)most);
}

static bool take_value(struct demo_options *o, const char *name, const char *value, struct err *e)
{
    uint64_t n = 0;
    if (!strcmp(name, "--contacts"))
        return read_count(name, value, 1, CONTACTS_MOST, &o->contacts, e);
    if (!strcmp(name, "--seed"))
        return read_count(name, value, 0, INT64_MAX, &o->seed, e);
    if (!strcmp(name, "--seconds")) {
        if (!read_count(name, value, 1, SECONDS_MOST, &n, e))
            return false;
        o->seconds = (int64_t)n;
        return true;
    }
    if (!value[0])
        return err_set(e, ERR_INVALID, "--keep: the folder has no name");
    o->keep = value;
    return true;
}

static bool takes_value(const char *name)
{
    return !strcmp(name, "--contacts") || !strcmp(name, "--seed") || !strcmp(name, "--seconds") ||
           !strcmp(name, "--keep");
}

static bool take_flag(struct demo_options *o, const char *word)
{
    bool *flag = !strcmp(word, "--no-web") ? &o->no_web : !strcmp(word, "--json") ? &o->json : NULL;
    if (flag)
        *flag = true;
    return flag != NULL;
}

static bool read_options(struct demo_options *o, int argc, char **argv, struct err *e)
{
    for (int i = 1; i < argc; i++) {
        char name[32];
        const char *equals = strncmp(argv[i], "--", 2) ? NULL : strchr(argv[i], '=');
        size_t n = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        if (!equals && take_flag(o, argv[i]))
            continue;
        if (!str_copy(str_from(argv[i], n), name, sizeof(name)) || !takes_value(name))
            return err_set(e, ERR_INVALID,
                           "unknown option or word `%.100s`, see postfleet demo "
                           "--help",
                           argv[i]);
        if (!equals && i + 1 >= argc)
            return err_set(e, ERR_INVALID, "%s needs a value", name);
        if (!take_value(o, name, equals ? equals + 1 : argv[++i], e))
            return false;
    }
    return true;
}

/* ---- setting up ---- */

static const char page[] =
    "<html><body style=\"font-family:sans-serif\">\n"
    "<h1>Hello {{ contact.first_name | default: \"there\" }}!</h1>\n"
    "<p>Our autumn fair comes to {{ contact.city | default: \"your town\" }}. Dear "
    "{{ contact.first_name }} {{ contact.last_name }}, here is what awaits you:</p>\n"
    "<ul><li>three days of music</li><li>bread from the wood-fired oven</li>\n"
    "<li>a lantern walk &ndash; for children, and for you</li></ul>\n"
    "<p>Bring this mail to the gate: it is your ticket, made out to {{ contact.email }}.</p>\n"
    "<p><small><a href=\"{{ unsubscribe_url }}\">I do not want these mails</a></small></p>\n"
    "</body></html>\n";

static bool add_content(struct demo *d, struct err *e)
{
    struct lab_daemon *w = &d->daemon;
    return lab_daemon_do(w, "list.add", json_pack("{s:s}", "name", "friends"), e) &&
           lab_daemon_do(w, "template.add",
                         json_pack("{s:s, s:s, s:s}", "name", "fair", "subject",
                                   "{{ contact.first_name | default: \"Hello\" }}, the fair is "
                                   "coming to {{ contact.city | default: \"town\" }}",
                                   "html", page),
                         e);
}

static bool imported(void *arg, uint64_t done)
{
    (void)arg, (void)done;
    return !asked_to_end;
}

static bool add_people(struct demo *d, struct err *e)
{
    lab_crowd_new(&d->crowd, d->o.contacts, d->o.seed);
    return lab_crowd_import(&d->crowd, &d->daemon, "friends", imported, d, e);
}

static bool start_campaign(struct demo *d, struct err *e)
{
    struct lab_daemon *w = &d->daemon;
    return lab_daemon_do(w, "campaign.create",
                         json_pack("{s:s, s:s, s:s, s:s}", "name", DEMO_CAMPAIGN, "list", "friends",
                                   "template", "fair", "group", "demo"),
                         e) &&
           lab_daemon_do(w, "campaign.start", json_pack("{s:s}", "name", DEMO_CAMPAIGN), e);
}

static bool make_folder(struct demo *d, struct err *e)
{
    bool ok =
        d->o.keep ? lab_folder_take(d->o.keep, d->folder, e) : lab_folder_new("demo", d->folder, e);
    snprintf(d->data, sizeof(d->data), "%s/data", d->folder);
    snprintf(d->sink_log, sizeof(d->sink_log), "%s/sink.log", d->folder);
    snprintf(d->daemon_log, sizeof(d->daemon_log), "%s/daemon.log", d->folder);
    return ok;
}

static bool set_up(struct demo *d, struct err *e)
{
    struct lab_daemon_config cfg = {
        .dir = d->data, .log_path = d->daemon_log, .with_web = !d->o.no_web};
    char db[LAB_PATH_MAX + 32], n[32];
    int64_t total =
        d->o.seconds ? MIN(d->o.seconds * 400, (int64_t)TOTAL_USUAL_MS) : TOTAL_USUAL_MS;
    d->start_ms = clock_boot_ms();
    d->limit_ms = d->o.seconds ? d->o.seconds * 1000 : LIMIT_LEAST_MS + (int64_t)d->o.contacts;
    demo_fleet_plan(d, MAX(total, (int64_t)TOTAL_LEAST_MS));
    snprintf(db, sizeof(db), "%s/postfleet.db", d->data);
    if (!demo_fleet_open(d, e) || !lab_daemon_start(&d->daemon, &cfg, e) ||
        !db_open(db, DB_READ_ONLY, &d->db, e) || !demo_fleet_add(d, e) || !add_content(d, e))
        return false;
    demo_count_text((int64_t)d->o.contacts, n);
    demo_view_note(
        d, "six servers on 127.0.0.1, one fast, five with a fault; importing %s contacts", n);
    if (d->daemon.http[0])
        demo_view_note(d, "HTTP API: %s   command line: postfleet server list --data %s",
                       d->daemon.http, d->data);
    return add_people(d, e) && (asked_to_end || start_campaign(d, e));
}

/* ---- running ---- */

static bool watch(struct demo *d, struct err *e)
{
    d->start_ms = clock_boot_ms();
    while (!asked_to_end) {
        if (!lab_daemon_alive(&d->daemon))
            return err_set(e, ERR_FAILED, "the daemon ended by itself with status %d; see %s",
                           d->daemon.status, d->daemon_log);
        if (!demo_view_look(d, e) || !demo_fleet_act(d, e))
            return false;
        d->timed_out = d->elapsed_ms >= d->limit_ms;
        demo_view_show(d, d->t.finished || d->timed_out);
        if (d->t.finished || d->timed_out)
            return true;
        (void)poll(NULL, 0, DEMO_TICK_MS);
    }
    d->interrupted = true;
    return true;
}

static int tell(struct demo *d, struct err *e)
{
    struct demo_proof p;
    if (!demo_proof_count(d, &p, e))
        return -1;
    demo_proof_print(d, &p, d->o.json ? stderr : stdout);
    if (d->o.json)
        demo_proof_json(d, &p);
    if (fflush(stdout) != 0)
        return 1;
    if (d->interrupted)
        return 130;
    return demo_proof_holds(d, &p) ? 0 : 1;
}

static void stop_sinks(struct demo *d)
{
    if (!d->sink)
        return;
    for (size_t i = 0; i < DEMO_SERVERS; i++)
        sink_count(d->sink, d->server[i].port, &d->server[i].counts);
    sink_stop(&d->sink);
}

/* The daemon first, so that nothing is on its way when the log is closed. */
static int run(struct demo *d, struct err *e)
{
    bool ok = make_folder(d, e) && set_up(d, e) && (asked_to_end || watch(d, e));
    int status = -1;
    d->interrupted = d->interrupted || asked_to_end;
    if (d->daemon.pid > 0)
        (void)lab_daemon_stop(&d->daemon);
    if (ok && d->samples_taken) {
        stop_sinks(d);
        status = tell(d, e);
    }
    db_close(&d->db);
    stop_sinks(d);
    if (d->folder[0] && !d->o.keep)
        lab_folder_remove(d->folder);
    if (ok && d->interrupted)
        return 130;
    return status;
}

int lab_demo_main(int argc, char **argv)
{
    struct err e = {0};
    struct demo *d = alloc_one(struct demo);
    struct sigaction sa = {.sa_handler = on_signal};
    d->o = (struct demo_options){.contacts = CONTACTS_USUAL, .seed = 1};
    int status = -1;
    if (read_options(&d->o, argc, argv, &e)) {
        sigaction(SIGINT, &sa, NULL);
        sigaction(SIGTERM, &sa, NULL);
        sigaction(SIGHUP, &sa, NULL);
        signal(SIGPIPE, SIG_IGN);
        demo_view_start(d);
        status = run(d, &e);
    }
    if (status < 0) {
        fprintf(stderr, "postfleet demo: %s\n", e.text);
        status = MAX(1, err_exit_status(e.code));
    }
    free(d);
    return status;
}
