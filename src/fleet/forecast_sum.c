/* The account of a forecast: what left by whom each day, and which limit stood against it for how
 * long. Limits are looked at some thousand times over the whole of it, not at every event. */
#include "base/alloc.h"
#include "fleet/forecast_inner.h"

#include <stdio.h>
#include <stdlib.h>

#define DAY_MS      INT64_C(86400000)
#define SAMPLES_MAX 2000
#define NAMED_MAX   3 /* limits that a bottleneck names */

void sum_sent(struct virtual *v, struct vserver *s, uint64_t n)
{
    struct forecast_by_server *b = s->sum;
    int64_t day = (virtual_ms(v) + v->in->wall_offset_ms) / DAY_MS - v->out->first_day;
    size_t at = (size_t)MAX(day, INT64_C(0));
    if (at >= b->n_days) {
        b->days = alloc_resize(b->days, (at + 1) * sizeof *b->days);
        memset(b->days + b->n_days, 0, (at + 1 - b->n_days) * sizeof *b->days);
        b->n_days = at + 1;
    }
    b->days[at] += n;
    b->sent += n;
    v->out->sent += n;
    if (!v->in->deadline_ms || virtual_ms(v) < v->in->deadline_ms)
        v->out->by_deadline += n;
}

/* ---- what stands against it */

static void add(struct virtual *v, const char *text, int64_t ms)
{
    struct forecast *o = v->out;
    for (size_t i = 0; i < o->n_limits; i++)
        if (!strcmp(o->limits[i].text, text)) {
            o->limits[i].ms += ms;
            return;
        }
    o->limits = alloc_resize(o->limits, (o->n_limits + 1) * sizeof *o->limits);
    o->limits[o->n_limits] = (struct forecast_limit){.ms = ms};
    snprintf(o->limits[o->n_limits++].text, sizeof o->limits->text, "%s", text);
}

static char *grouped(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n), at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = 0;
    return out;
}

static const struct vclass *largest(const struct virtual *v)
{
    const struct vclass *best = NULL;
    for (size_t i = 0; i < v->in->n_classes; i++) {
        const struct vclass *k = &v->classes[i];
        if (k->of->campaign == 0 && k->left && (!best || k->left > best->left))
            best = k;
    }
    return best;
}

/* A limit over all servers. False: none stands against it. */
static bool over_all(struct virtual *v, const struct vclass *k, char *text, size_t size)
{
    struct limit_bar bar;
    struct hold h = {.lane = (uint8_t)k->of->lane,
                     .group_num = k->of->group_num,
                     .campaign_num = k->of->campaign_num,
                     .provider = k->of->provider};
    if (limits_allow(v->fleet, &h, LIMITS_OF_MESSAGE | 1u << LIMIT_GROUP, virtual_ms(v), &bar))
        return false;
    bool of_provider = str_starts(str_of(bar.why), STR("provider"));
    snprintf(text, size, "%s%s%.120s", of_provider ? k->of->provider_name : "",
             of_provider ? ": mailbox " : "", bar.why);
    return true;
}

static const char *window_words(enum quota_window w)
{
    static const char *const words[QUOTA_WINDOWS] = {"a second", "a minute", "an hour", "a day",
                                                     "a month"};
    return words[w];
}

static void say_pace(const struct vserver *s, char *text, size_t size)
{
    const struct quota *q = &s->server->quota;
    uint64_t second = q->lines[QUOTA_SECOND].limit, minute = q->lines[QUOTA_MINUTE].limit;
    bool by_minute = minute && (!second || minute < second * 60);
    char n[32];
    if (second || minute)
        snprintf(text, size, "%s: %s %s", s->of->name, grouped(by_minute ? minute : second, n),
                 window_words(by_minute ? QUOTA_MINUTE : QUOTA_SECOND));
    else
        snprintf(text, size, "%s: a pace beside its own", s->of->name);
}

static void say_connections(const struct vserver *s, char *text, size_t size)
{
    snprintf(text, size, "%s: %u connections at %.1f ms a message", s->of->name,
             s->server->limits.max_connections, (double)s->of->service_us / 1000);
}

/* "" when nothing stands against it: it has nothing to do. */
static void of_server(struct virtual *v, struct vserver *s, const struct vclass *k, char *text,
                      size_t size)
{
    struct limit_bar bar;
    enum quota_window w = QUOTA_HOUR;
    int64_t now = virtual_ms(v), when = 0;
    char n[32];
    struct hold h = {
        .server_num = s->of->num, .lane = (uint8_t)k->of->lane, .provider = k->of->provider};
    *text = 0;
    enum quota_bar b = quota_may_reserve(&s->server->quota, k->of->lane, now, &when, &w);
    if (s->server->admin != ADMIN_ACTIVE)
        snprintf(text, size, "%s: %s", s->of->name, admin_state_name(s->server->admin));
    else if (!health_may_send(s->server, now))
        snprintf(text, size, "%s: %s", s->of->name, oper_state_name(s->server->state));
    else if (b != QUOTA_FREE)
        snprintf(text, size, "%s: %s %s%s", s->of->name,
                 grouped(s->server->quota.lines[w].limit, n), window_words(w),
                 b == QUOTA_SPREAD     ? ", spread evenly"
                 : b == QUOTA_RESERVED ? ", less the reserve for transactional mail"
                                       : "");
    else if (!limits_allow(v->fleet, &h, LIMITS_OF_SERVER, now, &bar))
        snprintf(text, size, "%s: %.110s", s->of->name,
                 str_starts(str_of(bar.why), STR("warm-up")) ? "the cap of its warm-up" : bar.why);
    else if (heap_has(&s->pace))
        say_pace(s, text, size);
    else if (s->n_busy && s->n_busy >= fleet_transactions(v->fleet, s->of->num, now))
        say_connections(s, text, size);
}

static void sample(struct virtual *v, int64_t ms)
{
    char text[200];
    const struct vclass *k = largest(v);
    if (!k)
        return;
    if (over_all(v, k, text, sizeof text)) {
        add(v, text, ms);
        return;
    }
    for (size_t i = 0; i < v->in->n_servers; i++) {
        if (!v->servers[i].server)
            continue;
        of_server(v, &v->servers[i], k, text, sizeof text);
        if (*text)
            add(v, text, ms);
    }
}

void sum_pass(struct virtual *v, int64_t to_us)
{
    int64_t passed = to_us - v->sampled_us;
    if (passed < v->sample_step_us || passed <= 0)
        return;
    if (++v->n_samples % SAMPLES_MAX == 0)
        v->sample_step_us =
            MAX(v->sample_step_us * 2, (to_us - v->in->now_ms * 1000) / SAMPLES_MAX);
    sample(v, passed / 1000);
    v->sampled_us = to_us;
}

/* ---- the end */

static int by_time(const void *a, const void *b)
{
    const struct forecast_limit *x = a, *y = b;
    return x->ms < y->ms ? 1 : x->ms > y->ms ? -1 : strcmp(x->text, y->text);
}

/* Those that stood against it for at least half as long as the first. */
static void say_bottleneck(struct forecast *o)
{
    size_t at = 0, n = 0;
    for (size_t i = 0; i < o->n_limits && i < NAMED_MAX; i++) {
        if (o->limits[i].ms * 2 < o->limits[0].ms)
            break;
        at += (size_t)snprintf(o->bottleneck + at, sizeof o->bottleneck - at, "%s%.110s",
                               n++ ? "; " : "", o->limits[i].text);
    }
    if (!n)
        snprintf(o->bottleneck, sizeof o->bottleneck, "nothing");
}

/* What those that never leave wait for. */
static void say_stuck(struct virtual *v)
{
    const struct vclass *k = largest(v);
    struct pick p;
    if (!k)
        return;
    virtual_pick(v, k, &p);
    if (p.kind == PICK_SEND) {
        fleet_return(v->fleet, &p.hold, virtual_ms(v));
        return;
    }
    v->out->stuck_group = k->of->group_num;
    snprintf(v->out->stuck, sizeof v->out->stuck, "%s", p.why);
}

void sum_end(struct virtual *v)
{
    struct forecast *o = v->out;
    if (!o->ends)
        say_stuck(v);
    if (o->n_limits)
        qsort(o->limits, o->n_limits, sizeof *o->limits, by_time);
    say_bottleneck(o);
}
