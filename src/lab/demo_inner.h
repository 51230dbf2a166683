/* What the demo's files share: the run (demo.c), the six servers (demo_fleet.c), what is shown
 * while it runs (demo_view.c) and the count at the end (demo_proof.c). Nobody else includes it. */
#ifndef LAB_DEMO_INNER_H
#define LAB_DEMO_INNER_H

#include "lab/daemon.h"
#include "lab/people.h"
#include "lab/sink.h"
#include "store/db.h"

#include <stdio.h>

enum {
    DEMO_FAST,
    DEMO_SLOW,
    DEMO_QUOTA,
    DEMO_DYING,
    DEMO_SMALL,
    DEMO_WRONG,
    DEMO_SERVERS,
    DEMO_SAMPLES = 8, /* of a rate: the last 1.6 s */
};

#define DEMO_CAMPAIGN "welcome"
#define DEMO_TICK_MS  200

struct demo_options {
    int64_t seconds; /* 0: as long as it takes, within reason */
    uint64_t contacts, seed;
    bool no_web, json;
    const char *keep; /* NULL: nothing is kept */
};

struct demo_server {
    const char *name;
    uint16_t port;
    uint32_t connections, weight;
    int64_t delay_ms;        /* its own, before each answer to a dot */
    uint64_t quota;          /* 0: none */
    uint32_t per_connection; /* messages; 0: any number */
    /* as last seen: */
    char state[24], reason[200];
    int64_t sent, in_use, quota_used;
    uint64_t samples[DEMO_SAMPLES];
    /* remembered, ms since the start; -1: never: */
    int64_t out_ms, back_ms;
    char out_reason[200];
    struct sink_counts counts; /* when the sinks have stopped */
};

struct demo_totals { /* of the campaign's report */
    int64_t recipients, sent, bounced, failed, suppressed, uncertain, pending, other, failovers;
    bool finished;
};

struct demo {
    struct demo_options o;
    char folder[LAB_PATH_MAX], data[LAB_PATH_MAX + 8], sink_log[LAB_PATH_MAX + 16];
    char daemon_log[LAB_PATH_MAX + 16];
    struct sink *sink;
    struct lab_daemon daemon;
    struct db *db; /* of the daemon, read only */
    struct lab_crowd crowd;
    struct demo_server server[DEMO_SERVERS];
    struct demo_totals t;
    int64_t start_ms, limit_ms, shown_ms, elapsed_ms;
    uint64_t die_at;              /* messages sent when the dying one dies */
    int64_t down_ms;              /* how long it stays away */
    int64_t died_ms, returned_ms; /* since the start; -1: not yet */
    uint64_t samples_taken;
    bool interrupted, timed_out;
    /* the screen */
    bool on_terminal, colours, utf8;
    int lines_shown;
};

struct demo_proof {
    uint64_t lines;        /* of the sinks' log */
    uint64_t arrived;      /* different recipients in it */
    uint64_t doubled;      /* lines beyond the first of a recipient or a Message-ID */
    uint64_t lost;         /* reported as sent, and at no sink; or in no state at all */
    uint64_t phantom;      /* at a sink, and nobody of ours */
    uint64_t contradicted; /* at a sink, and reported as something else than sent or uncertain */
    uint64_t uncertain_arrived;
    uint64_t at_sink[DEMO_SERVERS];
};

/* ---- the fleet ---- */

/* Names, speeds and limits, before anything runs: total_ms is how long it should all take. */
void demo_fleet_plan(struct demo *d, int64_t total_ms);
bool demo_fleet_open(struct demo *d, struct err *e) MUST_USE; /* the sinks */
bool demo_fleet_add(struct demo *d, struct err *e) MUST_USE;  /* the servers, by the daemon */
/* Lets the dying one die and come back. */
bool demo_fleet_act(struct demo *d, struct err *e) MUST_USE;
/* What was wrong with it, and what was done about it, in words. */
void demo_fleet_words(const struct demo *d, size_t i, const struct demo_proof *p, char *fault,
                      char *handled, size_t size);

/* ---- the view ---- */

void demo_view_start(struct demo *d);
/* Reads figures of daemon and sinks. */
bool demo_view_look(struct demo *d, struct err *e) MUST_USE;
void demo_view_show(struct demo *d, bool last);
void demo_view_note(struct demo *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void demo_count_text(int64_t n, char out[32]);

/* ---- the proof; daemon and sinks are stopped ---- */

bool demo_totals_read(struct demo *d, struct err *e) MUST_USE;
bool demo_proof_count(struct demo *d, struct demo_proof *p, struct err *e) MUST_USE;
void demo_proof_print(const struct demo *d, const struct demo_proof *p, FILE *to);
void demo_proof_json(const struct demo *d, const struct demo_proof *p);
bool demo_proof_holds(const struct demo *d, const struct demo_proof *p);

#endif
