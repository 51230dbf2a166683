/* How much of the queue and of campaigns is in memory, and what leaves it again. The lanes share it
 * so that no lane below can fill it for one above. A campaign has an eighth; what of it waits on
 * something (a sick mailbox provider, a limit) makes room there for what could go: as long as its
 * audience is not through its leases are set aside, which costs no row; then messages wait in the
 * queue. Decides nothing about sending. */
#include "engine/state.h"
#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

#define RUN_ROOM       (READY_MAX / 8)
#define FLOWS_MS       10000 /* a campaign that sent within this time flows */
#define PARKED_LONG_MS 1000  /* a class that waits for longer is not what the campaign waits for */
#define POSTPONE_MS    60000
#define POSTPONE_BITE  500
#define ASIDE_EVERY_MS 100   /* between two looks at what can be set aside */
#define ASIDE_BACK_MS  60000 /* some of what is aside is looked at again so often: */
#define ASIDE_BACK     16    /* leases */

/* The memory that a lane's claims may fill, the lanes below included. */
uint32_t room_of_queue(enum lane lane)
{
    static const uint32_t room[LANE_COUNT] = {[LANE_TRANSACTIONAL] = READY_MAX,
                                              [LANE_PRIORITY] = READY_MAX / 4 * 3,
                                              [LANE_BULK] = READY_MAX / 2};
    return room[lane];
}

uint32_t room_of_slices(enum lane lane)
{
    return lane == LANE_BULK ? READY_MAX / 8 * 5 : READY_MAX / 4 * 3;
}

static bool waits_long(const struct class *k, int64_t now, int64_t ms)
{
    return k->bound != BOUND_BUSY && now - k->parked_since > ms;
}

/* Messages of a campaign in memory that wait on something, while others of it flow. */
static uint32_t parked_of(const struct core *c, const struct run *r)
{
    uint32_t n = 0;
    int64_t now = core_steady(c);
    if (loop_now_ms(c->loop) - r->flowed_at > FLOWS_MS)
        return 0;
    for (uint32_t i = 0; i < c->parked.n; i++) {
        const struct class *k = container_of(c->parked.at[i], struct class, parked);
        if (k->campaign_num == r->num && waits_long(k, now, PARKED_LONG_MS))
            n += k->n;
    }
    return n;
}

/* ---- leases set aside */

void room_set_aside(struct run *r, uint64_t first_id)
{
    if (r->n_aside_leases == r->cap_aside_leases) {
        r->cap_aside_leases = MAX(r->cap_aside_leases * 2, (size_t)16);
        r->aside_leases =
            alloc_resize(r->aside_leases, r->cap_aside_leases * sizeof *r->aside_leases);
    }
    r->aside_leases[r->n_aside_leases++] = first_id;
}

/* All that is left of it waits, and for so long; none of its outcomes is under way: the ledger
 * borrows its strings. */
static bool box_is_idle(const struct box *b, int64_t now, int64_t ms)
{
    if (!b->lease->campaign_num || b->pending || b->left == 0)
        return false;
    for (uint32_t i = 0; i < b->lease->n; i++) {
        const struct job *j = &b->jobs[i];
        bool parked = j->place == JOB_READY && j->n_tried == 0 && heap_has(&j->class->parked) &&
                      waits_long(j->class, now, ms);
        if (j->place != JOB_OVER && !parked)
            return false;
    }
    return true;
}

static void give_back(struct core *c, struct run *r, struct box *b)
{
    for (uint32_t i = 0; i < b->lease->n; i++) {
        struct job *j = &b->jobs[i];
        if (j->place != JOB_READY)
            continue;
        due_remove(c, j);
        free(j->tried);
        c->n_ready--;
        r->ready--;
    }
    room_set_aside(r, b->lease->first_id);
    campaigner_box_free(b);
}

/* The rest of the audience could go: what waits leaves memory until half of it is free. */
static void set_aside(struct core *c, struct run *r)
{
    int64_t now = core_steady(c), boot = loop_now_ms(c->loop);
    if (boot < r->aside_look_at)
        return;
    r->aside_look_at = boot + ASIDE_EVERY_MS;
    list_each_safe(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        if (r->ready <= RUN_ROOM / 2)
            return;
        if (b->lease->campaign_num == r->num && box_is_idle(b, now, PARKED_LONG_MS))
            give_back(c, r, b);
    }
}

bool room_is_enough(struct core *c, struct run *r)
{
    if (r->ready < READY_LOW)
        return false;
    uint32_t waiting = parked_of(c, r);
    if (r->ready - MIN(r->ready, waiting) >= READY_LOW)
        return true;
    if (r->ready >= RUN_ROOM / 4 * 3 && !r->walked)
        set_aside(c, r);
    return r->ready >= RUN_ROOM;
}

/* What they wait for may be over without a message of theirs in memory to show it. */
static void look_again(struct core *c, struct run *r)
{
    int64_t boot = loop_now_ms(c->loop);
    if (r->n_aside_leases == 0 || boot - r->aside_back_at < ASIDE_BACK_MS)
        return;
    r->aside_back_at = boot;
    for (int i = 0; i < ASIDE_BACK && r->n_aside_leases; i++)
        campaigner_park_lease(r, r->aside_leases[--r->n_aside_leases]);
}

/* ---- messages that wait in the queue instead */

/* One class fills the campaign's share of memory and the others could go on: the longest parked
 * messages of it wait in the queue instead. */
static void postpone_class(struct class *k, int64_t due)
{
    uint32_t left = POSTPONE_BITE;
    char why[256];
    snprintf(why, sizeof why, "%s", k->why);
    list_each_safe(it, &k->ready)
    {
        if (left-- == 0)
            return;
        settle_postpone(list_entry(it, struct job, link), due, why);
    }
}

static void make_room(struct core *c, const struct run *r)
{
    struct class *most = NULL;
    int64_t now = core_steady(c);
    if (r->ready < RUN_ROOM || parked_of(c, r) < RUN_ROOM / 2)
        return;
    for (uint32_t i = 0; i < c->parked.n; i++) {
        struct class *k = container_of(c->parked.at[i], struct class, parked);
        if (k->campaign_num == r->num && waits_long(k, now, PARKED_LONG_MS) &&
            (!most || k->n > most->n))
            most = k;
    }
    if (most)
        postpone_class(most, MAX(most->free_at, now + POSTPONE_MS));
}

/* Single messages that none of their servers takes fill the memory of the queue: what is behind
 * them in the database could go. They come back in a minute, whatever changes until then. */
static void make_room_for_queue(struct core *c)
{
    struct class *most = NULL;
    int64_t now = core_steady(c);
    uint32_t parked = 0;
    if (c->n_ready < room_of_queue(LANE_BULK) / 4 * 3)
        return;
    for (uint32_t i = 0; i < c->parked.n; i++) {
        struct class *k = container_of(c->parked.at[i], struct class, parked);
        if (k->campaign_num || !waits_long(k, now, PARKED_MAX_MS))
            continue;
        parked += k->n;
        most = most && most->n >= k->n ? most : k;
    }
    if (parked >= room_of_queue(LANE_BULK) / 2)
        postpone_class(most, now + POSTPONE_MS);
}

static void make_room_for_all(struct core *c)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *r = NULL;
    while (map_u64_next(c->runs, &pos, &num, &r)) {
        look_again(c, r);
        make_room(c, r);
    }
}

void room_second(struct core *c)
{
    int64_t now = core_steady(c);
    make_room_for_all(c);
    if (c->n_ready < READY_MAX / 8)
        return;
    make_room_for_queue(c);
    list_each_safe(it, &c->boxes)
    {
        struct box *b = list_entry(it, struct box, link);
        struct run *r = campaigner_run(c, b->lease->campaign_num);
        if (r && box_is_idle(b, now, PARKED_MAX_MS))
            give_back(c, r, b);
    }
}
