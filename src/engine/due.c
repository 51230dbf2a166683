/* Ready messages by class, and asking the fleet for each class in turn: highest lane first, classes
 * of a lane by turns. A class that must wait is parked on what bound it and is woken by it. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

#define PICKS_PER_TURN 2000
#define BULK_EVERY     20 /* bulk keeps at least a twentieth */
#define SIZE_SMALL_LOG 20
#define OTHERS_FLOW_MS 1000
#define HOUR_MS        INT64_C(3600000)

/* The domain that a server must be allowed to send from, lower case; "" : the server's own From. */
static void from_domain(const struct job *j, char *out, size_t size)
{
    struct str from = j->run ? str_of(j->run->content ? j->run->content->from_domain : "")
                             : j->item->envelope_from;
    ptrdiff_t at = str_rchr(from, '@');
    str_copy(at < 0 ? from : str_from_index(from, (size_t)at + 1), out, size);
    for (char *p = out; *p; p++)
        *p = ascii_lower(*p);
}

/* Servers differ in what they take by size: one class for each power of two above a megabyte. */
static uint8_t size_log(uint64_t size)
{
    uint8_t log = 0;
    while (log < 40 && (UINT64_C(1) << log) < size)
        log++;
    return log <= SIZE_SMALL_LOG ? 0 : log;
}

static uint64_t size_of(const struct job *j)
{
    return j->blob.n ? j->blob.n : j->item->size;
}

static struct turn *turn_of(struct core *c, enum lane lane, uint32_t group_num)
{
    uint64_t key = (uint64_t)lane << 32 | group_num;
    struct turn *t = map_u64_get(c->turns, key);
    if (t)
        return t;
    t = alloc_one(struct turn);
    list_init(&t->link);
    list_init(&t->owners);
    t->lane = lane;
    t->group_num = group_num;
    map_u64_set(c->turns, key, t);
    return t;
}

static struct owner *owner_of(struct core *c, struct turn *t, uint32_t campaign_num,
                              uint32_t credential_num)
{
    uint64_t who = campaign_num ? (uint64_t)campaign_num << 1 | 1 : (uint64_t)credential_num << 1;
    uint64_t key = hash_u64(who ^ hash_u64((uint64_t)t->lane << 32 | t->group_num));
    struct owner *o = map_u64_get(c->owners, key);
    if (o)
        return o;
    o = alloc_one(struct owner);
    list_init(&o->link);
    list_init(&o->classes);
    o->turn = t;
    o->campaign_num = campaign_num;
    map_u64_set(c->owners, key, o);
    return o;
}

static struct class *class_new(struct core *c, const struct job *j, const char *domain,
                               uint16_t home, uint8_t size)
{
    struct class *k = alloc_one(struct class);
    list_init(&k->link);
    list_init(&k->ready);
    k->lane = j->item->lane;
    k->group_num = j->group_num;
    k->campaign_num = j->item->campaign_num;
    k->credential_num = j->item->credential_num;
    k->provider = j->provider;
    k->home = home;
    k->size_log = size;
    k->needs_utf8 = j->needs_utf8;
    k->is_special = j->n_tried > 0 || j->item->keep_server;
    snprintf(k->from_domain, sizeof k->from_domain, "%s", domain);
    k->owner = owner_of(c, turn_of(c, k->lane, k->group_num), k->campaign_num, k->credential_num);
    return k;
}

static struct class *class_of(struct core *c, struct job *j)
{
    char key[400], domain[256];
    uint16_t home =
        fleet_home(c->fleet, j->group_num, hash_bytes(j->item->key.p, j->item->key.n, 0));
    uint8_t size = size_log(size_of(j));
    from_domain(j, domain, sizeof domain);
    /* What was tried, or must keep its server, stands apart: it may wait where others need not. */
    int n = snprintf(key, sizeof key, "%d/%u/%u/%u/%u/%u/%u/%u/%d/%d/%u/%s/%s", j->item->lane,
                     j->group_num, j->item->campaign_num, j->item->credential_num, j->provider,
                     j->item->keep_server, home, size, j->needs_utf8, j->n_tried > 0,
                     (unsigned)j->engagement, c->n_nearest ? j->country : "", domain);
    struct class *k = map_str_get(c->classes, str_from(key, (size_t)n));
    if (!k) {
        k = class_new(c, j, domain, home, size);
        map_str_set(c->classes, str_from(key, (size_t)n), k);
    }
    return k;
}

/* ---- turns: lane, group, owner (by its credit), class */

static void enter(struct core *c, struct class *k)
{
    struct owner *o = k->owner;
    struct turn *t = o->turn;
    list_push_back(&o->classes, &k->link);
    if (list_empty(&o->link))
        list_push_back(&t->owners, &o->link);
    if (list_empty(&t->link))
        list_push_back(&c->lanes[t->lane], &t->link);
}

static void withdraw(struct class *k)
{
    struct owner *o = k->owner;
    k->is_runnable = false;
    list_remove(&k->link);
    if (list_empty(&o->classes))
        list_remove(&o->link);
    if (list_empty(&o->turn->owners))
        list_remove(&o->turn->link);
}

static void to_end(struct list *of, struct list *n)
{
    list_remove(n);
    list_push_back(of, n);
}

/* A deadline that is near gives a campaign longer turns, up to eight messages. */
static uint32_t credit_of(struct core *c, const struct owner *o)
{
    struct run *r = o->campaign_num ? campaigner_run(c, o->campaign_num) : NULL;
    int64_t left = r && r->deadline ? r->deadline - core_steady(c) : INT64_MAX;
    return left < HOUR_MS ? 8 : left < 6 * HOUR_MS ? 4 : left < 24 * HOUR_MS ? 2 : 1;
}

/* A class has one message a turn, or, by chance, a few: as strict as the servers' own turns, the
 * two could fall in step, and each mailbox provider would be one server's. */
static void next_turn(struct core *c, struct class *k)
{
    struct owner *o = k->owner;
    struct turn *t = o->turn;
    if (k->is_runnable && rand_below(&c->rand, 2))
        to_end(&o->classes, &k->link);
    if (o->credit > 1) {
        o->credit--;
        return;
    }
    o->credit = credit_of(c, o);
    if (!list_empty(&o->link))
        to_end(&t->owners, &o->link);
    if (!list_empty(&t->link))
        to_end(&c->lanes[t->lane], &t->link);
}

static void make_runnable(struct core *c, struct class *k)
{
    heap_remove(&c->parked, &k->parked);
    if (!k->is_runnable && k->n) {
        k->is_runnable = true;
        enter(c, k);
    }
}

static void park(struct core *c, struct class *k, const struct pick *p, int64_t now)
{
    withdraw(k);
    if (!heap_has(&k->parked) && k->bound == BOUND_NONE)
        k->parked_since = now;
    k->bound = p->bound;
    k->bound_server = p->server_num;
    k->free_at = p->free_at;
    snprintf(k->why, sizeof k->why, "%s", p->why);
    heap_rekey(&c->parked, &k->parked, MAX(p->until, now + 1));
}

void due_add(struct core *c, struct job *j, bool first)
{
    if (j->routing_turn != c->routing_turn && routing_job(c, j))
        j->class = NULL;
    if (!j->class || j->n_tried == 1 || j->class->is_special)
        j->class = class_of(c, j);
    j->place = JOB_READY;
    if (first || j->n_tried)
        list_push_front(&j->class->ready, &j->link);
    else
        list_push_back(&j->class->ready, &j->link);
    j->class->n++;
    if (!heap_has(&j->class->parked) || j->n_tried)
        make_runnable(c, j->class);
}

void due_remove(struct core *c, struct job *j)
{
    (void)c;
    check(j->place == JOB_READY);
    list_remove(&j->link);
    j->class->n--;
}

static struct job *find_job(struct core *c, uint64_t message_id)
{
    list_each(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        for (uint32_t i = 0; i < b->lease->n; i++)
            if (b->jobs[i].place != JOB_OVER && b->jobs[i].item->message_id == message_id)
                return &b->jobs[i];
    }
    return NULL;
}

void due_move(struct core *c, uint64_t message_id, uint32_t group_num)
{
    struct job *j = find_job(c, message_id);
    if (!j)
        return;
    j->item->group_num = group_num;
    j->routing_turn = c->routing_turn - 1; /* asked again wherever it is */
    if (j->place != JOB_READY)
        return;
    due_remove(c, j);
    due_add(c, j, false);
}

void due_wake_all(struct core *c)
{
    for (struct heap_node *n = heap_min(&c->parked); n; n = heap_min(&c->parked))
        make_runnable(c, container_of(n, struct class, parked));
}

/* Classes waiting for this server, or for any server of a group: few enough to look at all. */
void due_wake_server(struct core *c, uint16_t num)
{
    for (uint32_t i = 0; i < c->parked.n;) {
        struct class *k = container_of(c->parked.at[i], struct class, parked);
        /* A mailbox provider's trouble ends by time: no need to ask with each message of others. */
        bool mine = k->bound != BOUND_YIELD && k->bound != BOUND_PROVIDER &&
                    (k->bound != BOUND_BUSY || !k->bound_server || k->bound_server == num);
        if (mine)
            make_runnable(c, k); /* the heap moves another one here */
        else
            i++;
    }
}

static bool is_over(struct core *c, struct job *j)
{
    int64_t now = core_steady(c);
    if (j->is_cancelled || (j->run && j->run->state == RUN_OVER)) {
        settle_without_attempt(j, MESSAGE_CANCELLED, "cancelled by the user");
        return true;
    }
    if (j->is_suppressed || j->item->suppressed) {
        settle_without_attempt(j, MESSAGE_SUPPRESSED, "the address is suppressed");
        return true;
    }
    if (poison_holds(c->poison, j->item->message_id)) {
        settle_hold(j,
                    "held by postfleet: the daemon crashed twice while it worked on this message");
        return true;
    }
    if (j->item->expires_at && now >= j->item->expires_at) {
        settle_without_attempt(j, j->item->tries ? MESSAGE_FAILED : MESSAGE_EXPIRED,
                               "its time was over");
        return true;
    }
    return false;
}

/* What the attempt will say of how it came about. */
static void say_why(const struct core *c, struct job *j, const char *picked)
{
    const struct route *rule = c->routing ? routes_get(c->routing->routes, j->route_num) : NULL;
    bool again = j->item->resends > 0;
    snprintf(j->pick_why, sizeof j->pick_why, "%s%s%s%.64s%s%.159s",
             again ? "resend after uncertain" : "", again && (rule || picked[0]) ? "; " : "",
             rule ? "route " : "", rule ? rule->name : "", rule && picked[0] ? ": " : "", picked);
}

static void assign(struct core *c, struct job *j, const struct pick *p)
{
    struct outlet *o = core_outlet(c, p->server_num);
    check(o && o->server);
    due_remove(c, j);
    j->outlet = o;
    j->server = o->server;
    __atomic_add_fetch(&j->server->refs, 1, __ATOMIC_RELAXED);
    j->hold = p->hold;
    j->picked_at = loop_now_ms(c->loop);
    j->lead_at = 0;
    say_why(c, j, p->why);
    o->n_rendering++;
    j->place = JOB_DESK;
    render_start(c, j);
}

/* Messages of the campaign leave, and its audience is not through. */
static bool others_come(const struct core *c, const struct run *r)
{
    return !r->walked && loop_now_ms(c->loop) - r->flowed_at < OTHERS_FLOW_MS;
}

/* False: the class waits now. */
static bool pick_for(struct core *c, struct class *k)
{
    struct job *j = list_first(&k->ready, struct job, link);
    struct pick p;
    if (!j) {
        withdraw(k);
        k->bound = BOUND_NONE;
        return false;
    }
    if (is_over(c, j))
        return true;
    struct ask a = {.group_num = k->group_num,
                    .lane = k->lane,
                    .from_domain = str_of(k->from_domain),
                    .provider = k->provider,
                    .campaign_num = k->campaign_num,
                    .credential_num = k->credential_num,
                    .size = k->size_log ? size_of(j) : 0,
                    .needs_utf8 = k->needs_utf8,
                    .home = k->home,
                    .engagement = j->engagement,
                    .n_tried = MIN(j->n_tried, (uint32_t)FLEET_TRIED_MAX),
                    .keep_server = j->item->keep_server,
                    .others_come = j->run && others_come(c, j->run)};
    memcpy(a.country, j->country, sizeof a.country);
    const struct policy *policy = core_policy(c, k->group_num);
    if (policy) {
        a.prefer = policy->order;
        a.n_prefer = policy->n_order;
    }
    if (a.n_tried)
        memcpy(a.tried, j->tried, a.n_tried * sizeof *a.tried);
    fleet_pick(c->fleet, &a, core_steady(c), &p);
    if (j->n_tried >= FLEET_TRIED_MAX && p.kind == PICK_SEND) { /* enough for one round */
        fleet_return(c->fleet, &p.hold, core_steady(c));
        p.kind = PICK_GIVE_UP;
        p.bound = BOUND_TRIED;
    }
    switch (p.kind) {
    case PICK_SEND:
        if (!p.is_trial) { /* the rest of its kind waits on */
            k->bound = BOUND_NONE;
            k->parked_since = 0;
        }
        assign(c, j, &p);
        return true;
    case PICK_WAIT: park(c, k, &p, core_steady(c)); return false;
    case PICK_GIVE_UP: settle_round_over(j, &p); return true;
    }
    return false;
}

static bool may_pick(struct core *c, const struct class *k)
{
    struct run *r = k->campaign_num ? campaigner_run(c, k->campaign_num) : NULL;
    return !r || r->state != RUN_PAUSED;
}

static void wake_by_time(struct core *c)
{
    int64_t now = core_steady(c);
    for (struct heap_node *n = heap_min(&c->parked); n && n->key <= now; n = heap_min(&c->parked))
        make_runnable(c, container_of(n, struct class, parked));
}

/* The highest lane first, but every twentieth pick is bulk's when it waits. */
static struct class *next_class(struct core *c)
{
    bool bulk = !list_empty(&c->lanes[LANE_BULK]);
    int lane = 0;
    while (lane < LANE_COUNT - 1 && list_empty(&c->lanes[lane]))
        lane++;
    if (bulk && c->n_high >= BULK_EVERY - 1)
        lane = LANE_BULK;
    c->n_high = bulk && lane != LANE_BULK ? c->n_high + 1 : 0;
    struct turn *t = list_first(&c->lanes[lane], struct turn, link);
    struct owner *o = t ? list_first(&t->owners, struct owner, link) : NULL;
    return o ? list_first(&o->classes, struct class, link) : NULL;
}

void due_run(struct core *c)
{
    static const struct pick paused = {.bound = BOUND_ADMIN, .why = "the campaign is paused"};
    wake_by_time(c);
    if (!core_may_send(c))
        return;
    for (uint32_t left = PICKS_PER_TURN; left; left--) {
        struct class *k = next_class(c);
        if (!k)
            return;
        if (!may_pick(c, k)) {
            struct pick p = paused;
            p.until = core_steady(c) + 1000;
            park(c, k, &p, core_steady(c));
        } else if (pick_for(c, k)) {
            next_turn(c, k);
        }
    }
}

void due_sweep(struct core *c)
{
    size_t pos = 0;
    struct str key;
    void *v = NULL;
    while (map_str_next(c->classes, &pos, &key, &v)) {
        struct class *k = v;
        struct run *r = k->campaign_num ? campaigner_run(c, k->campaign_num) : NULL;
        /* No job in memory, so nobody names the class. */
        bool is_over = k->campaign_num && (!r || (r->state == RUN_OVER && r->ready == 0));
        if (!is_over || k->n || k->is_runnable)
            continue;
        heap_remove(&c->parked, &k->parked);
        map_str_remove(c->classes, key);
        free(k);
    }
}
