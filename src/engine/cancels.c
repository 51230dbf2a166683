/* Words of the user to cancel messages that core works on are kept in memory until the message has
 * its end: it may be in a lease that is not in memory, or leave memory for a later attempt. Those
 * whose message is over go here, a bite every ten seconds; the ledger knows which they are. */
#include "engine/state.h"
#include "base/alloc.h"
#include "base/log.h"
#include "store/accept.h"

#include <stdlib.h>

#define KEPT_MS  10000 /* a word is looked at when it is that old */
#define EVERY_MS 10000
#define BITE     500

struct kept {
    uint64_t id;
    int64_t at; /* of the word; it may be said again meanwhile */
    bool is_over;
};

struct look {
    struct ledger_job lj;
    struct core *core;
    size_t n;
    struct kept kept[BITE];
};

static bool look_work(struct ledger_job *lj, struct db *db, struct err *e)
{
    struct look *k = container_of(lj, struct look, lj);
    for (size_t i = 0; i < k->n; i++) {
        struct standing st;
        if (!accept_standing(db, k->kept[i].id, &st, e))
            return false;
        bool at_work = map_u64_get(k->core->claimed, k->kept[i].id) != NULL;
        k->kept[i].is_over = !at_work && (!st.found || message_state_is_final(st.state));
    }
    return true;
}

static void look_done(struct ledger_job *lj)
{
    struct look *k = container_of(lj, struct look, lj);
    struct map_u64 *words = k->core->cancelled;
    if (!lj->ok)
        log_event(LOG_ERROR, "engine.cancels", "%s", lj->error.text);
    for (size_t i = 0; lj->ok && i < k->n; i++) {
        int64_t at = (intptr_t)map_u64_get(words, k->kept[i].id);
        if (k->kept[i].is_over && at == k->kept[i].at)
            map_u64_remove(words, k->kept[i].id);
    }
    free(k);
}

/* The next bite of old words, from where the last one ended. */
static size_t collect(struct core *c, struct kept *out)
{
    int64_t old = core_steady(c) - KEPT_MS;
    size_t n = 0;
    uint64_t id = 0;
    void *at = NULL;
    while (n < BITE && map_u64_next(c->cancelled, &c->cancels_pos, &id, &at))
        if ((intptr_t)at <= old)
            out[n++] = (struct kept){.id = id, .at = (intptr_t)at};
    if (n < BITE)
        c->cancels_pos = 0;
    return n;
}

void cancels_sweep(struct core *c)
{
    int64_t now = loop_now_ms(c->loop);
    if (!c->cancelled || map_u64_count(c->cancelled) == 0 || now < c->cancels_at)
        return;
    c->cancels_at = now + EVERY_MS;
    struct look *k = alloc_one(struct look);
    k->core = c;
    k->n = collect(c, k->kept);
    if (k->n == 0) {
        free(k);
        return;
    }
    k->lj = (struct ledger_job){
        .order = LEDGER_ADMIN, .is_read = true, .work = look_work, .done = look_done};
    ledger_post(c->ledger, &k->lj);
}
