/* A server's place on the heap of its group: leaving it with the reason, and coming back at the
 * group's time, by an event or when the time for which it left is over. */
#include "fleet/internal.h"

void place_leave(struct fleet *f, struct place *p, enum bound why, int64_t until)
{
    if (p->state == PLACE_IN) {
        p->finish = p->node.key;
        heap_remove(&p->tier->heap, &p->node);
    }
    p->group->n_passed -= p->state == PLACE_PASSED;
    p->group->n_passed += why == BOUND_BUSY;
    p->state = why == BOUND_BUSY ? PLACE_PASSED : PLACE_OFF;
    p->off_bound = why;
    p->off_until = until;
    memset(p->owed_since, 0, sizeof p->owed_since);
    heap_remove(&f->wake, &p->wake);
    if (until != INT64_MAX)
        heap_add(&f->wake, &p->wake, until);
}

void place_return(struct fleet *f, struct place *p)
{
    if (p->state == PLACE_IN)
        return;
    heap_remove(&f->wake, &p->wake);
    p->group->n_passed -= p->state == PLACE_PASSED;
    p->finish = strategy_has_key(p->group) ? strategy_key(p) : MAX(p->finish, p->tier->vtime);
    p->state = PLACE_IN;
    memset(p->owed_since, 0, sizeof p->owed_since);
    heap_add(&p->tier->heap, &p->node, p->finish);
}

void server_wake(struct fleet *f, struct fserver *s)
{
    list_each(it, &s->places)
    {
        struct place *p = list_entry(it, struct place, link);
        /* What it is owed goes on from where it began, until it takes a message: it may be free for
         * a higher lane only. */
        if (p->state != PLACE_IN)
            place_return(f, p);
    }
    f->events.on_ready(f->arg, s->num);
}

void place_return_by_time(struct fleet *f, int64_t now_ms)
{
    for (struct heap_node *n = heap_min(&f->wake); n && n->key <= now_ms; n = heap_min(&f->wake)) {
        struct place *p = container_of(n, struct place, wake);
        place_return(f, p);
    }
}
