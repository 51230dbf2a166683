/* A round of reputation: see reputation_round.h. */
#include "engine/reputation_round.h"
#include "base/alloc.h"
#include "engine/warmup_day.h"
#include "engine/warmup_plan.h"
#include "store/hours.h"

#include <stdio.h>
#include <stdlib.h>

#define HOURS(n)  ((n)*HOUR_MS)
#define CONFIRMED 2 /* times a blocklist must have said so */

static const struct reputation_rule_row builtin[] = {
    {.name = "dnsbl",
     .condition = "dnsbl_listed > 0",
     .enabled = true,
     .window_ms = HOURS(24),
     .action = REPUTATION_GRADED,
     .weight = 0.25,
     .duration_ms = HOURS(6),
     .cooldown_ms = HOURS(6)},
    {.name = "blocked-widely",
     .condition = "block_providers > 2",
     .enabled = true,
     .window_ms = HOURS(6),
     .action = REPUTATION_QUARANTINE,
     .duration_ms = HOURS(12),
     .cooldown_ms = HOURS(6)},
    {.name = "complaints",
     .condition = "complaint_rate > 0.3%",
     .enabled = true,
     .window_ms = HOURS(24),
     .volume = 1000,
     .action = REPUTATION_GRADED,
     .weight = 0.5,
     .duration_ms = HOURS(12),
     .cooldown_ms = HOURS(6)},
    {.name = "hard-bounces",
     .condition = "hard_bounce_rate > 5% and hard_bounce_rate > 2x",
     .enabled = true,
     .window_ms = HOURS(24),
     .volume = 1000,
     .action = REPUTATION_GRADED,
     .weight = 0.5,
     .duration_ms = HOURS(6),
     .cooldown_ms = HOURS(3)},
    {.name = "opens-drop",
     .condition = "open_rate < 0.5x",
     .enabled = true,
     .window_ms = HOURS(48),
     .volume = 1000,
     .action = REPUTATION_GRADED,
     .weight = 0.5,
     .duration_ms = HOURS(12),
     .cooldown_ms = HOURS(12),
     .approval = true},
    {.name = "deferrals",
     .condition = "deferral_rate > 20% and deferral_rate > 3x",
     .enabled = true,
     .window_ms = HOURS(6),
     .volume = 1000,
     .action = REPUTATION_NOTIFY,
     .cooldown_ms = HOURS(6)},
};

bool reputation_rule_is_builtin(const char *name)
{
    for (size_t i = 0; i < countof(builtin); i++)
        if (!strcmp(builtin[i].name, name))
            return true;
    return false;
}

bool reputation_rules_all(struct db *db, struct reputation_rule_row **out, size_t *n_out,
                          struct err *e)
{
    struct reputation_rule_row *own = NULL;
    size_t n = 0;
    if (!reputation_rules(db, &own, &n, e)) {
        free(own);
        return false;
    }
    *out = alloc_many(struct reputation_rule_row, n + countof(builtin));
    *n_out = 0;
    for (size_t i = 0; i < countof(builtin); i++) {
        (*out)[*n_out] = builtin[i];
        for (size_t k = 0; k < n; k++)
            if (!strcmp(own[k].name, builtin[i].name))
                (*out)[*n_out] = own[k];
        ++*n_out;
    }
    for (size_t k = 0; k < n; k++)
        if (!reputation_rule_is_builtin(own[k].name))
            (*out)[(*n_out)++] = own[k];
    free(own);
    return true;
}

struct reputation_standing reputation_standing_of(const struct reputation_row *r)
{
    return (struct reputation_standing){.stage = (enum reputation_stage)r->stage,
                                        .worst = (enum reputation_stage)r->worst,
                                        .weight = r->weight,
                                        .since = r->since,
                                        .until = r->until,
                                        .times = r->times};
}

/* ---- what a round knows */

struct sum { /* of a provider of a server, in the window looked at */
    uint16_t server_num;
    char provider[32];
    struct hour_sum s;
};

struct place { /* of a server in a group */
    uint32_t group_num;
    uint16_t server_num;
    double weight;
};

struct slot {                    /* a server, by its number */
    struct reputation_facts own; /* of the window */
    uint64_t listed, inbound;
    uint32_t group_num; /* its first: what it is compared with */
};

struct round {
    const struct reputation_context *x;
    struct place *places;
    size_t n_places;
    struct reputation_row *rows;
    size_t n_rows;
    struct sum *sums;
    size_t n_sums, cap_sums;
    struct slot *slots; /* by server number */
    int64_t window_ms;  /* that sums and slots are of; 0: none */
};

#define SLOTS 65536

static void add_facts(struct reputation_facts *f, const struct hour_sum *s)
{
    f->answers += hour_answers(s);
    f->sent += s->sent;
    f->of[METRIC_HARD_BOUNCE_RATE] += s->hard;
    f->of[METRIC_SOFT_BOUNCE_RATE] += s->soft;
    f->of[METRIC_DEFERRAL_RATE] += s->deferred + s->limited;
    f->of[METRIC_BLOCK_RATE] += s->blocked;
    f->of[METRIC_CONTENT_RATE] += s->content;
    f->of[METRIC_UNKNOWN_RATE] += s->unknown;
    f->of[METRIC_COMPLAINT_RATE] += s->complaints;
    f->of[METRIC_OPEN_RATE] += s->opened;
    f->of[METRIC_CLICK_RATE] += s->clicked;
    f->of[METRIC_BLOCK_PROVIDERS] += s->blocked > 0;
}

static void keep_sum(void *arg, uint16_t server_num, struct str provider, const struct hour_sum *s)
{
    struct round *r = arg;
    if (r->n_sums == r->cap_sums) {
        r->cap_sums = MAX(r->cap_sums * 2, (size_t)64);
        r->sums = alloc_resize(r->sums, r->cap_sums * sizeof *r->sums);
    }
    struct sum *x = &r->sums[r->n_sums++];
    *x = (struct sum){.server_num = server_num, .s = *s};
    str_copy(provider, x->provider, sizeof x->provider);
    add_facts(&r->slots[server_num].own, s);
}

static bool look_at_window(struct round *r, int64_t window_ms, struct err *e)
{
    if (r->window_ms == window_ms)
        return true;
    for (size_t i = 0; i < r->n_sums; i++)
        r->slots[r->sums[i].server_num].own = (struct reputation_facts){0};
    r->n_sums = 0;
    r->window_ms = window_ms;
    int64_t since = (r->x->now_ms - window_ms) / HOUR_MS * HOUR_MS;
    return hours_walk(r->x->db, since, INT64_MAX, keep_sum, r, e);
}

static struct reputation_row *row_of(struct round *r, uint16_t num, const char *provider)
{
    for (size_t i = 0; i < r->n_rows; i++)
        if (r->rows[i].server_num == num && !strcmp(r->rows[i].provider, provider))
            return &r->rows[i];
    return NULL;
}

/* The other servers of its group together. provider NULL: all. */
static void rest_of(const struct round *r, uint16_t num, const char *provider,
                    struct reputation_facts *rest)
{
    uint32_t group = r->slots[num].group_num;
    *rest = (struct reputation_facts){0};
    for (size_t i = 0; group && i < r->n_sums; i++) {
        const struct sum *s = &r->sums[i];
        if (s->server_num != num && r->slots[s->server_num].group_num == group &&
            (!provider || !strcmp(s->provider, provider)))
            add_facts(rest, &s->s);
    }
}

/* What a server (and provider) did in hours that began at `since` or later; 0: in the window. */
static bool own_of(const struct round *r, uint16_t num, const char *provider, int64_t since,
                   struct reputation_facts *own, struct err *e)
{
    *own = (struct reputation_facts){0};
    for (size_t i = 0; i < r->n_sums; i++) {
        const struct sum *s = &r->sums[i];
        struct hour_sum fresh = s->s;
        if (s->server_num != num || (provider && strcmp(s->provider, provider) != 0))
            continue;
        if (since && !hours_sum(r->x->db, num, s->provider, since, INT64_MAX, &fresh, e))
            return false;
        add_facts(own, &fresh);
    }
    own->of[METRIC_DNSBL_LISTED] = r->slots[num].listed;
    own->of[METRIC_INBOUND] = r->slots[num].inbound;
    return true;
}

/* ---- doing */

static bool tell(const struct reputation_context *x, uint16_t num, const char *kind,
                 const char *provider, const char *reason, struct err *e)
{
    char text[400];
    snprintf(text, sizeof text, "%s%s%s", provider, *provider ? ": " : "", reason);
    return warmup_event(x->db, x->ids, x->now_ms, num, kind, text, e);
}

static double factor_of(struct round *r, uint16_t num)
{
    struct reputation_row *row = row_of(r, num, "");
    if (!row)
        return 1;
    struct reputation_standing s = reputation_standing_of(row);
    return reputation_factor(&s, r->x->now_ms);
}

static bool is_in(const struct round *r, uint32_t group_num, uint16_t num)
{
    for (size_t i = 0; i < r->n_places; i++)
        if (r->places[i].group_num == group_num && r->places[i].server_num == num)
            return true;
    return false;
}

/* The half rule, for every group of the server. Places stand in the order of their groups. */
static bool takes_too_much(struct round *r, uint16_t num, double factor)
{
    struct reputation_share *all = alloc_many(struct reputation_share, r->n_places + 1);
    bool too = false;
    for (size_t i = 0; i < r->n_places && !too;) {
        uint32_t group = r->places[i].group_num;
        size_t n = 0;
        for (; i < r->n_places && r->places[i].group_num == group; i++)
            all[n++] = (struct reputation_share){r->places[i].server_num, r->places[i].weight,
                                                 factor_of(r, r->places[i].server_num)};
        too = is_in(r, group, num) && reputation_takes_too_much(all, n, num, factor);
    }
    free(all);
    return too;
}

static bool put_row(struct round *r, const struct reputation_row *row, struct err *e)
{
    struct reputation_row *old = row_of(r, row->server_num, row->provider);
    if (old) {
        *old = *row;
    } else {
        r->rows = alloc_resize(r->rows, (r->n_rows + 1) * sizeof *r->rows);
        r->rows[r->n_rows++] = *row;
    }
    return reputation_standing_put(r->x->db, row, e);
}

static bool step_warmup_back(const struct reputation_context *x, uint16_t num, const char *provider,
                             struct err *e)
{
    struct warmup_row w;
    struct warmup_plan *p = NULL;
    bool found = false, known = false;
    if (!warmup_get(x->db, num, &w, &found, e))
        return false;
    bool ok =
        !found || (warmup_plan_read(w.plan, &p, e) && warmup_knows_engagement(x->db, &known, e));
    size_t at = 0;
    for (size_t i = 0; i < w.n_lines; i++)
        at = !strcmp(w.lines[i].provider, provider) ? i : at;
    if (ok && found && w.n_lines) {
        w.lines[at].day -= MIN(w.lines[at].day - 1, p->gate.step_back);
        warmup_day_caps(p, known, &w);
        ok = warmup_put(x->db, &w, e);
    }
    free(p);
    warmup_row_free(&w);
    return ok;
}

static void fill_row(const struct reputation_standing *s, uint16_t num, const char *provider,
                     const char *reason, struct reputation_row *out)
{
    *out = (struct reputation_row){.server_num = num,
                                   .stage = s->stage,
                                   .worst = s->worst,
                                   .weight = s->weight,
                                   .since = s->since,
                                   .until = s->until,
                                   .times = s->times};
    str_copy(str_of(provider), out->provider, sizeof out->provider);
    str_copy(str_of(reason), out->reason, sizeof out->reason);
}

static struct reputation_standing now_of(struct round *r, uint16_t num, const char *provider)
{
    struct reputation_row *row = row_of(r, num, provider);
    return row ? reputation_standing_of(row) : (struct reputation_standing){.weight = 1};
}

/* What the rule asks for, done. */
static bool act(struct round *r, const struct reputation_rule_row *rule, uint16_t num,
                const char *provider, const char *reason, struct err *e)
{
    struct reputation_answer a = {.action = (enum reputation_action)rule->action,
                                  .weight = rule->weight,
                                  .duration_ms = rule->duration_ms};
    struct reputation_standing now = now_of(r, num, provider), next;
    struct reputation_row row;
    char kind[40];
    if (a.action == REPUTATION_NOTIFY)
        return tell(r->x, num, "reputation.noticed", provider, reason, e);
    if (a.action == REPUTATION_STEP_BACK)
        return step_warmup_back(r->x, num, provider, e) &&
               tell(r->x, num, "warmup.stepped_back", provider, reason, e);
    if (!reputation_respond(&a, &now, r->x->now_ms, &next))
        return true;
    fill_row(&next, num, provider, reason, &row);
    snprintf(kind, sizeof kind, "reputation.%s", reputation_stage_name(next.stage));
    return put_row(r, &row, e) && tell(r->x, num, kind, provider, reason, e);
}

static bool write_deed(struct round *r, const struct reputation_rule_row *rule, uint16_t num,
                       const char *provider, const char *state, const char *reason, struct err *e)
{
    struct reputation_deed d = {.id = ids_next(r->x->ids, r->x->now_ms),
                                .at = r->x->now_ms,
                                .server_num = num,
                                .action = rule->action};
    str_copy(str_of(provider), d.provider, sizeof d.provider);
    str_copy(str_of(rule->name), d.rule, sizeof d.rule);
    str_copy(str_of(state), d.state, sizeof d.state);
    str_copy(str_of(reason), d.reason, sizeof d.reason);
    return reputation_deed_add(r->x->db, &d, e);
}

static bool fires(struct round *r, const struct reputation_rule_row *rule, uint16_t num,
                  const char *provider, const char *why, struct err *e)
{
    char reason[300];
    struct reputation_answer a = {.action = (enum reputation_action)rule->action,
                                  .weight = rule->weight,
                                  .duration_ms = rule->duration_ms};
    struct reputation_standing now = now_of(r, num, provider), next;
    bool moves = reputation_respond(&a, &now, r->x->now_ms, &next);
    if (!moves && a.action != REPUTATION_NOTIFY && a.action != REPUTATION_STEP_BACK)
        return true;
    bool too_much =
        moves && !*provider && takes_too_much(r, num, reputation_factor(&next, r->x->now_ms));
    snprintf(reason, sizeof reason, "rule %s: %.200s", rule->name, why);
    if (!rule->approval && !too_much)
        return write_deed(r, rule, num, provider, "done", reason, e) &&
               act(r, rule, num, provider, reason, e);
    snprintf(reason, sizeof reason, "rule %s: %.120s; %s: `reputation approve`", rule->name, why,
             too_much ? "over half of a group's weight would be gone" : "waits for your word");
    return write_deed(r, rule, num, provider, "pending", reason, e) &&
           tell(r->x, num, "reputation.pending", provider, reason, e);
}

/* ---- the round */

/* A server that was answered lately, by this rule or any other, is judged by what came after. */
static bool look(struct round *r, const struct reputation_rule_row *rule,
                 const struct reputation_when *w, uint16_t num, const char *provider, struct err *e)
{
    struct reputation_facts own, rest;
    const char *word = provider ? provider : "";
    struct reputation_row *row = row_of(r, num, word);
    char why[300];
    int64_t last = 0;
    rest_of(r, num, provider, &rest);
    if (!own_of(r, num, provider, 0, &own, e))
        return false;
    if (!row && !reputation_when_holds(w, &own, &rest, rule->volume, why, sizeof why))
        return true;
    if (!reputation_last_at(r->x->db, num, word, rule->name, &last, e))
        return false;
    if (last && r->x->now_ms - last < rule->cooldown_ms)
        return true;
    int64_t since = MAX(last, row ? row->since : 0);
    if (since && r->x->now_ms - since < rule->window_ms) {
        since = since / HOUR_MS * HOUR_MS + HOUR_MS;
        if (!own_of(r, num, provider, since, &own, e))
            return false;
    }
    if (!reputation_when_holds(w, &own, &rest, rule->volume, why, sizeof why))
        return true;
    return fires(r, rule, num, word, why, e);
}

static bool look_at_providers(struct round *r, const struct reputation_rule_row *rule,
                              const struct reputation_when *w, struct err *e)
{
    bool ok = true;
    for (size_t i = 0; ok && i < r->n_sums; i++) {
        char provider[32];
        if (hour_answers(&r->sums[i].s) < rule->volume)
            continue;
        str_copy(str_of(r->sums[i].provider), provider, sizeof provider);
        ok = look(r, rule, w, r->sums[i].server_num, provider, e);
    }
    return ok;
}

static bool run_rule(struct round *r, const struct reputation_rule_row *rule, struct err *e)
{
    struct reputation_when w;
    if (!rule->enabled)
        return true;
    if (!reputation_when_parse(str_of(rule->condition), &w, e))
        return err_prefix(e, "reputation rule %s", rule->name);
    if (!look_at_window(r, rule->window_ms, e))
        return false;
    if (rule->by_provider)
        return look_at_providers(r, rule, &w, e);
    bool ok = true;
    for (uint32_t num = 1; ok && num < SLOTS; num++) {
        const struct slot *s = &r->slots[num];
        bool by_count = s->listed || s->inbound || s->own.of[METRIC_BLOCK_PROVIDERS];
        if (s->group_num && (by_count || s->own.answers >= MAX(rule->volume, UINT64_C(1))))
            ok = look(r, rule, &w, (uint16_t)num, NULL, e);
    }
    return ok;
}

/* Time brings back who has served it. */
static bool run_returns(struct round *r, struct err *e)
{
    bool ok = true;
    for (size_t i = 0; ok && i < r->n_rows; i++) {
        struct reputation_standing now = reputation_standing_of(&r->rows[i]), next;
        struct reputation_row row;
        char kind[40];
        if (!reputation_return(&now, r->x->now_ms, &next))
            continue;
        const char *reason = next.stage == STAGE_PROBATION
                                 ? "its time is over: on probation for a day"
                                 : "its time is over: in good standing";
        fill_row(&next, r->rows[i].server_num, r->rows[i].provider, reason, &row);
        snprintf(kind, sizeof kind, "reputation.%s",
                 next.stage == STAGE_PROBATION ? "probation" : "recovered");
        ok = put_row(r, &row, e) && tell(r->x, row.server_num, kind, row.provider, reason, e);
    }
    return ok;
}

static void keep_place(void *arg, uint32_t group_num, uint16_t server_num, double weight)
{
    struct round *r = arg;
    if ((r->n_places & (r->n_places - 1)) == 0)
        r->places = alloc_resize(r->places, MAX(r->n_places * 2, (size_t)1) * sizeof *r->places);
    r->places[r->n_places++] = (struct place){group_num, server_num, weight};
    if (!r->slots[server_num].group_num)
        r->slots[server_num].group_num = group_num;
}

static void keep_signal(void *arg, uint16_t server_num, struct str kind, uint32_t times)
{
    struct slot *s = &((struct round *)arg)->slots[server_num];
    if (str_is(kind, "dnsbl"))
        s->listed += times >= CONFIRMED;
    else if (str_is(kind, "inbound"))
        s->inbound++;
}

static bool round_open(struct round *r, const struct reputation_context *x, struct err *e)
{
    *r = (struct round){.x = x};
    r->slots = alloc_many(struct slot, SLOTS);
    return reputation_places(x->db, keep_place, r, e) &&
           reputation_signals(x->db, keep_signal, r, e) &&
           reputation_standings(x->db, &r->rows, &r->n_rows, e);
}

static void round_close(struct round *r)
{
    free(r->slots);
    free(r->places);
    free(r->rows);
    free(r->sums);
}

bool reputation_round(const struct reputation_context *x, struct err *e)
{
    struct round r;
    struct reputation_rule_row *rules = NULL;
    size_t n = 0;
    bool ok =
        round_open(&r, x, e) && reputation_rules_all(x->db, &rules, &n, e) && run_returns(&r, e);
    for (size_t i = 0; ok && i < n; i++)
        ok = run_rule(&r, &rules[i], e);
    free(rules);
    round_close(&r);
    return ok;
}

/* ---- the user's word */

static bool rule_of(struct db *db, const char *name, struct reputation_rule_row *out, struct err *e)
{
    struct reputation_rule_row *rules = NULL;
    size_t n = 0;
    bool found = false;
    if (!reputation_rules_all(db, &rules, &n, e))
        return false;
    for (size_t i = 0; i < n && !found; i++)
        if (!strcmp(rules[i].name, name)) {
            *out = rules[i];
            found = true;
        }
    free(rules);
    return found || err_set(e, ERR_CONFLICT, "its rule \"%s\" is gone", name);
}

bool reputation_approve(const struct reputation_context *x, uint64_t id, struct err *e)
{
    struct reputation_deed d;
    struct reputation_rule_row rule;
    struct round r;
    bool found = false;
    if (!reputation_deed_get(x->db, id, &d, &found, e))
        return false;
    if (!found)
        return err_set(e, ERR_NOT_FOUND, "there is no such action; see `reputation status`");
    if (strcmp(d.state, "pending") != 0)
        return err_set(e, ERR_CONFLICT, "that action is %s already", d.state);
    if (!rule_of(x->db, d.rule, &rule, e))
        return false;
    bool ok = round_open(&r, x, e) && reputation_deed_settle(x->db, id, "approved", e) &&
              act(&r, &rule, d.server_num, d.provider, d.reason, e);
    round_close(&r);
    return ok;
}

bool reputation_release(const struct reputation_context *x, uint16_t server_num, bool *was_out,
                        struct err *e)
{
    struct round r;
    *was_out = false;
    bool ok = round_open(&r, x, e);
    for (size_t i = 0; ok && i < r.n_rows; i++) {
        struct reputation_row row = r.rows[i];
        if (row.server_num != server_num)
            continue;
        *was_out = true;
        row.stage = STAGE_GOOD;
        ok = reputation_standing_put(x->db, &row, e);
    }
    ok = ok && reputation_deeds_dismiss(x->db, server_num, e) &&
         (!*was_out || tell(x, server_num, "reputation.released", "", "by the user's word", e));
    round_close(&r);
    return ok;
}
