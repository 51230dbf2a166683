/* `log patterns`: the replies of attempts that were not accepted, by shape. Walks the newest
 * attempts first, at most ROWS_MAX of them, into a bounded collection (feedback/shape). A kind is
 * new when its first reply is younger than NEW_MS and the walk looked further back than that; the
 * walk therefore reaches BEFORE_MS back, however short the span asked for. */
#include "base/alloc.h"
#include "engine/look.h"
#include "engine/state.h"
#include "feedback/explain.h"
#include "feedback/shape.h"
#include "store/trouble.h"

#include <stdlib.h>

#define ROWS_MAX    200000
#define LOOKUPS_MAX 4000
#define DAY_MS      (INT64_C(24) * 3600 * 1000)
#define NEW_MS      DAY_MS
#define BEFORE_MS   (7 * DAY_MS)
#define LIMIT       100
#define LIMIT_MAX   SHAPES_MAX

struct walking {
    const struct look *look;
    struct shapes *shapes;
    int64_t since;
    uint64_t counted, lookups;
    bool failed;
    struct err *e;
};

static bool add_provider(struct walking *w, struct shape *k, uint64_t message_id)
{
    char to[400];
    if (k->lookups >= SHAPE_LOOKUPS_MAX || w->lookups >= LOOKUPS_MAX)
        return true;
    w->lookups++;
    if (!trouble_recipient(w->look->db, message_id, to, sizeof to, w->e))
        return false;
    ptrdiff_t at = str_rchr(str_of(to), '@');
    if (at >= 0)
        shape_add_provider(
            k, provider_of_domain(providers_builtin(), str_from_index(str_of(to), (size_t)at + 1)));
    return true;
}

static bool on_row(void *arg, const struct trouble_row *r)
{
    struct walking *w = arg;
    struct sighting x = look_sighting(r);
    x.counts = r->a.at >= w->since;
    struct shape *k = shapes_add(w->shapes, &x);
    w->counted += x.counts;
    w->failed = k && x.counts && !add_provider(w, k, r->a.message_id);
    return !w->failed;
}

static json_t *servers_of(struct walking *w, const struct shape *k)
{
    json_t *all = json_array();
    char name[200];
    for (uint32_t i = 0; i < k->n_servers; i++)
        if (trouble_server_name(w->look->db, k->servers[i], name, sizeof name, w->e) && name[0])
            json_array_append_new(all, json_string(name));
    return all;
}

static json_t *providers_of(const struct shape *k)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < k->n_providers; i++)
        json_array_append_new(all,
                              json_string(provider_name(providers_builtin(), k->providers[i])));
    return all;
}

static json_t *text(const char *s)
{
    json_t *j = json_string(s);
    return j ? j : json_string("(not UTF-8)");
}

static json_t *pattern_json(struct walking *w, const struct shape *k, bool knows_before)
{
    char first[32], last[32];
    struct explanation x = explain_find(explain_builtin(), str_of(k->rule), k->verdict);
    clock_format(k->first_at, first);
    clock_format(k->last_at, last);
    json_t *j = json_pack(
        "{s:o,s:I,s:s,s:o,s:s,s:o,s:o,s:o,s:b,s:o,s:s,s:s,s:s,s:s,s:o}", "shape", text(k->text),
        "count", (json_int_t)k->count, "verdict", verdict_name(k->verdict), "rule", text(k->rule),
        "phase", phase_name(k->phase), "code", k->code ? json_integer(k->code) : json_null(),
        "enhanced", k->enhanced[0] ? text(k->enhanced) : json_null(), "servers", servers_of(w, k),
        "more_servers", k->servers_more, "providers", providers_of(k), "first_at", first, "last_at",
        last, "means", x.means, "do", x.advice, "sample", text(k->sample));
    bool is_new = k->first_at > w->look->now - NEW_MS;
    json_object_set_new(j, "new", is_new && !knows_before ? json_null() : json_boolean(is_new));
    return j;
}

static json_t *answer(struct walking *w, uint64_t looked, uint64_t limit, bool knows_before)
{
    size_t n = 0;
    char since[32];
    const struct shape **all = shapes_sorted(w->shapes, &n);
    json_t *data = json_array();
    clock_format(w->since, since);
    for (size_t i = 0; i < n && i < limit; i++)
        json_array_append_new(data, pattern_json(w, all[i], knows_before));
    free(all);
    return json_pack("{s:o,s:n,s:b,s:s,s:I,s:I,s:I,s:b,s:I}", "data", data, "next", "has_more",
                     n > limit, "since", since, "replies", (json_int_t)w->counted, "patterns",
                     (json_int_t)n, "looked_at", (json_int_t)looked, "complete", looked < ROWS_MAX,
                     "left_out", (json_int_t)shapes_left_out(w->shapes));
}

/* Where the walk ended early, nobody knows whether the oldest kinds are older still. */
static bool reaches_before(const struct walking *w, uint64_t looked, int64_t oldest)
{
    return looked < ROWS_MAX || oldest < w->look->now - NEW_MS;
}

static int64_t oldest_of(const struct shapes *s)
{
    size_t n = 0;
    int64_t oldest = INT64_MAX;
    const struct shape **all = shapes_sorted(s, &n);
    for (size_t i = 0; i < n; i++)
        oldest = MIN(oldest, all[i]->first_at);
    free(all);
    return oldest;
}

bool look_patterns(const struct look *l, json_t **data_out, struct err *e)
{
    struct walking w = {.look = l, .e = e};
    struct trouble_ask ask = {.until = INT64_MAX, .limit = ROWS_MAX};
    const char *server = json_string_value(json_object_get(l->args, "server"));
    json_int_t limit = json_integer_value(json_object_get(l->args, "limit"));
    uint64_t looked = 0;
    if (!look_since(l->args, "since", l->now, DAY_MS, &w.since, e) ||
        (server && !trouble_server_num(l->db, server, &ask.server_num, e)))
        return false;
    ask.since = MIN(w.since, l->now - BEFORE_MS);
    w.shapes = shapes_new();
    bool ok = trouble_walk(l->db, &ask, on_row, &w, &looked, e) && !w.failed;
    if (ok)
        *data_out = answer(&w, looked, limit > 0 ? (uint64_t)MIN(limit, LIMIT_MAX) : LIMIT,
                           reaches_before(&w, looked, oldest_of(w.shapes)));
    shapes_free(&w.shapes);
    return ok;
}
