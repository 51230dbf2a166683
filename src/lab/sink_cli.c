/* `postfleet sink`: options, the wait for a signal, the closing figures. */
#include "lab/sink.h"
#include "base/alloc.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct options {
    struct sink_config cfg;
    struct sink_behaviour behaviour[SINK_BEHAVIOURS_MAX];
    uint16_t first, last;
    bool json;
};

static bool read_ports(struct str text, uint16_t *first, uint16_t *last)
{
    uint64_t a = 0, b = 0;
    ptrdiff_t dash = str_chr(text, '-');
    bool ok = str_to_u64(dash < 0 ? text : str_cut(text, 0, (size_t)dash), 65535, &a) &&
              str_to_u64(dash < 0 ? text : str_from_index(text, (size_t)dash + 1), 65535, &b) &&
              a > 0 && a <= b && b - a < SINK_PORTS_MAX;
    *first = (uint16_t)a;
    *last = (uint16_t)b;
    return ok;
}

static bool add_one(struct options *o, uint16_t port, struct str words, struct err *e)
{
    char text[300];
    int n = snprintf(text, sizeof(text), "%u=" STR_F, port, STR_A(words));
    if (n < 0 || (size_t)n >= sizeof(text) || o->cfg.behaviours == SINK_BEHAVIOURS_MAX)
        return err_set(e, ERR_INVALID, "--behave: too long, or over %d of them",
                       SINK_BEHAVIOURS_MAX);
    return sink_parse_behaviour(str_of(text), &o->behaviour[o->cfg.behaviours++], e);
}

/* PORT may be A-B, or * for all. */
static bool add_behaviour(struct options *o, struct str spec, struct err *e)
{
    ptrdiff_t equals = str_chr(spec, '=');
    struct str ports = str_cut(spec, 0, equals < 0 ? spec.n : (size_t)equals);
    struct str words = equals < 0 ? STR_NONE : str_from_index(spec, (size_t)equals + 1);
    uint16_t first = o->first, last = o->last;
    if (equals < 0 || (!str_is(ports, "*") && !read_ports(ports, &first, &last)))
        return err_set(e, ERR_INVALID,
                       "--behave " STR_F
                       ": write PORT=VERB[:PHASE][:CODE][:SHARE][:to=DOMAIN][@FROM-TO]",
                       STR_A(spec));
    if (first < o->first || last > o->last)
        return err_set(e, ERR_INVALID, "--behave " STR_F ": not a port of --ports %u-%u",
                       STR_A(spec), o->first, o->last);
    for (unsigned port = first; port <= last; port++)
        if (!add_one(o, (uint16_t)port, words, e))
            return false;
    return true;
}

static bool take_option(struct options *o, struct str name, const char *value, struct err *e)
{
    if (str_is(name, "--ports"))
        return read_ports(str_of(value), &o->first, &o->last) ||
               err_set(e, ERR_INVALID, "--ports %s: write A-B, ports 1 to 65535", value);
    if (str_is(name, "--log"))
        o->cfg.log_path = value;
    else if (str_is(name, "--bind"))
        o->cfg.host = value;
    else if (str_is(name, "--cert"))
        o->cfg.cert_path = value;
    return true;
}

static bool is_known(struct str name)
{
    static const char *const known[] = {"--ports", "--log", "--bind", "--cert", "--behave"};
    for (size_t i = 0; i < countof(known); i++)
        if (str_is(name, known[i]))
            return true;
    return false;
}

/* One pass over the words; `behave` says which half is taken: --behave needs the ports first. */
static bool read_words(struct options *o, int argc, char **argv, bool behave, struct err *e)
{
    for (int i = 1; i < argc; i++) {
        struct str word = str_of(argv[i]);
        ptrdiff_t equals = str_starts(word, STR("--")) ? str_chr(word, '=') : -1;
        struct str name = equals < 0 ? word : str_cut(word, 0, (size_t)equals);
        const char *value = equals < 0 ? NULL : argv[i] + equals + 1;
        if (str_is(word, "--json")) {
            o->json = true;
            continue;
        }
        if (!is_known(name))
            return err_set(e, ERR_INVALID, "unknown option or word `%s`, see postfleet sink --help",
                           argv[i]);
        if (!value && i + 1 >= argc)
            return err_set(e, ERR_INVALID, "%s needs a value", argv[i]);
        if (!value)
            value = argv[++i];
        bool is_behave = str_is(name, "--behave");
        if (is_behave == behave &&
            !(behave ? add_behaviour(o, str_of(value), e) : take_option(o, name, value, e)))
            return false;
    }
    return true;
}

static void print_counts(const struct sink *s, uint16_t port, bool json)
{
    struct sink_counts c = {0};
    sink_count(s, port, &c);
    const char *form =
        json ? "{\"port\":%u,\"messages\":%llu,\"bytes\":%llu,\"refused\":%llu,"
               "\"connections\":%llu,\"most_open\":%u,\"tls_full\":%llu,\"tls_resumed\":%llu,"
               "\"auth\":%llu,\"auth_refused\":%llu,\"bdat\":%llu}\n"
             : "%5u %10llu %14llu %9llu %12llu %10u %9llu %12llu %6llu %13llu %8llu\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    printf(form, port, (unsigned long long)c.messages, (unsigned long long)c.bytes,
           (unsigned long long)c.refused, (unsigned long long)c.connections, c.most_open,
           (unsigned long long)c.tls_full, (unsigned long long)c.tls_resumed,
           (unsigned long long)(c.auth_plain + c.auth_login + c.auth_cram_md5),
           (unsigned long long)c.auth_refused, (unsigned long long)c.bdat);
#pragma GCC diagnostic pop
}

static int serve(struct options *o, struct err *e)
{
    struct sink *s = NULL;
    sigset_t ends;
    int signal_number = 0;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGHUP);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (!sink_start(&o->cfg, &s, e))
        return 1;
    fprintf(stderr, "sink: listening on %s ports %u-%u, Ctrl-C ends\n",
            o->cfg.host ? o->cfg.host : "127.0.0.1", o->first, o->last);
    sigwait(&ends, &signal_number);
    if (!o->json)
        printf("%5s %10s %14s %9s %12s %10s %9s %12s %6s %13s %8s\n", "PORT", "MESSAGES", "BYTES",
               "REFUSED", "CONNECTIONS", "MOST-OPEN", "TLS-FULL", "TLS-RESUMED", "AUTH",
               "AUTH-REFUSED", "CHUNKED");
    for (unsigned port = o->first; port <= o->last; port++)
        print_counts(s, (uint16_t)port, o->json);
    sink_stop(&s);
    return fflush(stdout) == 0 ? 0 : 1;
}

int lab_sink_main(int argc, char **argv)
{
    struct err e = {0};
    struct options *o = alloc_one(struct options);
    int status = 2;
    bool ok = read_words(o, argc, argv, false, &e);
    if (ok && !o->first)
        ok = err_set(&e, ERR_INVALID, "--ports A-B is missing, see postfleet sink --help");
    ok = ok && read_words(o, argc, argv, true, &e);
    o->cfg.behaviour = o->behaviour;
    o->cfg.first_port = o->first;
    o->cfg.ports = (uint16_t)(o->last - o->first + 1);
    if (ok)
        status = serve(o, &e);
    if (e.code != ERR_NONE)
        fprintf(stderr, "postfleet sink: %s\n", e.text);
    free(o);
    return status;
}
