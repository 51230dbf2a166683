/* Explaining: the choice that door one would make now, by its own code with nothing taken, and for
 * each server what speaks for or against it. */
#include "fleet/internal.h"

#include <stdio.h>

static void say(const struct fserver *s, struct server_reason *r, const struct limit_bar *bar)
{
    static const char *const words[BOUND_COUNT] = {
        [BOUND_NONE] = "can send",
        [BOUND_BUSY] = "its connections are in use",
        [BOUND_QUOTA] = "its quota is used up",
        [BOUND_ADMIN] = "paused, draining or disabled by the user",
        [BOUND_TRIED] = "tried for this message already",
        [BOUND_FROM] = "may not send this From domain",
        [BOUND_PROVIDER] = "closed for this mailbox provider after its refusals",
        [BOUND_PACE] = "its pace has no room yet",
        [BOUND_RESTING] = "resting",
        [BOUND_ENGAGEMENT] = "warming up: does not take this engagement class yet",
        [BOUND_SIZE] = "does not take a message of this size",
        [BOUND_CHARSET] = "does not offer SMTPUTF8",
        [BOUND_RESERVE] = "what is left of its quota is kept for transactional mail",
        [BOUND_YIELD] = "its mailbox provider puts everybody off: others go first",
        [BOUND_SPREAD] = "its quota is spread evenly over the window"};
    if (r->bound == BOUND_HEALTH)
        snprintf(r->why, sizeof r->why, "%s: %.120s", oper_state_name(s->state), s->reason);
    else if (bar->why[0])
        snprintf(r->why, sizeof r->why, "%s", bar->why);
    else
        snprintf(r->why, sizeof r->why, "%s", words[r->bound]);
}

static void look_at(struct fleet *f, struct place *p, const struct look *k, int64_t now_ms,
                    struct server_reason *r)
{
    struct limit_bar bar;
    *r = (struct server_reason){.server_num = p->server->num, .group_num = p->group->num};
    r->bound = census_bound(f, p, k, now_ms, &bar);
    if (r->bound == BOUND_BUSY && p->state != PLACE_OFF)
        r->bound = dispatch_standing(p, k->ask->lane, now_ms);
    if (r->bound == BOUND_BUSY && p->state == PLACE_IN && p->server->has_ailing &&
        ailing_trial_due(p, k->ask, now_ms)) /* one of a sick provider waits there in front */
        r->bound = BOUND_NONE;
    r->eligible = r->bound == BOUND_NONE;
    say(p->server, r, &bar);
}

static size_t look_at_group(struct fleet *f, const struct fgroup *g, const struct ask *a,
                            int64_t now_ms, struct server_reason *out, size_t max)
{
    struct look k = {a, -1};
    size_t n = 0;
    for (size_t i = 0; i < g->n_places && n < max; i++)
        look_at(f, &g->places[i], &k, now_ms, &out[n++]);
    return n;
}

void fleet_explain(struct fleet *f, const struct ask *a, int64_t now_ms, struct pick *choice_out,
                   struct server_reason *out, size_t max, size_t *n_out)
{
    f->is_dry = true;
    fleet_pick(f, a, now_ms, choice_out);
    f->is_dry = false;
    size_t n = 0;
    struct fgroup *g = fleet_find_group(f, a->group_num);
    if (g)
        n = look_at_group(f, g, a, now_ms, out, max);
    for (size_t i = 0; g && i < g->n_fallbacks; i++) {
        struct fgroup *fb = fleet_find_group(f, g->fallbacks[i]);
        if (fb)
            n += look_at_group(f, fb, a, now_ms, out + n, max - n);
    }
    *n_out = n;
    if (choice_out->kind == PICK_SEND && !choice_out->why[0])
        snprintf(choice_out->why, sizeof choice_out->why, "its turn in the group");
}
