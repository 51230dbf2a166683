/* Warm-ups as they stand: tables warmup, warmup_line and warmup_day. What a day leads to is decided
 * by engine/warmup_day.c with fleet/warmup.h; here it is only kept. Writers call within a
 * transaction of theirs. */
#ifndef STORE_WARMUP_H
#define STORE_WARMUP_H

#include "base/err.h"
#include "base/str.h"
#include "store/db.h"

#define WARMUP_LINES_MAX 17 /* the server and at most 16 mailbox providers */

enum warmup_state { /* stored: never changed */
                    WARMUP_WARMING = 0,
                    WARMUP_HELD,     /* by the user: days pass, none advances */
                    WARMUP_IDLE,     /* long without sending: asks for a new one */
                    WARMUP_FINISHED, /* no caps any more */
                    WARMUP_STATES
};
const char *warmup_state_name(enum warmup_state v);

struct warmup_line {
    char provider[32]; /* "": the server */
    uint32_t day;
    uint64_t cap;
    char why[200];
};

struct warmup_row {
    uint16_t server_num;
    char *plan; /* JSON text, owned */
    enum warmup_state state;
    char why[200];
    int64_t opened_at, closes_at; /* steady wall ms of the day that runs; 0: not opened yet */
    uint32_t classes;             /* mask, bit 0: unknown ones */
    int64_t last_sent_at, started_at;
    struct warmup_line lines[WARMUP_LINES_MAX]; /* the server first; none: no caps */
    size_t n_lines;
};
void warmup_row_free(struct warmup_row *r); /* what it owns */

/* *found_out false: none, *out is empty. */
bool warmup_get(struct db *db, uint16_t server_num, struct warmup_row *out, bool *found_out,
                struct err *e) MUST_USE;
bool warmup_put(struct db *db, const struct warmup_row *r, struct err *e) MUST_USE;
bool warmup_remove(struct db *db, uint16_t server_num, struct err *e) MUST_USE;
/* Nums of servers that are not removed and have one; the caller frees *out. */
bool warmup_servers(struct db *db, uint16_t **out, size_t *n_out, struct err *e) MUST_USE;

struct warmup_past { /* a day that is over */
    uint16_t server_num;
    const char *provider;
    int64_t opened_at;
    uint32_t day;
    uint64_t cap, sent, answers, hard, deferred, blocked, complaints;
    int move; /* enum warmup_move */
    const char *why;
};
bool warmup_add_day(struct db *db, const struct warmup_past *d, struct err *e) MUST_USE;
/* Does the house know an engagement class of any contact? */
bool warmup_knows_engagement(struct db *db, bool *out, struct err *e) MUST_USE;
/* Taken of a server's limits in minutes that begin in [since, until), from table usage. */
bool warmup_taken(struct db *db, uint16_t server_num, int64_t since, int64_t until, uint64_t *out,
                  struct err *e) MUST_USE;

#endif
