/* The turn of a warming server's day: see warmup_day.h. */
#include "engine/warmup_day.h"
#include "base/log.h"
#include "engine/warmup_plan.h"
#include "store/events.h"
#include "store/hours.h"
#include "store/servers.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_MS    (24 * HOUR_MS)
#define IDLE_DAYS 30

bool warmup_event(struct db *db, struct ids *ids, int64_t now_ms, uint16_t server_num,
                  const char *kind, const char *reason, struct err *e)
{
    char name[128];
    if (!servers_name(db, server_num, name, e))
        return false;
    struct event ev = {.id = ids_next(ids, now_ms),
                       .at = now_ms,
                       .kind = str_of(kind),
                       .subject = str_of(name),
                       .reason = str_of(reason),
                       .data = STR_NONE};
    log_event(LOG_NOTICE, kind, "%s: %s", name, reason);
    return events_append(db, &ev, e);
}

static const struct warmup_curve *curve_of(const struct warmup_plan *p, const char *provider)
{
    if (!*provider)
        return &p->curve;
    for (size_t i = 0; i < p->n_providers; i++)
        if (!strcmp(p->providers[i].name, provider))
            return &p->providers[i].curve;
    return NULL;
}

void warmup_day_caps(const struct warmup_plan *p, bool knows_engagement, struct warmup_row *r)
{
    for (size_t i = 0; i < r->n_lines; i++) {
        const struct warmup_curve *c = curve_of(p, r->lines[i].provider);
        uint32_t day = r->state == WARMUP_IDLE ? 1 : r->lines[i].day;
        r->lines[i].cap = c ? warmup_cap(c, day) : 1;
    }
    r->classes = r->n_lines ? warmup_classes(&p->audience, r->lines[0].day, knows_engagement)
                            : WARMUP_ALL_CLASSES;
}

/* ---- figures */

static struct warmup_figures figures_of(const struct hour_sum *s)
{
    return (struct warmup_figures){.attempts = s->attempts,
                                   .answers = hour_answers(s),
                                   .sent = s->sent,
                                   .hard = s->hard,
                                   .deferred = s->deferred + s->limited,
                                   .blocked = s->blocked,
                                   .complaints = s->complaints};
}

static void take_off(struct warmup_figures *from, const struct warmup_figures *f)
{
    from->answers -= MIN(from->answers, f->answers);
    from->hard -= MIN(from->hard, f->hard);
    from->deferred -= MIN(from->deferred, f->deferred);
    from->blocked -= MIN(from->blocked, f->blocked);
    from->complaints -= MIN(from->complaints, f->complaints);
}

/* The server's own line is judged by the mail of providers that have no line of their own; what it
 * sent is all it sent. Hours in which the day begins or ends count whole. */
static bool look(const struct warmup_turn *t, const struct warmup_row *r,
                 struct warmup_figures out[WARMUP_LINES_MAX], struct err *e)
{
    int64_t since = r->opened_at / HOUR_MS * HOUR_MS;
    for (size_t i = 0; i < MAX(r->n_lines, (size_t)1); i++) {
        const char *provider = i ? r->lines[i].provider : NULL;
        struct hour_sum s;
        if (!hours_sum(t->db, r->server_num, provider, since, t->opened_at, &s, e))
            return false;
        out[i] = figures_of(&s);
        if (i)
            take_off(&out[0], &out[i]);
    }
    return true;
}

/* ---- what follows */

static bool keep_day(const struct warmup_turn *t, const struct warmup_row *r,
                     const struct warmup_line *l, const struct warmup_figures *f,
                     const struct warmup_step *st, struct err *e)
{
    struct warmup_past d = {.server_num = r->server_num,
                            .provider = l->provider,
                            .opened_at = r->opened_at,
                            .day = l->day,
                            .cap = l->cap,
                            .sent = f->sent,
                            .answers = f->answers,
                            .hard = f->hard,
                            .deferred = f->deferred,
                            .blocked = f->blocked,
                            .complaints = f->complaints,
                            .move = st->move,
                            .why = st->why};
    return warmup_add_day(t->db, &d, e);
}

static bool tell_move(const struct warmup_turn *t, const struct warmup_row *r,
                      const struct warmup_line *l, const struct warmup_step *st, struct err *e)
{
    char kind[40], reason[300];
    if (st->move == WARMUP_STAY)
        return true;
    snprintf(kind, sizeof kind, "warmup.%s", warmup_move_name(st->move));
    snprintf(reason, sizeof reason, "%s%s%s", l->provider, *l->provider ? ": " : "", st->why);
    return warmup_event(t->db, t->ids, t->now_ms, r->server_num, kind, reason, e);
}

/* A provider that went through its days stays at its last cap until the server is through. */
static bool turn_line(const struct warmup_turn *t, const struct warmup_plan *p,
                      struct warmup_row *r, size_t i, const struct warmup_figures *f,
                      bool *finished_out, struct err *e)
{
    struct warmup_line *l = &r->lines[i];
    const struct warmup_curve *c = curve_of(p, l->provider);
    struct warmup_step st;
    warmup_judge(&p->gate, c ? c : &p->curve, l->day, f, &st);
    if (r->state != WARMUP_WARMING && (st.move == WARMUP_ADVANCE || st.move == WARMUP_FINISH)) {
        st = (struct warmup_step){.move = WARMUP_STAY, .day = l->day};
        snprintf(st.why, sizeof st.why, "%s", r->why);
    }
    if (i && st.move == WARMUP_FINISH)
        st = (struct warmup_step){.move = WARMUP_STAY, .day = l->day, .why = "its last day"};
    bool ok = keep_day(t, r, l, f, &st, e) && tell_move(t, r, l, &st, e);
    *finished_out |= st.move == WARMUP_FINISH;
    l->day = st.day;
    str_copy(str_of(st.why), l->why, sizeof l->why);
    return ok;
}

static bool turn_lines(const struct warmup_turn *t, const struct warmup_plan *p,
                       struct warmup_row *r, const struct warmup_figures *f, struct err *e)
{
    bool finished = false, ok = true;
    for (size_t i = 0; ok && i < r->n_lines; i++)
        ok = turn_line(t, p, r, i, &f[i], &finished, e);
    if (finished && r->state == WARMUP_WARMING) {
        r->state = WARMUP_FINISHED;
        r->n_lines = 0;
        snprintf(r->why, sizeof r->why, "all days were good");
    }
    return ok;
}

static bool become_idle(const struct warmup_turn *t, struct warmup_row *r, struct err *e)
{
    int64_t since = MAX(r->last_sent_at, r->started_at);
    int64_t days = (t->opened_at - since) / DAY_MS;
    if (r->state == WARMUP_IDLE || r->state == WARMUP_HELD || days < IDLE_DAYS)
        return true;
    snprintf(r->why, sizeof r->why,
             "nothing sent for %lld days: mailbox providers have forgotten it; `warmup start` "
             "begins anew%s",
             (long long)days, r->n_lines ? ", until then the first day's cap holds" : "");
    r->state = WARMUP_IDLE;
    return warmup_event(t->db, t->ids, t->now_ms, r->server_num, "warmup.idle", r->why, e);
}

bool warmup_day_turn(const struct warmup_turn *t, struct err *e)
{
    struct warmup_row r;
    struct warmup_plan *p = NULL;
    struct warmup_figures f[WARMUP_LINES_MAX] = {{0}};
    bool found = false, known = false;
    if (!warmup_get(t->db, t->server_num, &r, &found, e))
        return false;
    bool ok = true;
    if (!found || (r.opened_at && t->opened_at <= r.opened_at))
        goto out;
    ok = warmup_plan_read(r.plan, &p, e) && warmup_knows_engagement(t->db, &known, e);
    if (ok && r.opened_at) {
        ok = look(t, &r, f, e);
        if (ok && f[0].sent)
            r.last_sent_at = r.opened_at;
        ok = ok && turn_lines(t, p, &r, f, e) && become_idle(t, &r, e);
    }
    if (ok) {
        r.opened_at = t->opened_at;
        r.closes_at = t->closes_at;
        warmup_day_caps(p, known, &r);
        ok = warmup_put(t->db, &r, e);
    }
out:
    free(p);
    warmup_row_free(&r);
    return ok;
}
