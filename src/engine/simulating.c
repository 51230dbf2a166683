/* `group simulate` for web: the fleet as it is now is copied on the reactor, the sharing is
 * reckoned on a desk (fleet/simulate.h), once as the group is and, where shares are exact, once
 * with elastic ones: the difference is what exactness costs. Changes nothing. */
#include "engine/foresee.h"
#include "fleet/simulate.h"

#include "base/alloc.h"

#include <stdlib.h>

#define SERVERS_MAX 10000
#define SERVICE_US  50000
#define WAITING_MAX 16
#define MESSAGES    1000

struct sharing { /* belongs to one thread at a time: the reactor, a desk, the reactor */
    struct pool_job job;
    struct link_request *request;
    struct fleet *fleet, *elastic; /* elastic: NULL when the shares are elastic already */
    struct forecast_server *servers;
    char **names;
    size_t n_servers;
    uint32_t group_num;
    enum lane lane;
    uint64_t messages;
    int64_t now;
    json_t *answer;
};

static const char *text(const json_t *args, const char *field)
{
    const char *s = json_string_value(json_object_get(args, field));
    return s ? s : "";
}

static uint32_t group_named(const struct core *c, const char *name)
{
    size_t pos = 0;
    uint64_t num = 0;
    void *v = NULL;
    while (map_u64_next(c->group_names, &pos, &num, &v))
        if (!strcmp(v, name))
            return (uint32_t)num;
    return 0;
}

static void read_servers(struct sharing *x, struct core *c)
{
    uint16_t *nums = alloc_many(uint16_t, SERVERS_MAX);
    size_t n = fleet_servers(x->fleet, nums, SERVERS_MAX);
    x->servers = alloc_many(struct forecast_server, n + 1);
    x->names = alloc_many(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct outlet *o = core_outlet(c, nums[i]);
        const struct server *s = o && o->server ? o->server->server : NULL;
        int64_t us = fleet_service_us(x->fleet, nums[i]);
        x->names[i] = alloc_copy(s ? s->name : "?");
        x->servers[i] = (struct forecast_server){
            .num = nums[i],
            .name = x->names[i],
            .service_us = (us ? us : SERVICE_US) + (s ? s->limits.pause_between_ms * 1000 : 0)};
    }
    x->n_servers = n;
    free(nums);
}

/* ---- on a desk */

static void run(const struct sharing *x, struct fleet *f, bool elastic, struct simulation *out)
{
    struct simulate_in in = {.fleet = f,
                             .ask = {.group_num = x->group_num, .lane = x->lane},
                             .messages = x->messages,
                             .now_ms = x->now,
                             .servers = x->servers,
                             .n_servers = x->n_servers,
                             .elastic = elastic};
    simulate_run(&in, out);
}

static json_t *line(const struct sharing *x, const struct simulation *s, size_t i)
{
    const struct simulate_line *l = &s->lines[i];
    double capacity = (double)MAX(l->most, 1u) * (double)MAX(s->ms, INT64_C(1));
    json_t *j = json_pack("{s:s, s:I, s:f}", "server", x->names[i], "messages", (json_int_t)l->n,
                          "share", s->sent ? (double)l->n / (double)s->sent : 0.0);
    json_object_set_new(j, "planned_share", l->planned < 0 ? json_null() : json_real(l->planned));
    json_object_set_new(j, "busy", json_real(MIN((double)l->busy_ms / capacity, 1.0)));
    json_object_set_new(j, "limited_by", json_string(bound_name(l->bound)));
    json_object_set_new(j, "limited_after_s",
                        l->bound == BOUND_NONE ? json_null()
                                               : json_real((double)l->bound_ms / 1000));
    return j;
}

/* The busiest server is the one that the others wait for. */
static const char *slowest(const struct sharing *x, const struct simulation *s)
{
    double most = 0;
    const char *name = NULL;
    for (size_t i = 0; i < s->n_lines; i++) {
        double busy = (double)s->lines[i].busy_ms / MAX(s->lines[i].most, 1u);
        if (s->lines[i].n && busy > most) {
            most = busy;
            name = x->names[i];
        }
    }
    return name;
}

static void work(struct pool_job *j)
{
    struct sharing *x = container_of(j, struct sharing, job);
    struct simulation s, e = {0};
    run(x, x->fleet, false, &s);
    if (x->elastic)
        run(x, x->elastic, true, &e);
    json_t *lines = json_array(), *first = json_array();
    for (size_t i = 0; i < s.n_lines; i++)
        json_array_append_new(lines, line(x, &s, i));
    for (size_t i = 0; i < s.n_first; i++)
        for (size_t k = 0; k < x->n_servers; k++)
            if (x->servers[k].num == s.first[i])
                json_array_append_new(first, json_string(x->names[k]));
    x->answer = json_pack("{s:I, s:I, s:f, s:o, s:o, s:s}", "messages", (json_int_t)x->messages,
                          "sent", (json_int_t)s.sent, "seconds", (double)s.ms / 1000, "first",
                          first, "by_server", lines, "why", s.why);
    bool same = x->elastic && e.sent == s.sent;
    json_object_set_new(x->answer, "elastic_seconds",
                        same ? json_real((double)e.ms / 1000) : json_null());
    const char *name = slowest(x, &s);
    json_object_set_new(x->answer, "slowest", name ? json_string(name) : json_null());
    simulation_free(&s);
    simulation_free(&e);
}

static void done(struct pool_job *j)
{
    struct sharing *x = container_of(j, struct sharing, job);
    struct err e;
    err_set(&e, ERR_LATER, "the daemon is stopping: try again in a few seconds");
    link_answer(x->request, x->answer ? link_answer_ok(x->answer) : link_answer_error(&e));
    fleet_free(&x->fleet);
    fleet_free(&x->elastic);
    for (size_t i = 0; i < x->n_servers; i++)
        free(x->names[i]);
    free(x->names);
    free(x->servers);
    free(x);
}

static bool read_args(struct core *c, const json_t *args, struct sharing *x, struct err *e)
{
    const char *stream = text(args, "stream");
    json_int_t n = json_integer_value(json_object_get(args, "messages"));
    x->group_num = group_named(c, text(args, "group"));
    x->messages = n > 0 ? (uint64_t)n : MESSAGES;
    x->lane = LANE_BULK;
    if (!x->group_num)
        return err_set(e, ERR_NOT_FOUND, "there is no group \"%.100s\"", text(args, "group"));
    if (x->messages > SIMULATE_MESSAGES_MAX)
        return err_set(e, ERR_INVALID, "messages: at most %d", SIMULATE_MESSAGES_MAX);
    return !*stream || lane_parse(stream, &x->lane) ||
           err_set(e, ERR_INVALID, "stream: one of transactional, priority, bulk");
}

void simulating_start(struct core *c, struct link_request *r)
{
    struct err e;
    if (!c->looks)
        c->looks = pool_new(c->loop, 1);
    struct sharing *x = alloc_one(struct sharing);
    bool ok = read_args(c, r->args, x, &e);
    if (ok && pool_pending(c->looks) >= WAITING_MAX)
        ok = err_set(&e, ERR_LATER, "others are looking already: try again in a few seconds");
    if (!ok) {
        link_answer(r, link_answer_error(&e));
        free(x);
        return;
    }
    x->request = r;
    x->now = core_steady(c);
    x->fleet = fleet_copy(c->fleet, &x->group_num, 1, x->now);
    x->elastic = fleet_copy(c->fleet, &x->group_num, 1, x->now);
    read_servers(x, c);
    x->job.work = work;
    x->job.done = done;
    pool_submit(c->looks, &x->job);
}
