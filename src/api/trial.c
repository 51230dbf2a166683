/* See trial.h. Reads contacts and suppressions; writes nothing. */
#include "api/trial.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/map.h"
#include "store/people.h"
#include "store/suppression.h"

#include <stdlib.h>

struct trial {
    struct db *db;
    enum people_policy policy;
    struct map_u64 *seen;
};

struct trial *trial_new(struct db *db, const char *policy)
{
    struct trial *t = alloc_one(struct trial);
    t->db = db;
    t->seen = map_u64_new();
    if (policy)
        (void)people_policy_parse(policy, &t->policy);
    return t;
}

void trial_free(struct trial **tp)
{
    struct trial *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    map_u64_free(&t->seen);
    free(t);
}

bool trial_look(struct trial *t, const char *key, const char **verdict_out, struct err *e)
{
    struct suppression s;
    struct person p;
    bool is_suppressed = false, is_known = false;
    uint64_t hash = hash_bytes(key, strlen(key), 1);
    struct arena *a = arena_new(1u << 20);
    bool ok = suppression_check(t->db, str_of(key), a, &s, &is_suppressed, e) &&
              people_find(t->db, str_of(key), a, &p, &is_known, e);
    arena_free(&a);
    is_known = is_known || map_u64_get(t->seen, hash);
    map_u64_set(t->seen, hash, t);
    *verdict_out = is_suppressed                ? "suppressed"
                   : !is_known                  ? "imported"
                   : t->policy == PEOPLE_UPDATE ? "updated"
                                                : "skipped";
    return ok;
}
