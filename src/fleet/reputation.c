/* Reputation: see reputation.h. */
#include "fleet/reputation.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const metrics[METRICS] = {
    "hard_bounce_rate", "soft_bounce_rate", "deferral_rate",  "block_rate",
    "content_rate",     "unknown_rate",     "complaint_rate", "open_rate",
    "click_rate",       "block_providers",  "dnsbl_listed",   "inbound"};
static const char *const actions[REPUTATION_ACTIONS] = {"notify",     "lower",  "rest",
                                                        "quarantine", "graded", "step-back"};
static const char *const stages[STAGES] = {"good", "lowered", "resting", "quarantined",
                                           "probation"};

const char *reputation_action_name(enum reputation_action a)
{
    return (size_t)a < REPUTATION_ACTIONS ? actions[a] : "?";
}

bool reputation_action_parse(const char *s, enum reputation_action *out)
{
    for (int i = 0; i < REPUTATION_ACTIONS; i++)
        if (str_is(str_of(s), actions[i])) {
            *out = (enum reputation_action)i;
            return true;
        }
    return false;
}

const char *reputation_stage_name(enum reputation_stage s)
{
    return (size_t)s < STAGES ? stages[s] : "?";
}

/* ---- conditions */

static bool is_count(enum reputation_metric m)
{
    return m >= METRIC_BLOCK_PROVIDERS;
}

static bool of_sent(enum reputation_metric m)
{
    return m == METRIC_COMPLAINT_RATE || m == METRIC_OPEN_RATE || m == METRIC_CLICK_RATE;
}

/* The next word, blanks between. */
static bool next_word(struct str *rest, struct str *out)
{
    *rest = str_trim(*rest);
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ' ')
        n++;
    *out = str_cut(*rest, 0, n);
    *rest = str_from_index(*rest, n);
    return n > 0;
}

static bool read_value(struct str t, struct reputation_condition *c)
{
    char number[24], *end = NULL;
    char unit = t.n ? t.p[t.n - 1] : 0;
    c->times_group = unit == 'x';
    if (!str_copy(unit == '%' || unit == 'x' ? str_cut(t, 0, t.n - 1) : t, number, sizeof number))
        return false;
    c->value = strtod(number, &end) / (unit == '%' ? 100 : 1);
    return *number && !*end && c->value >= 0 && c->value <= 1e9 &&
           !(is_count(c->metric) && (unit == '%' || unit == 'x')) &&
           (is_count(c->metric) || unit == 'x' || c->value <= 1);
}

static bool read_condition(struct str *rest, struct reputation_condition *c)
{
    struct str name, sign, value;
    bool known = false;
    if (!next_word(rest, &name) || !next_word(rest, &sign) || !next_word(rest, &value))
        return false;
    for (int i = 0; i < METRICS && !known; i++)
        if (str_is(name, metrics[i])) {
            c->metric = (enum reputation_metric)i;
            known = true;
        }
    c->is_under = str_is(sign, "<");
    return known && (c->is_under || str_is(sign, ">")) && read_value(value, c);
}

static bool wrong(struct str text, struct err *e)
{
    char names[260] = "";
    size_t at = 0;
    for (int i = 0; i < METRICS; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", metrics[i]);
    return err_set(e, ERR_INVALID,
                   "when: \"%.*s\" must look like \"hard_bounce_rate > 5%% and open_rate < 0.5x\" "
                   "(only \"and\" or only \"or\", at most %d); metrics: %s",
                   (int)MIN(text.n, (size_t)80), text.p ? text.p : "", REPUTATION_CONDITIONS,
                   names);
}

bool reputation_when_parse(struct str text, struct reputation_when *out, struct err *e)
{
    struct str rest = text, joint;
    *out = (struct reputation_when){.n = 0};
    do {
        if (out->n == REPUTATION_CONDITIONS || !read_condition(&rest, &out->conditions[out->n]))
            return wrong(text, e);
        out->n++;
        if (!next_word(&rest, &joint))
            return true;
        bool is_or = str_is(joint, "or");
        if ((!is_or && !str_is(joint, "and")) || (out->n > 1 && is_or != out->any))
            return wrong(text, e);
        out->any = is_or;
    } while (true);
}

static double rate(const struct reputation_facts *f, enum reputation_metric m)
{
    uint64_t of = of_sent(m) ? f->sent : f->answers;
    if (is_count(m))
        return (double)f->of[m];
    return of ? (double)f->of[m] / (double)of : 0;
}

static bool holds(const struct reputation_condition *c, const struct reputation_facts *own,
                  const struct reputation_facts *rest, uint64_t volume_min, char *why, size_t size)
{
    double is = rate(own, c->metric), bar = c->value;
    if (!is_count(c->metric) && own->answers < MAX(volume_min, UINT64_C(1)))
        return false;
    if (c->times_group && rest->answers < MAX(volume_min, UINT64_C(1)))
        return false;
    if (c->times_group)
        bar *= rate(rest, c->metric);
    if (c->is_under ? !(is < bar) : !(is > bar))
        return false;
    double unit = is_count(c->metric) ? 1 : 100;
    const char *sign = is_count(c->metric) ? "" : " %";
    snprintf(why, size, "%s %g%s %s %g%s%s", metrics[c->metric], is * unit, sign,
             c->is_under ? "under" : "over", bar * unit, sign,
             c->times_group ? " (of the group)" : "");
    return true;
}

bool reputation_when_holds(const struct reputation_when *w, const struct reputation_facts *own,
                           const struct reputation_facts *rest, uint64_t volume_min, char *why,
                           size_t size)
{
    size_t n = 0, at = 0;
    why[0] = 0;
    for (size_t i = 0; i < w->n; i++) {
        char one[100];
        if (!holds(&w->conditions[i], own, rest, volume_min, one, sizeof one))
            continue;
        at = MIN(at, size - 1);
        at += (size_t)snprintf(why + at, size - at, "%s%s", n ? ", " : "", one);
        n++;
    }
    return w->n && (w->any ? n > 0 : n == w->n);
}

/* ---- standings */

static enum reputation_stage target_of(const struct reputation_answer *a,
                                       const struct reputation_standing *now)
{
    switch (a->action) {
    case REPUTATION_LOWER: return STAGE_LOWERED;
    case REPUTATION_REST: return STAGE_RESTING;
    case REPUTATION_QUARANTINE: return STAGE_QUARANTINED;
    case REPUTATION_GRADED:
        return now->worst < STAGE_QUARANTINED ? (enum reputation_stage)(now->worst + 1)
                                              : STAGE_QUARANTINED;
    default: return STAGE_GOOD;
    }
}

bool reputation_respond(const struct reputation_answer *a, const struct reputation_standing *now,
                        int64_t now_ms, struct reputation_standing *out)
{
    enum reputation_stage to = target_of(a, now);
    enum reputation_stage is = now->stage == STAGE_PROBATION ? STAGE_GOOD : now->stage;
    if (to <= is)
        return false;
    *out = *now;
    out->stage = to;
    out->worst = MAX(now->worst, to);
    out->weight = to == STAGE_LOWERED ? a->weight : 0;
    out->since = now_ms;
    int64_t longer = a->duration_ms << MIN(now->times, 5u);
    out->until = a->duration_ms ? now_ms + longer : 0;
    out->times = now->times + 1;
    return true;
}

bool reputation_return(const struct reputation_standing *now, int64_t now_ms,
                       struct reputation_standing *out)
{
    if (now->stage == STAGE_GOOD || !now->until || now_ms < now->until)
        return false;
    *out = *now;
    out->since = now_ms;
    out->until = 0;
    bool was_out = now->stage == STAGE_RESTING || now->stage == STAGE_QUARANTINED;
    if (was_out) {
        out->stage = STAGE_PROBATION;
        out->until = now_ms + PROBATION_MS;
    } else {
        *out = (struct reputation_standing){.stage = STAGE_GOOD, .weight = 1, .since = now_ms};
    }
    return true;
}

double reputation_factor(const struct reputation_standing *s, int64_t now_ms)
{
    switch (s->stage) {
    case STAGE_LOWERED: return s->weight;
    case STAGE_RESTING:
    case STAGE_QUARANTINED: return 0;
    case STAGE_PROBATION: {
        double gone = (double)MAX(now_ms - s->since, (int64_t)0) / (double)PROBATION_MS;
        return PROBATION_LOW + (1 - PROBATION_LOW) * MIN(gone, 1.0);
    }
    default: return 1;
    }
}

bool reputation_takes_too_much(const struct reputation_share *members, size_t n,
                               uint32_t server_num, double factor)
{
    double all = 0, gone = 0;
    for (size_t i = 0; i < n; i++) {
        double f = members[i].server_num == server_num ? MIN(factor, members[i].factor)
                                                       : members[i].factor;
        all += members[i].weight;
        gone += members[i].weight * (1 - f);
    }
    return gone > all / 2;
}
