/* The user's failure matrix at work: see policy.h. The rules that keep promises (never again what
 * was accepted or is uncertain, nobody suppressed without a word about the recipient) stand here,
 * behind every rule of the user. */
#include "fleet/policy.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

bool policy_compile(const struct failover *f, struct policy **out, struct err *e)
{
    struct policy *p = alloc_one(struct policy);
    bool ok = f->n_rules <= FAILOVER_RULES_MAX && f->n_order <= FAILOVER_ORDER_MAX;
    if (!ok)
        (void)err_set(e, ERR_INVALID, "failover: at most %d rules and %d servers in the order",
                      FAILOVER_RULES_MAX, FAILOVER_ORDER_MAX);
    p->rules = alloc_many(struct policy_rule, f->n_rules);
    for (size_t i = 0; ok && i < f->n_rules; i++) {
        ok = policy_rule_parse(str_of(f->rules[i]), &p->rules[i], e);
        if (!ok)
            (void)err_prefix(e, "rule %zu", i + 1);
        p->n_rules += ok;
    }
    if (!ok) {
        policy_free(&p);
        return false;
    }
    p->order = alloc_many(uint16_t, f->n_order);
    if (f->n_order)
        memcpy(p->order, f->order, f->n_order * sizeof *p->order);
    p->n_order = (uint32_t)f->n_order;
    p->tries_per_round = f->tries_per_round;
    p->tries = f->tries;
    p->rounds = f->rounds;
    p->deadline_ms = f->deadline_ms;
    p->first_delay_ms = f->first_delay_ms;
    p->max_delay_ms = f->max_delay_ms;
    *out = p;
    return true;
}

void policy_free(struct policy **pp)
{
    struct policy *p = *pp;
    *pp = NULL;
    if (!p)
        return;
    free(p->rules);
    free(p->order);
    free(p);
}

/* ---- which rule */

static bool code_fits(const struct policy_rule *r, int code)
{
    for (unsigned i = 0; i < r->n_codes; i++)
        if (code >= r->codes[i].lo && code <= r->codes[i].hi)
            return true;
    return r->n_codes == 0;
}

static bool enhanced_fits(const struct policy_rule *r, const uint8_t e[3])
{
    for (unsigned i = 0; i < r->n_enhanced; i++) {
        bool same = e[0] != 0;
        for (int k = 0; k < 3; k++)
            same = same && (r->enhanced[i].part[k] == POLICY_ANY || r->enhanced[i].part[k] == e[k]);
        if (same)
            return true;
    }
    return r->n_enhanced == 0;
}

/* The parts between the stars, in this order, anywhere in the text: linear in its length. */
static bool text_fits(const char *pattern, struct str text)
{
    struct str rest = str_of(pattern), part;
    while (str_split(&rest, '*', &part)) {
        ptrdiff_t at = part.n ? str_find(text, part) : 0;
        if (at < 0)
            return false;
        text = str_from_index(text, (size_t)at + part.n);
    }
    return true;
}

static bool is_out_of_reach(enum verdict v)
{
    return v == VERDICT_ACCEPTED || v == VERDICT_UNCERTAIN || v == VERDICT_NONE;
}

uint32_t policy_find(const struct policy *p, const struct retry_ask *a)
{
    char text[POLICY_LOOK_MAX + 1];
    bool is_folded = false;
    if (is_out_of_reach(a->verdict))
        return 0;
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct policy_rule *r = &p->rules[i];
        if ((r->verdicts && !(r->verdicts >> a->verdict & 1)) ||
            (r->phases && !(r->phases >> a->phase & 1)) || !code_fits(r, a->code) ||
            !enhanced_fits(r, a->enhanced))
            continue;
        if (r->text[0] && !is_folded) {
            policy_fold(a->text, text, sizeof text);
            is_folded = true;
        }
        if (!r->text[0] || text_fits(r->text, str_of(text)))
            return (uint32_t)i + 1;
    }
    return 0;
}

/* ---- what it makes of the step */

/* A word about this recipient, read from the server: only that may suppress anybody. */
static bool is_about_the_recipient(const struct retry_ask *a)
{
    return a->code >= 400 && a->code <= 599 &&
           (a->phase == PHASE_RCPT || a->phase == PHASE_DATA || a->phase == PHASE_DOT);
}

static void follow(const struct retry_ask *a, int64_t now_ms, enum failover_action action,
                   struct step *step)
{
    switch (action) {
    case FAILOVER_RETRY_SAME:
        if (a->same_once)
            retry_later(a, now_ms, true, step);
        else
            *step = (struct step){.kind = STEP_SAME_SERVER, .state = MESSAGE_QUEUED};
        break;
    case FAILOVER_OPEN:
    case FAILOVER_QUARANTINE:
    case FAILOVER_NEXT_SERVER:
        *step = (struct step){.kind = STEP_NEXT_SERVER, .state = MESSAGE_QUEUED};
        break;
    case FAILOVER_DEFER: retry_later(a, now_ms, retry_is_recipients(a->verdict), step); break;
    case FAILOVER_GIVE_UP: retry_undeliverable(a, step); break;
    case FAILOVER_SUPPRESS:
        *step = (struct step){.kind = STEP_END, .state = MESSAGE_BOUNCED, .hard = true};
        break;
    case FAILOVER_DEFAULT:
    case FAILOVER_ACTIONS: break;
    }
}

/* An answer that only asks for patience is never the last try. */
static bool is_free_of_charge(enum verdict v)
{
    return v == VERDICT_RATE_LIMITED || v == VERDICT_QUOTA;
}

static void hold_to_settings(const struct retry_ask *a, int64_t now_ms, struct step *step)
{
    const struct policy *p = a->policy;
    struct step before = *step;
    if (step->kind == STEP_END)
        return;
    if (p->tries && a->tries >= p->tries && !is_free_of_charge(a->verdict)) {
        retry_undeliverable(a, step);
        step->by = STEP_BY_TRIES;
    } else if (step->kind == STEP_NEXT_SERVER && p->tries_per_round &&
               a->n_tried + 1 >= p->tries_per_round) {
        retry_round_over(a, now_ms, step);
        if (step->kind != STEP_END)
            step->by = STEP_BY_TRIES_PER_ROUND;
    }
    step->rule = before.rule;
    step->action = before.action;
}

void policy_apply(const struct retry_ask *a, int64_t now_ms, struct step *step)
{
    if (is_out_of_reach(a->verdict))
        return;
    uint32_t n = policy_find(a->policy, a);
    enum failover_action action = n ? a->policy->rules[n - 1].action : FAILOVER_DEFAULT;
    if (action == FAILOVER_SUPPRESS && !is_about_the_recipient(a))
        n = 0;
    if (n) {
        follow(a, now_ms, action, step);
        step->rule = n;
        step->action = action;
    }
    hold_to_settings(a, now_ms, step);
}

/* ---- for people */

const char *policy_step_name(const struct step *step)
{
    enum failover_action a = FAILOVER_GIVE_UP;
    if (step->action == FAILOVER_OPEN || step->action == FAILOVER_QUARANTINE)
        a = step->action;
    else if (step->kind == STEP_NEXT_SERVER)
        a = FAILOVER_NEXT_SERVER;
    else if (step->kind == STEP_SAME_SERVER)
        a = FAILOVER_RETRY_SAME;
    else if (step->kind == STEP_LATER)
        a = FAILOVER_DEFER;
    else if (step->state == MESSAGE_SENT || step->state == MESSAGE_UNCERTAIN)
        return message_state_name(step->state);
    else if (step->hard)
        a = FAILOVER_SUPPRESS;
    return failover_action_name(a);
}

void policy_why(const struct step *step, const char *group, char *out, size_t size)
{
    static const char *const by[] = {[STEP_BY_VERDICT] = NULL,
                                     [STEP_BY_TRIES_PER_ROUND] = "tries per round",
                                     [STEP_BY_TRIES] = "tries in all",
                                     [STEP_BY_ROUNDS] = "rounds",
                                     [STEP_BY_DEADLINE] = "deadline"};
    int n = 0;
    *out = 0;
    if (step->rule)
        n = snprintf(out, size, "failover rule %u of group %.80s: %s", (unsigned)step->rule, group,
                     failover_action_name(step->action));
    if (step->by != STEP_BY_VERDICT && n >= 0 && (size_t)n < size)
        (void)snprintf(out + n, size - (size_t)n, "%sfailover of group %.80s: %s reached",
                       n ? "; " : "", group, by[step->by]);
}

/* Can a refusal for content come to this rule? Its enhanced codes are x.6 and x.7. */
static bool may_take_content(const struct policy_rule *r)
{
    if (r->verdicts && !(r->verdicts >> VERDICT_CONTENT & 1))
        return false;
    if (r->phases &&
        !(r->phases & (1u << PHASE_MAIL | 1u << PHASE_RCPT | 1u << PHASE_DATA | 1u << PHASE_DOT)))
        return false;
    bool enhanced = r->n_enhanced == 0 || r->verdicts;
    for (unsigned i = 0; i < r->n_enhanced; i++)
        enhanced = enhanced || r->enhanced[i].part[1] == POLICY_ANY ||
                   r->enhanced[i].part[1] == 6 || r->enhanced[i].part[1] == 7;
    return enhanced;
}

static void warn_of_rule(const struct policy *p, size_t i,
                         void (*each)(void *arg, const char *text), void *arg)
{
    const struct policy_rule *r = &p->rules[i];
    bool moves = r->action == FAILOVER_NEXT_SERVER || r->action == FAILOVER_OPEN ||
                 r->action == FAILOVER_QUARANTINE;
    char text[400];
    if (moves && may_take_content(r)) {
        (void)snprintf(text, sizeof text,
                       "rule %zu takes refusals for content to %s: the same mail "
                       "harms one server after the other; leave them out with !content%s",
                       i + 1, p->tries_per_round ? "further servers" : "every server of the group",
                       p->tries_per_round ? "" : ", or bound it with tries_per_round");
        each(arg, text);
    }
    uint32_t servers = 1u << VERDICT_FAILOVER | 1u << VERDICT_QUOTA | 1u << VERDICT_AUTH_CONFIG |
                       1u << VERDICT_RATE_LIMITED | 1u << VERDICT_BLOCKED;
    if (r->action == FAILOVER_SUPPRESS && (!r->verdicts || (r->verdicts & servers))) {
        (void)snprintf(text, sizeof text,
                       "rule %zu may suppress recipients for a fault of the server; name "
                       "the verdict too (hard_bounce, unknown ...)",
                       i + 1);
        each(arg, text);
    }
    for (size_t k = 0; k < i; k++) {
        char mine[FAILOVER_RULE_MAX], other[FAILOVER_RULE_MAX];
        struct policy_rule a = *r, b = p->rules[k];
        a.action = b.action;
        policy_rule_format(&a, mine);
        policy_rule_format(&b, other);
        if (strcmp(mine, other) != 0)
            continue;
        (void)snprintf(text, sizeof text, "rule %zu is never reached: rule %zu asks the same",
                       i + 1, k + 1);
        each(arg, text);
    }
}

void policy_warn(const struct policy *p, void (*each)(void *arg, const char *text), void *arg)
{
    for (size_t i = 0; i < p->n_rules; i++)
        warn_of_rule(p, i, each, arg);
    if (p->first_delay_ms && p->max_delay_ms && p->first_delay_ms > p->max_delay_ms)
        each(arg, "first_delay is longer than max_delay: every pause is max_delay");
    if (p->deadline_ms && p->first_delay_ms && p->first_delay_ms > p->deadline_ms)
        each(arg, "first_delay is longer than the deadline: nothing is tried twice");
}
