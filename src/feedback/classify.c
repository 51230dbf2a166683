/* An answer's meaning: transport first, then the rules in their order (design DISPATCH, "What an
 * answer means"). Touches neither heap nor clock, but for a rule with a regular expression, whose
 * match data PCRE2 allocates. Any bytes are fine. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "feedback/classify.h"
#include "feedback/phrases.h"
#include "feedback/rules.h"
#include <pcre2.h>

enum { REGEX_STEPS_MAX = 20000, REGEX_DEPTH_MAX = 200 };

struct view { /* an answer as the rules see it */
    const struct answer *a;
    int code;   /* effective: 599 for "5.1.1" without a code; 0: neither */
    int class_; /* 2 to 5, 0: none */
    const struct phrases_text *text;
    const uint64_t *hits;
};

static const enum fault usual_fault[VERDICT_COUNT] = {
    [VERDICT_FAILOVER] = FAULT_SERVER,       [VERDICT_TRY_LATER] = FAULT_RECIPIENT,
    [VERDICT_RATE_LIMITED] = FAULT_SERVER,   [VERDICT_QUOTA] = FAULT_SERVER,
    [VERDICT_AUTH_CONFIG] = FAULT_SERVER,    [VERDICT_HARD_BOUNCE] = FAULT_RECIPIENT,
    [VERDICT_SOFT_BOUNCE] = FAULT_RECIPIENT, [VERDICT_BLOCKED] = FAULT_SERVER_PROVIDER,
    [VERDICT_CONTENT] = FAULT_CAMPAIGN,      [VERDICT_PROTOCOL] = FAULT_MESSAGE,
    [VERDICT_UNKNOWN] = FAULT_MESSAGE,
};

/* What ends by waiting is not permanent, whatever code a server gives it. */
static bool is_passing(enum verdict v)
{
    return v == VERDICT_QUOTA || v == VERDICT_RATE_LIMITED || v == VERDICT_TRY_LATER ||
           v == VERDICT_UNCERTAIN || v == VERDICT_ACCEPTED;
}

static void set(struct classification *out, enum verdict v, bool permanent, const char *rule)
{
    *out = (struct classification){
        .verdict = v, .fault = usual_fault[v], .permanent = permanent && !is_passing(v)};
    (void)str_copy(str_of(rule), out->rule, sizeof(out->rule));
}

static void classify_loss(const struct answer *a, struct classification *out)
{
    static const char *const before[] = {
        [LOSS_TIMEOUT] = "loss.timeout", [LOSS_CLOSED] = "loss.closed",
        [LOSS_REFUSED] = "loss.refused", [LOSS_UNREACHABLE] = "loss.unreachable",
        [LOSS_NAME] = "loss.name",       [LOSS_CERTIFICATE] = "loss.certificate",
        [LOSS_TLS] = "loss.tls",         [LOSS_PROTOCOL] = "loss.protocol"};
    static const char *const after[] = {[LOSS_TIMEOUT] = "loss.timeout_after_dot",
                                        [LOSS_CLOSED] = "loss.closed_after_dot",
                                        [LOSS_REFUSED] = "loss.after_dot",
                                        [LOSS_UNREACHABLE] = "loss.after_dot",
                                        [LOSS_NAME] = "loss.after_dot",
                                        [LOSS_CERTIFICATE] = "loss.after_dot",
                                        [LOSS_TLS] = "loss.tls_after_dot",
                                        [LOSS_PROTOCOL] = "loss.protocol_after_dot"};
    if (a->after_dot)
        set(out, VERDICT_UNCERTAIN, false, after[a->loss]);
    else if (a->loss == LOSS_CERTIFICATE)
        set(out, VERDICT_AUTH_CONFIG, true, before[a->loss]);
    else
        set(out, VERDICT_FAILOVER, false, before[a->loss]);
}

/* Positive replies, and numbers that are no reply codes. False: a refusal, for the rules. */
static bool classify_unrefused(const struct answer *a, struct classification *out)
{
    if (a->code >= 400 && a->code <= 599)
        return false;
    if (a->code >= 200 && a->code <= 299) {
        bool dropped = a->enhanced[0] == 4 || a->enhanced[0] == 5;
        set(out, VERDICT_ACCEPTED, false, dropped ? "accepted.suppressed" : "accepted");
        out->provider_suppressed = dropped;
        return true;
    }
    if (a->code == 0)
        return false;
    if (a->code == 354 && (a->phase == PHASE_DATA || a->phase == PHASE_NONE))
        set(out, VERDICT_ACCEPTED, false, "accepted.go_ahead");
    else if (a->code >= 300 && a->code <= 399)
        set(out, VERDICT_PROTOCOL, false, "reply.unexpected");
    else if (a->phase == PHASE_DOT)
        set(out, VERDICT_UNCERTAIN, false, "reply.malformed_after_dot");
    else
        set(out, VERDICT_FAILOVER, false, "reply.malformed");
    return true;
}

static bool code_fits(const struct rule *r, const struct view *v)
{
    for (unsigned i = 0; i < r->code_count; i++)
        if (v->code >= r->codes[i].lo && v->code <= r->codes[i].hi)
            return true;
    return r->code_count == 0;
}

static bool enhanced_fits(const struct rule *r, const uint8_t *e)
{
    for (unsigned i = 0; i < r->enhanced_count; i++) {
        const struct enhanced_range *w = &r->enhanced[i];
        if (e[0] && (w->class_ == RULE_ANY || w->class_ == e[0]) &&
            (w->subject == RULE_ANY || w->subject == e[1]) && e[2] >= w->lo && e[2] <= w->hi)
            return true;
    }
    return r->enhanced_count == 0;
}

static bool profile_fits(const struct rule *r, struct str profile)
{
    for (unsigned i = 0; i < r->profile_count; i++)
        if (str_ieq(r->profiles[i], profile))
            return true;
    return r->profile_count == 0;
}

static unsigned count_hits(struct phrase_span span, const uint64_t *hits)
{
    unsigned n = 0;
    for (unsigned i = span.first; i < (unsigned)span.first + span.n; i++)
        n += (hits[i / 64] >> (i % 64)) & 1;
    return n;
}

static bool phrases_fit(const struct rule *r, const uint64_t *hits)
{
    const struct phrase_span *s = r->phrases;
    return (s[ROLE_ANY].n == 0 || count_hits(s[ROLE_ANY], hits) > 0) &&
           count_hits(s[ROLE_ALL], hits) == s[ROLE_ALL].n && count_hits(s[ROLE_NOT], hits) == 0;
}

/* A match that runs into its limits is no match. */
static bool regexes_fit(const struct rule *r, struct str text)
{
    if (r->regex_count == 0)
        return true;
    bool found = false;
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (data && limits) {
        (void)pcre2_set_match_limit(limits, REGEX_STEPS_MAX);
        (void)pcre2_set_depth_limit(limits, REGEX_DEPTH_MAX);
        for (unsigned i = 0; i < r->regex_count && !found; i++)
            found = pcre2_match(r->regexes[i], (PCRE2_SPTR)text.p, text.n, 0, 0, data, limits) >= 0;
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    return found;
}

static bool rule_fits(const struct rule *r, const struct view *v)
{
    return (r->phases == 0 || (r->phases >> v->a->phase & 1)) && code_fits(r, v) &&
           enhanced_fits(r, v->a->enhanced) && profile_fits(r, v->a->profile) &&
           phrases_fit(r, v->hits) && regexes_fit(r, phrases_text_str(v->text));
}

/* Rules that have a phrase in the text, and those that need none. */
static void find_candidates(const struct rules *rules, const uint64_t *hits, uint64_t *out)
{
    memcpy(out, rules->untexted, sizeof(rules->untexted));
    size_t words = (phrases_count(rules->phrases) + 63) / 64;
    for (size_t w = 0; w < words; w++)
        for (uint64_t left = hits[w]; left; left &= left - 1) {
            unsigned rule = rules->phrase_rule[w * 64 + (unsigned)__builtin_ctzll(left)];
            out[rule / 64] |= UINT64_C(1) << (rule % 64);
        }
}

static const struct rule *first_rule(const struct rules *rules, const struct view *v)
{
    uint64_t candidates[RULES_WORDS];
    find_candidates(rules, v->hits, candidates);
    for (size_t w = 0; w < (rules->count + 63) / 64; w++)
        for (uint64_t left = candidates[w]; left; left &= left - 1) {
            const struct rule *r = &rules->rule[w * 64 + (unsigned)__builtin_ctzll(left)];
            if (rule_fits(r, v))
                return r;
        }
    return NULL;
}

static void apply_rule(const struct rule *r, const struct view *v, struct classification *out)
{
    *out = (struct classification){.verdict = r->verdict, .fault = usual_fault[r->verdict]};
    out->permanent = v->class_ != 4 && !is_passing(r->verdict) && r->verdict != VERDICT_FAILOVER;
    if (v->class_ == 5 && r->verdict == VERDICT_FAILOVER && v->a->phase == PHASE_MAIL)
        out->permanent = true;
    if (r->has_fault)
        out->fault = r->fault;
    if (r->has_permanent)
        out->permanent = r->permanent;
    (void)str_copy(r->id, out->rule, sizeof(out->rule));
}

static void classify_refusal(const struct rules *rules, const struct answer *a,
                             struct classification *out)
{
    struct phrases_text text;
    uint64_t hits[PHRASES_WORDS];
    struct view v = {.a = a, .code = a->code, .text = &text, .hits = hits};
    if (v.code == 0 && a->enhanced[0] >= 2 && a->enhanced[0] <= 5)
        v.code = a->enhanced[0] * 100 + RULE_CODE_ANY_OF_CLASS;
    v.class_ = v.code / 100;
    phrases_text_make(a->text, &text);
    phrases_find(rules->phrases, &text, hits);
    const struct rule *r = first_rule(rules, &v);
    if (r)
        apply_rule(r, &v, out);
    else if (v.class_ == 4)
        set(out, VERDICT_TRY_LATER, false, "code.4xx");
    else
        set(out, VERDICT_UNKNOWN, true, v.class_ == 5 ? "code.5xx" : "text.unknown");
    if (!out->permanent)
        out->wait_ms = answer_wait_ms(phrases_text_str(&text));
}

void classify_answer(const struct rules *r, const struct answer *a, struct classification *out)
{
    if (a->loss != LOSS_NONE)
        classify_loss(a, out);
    else if (!classify_unrefused(a, out))
        classify_refusal(r, a, out);
}
