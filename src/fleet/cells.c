/* Server x mailbox provider: the small machine of breaker.h, a cell for each provider that
 * something speaks against. Opened by a block reply (1 to 4 hours), by faults of that provider's
 * messages while those of others are answered (as a server is), or for its reputation; then one
 * message tries, then a ramp. What a cell bears the server does not. Changed only by cell_move. */
#include "fleet/cells.h"
#include "base/alloc.h"
#include "base/check.h"
#include "fleet/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define BLOCKED_MS   3600000
#define BLOCKED_MOST 14400000
#define OTHERS_MS    60000   /* an answer for another provider is so long a word for the server */
#define IDLE_MS      60000   /* well and nothing happened: gone */
#define CLEAN_MS     3600000 /* one that was open is remembered for longer */
#define EARLY_MS     1000    /* a message is not picked whose pace would hold its dot for longer */

/* ---- one door */

static bool is_out(const struct cell *c)
{
    return c->state == OPER_OPEN || c->state == OPER_HALF_OPEN || c->state == OPER_RAMP;
}

static void cell_move(struct fleet *f, struct fserver *s, struct cell *c, enum oper_state to,
                      const char *reason, int64_t until, int64_t now_ms)
{
    enum oper_state from = c->state;
    check(breaker_may_move(from, to));
    c->state = to;
    c->until = until;
    c->touched_at = now_ms;
    if (reason != c->reason)
        snprintf(c->reason, sizeof c->reason, "%s", reason);
    if (to == OPER_HEALTHY)
        c->breaker.healthy_since = now_ms;
    if (to == OPER_RAMP)
        c->breaker.ramp_from = now_ms;
    f->n_cells_out += is_out(c);
    f->n_cells_out -= from == OPER_OPEN || from == OPER_HALF_OPEN || from == OPER_RAMP;
    if (f->events.on_cell && (from != to || to == OPER_OPEN))
        f->events.on_cell(f->arg, &(struct cell_change){s->num, c->provider, from, to, c->reason,
                                                        until, c->breaker.openings});
}

/* ---- coming into being, and going */

static struct cell *find(const struct fserver *s, uint32_t provider)
{
    for (uint32_t i = 0; i < s->n_cells; i++)
        if (s->cells[i].provider == provider)
            return &s->cells[i];
    return NULL;
}

/* How soon a cell may give its place to another: well and idle first, open last. */
static int64_t worth(const struct cell *c)
{
    int64_t rank = c->state == OPER_OPEN ? 3 : is_out(c) ? 2 : c->state == OPER_DEGRADED ? 1 : 0;
    return (rank << 56) + c->touched_at;
}

static void drop(struct fserver *s, struct cell *c)
{
    pace_free(&c->pace);
    *c = s->cells[--s->n_cells];
}

static void make_room(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    struct cell *least = &s->cells[0];
    if (s->n_cells < FLEET_CELLS_MAX)
        return;
    for (uint32_t i = 1; i < s->n_cells; i++)
        if (worth(&s->cells[i]) < worth(least))
            least = &s->cells[i];
    if (least->state != OPER_HEALTHY)
        cell_move(f, s, least, OPER_HEALTHY, "forgotten: too many providers at once", 0, now_ms);
    drop(s, least);
}

static struct cell *cell_of(struct fleet *f, struct fserver *s, uint32_t provider, int64_t now_ms)
{
    struct cell *c = find(s, provider);
    if (c)
        return c;
    make_room(f, s, now_ms);
    if (s->n_cells == s->cap_cells) {
        s->cap_cells = MAX(s->cap_cells * 2, 2u);
        s->cells = alloc_resize(s->cells, s->cap_cells * sizeof *s->cells);
    }
    c = &s->cells[s->n_cells++];
    *c = (struct cell){.provider = provider, .touched_at = now_ms};
    c->breaker.healthy_since = now_ms;
    s->cell_ids = (uint16_t)(s->cell_ids == UINT16_MAX ? 1 : s->cell_ids + 1);
    c->id = s->cell_ids;
    return c;
}

void cells_free(struct fserver *s)
{
    for (uint32_t i = 0; i < s->n_cells; i++)
        pace_free(&s->cells[i].pace);
    free(s->cells);
    s->cells = NULL;
    s->n_cells = s->cap_cells = 0;
}

void cells_forgive(struct fleet *f, struct fserver *s, const char *reason, int64_t now_ms)
{
    for (uint32_t i = 0; i < s->n_cells; i++)
        if (s->cells[i].state != OPER_HEALTHY)
            cell_move(f, s, &s->cells[i], OPER_HEALTHY, reason, 0, now_ms);
    cells_free(s);
}

void cells_copy(struct fleet *to, struct fserver *t, const struct fserver *from)
{
    cells_free(t);
    t->cells = alloc_many(struct cell, from->n_cells + 1);
    t->n_cells = from->n_cells;
    t->cap_cells = from->n_cells + 1;
    t->cell_ids = from->cell_ids;
    for (uint32_t i = 0; i < from->n_cells; i++) {
        struct cell *c = &t->cells[i];
        *c = from->cells[i];
        c->assigned = 0;
        c->pace = NULL;
        to->n_cells_out += is_out(c);
        pace_copy(&c->pace, from->cells[i].pace);
    }
}

/* ---- what speaks against a message for this provider */

static void say(const struct cell *c, struct limit_bar *out)
{
    snprintf(out->why, sizeof out->why, "%s for this mailbox provider: %.110s",
             oper_state_name(c->state), c->reason);
}

static uint32_t room(const struct cell *c, struct fserver *s, int64_t now_ms)
{
    if (c->state != OPER_RAMP)
        return 1;
    double n = breaker_ramp(&c->breaker, now_ms) * (double)health_capacity(s, now_ms);
    return MAX((uint32_t)n, 1u);
}

enum bound cells_against(struct fserver *s, uint32_t provider, int64_t now_ms,
                         struct limit_bar *out)
{
    const struct cell *c = find(s, provider);
    if (!c)
        return BOUND_NONE;
    out->until = INT64_MAX;
    if (c->state == OPER_OPEN && now_ms < c->until)
        out->until = c->until;
    else if (!is_out(c) || c->assigned < room(c, s, now_ms)) {
        int64_t when = pace_when(c->pace, c->assigned, now_ms);
        if (when <= now_ms + EARLY_MS)
            return BOUND_NONE;
        out->until = when - EARLY_MS;
        out->bound = BOUND_PACE;
        pace_words(c->pace, out->why, sizeof out->why);
        return BOUND_PACE;
    }
    say(c, out);
    return BOUND_PROVIDER;
}

/* ---- messages of it */

uint16_t cells_take(struct fleet *f, struct fserver *s, uint32_t provider, int64_t now_ms)
{
    struct cell *c = find(s, provider);
    if (!c)
        return 0;
    if (c->state == OPER_OPEN)
        cell_move(f, s, c, OPER_HALF_OPEN, c->reason, 0, now_ms);
    c->assigned++;
    return c->id;
}

static struct cell *held(const struct fserver *s, const struct hold *h)
{
    struct cell *c = h->cell ? find(s, h->provider) : NULL;
    return c && c->id == h->cell ? c : NULL;
}

void cells_leave(struct fserver *s, const struct hold *h)
{
    struct cell *c = held(s, h);
    if (c && c->assigned)
        c->assigned--;
}

int64_t cells_dot_at(const struct fserver *s, const struct hold *h, int64_t now_ms)
{
    const struct cell *c = s->n_cells ? find(s, h->provider) : NULL;
    return c ? pace_when(c->pace, 0, now_ms) : now_ms;
}

void cells_dot(struct fserver *s, const struct hold *h, int64_t now_ms)
{
    struct cell *c = s->n_cells ? find(s, h->provider) : NULL;
    if (c)
        pace_take(c->pace, now_ms);
}

/* ---- ends */

/* Two providers are enough to know of any whether another one was answered. */
static void note_answer(struct fserver *s, uint32_t provider, int64_t now_ms)
{
    if (s->answers[0].at && s->answers[0].provider != provider)
        s->answers[1] = s->answers[0];
    s->answers[0].provider = provider;
    s->answers[0].at = now_ms;
}

static bool others_are_well(const struct fserver *s, uint32_t provider, int64_t now_ms)
{
    for (size_t i = 0; i < countof(s->answers); i++)
        if (s->answers[i].at && s->answers[i].provider != provider &&
            now_ms - s->answers[i].at < OTHERS_MS)
            return true;
    return false;
}

void cells_accepted(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    struct cell *c = s->n_cells ? find(s, r->provider) : NULL;
    note_answer(s, r->provider, now_ms);
    if (!c)
        return;
    breaker_ok(&c->breaker, now_ms);
    if (c->state == OPER_HALF_OPEN)
        cell_move(f, s, c, OPER_RAMP, "answered again", now_ms + RAMP_MS, now_ms);
}

static void open_cell(struct fleet *f, struct fserver *s, struct cell *c, const char *why,
                      int64_t now_ms)
{
    bool well = c->state == OPER_HEALTHY || c->state == OPER_DEGRADED;
    int64_t ms = breaker_open(&c->breaker, well, fleet_rand(f), now_ms);
    cell_move(f, s, c, OPER_OPEN, why, now_ms + ms, now_ms);
}

/* The recipient was named already, and the server or the way behind it failed. */
static bool may_be_theirs(const struct report *r)
{
    return r->is_message && r->provider && r->phase >= PHASE_RCPT &&
           (r->verdict == VERDICT_UNCERTAIN ||
            (r->verdict == VERDICT_FAILOVER && r->fault == FAULT_SERVER));
}

/* A word at RCPT, and all that failed since the last answer was of the same provider. */
static bool is_row_of(const struct fserver *s, const struct report *r)
{
    bool alone = s->breaker.failures_in_row == 0 || s->row_provider == r->provider;
    return alone && r->reply_read && r->phase == PHASE_RCPT && r->verdict == VERDICT_FAILOVER;
}

bool cells_fault(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    bool sends = s->state == OPER_HEALTHY || s->state == OPER_DEGRADED || s->state == OPER_RAMP;
    if (!may_be_theirs(r) || !sends || f->common_cause)
        return false;
    struct cell *c = cell_of(f, s, r->provider, now_ms);
    bool others = others_are_well(s, r->provider, now_ms);
    bool theirs = others || is_row_of(s, r);
    const char *why = r->why ? r->why : "failed";
    breaker_fail(&c->breaker, now_ms);
    c->touched_at = now_ms;
    if (c->state == OPER_HALF_OPEN || c->state == OPER_RAMP) {
        open_cell(f, s, c, why, now_ms);
    } else if (c->state != OPER_OPEN && theirs && breaker_trips(&c->breaker, now_ms)) {
        open_cell(f, s, c, why, now_ms);
        if (others) /* they were the cell's; else the next one tells */
            s->breaker.failures_in_row = s->dot_losses_in_row = 0;
    }
    return theirs && c->state == OPER_OPEN;
}

void cells_blocked(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    struct cell *c = cell_of(f, s, r->provider, now_ms);
    if (c->state == OPER_OPEN && c->until > now_ms) { /* on its way when it was opened */
        c->until = MAX(c->until, now_ms + r->wait_ms);
        return;
    }
    bool well = c->state == OPER_HEALTHY || c->state == OPER_DEGRADED;
    if (well && now_ms - c->breaker.healthy_since > CLEAN_MS)
        c->blocks = 0;
    int64_t ms = MIN((int64_t)BLOCKED_MS << MIN(c->blocks, 10u), (int64_t)BLOCKED_MOST);
    c->blocks++;
    c->breaker.openings++;
    breaker_clear(&c->breaker);
    cell_move(f, s, c, OPER_OPEN, r->why ? r->why : "blocked", now_ms + MAX(ms, r->wait_ms),
              now_ms);
}

/* Of the cell; one that has just come into being saw nothing: its part of the server's last mail.
 */
static struct pace_seen seen_of(const struct fserver *s, const struct cell *c, int64_t now_ms)
{
    struct pace_seen out = {0};
    out.per_s = breaker_rate(&c->breaker, &out.is_known, now_ms);
    if (out.is_known)
        return out;
    double all = breaker_rate(&s->breaker, &out.is_known, now_ms);
    uint32_t n = MIN(s->n_latencies, (uint32_t)LATENCIES), of = 0;
    for (uint32_t i = 0; i < n; i++)
        of += s->carried[i] == (uint16_t)c->provider;
    out.per_s = MAX(out.per_s, n ? all * of / n : 0);
    out.is_known &= of > 2;
    return out;
}

void cells_throttled(struct fleet *f, struct fserver *s, const struct report *r, int64_t now_ms)
{
    struct cell *c = cell_of(f, s, r->provider, now_ms);
    struct pace_seen seen = seen_of(s, c, now_ms);
    char why[160];
    pace_throttle(&c->pace, &seen, r->why ? r->why : "", r->wait_ms, now_ms);
    c->touched_at = now_ms;
    if (c->state != OPER_HEALTHY && c->state != OPER_DEGRADED)
        return;
    pace_words(c->pace, why, sizeof why);
    cell_move(f, s, c, OPER_DEGRADED, why, c->pace->until, now_ms);
}

void cells_excuse(struct fserver *s)
{
    for (uint32_t i = 0; i < s->n_cells; i++)
        if (!is_out(&s->cells[i]))
            breaker_clear(&s->cells[i].breaker);
}

/* ---- time */

static bool is_over(const struct cell *c, int64_t now_ms)
{
    int64_t idle = c->breaker.openings ? CLEAN_MS : IDLE_MS;
    return c->state == OPER_HEALTHY && !c->assigned && !c->pace && now_ms - c->touched_at >= idle;
}

static void tick(struct fleet *f, struct fserver *s, struct cell *c, int64_t now_ms)
{
    enum oper_state was = c->state;
    pace_tick(&c->pace, breaker_rate(&c->breaker, NULL, now_ms), now_ms);
    if (c->state == OPER_OPEN && now_ms >= c->until)
        cell_move(f, s, c, OPER_HALF_OPEN, c->reason, 0, now_ms);
    else if (c->state == OPER_RAMP && now_ms >= c->until)
        cell_move(f, s, c, OPER_HEALTHY, "recovered", 0, now_ms);
    else if (c->state == OPER_DEGRADED && now_ms >= c->until)
        cell_move(f, s, c, OPER_HEALTHY, "recovered", 0, now_ms);
    if (c->state != was)
        f->events.on_ready(f->arg, s->num);
}

void cells_tick(struct fleet *f, struct fserver *s, int64_t now_ms)
{
    for (uint32_t i = s->n_cells; i-- > 0;) {
        tick(f, s, &s->cells[i], now_ms);
        if (is_over(&s->cells[i], now_ms))
            drop(s, &s->cells[i]);
    }
    if (!s->n_cells)
        cells_free(s);
}

/* ---- for its reputation, and from the last run */

void fleet_bar_provider(struct fleet *f, uint16_t num, uint32_t provider, const char *reason,
                        int64_t until, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || until <= now_ms)
        return;
    struct cell *c = cell_of(f, s, provider, now_ms);
    if (c->state == OPER_OPEN)
        c->until = MAX(c->until, until);
    else
        cell_move(f, s, c, OPER_OPEN, reason, until, now_ms);
}

bool fleet_release_cell(struct fleet *f, uint16_t num, uint32_t provider, const char *reason,
                        int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    struct cell *c = s ? find(s, provider) : NULL;
    if (!c || (c->state != OPER_OPEN && c->state != OPER_DEGRADED))
        return false;
    pace_free(&c->pace);
    cell_move(f, s, c, c->state == OPER_OPEN ? OPER_HALF_OPEN : OPER_HEALTHY, reason, 0, now_ms);
    f->events.on_ready(f->arg, num);
    return true;
}

void fleet_restore_cell(struct fleet *f, uint16_t num, uint32_t provider, const char *reason,
                        int64_t until, uint32_t openings, int64_t now_ms)
{
    struct fserver *s = fleet_find(f, num);
    if (!s || find(s, provider))
        return;
    struct cell *c = cell_of(f, s, provider, now_ms);
    c->state = OPER_OPEN;
    c->until = until;
    c->breaker.openings = openings;
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    f->n_cells_out++;
}

/* ---- looking */

size_t fleet_cells(const struct fleet *f, uint16_t num, struct cell_view *out, size_t max)
{
    const struct fserver *s = fleet_find(f, num);
    size_t n = 0;
    for (uint32_t i = 0; s && i < s->n_cells && n < max; i++) {
        const struct cell *c = &s->cells[i];
        if (c->state == OPER_HEALTHY && !c->pace)
            continue;
        struct cell_view *v = &out[n++];
        *v = (struct cell_view){.provider = c->provider,
                                .state = c->state,
                                .until = c->until,
                                .openings = c->breaker.openings,
                                .in_flight = c->assigned,
                                .per_s = c->pace ? c->pace->per_s : 0};
        snprintf(v->reason, sizeof v->reason, "%s", c->reason);
    }
    return n;
}

size_t fleet_cells_closed(const struct fleet *f)
{
    return f->n_cells_out;
}
