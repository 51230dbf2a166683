/* Forecasts, see foresee.h: what is copied on the reactor, and the way over a desk. */
#include "engine/foresee.h"
#include "base/alloc.h"
#include "feedback/provider.h"

#include <stdio.h>
#include <stdlib.h>

#define WAITING_MAX   16
#define SERVERS_MAX   65535
#define CLASSES_MAX   512 /* of a campaign; what is more joins one that is alike */
#define DAYS          35  /* of a calendar with its zone; beyond it every 24 hours */
#define MONTHS        3
#define CALENDARS_MAX 8
#define SERVICE_US    100000 /* a message on a connection where nothing was measured ... */
#define LOOPBACK_US   2000   /* ... and on this machine */

static json_int_t number(const json_t *j, const char *key)
{
    return json_integer_value(json_object_get(j, key));
}

static const char *text(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

/* ---- what is to be sent */

static struct forecast_class *class_like(struct foresight *x, size_t first,
                                         const struct forecast_class *k)
{
    struct forecast_class *near = NULL;
    for (size_t i = first; i < x->n_classes; i++) {
        struct forecast_class *o = &x->classes[i];
        if (o->group_num != k->group_num || o->provider != k->provider)
            continue;
        near = o;
        if (o->engagement == k->engagement && !strcmp(o->country, k->country))
            return o;
    }
    return x->n_classes - first >= CLASSES_MAX ? near : NULL;
}

static void add_class(struct foresight *x, size_t first, const struct forecast_class *k)
{
    struct forecast_class *o = class_like(x, first, k);
    if (o) {
        o->n += k->n;
        return;
    }
    x->classes = alloc_resize(x->classes, (x->n_classes + 1) * sizeof *x->classes);
    x->classes[x->n_classes++] = *k;
}

static uint32_t group_of(struct core *c, const json_t *campaign, const json_t *part,
                         const struct forecast_class *k)
{
    struct route_choice choice;
    struct route_facts f = {.lane = k->lane,
                            .campaign_num = k->campaign_num,
                            .list_id = (uint64_t)number(campaign, "list_id"),
                            .tags = str_of(text(campaign, "tags")),
                            .from_domain = str_of(k->from_domain),
                            .rcpt_domain = str_of(text(part, "domain")),
                            .provider = str_of(k->provider_name),
                            .engagement = k->engagement};
    routing_country(str_of(text(part, "country")), f.country);
    routing_choose(
        c, &f, &(struct route_groups){.of_campaign = (uint32_t)number(campaign, "group")}, &choice);
    return choice.group_num;
}

/* A part of a campaign's audience as the dispatcher would see it; domain: of its From. */
static struct forecast_class class_of_part(struct core *c, const json_t *campaign,
                                           const json_t *part, const char *domain)
{
    struct forecast_class k = {.campaign_num = (uint32_t)number(campaign, "num"),
                               .lane = (enum lane)number(campaign, "lane"),
                               .engagement = (uint8_t)number(part, "engagement"),
                               .from_domain = domain};
    k.provider = mailboxes_provider(c, str_of(text(part, "domain")));
    k.provider_name = provider_name(providers_builtin(), k.provider);
    k.group_num = group_of(c, campaign, part, &k);
    return k;
}

/* The parts of the audience as the sample has them, scaled to what is pending. */
static void read_campaign(struct foresight *x, const json_t *campaign, uint32_t number_of)
{
    struct core *c = x->core;
    uint64_t pending = (uint64_t)MAX(number(campaign, "pending"), (json_int_t)0);
    uint64_t sample = 0, seen = 0, given = 0;
    size_t i, first = x->n_classes;
    json_t *part;
    char from[256];
    routing_domain(str_of(text(campaign, "from")), from, sizeof from);
    char *domain = x->from_domains[x->n_from_domains++] = alloc_copy(from);
    json_array_foreach(json_object_get(campaign, "mix"), i, part)
    {
        sample += (uint64_t)number(part, "n");
    }
    json_array_foreach(json_object_get(campaign, "mix"), i, part)
    {
        seen += (uint64_t)number(part, "n");
        struct forecast_class k = class_of_part(c, campaign, part, domain);
        k.campaign = number_of;
        k.n = (uint64_t)((double)pending * ((double)seen / (double)sample) + 0.5) - given;
        given += k.n;
        if (c->n_nearest)
            routing_country(str_of(text(part, "country")), k.country);
        if (k.n)
            add_class(x, first, &k);
    }
}

json_t *foresee_plan(struct core *c, const json_t *campaign)
{
    json_t *groups = json_array(), *part, *one;
    size_t i, k;
    char from[256];
    double all = 0;
    routing_domain(str_of(text(campaign, "from")), from, sizeof from);
    json_array_foreach(json_object_get(campaign, "mix"), i, part)
    {
        struct forecast_class at = class_of_part(c, campaign, part, from);
        json_t *line = NULL;
        json_array_foreach(groups, k, one)
        {
            line = number(one, "num") == at.group_num ? one : line;
        }
        if (!line) {
            line = json_pack("{s:I, s:I}", "num", (json_int_t)at.group_num, "n", (json_int_t)0);
            json_array_append_new(groups, line);
        }
        json_object_set_new(line, "n", json_integer(number(line, "n") + number(part, "n")));
        all += (double)number(part, "n");
    }
    json_array_foreach(groups, k, one)
    {
        double share = all > 0 ? (double)number(one, "n") / all : 0;
        json_object_set_new(one, "share", json_real(share));
    }
    return json_pack("{s:o}", "groups", groups);
}

static void read_campaigns(struct foresight *x)
{
    const json_t *list = json_object_get(x->request->args, "campaigns");
    x->from_domains = alloc_many(char *, json_array_size(list) + 1);
    for (size_t i = 0; i < json_array_size(list); i++)
        read_campaign(x, json_array_get(list, i), (uint32_t)i);
}

/* ---- by whom */

static void copy_fleet(struct foresight *x)
{
    uint32_t *groups = alloc_many(uint32_t, x->n_classes + 1);
    size_t n = 0;
    for (size_t i = 0; i < x->n_classes; i++) {
        bool known = false;
        for (size_t k = 0; k < n && !known; k++)
            known = groups[k] == x->classes[i].group_num;
        if (!known)
            groups[n++] = x->classes[i].group_num;
    }
    x->fleet = fleet_copy(x->core->fleet, groups, n, x->now);
    free(groups);
}

static void add_calendar(struct foresight *x, const char *zone)
{
    int64_t *days = alloc_many(int64_t, DAYS + 1), *months = alloc_many(int64_t, MONTHS + 1);
    int64_t wall = x->now + x->wall_offset, closes = wall;
    for (size_t i = 0; i <= DAYS; i++) {
        janitor_day(zone, closes, &days[i], &closes);
        days[i] -= x->wall_offset;
    }
    closes = wall;
    for (size_t i = 0; i <= MONTHS; i++) {
        janitor_month(zone, closes, &months[i], &closes);
        months[i] -= x->wall_offset;
    }
    x->calendars[x->n_calendars++] = (struct forecast_calendar){days, months, DAYS + 1, MONTHS + 1};
}

static uint32_t calendar_of(struct foresight *x, const char *zones[CALENDARS_MAX], const char *zone)
{
    for (size_t i = 0; i < x->n_calendars; i++)
        if (!strcmp(zones[i], zone))
            return (uint32_t)i;
    if (x->n_calendars == CALENDARS_MAX) /* some hours off for the ninth zone */
        return 0;
    zones[x->n_calendars] = zone;
    add_calendar(x, zone);
    return (uint32_t)x->n_calendars - 1;
}

static void read_servers(struct foresight *x)
{
    const char *zones[CALENDARS_MAX] = {"UTC"};
    uint16_t *nums = alloc_many(uint16_t, SERVERS_MAX);
    x->calendars = alloc_many(struct forecast_calendar, CALENDARS_MAX);
    add_calendar(x, "UTC");
    size_t n = fleet_servers(x->fleet, nums, SERVERS_MAX);
    x->servers = alloc_many(struct forecast_server, n + 1);
    x->server_names = alloc_many(char *, n + 1);
    x->measured = alloc_many(bool, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct outlet *o = core_outlet(x->core, nums[i]);
        const struct server *s = o && o->server ? o->server->server : NULL;
        int64_t us = fleet_service_us(x->fleet, nums[i]);
        x->measured[i] = us > 0;
        if (!us)
            us = s && server_on_loopback(s) ? LOOPBACK_US : SERVICE_US;
        x->server_names[i] = alloc_copy(s ? s->name : "?");
        x->servers[i] = (struct forecast_server){
            .num = nums[i],
            .name = x->server_names[i],
            .service_us = us + (s ? s->limits.pause_between_ms * 1000 : 0),
            .calendar = s && s->limits.calendar ? calendar_of(x, zones, s->limits.calendar) : 0};
        x->n_servers++;
    }
    free(nums);
}

/* ---- on a desk */

static void work(struct pool_job *j)
{
    struct foresight *x = container_of(j, struct foresight, job);
    struct forecast r;
    foresee_read_warmups(x);
    struct forecast_in in = {.fleet = x->fleet,
                             .now_ms = x->now,
                             .wall_offset_ms = x->wall_offset,
                             .classes = x->classes,
                             .n_classes = x->n_classes,
                             .servers = x->servers,
                             .n_servers = x->n_servers,
                             .calendars = x->calendars,
                             .n_calendars = x->n_calendars,
                             .warmups = x->warmups,
                             .n_warmups = x->n_warmups,
                             .deadline_ms = x->deadline};
    forecast_run(&in, &r);
    x->answer = foresee_answer(x, &r);
    x->stuck_group = r.stuck_group;
    str_copy(str_of(r.stuck), x->stuck, sizeof x->stuck);
    forecast_free(&r);
}

/* ---- back */

static void free_texts(char **list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(list[i]);
    free(list);
}

static void foresight_free(struct foresight *x)
{
    fleet_free(&x->fleet);
    free(x->classes);
    free_texts(x->from_domains, x->n_from_domains);
    free_texts(x->server_names, x->n_servers);
    free(x->servers);
    free(x->measured);
    for (size_t i = 0; i < x->n_calendars; i++) {
        free((void *)(uintptr_t)x->calendars[i].days);
        free((void *)(uintptr_t)x->calendars[i].months);
    }
    free(x->calendars);
    for (size_t i = 0; i < x->n_warmups; i++) {
        free((void *)(uintptr_t)x->warmups[i].caps);
        free((void *)(uintptr_t)x->warmups[i].classes);
    }
    free(x->warmups);
    free(x);
}

static void done(struct pool_job *j)
{
    struct foresight *x = container_of(j, struct foresight, job);
    struct err e;
    const char *group = map_u64_get(x->core->group_names, x->stuck_group);
    if (x->answer && x->stuck[0])
        json_object_set_new(x->answer, "bottleneck",
                            json_sprintf("group %s: %s", group ? group : "?", x->stuck));
    err_set(&e, ERR_LATER, "the daemon is stopping: try again in a few seconds");
    link_answer(x->request, x->answer ? link_answer_ok(x->answer) : link_answer_error(&e));
    foresight_free(x);
}

void foresee_start(struct core *c, struct link_request *r)
{
    struct err e;
    if (!c->looks)
        c->looks = pool_new(c->loop, 1);
    if (pool_pending(c->looks) >= WAITING_MAX) {
        err_set(&e, ERR_LATER, "others are looking already: try again in a few seconds");
        link_answer(r, link_answer_error(&e));
        return;
    }
    struct foresight *x = alloc_one(struct foresight);
    x->core = c;
    x->request = r;
    x->now = core_steady(c);
    x->wall_offset = clock_wall_ms() - x->now;
    x->deadline = number(r->args, "deadline_ms");
    live_sending_waits(c, x->waits, sizeof x->waits);
    read_campaigns(x);
    copy_fleet(x);
    read_servers(x);
    x->job.work = work;
    x->job.done = done;
    pool_submit(c->looks, &x->job);
}
