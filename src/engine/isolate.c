/* Runs at most AT_ONCE conversations at a time (engine/server_test makes them), never two with the
 * same server, each within PROBE_MS and all within TOTAL_MS. A probe takes its place in the limits
 * of its server like any message; where they are used up it is not run, and that is said. Nothing
 * of it is held against a server: the verdict is for the user. */
#include "engine/isolate.h"
#include "base/alloc.h"
#include "engine/admin_parts.h"
#include "engine/server_test.h"
#include "engine/state.h"
#include "feedback/compare.h"
#include "fleet/glance.h"
#include "mail/addr.h"
#include "smtp/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE    16
#define PROBE_MS   60000
#define TOTAL_MS   240000
#define PACE_MS    100 /* asked again after this when only the pace is in the way */
#define PROBE_LANE LANE_TRANSACTIONAL

enum probe_state { PROBE_WAITS, PROBE_RUNS, PROBE_OVER };

struct isolation;

struct probe {
    struct isolation *of;
    uint32_t server, recipient;
    enum probe_state state;
    char why_not[200]; /* it was not run */
    bool is_reserved;
    json_t *result;
};

struct isolation {
    struct core *core;
    struct link_request *request;
    struct server_ref *servers[COMPARE_SERVERS_MAX];
    bool busy[COMPARE_SERVERS_MAX];
    char *to[COMPARE_RECIPIENTS_MAX];
    uint32_t n_servers, n_to, n_probes, running, over;
    struct probe *probes;
    struct timer *timer;
    int64_t deadline; /* boot ms */
    bool verbose, answered;
};

/* ---- the answer ---- */

static const char *text_of(const json_t *j, const char *key)
{
    const char *s = json_string_value(json_object_get(j, key));
    return s ? s : "";
}

static struct finding finding_of(const struct probe *p, struct talk_steps *talk)
{
    struct finding f = {.server = p->server, .recipient = p->recipient, .ran = p->result != NULL};
    const char *failed = "";
    size_t i;
    json_t *one;
    talk_read(str_of(text_of(p->result, "conversation")), talk);
    f.ok = json_is_true(json_object_get(p->result, "ok"));
    json_array_foreach(json_object_get(p->result, "steps"), i, one)
    {
        f.ms += json_integer_value(json_object_get(one, "ms"));
        if (strcmp(text_of(one, "state"), "failed") == 0) {
            failed = text_of(one, "step");
            f.step = (int)i + 1;
        }
    }
    const struct talk_reply *last = !f.ok && f.ran ? talk_refusal(talk, failed) : NULL;
    if (last) {
        f.code = last->code;
        snprintf(f.enhanced, sizeof f.enhanced, "%s", last->enhanced);
    }
    return f;
}

static json_t *steps_json(const json_t *result, const struct talk_steps *talk)
{
    json_t *all = json_array(), *one;
    size_t i;
    json_array_foreach(json_object_get(result, "steps"), i, one)
    {
        json_t *line = json_deep_copy(one);
        const struct talk_reply *r = talk_reply_of(talk, text_of(one, "step"));
        json_object_set_new(line, "code", r && r->code ? json_integer(r->code) : json_null());
        json_array_append_new(all, line);
    }
    return all;
}

static bool deviates(const struct finding *f, const struct comparison *k)
{
    if (!f->ran)
        return false;
    return (!f->ok && k->kind != COMPARED_SYSTEMIC) || k->servers[f->server] ||
           k->recipients[f->recipient] || k->slow[f->server];
}

static json_t *probe_json(const struct probe *p, const struct comparison *k)
{
    struct talk_steps talk;
    struct finding f = finding_of(p, &talk);
    const struct isolation *x = p->of;
    json_t *steps = steps_json(p->result, &talk);
    const char *failed = "", *reply = "";
    size_t i;
    json_t *one;
    json_array_foreach(steps, i, one)
    {
        if (strcmp(text_of(one, "state"), "failed") == 0) {
            failed = text_of(one, "step");
            reply = text_of(one, "detail");
        }
    }
    json_t *j = json_pack(
        "{s:s,s:s,s:b,s:b,s:b,s:b,s:I,s:s,s:s,s:o,s:s,s:s,s:s,s:o}", "server",
        x->servers[p->server]->server->name, "to", x->to[p->recipient], "ran", f.ran, "ok", f.ok,
        "deviates", deviates(&f, k), "slow", k->slow[p->server], "ms", (json_int_t)f.ms, "why_not",
        p->why_not, "failed_step", failed, "code", f.code ? json_integer(f.code) : json_null(),
        "enhanced", f.enhanced, "reply", reply, "peer", text_of(p->result, "peer"), "steps", steps);
    bool shows = f.ran && (!f.ok || deviates(&f, k) || x->verbose);
    json_object_set_new(j, "conversation",
                        shows ? json_string(text_of(p->result, "conversation")) : json_null());
    return j;
}

static void add_names(const struct isolation *x, const struct comparison *k, json_t *servers,
                      json_t *recipients, json_t *slow, struct buf *text)
{
    for (uint32_t i = 0; i < x->n_servers; i++) {
        if (k->slow[i])
            json_array_append_new(slow, json_string(x->servers[i]->server->name));
        if (!k->servers[i])
            continue;
        buf_addf(text, "%s server %s", json_array_size(servers) ? "," : "",
                 x->servers[i]->server->name);
        json_array_append_new(servers, json_string(x->servers[i]->server->name));
    }
    for (uint32_t i = 0; i < x->n_to; i++) {
        if (!k->recipients[i])
            continue;
        buf_addf(text, "%s recipient %s",
                 json_array_size(recipients) || json_array_size(servers) ? "," : "", x->to[i]);
        json_array_append_new(recipients, json_string(x->to[i]));
    }
}

static void add_sentence(const struct comparison *k, const struct isolation *x, struct buf *names,
                         struct buf *out)
{
    switch (k->kind) {
    case COMPARED_NOTHING: buf_adds(out, "nothing could be tried"); break;
    case COMPARED_WELL: buf_adds(out, "all well: every probe was accepted"); break;
    case COMPARED_SYSTEMIC:
        buf_addf(out,
                 "systemic: %u of %u probes fail, %u of them in the same way; look at the message, "
                 "the From domain or our network before any server",
                 k->failed, k->ran, k->same);
        break;
    case COMPARED_SERVERS:
    case COMPARED_RECIPIENTS: buf_addf(out, "%s:", buf_cstr(names) + 1); break;
    case COMPARED_MIXED:
        buf_addf(out, "mixed: %u of %u probes fail without one pattern%s", k->failed, k->ran,
                 names->n ? ";" : "");
        break;
    }
    if (k->kind == COMPARED_SERVERS)
        buf_adds(out, x->n_servers == 1 ? " fails, and there is no other to compare with"
                                        : " fails where the others do not");
    else if (k->kind == COMPARED_RECIPIENTS)
        buf_adds(out, " refused by nearly all servers, other addresses are not");
    else if (k->kind == COMPARED_MIXED && names->n)
        buf_addf(out, "%s", buf_cstr(names));
}

static json_t *answer(struct isolation *x)
{
    struct finding *f = alloc_array(x->n_probes, sizeof *f);
    struct comparison k;
    struct talk_steps talk;
    struct buf names, sentence;
    json_t *servers = json_array(), *recipients = json_array(), *slow = json_array();
    json_t *probes = json_array();
    for (uint32_t i = 0; i < x->n_probes; i++)
        f[i] = finding_of(&x->probes[i], &talk);
    compare_findings(f, x->n_probes, x->n_servers, x->n_to, &k);
    buf_init(&names, 65536);
    buf_init(&sentence, 65536);
    add_names(x, &k, servers, recipients, slow, &names);
    add_sentence(&k, x, &names, &sentence);
    for (uint32_t i = 0; i < x->n_probes; i++)
        json_array_append_new(probes, probe_json(&x->probes[i], &k));
    json_t *j = json_pack("{s:s,s:s,s:o,s:o,s:o,s:I,s:I,s:I,s:o}", "verdict", compared_name(k.kind),
                          "text", buf_cstr(&sentence), "servers", servers, "recipients", recipients,
                          "slow", slow, "ran", (json_int_t)k.ran, "failed", (json_int_t)k.failed,
                          "not_run", (json_int_t)(x->n_probes - k.ran), "probes", probes);
    buf_free(&names);
    buf_free(&sentence);
    free(f);
    return j;
}

/* ---- running ---- */

static void free_isolation(void *arg)
{
    struct isolation *x = arg;
    timer_free(&x->timer);
    for (uint32_t i = 0; i < x->n_servers; i++)
        server_ref_drop(x->servers[i]);
    for (uint32_t i = 0; i < x->n_to; i++)
        free(x->to[i]);
    for (uint32_t i = 0; i < x->n_probes; i++)
        json_decref(x->probes[i].result);
    free(x->probes);
    free(x);
}

static void advance(void *arg);

static void not_run(struct probe *p, const char *why)
{
    str_copy(str_of(why), p->why_not, sizeof p->why_not);
    p->state = PROBE_OVER;
    p->of->over++;
}

static void on_result(void *arg, json_t *result)
{
    struct probe *p = arg;
    struct isolation *x = p->of;
    struct quota *q = fleet_quota(x->core->fleet, x->servers[p->server]->server->num);
    p->result = result;
    p->state = PROBE_OVER;
    x->busy[p->server] = false;
    x->running--;
    x->over++;
    bool took = json_is_true(json_object_get(result, "sent"));
    if (q && p->is_reserved && took)
        quota_take(q, PROBE_LANE, core_steady(x->core));
    else if (q && p->is_reserved)
        quota_return(q, PROBE_LANE);
    timer_at(x->timer, loop_now_ms(x->core->loop)); /* not from inside the conversation */
}

/* True: it may go now. False and not over: the pace says later. */
static bool may_go(struct probe *p)
{
    struct core *c = p->of->core;
    uint16_t num = p->of->servers[p->server]->server->num;
    struct quota *q = fleet_quota(c->fleet, num);
    int64_t when = 0;
    enum quota_window w;
    char why[200];
    if (!q)
        return true;
    if (quota_may_reserve(q, PROBE_LANE, core_steady(c), &when, &w) != QUOTA_FREE) {
        snprintf(why, sizeof why, "its limit of %llu a%s %s is used up",
                 (unsigned long long)q->lines[w].limit, w == QUOTA_HOUR ? "n" : "",
                 quota_window_name(w));
        not_run(p, why);
        return false;
    }
    if (!quota_may_dot(q, core_steady(c), 0, &when))
        return false;
    quota_reserve(q, PROBE_LANE, core_steady(c));
    p->is_reserved = true;
    return true;
}

static void start(struct probe *p)
{
    struct isolation *x = p->of;
    struct err e;
    struct trial_ask ask = {.server = x->servers[p->server],
                            .to = x->to[p->recipient],
                            .from = json_string_value(json_object_get(x->request->args, "from")),
                            .sends = true,
                            .limit_ms = PROBE_MS};
    struct quota *q = fleet_quota(x->core->fleet, ask.server->server->num);
    p->state = PROBE_RUNS;
    x->running++;
    x->busy[p->server] = true;
    if (trial_start(x->core, &ask, on_result, p, &e))
        return;
    x->running--;
    x->busy[p->server] = false;
    if (q && p->is_reserved)
        quota_return(q, PROBE_LANE);
    not_run(p, e.text);
}

static void advance(void *arg)
{
    struct isolation *x = arg;
    int64_t now = loop_now_ms(x->core->loop);
    if (x->answered) {
        free_isolation(x);
        return;
    }
    for (uint32_t i = 0; i < x->n_probes; i++) {
        struct probe *p = &x->probes[i];
        if (p->state != PROBE_WAITS)
            continue;
        if (now >= x->deadline || x->core->is_stopping)
            not_run(p, "there was no time left for it");
        else if (x->running < AT_ONCE && !x->busy[p->server] && may_go(p))
            start(p);
    }
    if (x->over < x->n_probes) {
        timer_at(x->timer, now + PACE_MS);
        return;
    }
    x->answered = true;
    link_answer(x->request, link_answer_ok(answer(x)));
    timer_at(x->timer, now); /* freed outside of its own callback's work */
}

/* ---- what is asked ---- */

static bool add_server(struct isolation *x, const char *name, struct err *e)
{
    struct outlet *o = outlet_by_name(x->core, name);
    if (!o)
        return err_set(e, ERR_NOT_FOUND, "there is no server '%s'", name);
    for (uint32_t i = 0; i < x->n_servers; i++)
        if (x->servers[i] == o->server)
            return true;
    if (x->n_servers == COMPARE_SERVERS_MAX)
        return err_set(e, ERR_INVALID, "server: at most %d at a time", COMPARE_SERVERS_MAX);
    x->servers[x->n_servers++] = o->server;
    __atomic_add_fetch(&o->server->refs, 1, __ATOMIC_RELAXED);
    return true;
}

static bool add_group(struct isolation *x, const char *name, struct err *e)
{
    uint16_t nums[COMPARE_SERVERS_MAX];
    size_t pos = 0, n = 0;
    uint64_t num = 0;
    void *v;
    bool found = false;
    while (!found && map_u64_next(x->core->group_names, &pos, &num, &v))
        found = strcmp(v, name) == 0;
    if (!found)
        return err_set(e, ERR_NOT_FOUND, "there is no group '%s'", name);
    if (!fleet_group_servers(x->core->fleet, (uint32_t)num, nums, COMPARE_SERVERS_MAX, &n))
        return err_set(e, ERR_INVALID, "group %s has over %d servers; name some by --server", name,
                       COMPARE_SERVERS_MAX);
    for (size_t i = 0; i < n; i++) {
        struct outlet *o = core_outlet(x->core, nums[i]);
        if (o && o->server && !o->is_removed && !add_server(x, o->server->server->name, e))
            return false;
    }
    return true;
}

static bool name_server(void *arg, const char *name, struct err *e)
{
    return add_server(arg, name, e);
}

/* A group is taken when it is named, or no server is. */
static bool read_servers(struct isolation *x, json_t *args, struct err *e)
{
    const char *group = NULL;
    if (!args_text(args, "group", 4096, &group, e) ||
        !args_each(args, "server", 4096, name_server, x, e))
        return false;
    return (x->n_servers && !group) || add_group(x, group ? group : "default", e);
}

static bool add_address(void *arg, const char *text, struct err *e)
{
    struct isolation *x = arg;
    struct addr a;
    if (x->n_to == COMPARE_RECIPIENTS_MAX)
        return err_set(e, ERR_INVALID, "to: at most %d addresses", COMPARE_RECIPIENTS_MAX);
    if (!addr_parse(str_of(text), &a, e))
        return err_prefix(e, "to");
    x->to[x->n_to++] = alloc_copy(a.text);
    return true;
}

static bool read_addresses(struct isolation *x, json_t *args, struct err *e)
{
    const char *from = NULL;
    return args_text(args, "from", 600, &from, e) &&
           args_each(args, "to", 600, add_address, x, e) &&
           (x->n_to || err_set(e, ERR_INVALID, "to: which addresses shall the probes go to?"));
}

void isolate_start(struct core *c, struct link_request *r)
{
    struct err e;
    struct isolation *x = alloc_one(struct isolation);
    x->core = c;
    x->request = r;
    x->deadline = loop_now_ms(c->loop) + TOTAL_MS;
    x->timer = timer_new(c->loop, advance, x);
    bool ok = args_bool(r->args, "verbose", false, &x->verbose, &e) &&
              read_addresses(x, r->args, &e) && read_servers(x, r->args, &e);
    if (ok && !x->n_servers)
        ok = err_set(&e, ERR_INVALID, "there is no server to try");
    if (!ok) {
        link_answer(r, link_answer_error(&e));
        free_isolation(x);
        return;
    }
    x->n_probes = x->n_servers * x->n_to;
    x->probes = alloc_array(x->n_probes, sizeof *x->probes);
    for (uint32_t i = 0; i < x->n_probes; i++)
        x->probes[i] =
            (struct probe){.of = x, .server = i % x->n_servers, .recipient = i / x->n_servers};
    timer_at(x->timer, loop_now_ms(c->loop));
}
