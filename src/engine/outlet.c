/* A server at work: its backlog of rendered messages, its connections, and who gets what when. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/check.h"
#include "fleet/glance.h"

#include <stdlib.h>

#define OPENS_PER_SECOND 50
#define BULK_EVERY       20 /* bulk keeps at least a twentieth of a server */
#define PACE_EARLY_MS    50 /* a dot may wait on its connection for the pace of its group ... */
#define PACE_LOOK        32

static void on_timer(void *arg)
{
    outlet_dirty(arg);
}

struct outlet *outlet_new(struct core *c, uint16_t num)
{
    struct outlet *o = alloc_one(struct outlet);
    o->num = num;
    o->core = c;
    for (int l = 0; l < LANE_COUNT; l++)
        list_init(&o->backlog[l]);
    list_init(&o->pace);
    list_init(&o->sessions);
    list_init(&o->dirty);
    o->timer = timer_new(c->loop, on_timer, o);
    return o;
}

void outlet_free(struct outlet **op)
{
    struct outlet *o = *op;
    *op = NULL;
    if (!o)
        return;
    list_each_safe(it, &o->sessions) session_close(list_entry(it, struct session, link));
    list_remove(&o->dirty);
    timer_free(&o->timer);
    if (o->server)
        server_ref_drop(o->server);
    free(o);
}

void outlet_dirty(struct outlet *o)
{
    if (list_empty(&o->dirty))
        list_push_back(&o->core->dirty_outlets, &o->dirty);
}

void outlet_take(struct outlet *o, struct job *j)
{
    j->place = JOB_BACKLOG;
    list_push_back(&o->backlog[j->item->lane], &j->link);
    o->n_backlog++;
    outlet_dirty(o);
}

void outlet_put_back(struct outlet *o, struct job *j)
{
    j->place = JOB_BACKLOG;
    list_push_front(&o->backlog[j->item->lane], &j->link);
    o->n_backlog++;
    outlet_dirty(o);
}

void outlet_remove(struct outlet *o, struct job *j)
{
    list_remove(&j->link);
    o->n_backlog--;
}

void outlet_unpick(struct job *j)
{
    struct outlet *o = j->outlet;
    struct core *c = j->core;
    if (j->place == JOB_BACKLOG)
        outlet_remove(o, j);
    fleet_return(c->fleet, &j->hold, core_steady(c));
    render_forget(j);
    due_add(c, j, true);
}

void outlet_return_backlog(struct outlet *o)
{
    for (int l = 0; l < LANE_COUNT; l++)
        while (!list_empty(&o->backlog[l]))
            outlet_unpick(list_entry(o->backlog[l].prev, struct job, link));
}

void outlet_session_over(struct outlet *o, struct session *s)
{
    list_remove(&s->link);
    o->n_sessions--;
    o->n_connecting -= !s->is_ready;
    outlet_dirty(o);
}

/* What waits in the backlog and is not to go: cancelled, suppressed, expired, paused. */
static bool drop_dead(struct core *c, struct job *j)
{
    bool dead = j->is_cancelled || j->is_suppressed ||
                (j->item->expires_at && core_steady(c) >= j->item->expires_at) ||
                (j->run && j->run->state != RUN_RUNNING);
    if (dead)
        outlet_unpick(j);
    return dead;
}

void outlet_second(struct outlet *o)
{
    for (int l = 0; l < LANE_COUNT; l++)
        list_each_safe(it, &o->backlog[l]) drop_dead(o->core, list_entry(it, struct job, link));
    outlet_dirty(o);
}

/* The first of a lane that can go: one whose group, campaign or provider has no room in its pace
 * now lets others pass, and goes before nobody does only when its dot need not wait long. */
static struct job *head_of(struct outlet *o, enum lane lane)
{
    struct core *c = o->core;
    struct job *soon = NULL;
    int64_t now = core_steady(c);
    uint32_t looked = 0;
    list_each_safe(it, &o->backlog[lane])
    {
        struct job *j = list_entry(it, struct job, link);
        if (drop_dead(c, j))
            continue;
        int64_t at = fleet_pace_at(c->fleet, &j->hold, now);
        if (at <= now)
            return j;
        if (at <= now + PACE_EARLY_MS && !soon)
            soon = j;
        if (++looked == PACE_LOOK)
            break;
    }
    if (!soon && looked)
        timer_at(o->timer, core_boot_of(c, now + PACE_EARLY_MS));
    return soon;
}

/* ---- connections whose dot waits for long: nobody counts on them */

static uint32_t stuck_jobs(const struct outlet *o)
{
    uint32_t n = 0;
    if (!o->n_slow)
        return 0;
    list_each(it, &o->sessions)
    {
        const struct session *s = list_entry(it, struct session, link);
        n += s->is_slow ? s->n_jobs : 0;
    }
    return n;
}

void outlet_tell_stuck(struct outlet *o, bool answered)
{
    fleet_stuck(o->core->fleet, o->num, stuck_jobs(o), answered, core_steady(o->core));
}

static uint32_t max_connections(const struct outlet *o)
{
    return MAX(o->server->server->limits.max_connections, 1u);
}

/* What health allows, beside those that wait; never more than the user does. */
static uint32_t connections_allowed(const struct outlet *o)
{
    uint32_t n = fleet_connections(o->core->fleet, o->num, core_steady(o->core));
    return n ? MIN(n + o->n_slow, max_connections(o)) : 0;
}

/* One is kept free of bulk where transactional mail can come. */
static bool lane_allows(struct outlet *o, enum lane lane, bool same_session)
{
    struct core *c = o->core;
    uint32_t most = fleet_transactions_of(c->fleet, o->num, lane, core_steady(c));
    return most > 0 && o->n_busy < most + same_session + o->n_slow;
}

static struct job *next_job(struct outlet *o, bool same_session)
{
    bool bulk = !list_empty(&o->backlog[LANE_BULK]);
    struct job *j = NULL;
    /* Its turn in twenty stands above the connection that is kept free of it. */
    if (bulk && o->n_high >= BULK_EVERY - 1 && lane_allows(o, LANE_TRANSACTIONAL, same_session))
        return head_of(o, LANE_BULK);
    for (int l = 0; l < LANE_COUNT && !j; l++)
        if (!list_empty(&o->backlog[l]) && lane_allows(o, (enum lane)l, same_session))
            j = head_of(o, (enum lane)l);
    return j;
}

struct job *outlet_head(struct outlet *o)
{
    for (int l = 0; l < LANE_COUNT; l++)
        if (!list_empty(&o->backlog[l]))
            return list_first(&o->backlog[l], struct job, link);
    return NULL;
}

static void give(struct outlet *o, struct session *s, struct job *j)
{
    /* Counted while no bulk waits here too: what comes next of it may be due already. */
    o->n_high = j->item->lane != LANE_BULK ? o->n_high + 1 : 0;
    outlet_remove(o, j);
    session_give(s, j);
}

/* Pace: a transaction whose dot would wait over a second is not begun. */
static bool pace_allows(struct outlet *o)
{
    struct core *c = o->core;
    int64_t now = core_steady(c);
    int64_t when = fleet_dot_at(c->fleet, o->num, o->n_wire, now);
    if (when - now <= 1000)
        return true;
    timer_at(o->timer, core_boot_of(c, when - 1000));
    return false;
}

/* One at a time where the server has yet to prove itself, or not at all. */
static bool health_allows(struct outlet *o, const struct session *s)
{
    struct core *c = o->core;
    uint32_t most = fleet_transactions(c->fleet, o->num, core_steady(c));
    return most > 0 && o->n_busy < most + (s->n_jobs > 0) + o->n_slow &&
           (!fleet_one_at_a_time(c->fleet, o->num) || o->n_wire == stuck_jobs(o));
}

/* A message that met a stale connection wants a fresh one: an idle old one makes room for it. */
static bool make_room(struct outlet *o, struct session *s)
{
    if (s->n_jobs == 0 && o->n_sessions >= connections_allowed(o))
        session_quit(s);
    return true;
}

static bool give_all(struct outlet *o)
{
    struct core *c = o->core;
    bool gave = false;
    list_each_safe(it, &o->sessions)
    {
        struct session *s = list_entry(it, struct session, link);
        while (session_can_take(s)) {
            if (!health_allows(o, s) || !core_may_send(c) || !pace_allows(o))
                return gave;
            struct job *j = next_job(o, s->n_jobs > 0);
            if (!j || (j->stale_once && s->given && make_room(o, s)))
                return gave;
            give(o, s, j);
            gave = true;
        }
    }
    return gave;
}

bool outlet_offer(struct outlet *o, struct session *s)
{
    if (!o->server || !o->n_backlog || !session_can_take(s) || !health_allows(o, s) ||
        !core_may_send(o->core) || !pace_allows(o))
        return false;
    struct job *j = next_job(o, s->n_jobs > 0);
    if (!j || (j->stale_once && s->given))
        return false;
    give(o, s, j);
    return true;
}

static void open_more(struct outlet *o)
{
    struct core *c = o->core;
    int64_t boot = loop_now_ms(c->loop);
    uint32_t allowed = connections_allowed(o);
    while (o->n_backlog > o->n_connecting && o->n_sessions < allowed && core_may_send(c)) {
        if (o->next_open_at > boot + 200) {
            timer_at(o->timer, o->next_open_at);
            return;
        }
        o->next_open_at = MAX(o->next_open_at, boot) + 1000 / OPENS_PER_SECOND;
        if (!session_open(o, false))
            return;
    }
}

static void quit_idle(struct outlet *o)
{
    struct core *c = o->core;
    const struct server *s = o->server->server;
    int64_t boot = loop_now_ms(c->loop);
    bool leave = s->admin != ADMIN_ACTIVE || c->is_stopping || o->is_removed;
    uint32_t allowed = connections_allowed(o);
    list_each_safe(it, &o->sessions)
    {
        struct session *x = list_entry(it, struct session, link);
        bool idle = x->is_ready && x->n_jobs == 0 && !x->quitting;
        bool surplus = allowed && o->n_sessions > allowed;
        if (idle && (leave || surplus || boot - x->idle_since >= IDLE_MS))
            session_quit(x);
    }
}

int64_t outlet_waiting_since(const struct outlet *o)
{
    int64_t oldest = 0;
    list_each(it, &o->sessions)
    {
        const struct session *s = list_entry(it, struct session, link);
        for (uint32_t k = 0; k < s->n_jobs; k++) {
            const struct job *j = s->jobs[k];
            if (j->dot_permitted && (!oldest || j->dot_at < oldest))
                oldest = j->dot_at;
        }
    }
    return oldest;
}

/* After a cut network: TCP may take a minute to find its way again on old connections. One makes
 * room, so that sending goes on at once: one that owes no answer to a dot if there is any. */
void outlet_unstick(struct outlet *o)
{
    struct session *victim = NULL;
    int64_t oldest = INT64_MAX;
    if (o->n_sessions < max_connections(o))
        return;
    list_each(it, &o->sessions)
    {
        struct session *s = list_entry(it, struct session, link);
        int64_t at = s->n_jobs && s->jobs[0]->dot_permitted ? s->jobs[0]->dot_at : 0;
        if (at < oldest) {
            oldest = at;
            victim = s;
        }
    }
    if (victim)
        session_close(victim);
}

/* While the server may carry mail only an idle connection makes room, or, where every one has
 * waited for its dot for a minute, the one that waits longest. */
bool outlet_room_for_probe(struct outlet *o)
{
    struct core *c = o->core;
    struct glance g;
    bool carries = !fleet_in_common_cause(c->fleet) && fleet_glance(c->fleet, o->num, &g) &&
                   (g.state == OPER_HEALTHY || g.state == OPER_DEGRADED || g.state == OPER_RAMP);
    if (carries && o->n_sessions >= max_connections(o) && o->n_slow < o->n_sessions) {
        list_each_safe(it, &o->sessions)
        {
            struct session *s = list_entry(it, struct session, link);
            if (s->n_jobs == 0 && s->is_ready) {
                session_close(s);
                return true;
            }
        }
        return false;
    }
    outlet_unstick(o);
    return true;
}

void outlet_pump(struct outlet *o)
{
    struct core *c = o->core;
    if (!o->server)
        return;
    fleet_waiting(c->fleet, o->num, outlet_waiting_since(o));
    give_all(o);
    open_more(o);
    if (o->n_backlog &&
        (o->is_removed || fleet_transactions(c->fleet, o->num, core_steady(c)) == 0))
        outlet_return_backlog(o);
    quit_idle(o);
}
