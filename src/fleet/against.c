/* What speaks against a server for one message: tried, From, size, characters, engagement, cells,
 * limits of its own kind. What speaks against it for all messages is in dispatch.c. */
#include "fleet/internal.h"

#include <stdio.h>

static bool was_tried(const struct ask *a, uint16_t num)
{
    for (uint32_t i = 0; i < a->n_tried; i++)
        if (a->tried[i] == num)
            return true;
    return false;
}

static bool may_send_from(const struct fserver *s, struct str domain)
{
    if (s->n_from_domains == 0)
        return true;
    for (size_t i = 0; i < s->n_from_domains; i++)
        if (str_is(domain, s->from_domains[i]))
            return true;
    return false;
}

static enum bound against_ability(const struct fserver *s, const struct ask *a)
{
    if (s->max_size && a->size > s->max_size)
        return BOUND_SIZE;
    if (a->needs_utf8 && s->lacks_utf8)
        return BOUND_CHARSET;
    if (s->engagement && !(s->engagement & 1u << a->engagement))
        return BOUND_ENGAGEMENT;
    return BOUND_NONE;
}

static enum bound against_limits(struct fleet *f, const struct place *p, const struct ask *a,
                                 int64_t now_ms, struct limit_bar *out)
{
    struct hold h = {
        .server_num = p->server->num, .lane = (uint8_t)a->lane, .provider = a->provider};
    return limits_allow(f, &h, LIMITS_OF_SERVER, now_ms, out) ? BOUND_NONE : out->bound;
}

enum bound against(struct fleet *f, const struct place *p, const struct look *k, int64_t now_ms,
                   struct limit_bar *out)
{
    struct fserver *s = p->server;
    const struct ask *a = k->ask;
    out->until = INT64_MAX;
    out->why[0] = 0;
    if (was_tried(a, s->num))
        return BOUND_TRIED;
    if (!may_send_from(s, a->from_domain) || bars_closed(s, a->from_domain, now_ms, &out->until))
        return BOUND_FROM;
    enum bound b = against_ability(s, a);
    if (b != BOUND_NONE)
        return b;
    if (s->n_cells && (b = cells_against(s, a->provider, now_ms, out)) != BOUND_NONE)
        return b;
    if (s->has_ailing && ailing_holds(p, a, now_ms, out))
        return BOUND_YIELD;
    return against_limits(f, p, a, now_ms, out);
}
