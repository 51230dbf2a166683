/* See revert.h. */
#include "engine/revert.h"

#include "feedback/provider.h"
#include "store/accept.h"
#include "store/suppression.h"

struct collecting {
    uint64_t ids[REVERT_BITE];
    size_t n, seen;
};

static bool collect(void *arg, const struct suppression *s)
{
    struct collecting *k = arg;
    k->seen++;
    if (s->message_id && k->n < REVERT_BITE)
        k->ids[k->n++] = s->message_id;
    return true;
}

static bool standing_of(struct db *db, uint64_t id, struct standing *out, struct err *e)
{
    if (!accept_standing(db, id, out, e))
        return false;
    struct str key = str_of(out->key);
    ptrdiff_t at = str_rchr(key, '@');
    struct str domain = at < 0 ? STR_NONE : str_from_index(key, (size_t)at + 1);
    out->provider =
        provider_name(providers_builtin(), provider_of_domain(providers_builtin(), domain));
    return true;
}

bool revert_bite(struct db *db, struct revert *r, struct err *e)
{
    struct collecting k = {.n = 0};
    r->reverted = r->queued = 0;
    r->more = false;
    if (!suppression_revert(db, r->server_num, r->since, false, r->now, REVERT_BITE, collect, &k,
                            &r->more, e))
        return false;
    r->reverted = k.seen;
    for (size_t i = 0; i < k.n; i++) {
        struct standing st;
        if (!standing_of(db, k.ids[i], &st, e))
            return false;
        if (!st.found || st.in_queue || st.state != MESSAGE_BOUNCED)
            continue;
        if (!accept_again(db, k.ids[i], &st, r->now, r->why, e))
            return false;
        r->queued++;
    }
    return true;
}
