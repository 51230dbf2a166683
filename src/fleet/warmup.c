/* Warm-up: see warmup.h. */
#include "fleet/warmup.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- curves */

static bool read_number(struct str t, uint64_t *out)
{
    uint64_t times = 1;
    t = str_trim(t);
    if (t.n && (t.p[t.n - 1] == 'k' || t.p[t.n - 1] == 'M'))
        times = t.p[--t.n] == 'k' ? 1000 : 1000000;
    return str_to_u64(t, WARMUP_CAP_MAX / times, out) && (*out *= times, *out > 0);
}

static bool wrong(struct str text, struct err *e)
{
    return err_set(e, ERR_INVALID,
                   "curve: \"%.*s\" is none of 50,100,200 (a cap a day, never falling, at most %d "
                   "days), linear:50-10000/30, exponential:50-100000*1.41",
                   (int)MIN(text.n, (size_t)60), text.p ? text.p : "", WARMUP_DAYS_MAX);
}

static bool read_table(struct str text, struct warmup_curve *out)
{
    struct str part;
    out->n = 0;
    while (str_split(&text, ',', &part)) {
        uint64_t cap = 0;
        bool falls = !read_number(part, &cap) || (out->n && cap < out->caps[out->n - 1]);
        if (falls || out->n == WARMUP_DAYS_MAX)
            return false;
        out->caps[out->n++] = cap;
    }
    return out->n > 0;
}

/* "50-10000" in front of `sep`; *rest_out is what stands behind it. */
static bool read_range(struct str text, char sep, uint64_t *from, uint64_t *to,
                       struct str *rest_out)
{
    ptrdiff_t dash = str_chr(text, '-'), at = str_chr(text, sep);
    if (dash < 0 || at < dash)
        return false;
    *rest_out = str_from_index(text, (size_t)at + 1);
    return read_number(str_cut(text, 0, (size_t)dash), from) &&
           read_number(str_cut(text, (size_t)dash + 1, (size_t)(at - dash) - 1), to) &&
           *from <= *to;
}

static bool read_linear(struct str text, struct warmup_curve *out)
{
    uint64_t from = 0, to = 0, days = 0;
    struct str rest = STR_NONE;
    if (!read_range(text, '/', &from, &to, &rest) ||
        !str_to_u64(str_trim(rest), WARMUP_DAYS_MAX, &days) || days < 1)
        return false;
    out->n = (uint32_t)days;
    for (uint32_t d = 0; d < out->n; d++)
        out->caps[d] = out->n == 1 ? to : from + (to - from) * d / (out->n - 1);
    return true;
}

static bool read_exponential(struct str text, struct warmup_curve *out)
{
    uint64_t from = 0, to = 0;
    struct str rest = STR_NONE;
    char number[24], *end = NULL;
    if (!read_range(text, '*', &from, &to, &rest) ||
        !str_copy(str_trim(rest), number, sizeof number))
        return false;
    double factor = strtod(number, &end), cap = (double)from;
    if (!*number || *end || !(factor >= 1.01) || factor > 100)
        return false;
    out->n = 0;
    while (out->n < WARMUP_DAYS_MAX) {
        out->caps[out->n++] = MIN((uint64_t)floor(cap + 1e-6), to);
        if (out->caps[out->n - 1] == to)
            return true;
        cap *= factor;
    }
    return false;
}

bool warmup_curve_parse(struct str text, struct warmup_curve *out, struct err *e)
{
    struct str t = str_trim(text);
    bool ok = false;
    if (str_starts(t, STR("linear:")))
        ok = read_linear(str_from_index(t, 7), out);
    else if (str_starts(t, STR("exponential:")))
        ok = read_exponential(str_from_index(t, 12), out);
    else
        ok = read_table(t, out);
    return ok || wrong(text, e);
}

void warmup_curve_share(const struct warmup_curve *of, double percent, struct warmup_curve *out)
{
    out->n = of->n;
    for (uint32_t d = 0; d < of->n; d++)
        out->caps[d] = MAX((uint64_t)((double)of->caps[d] * percent / 100), UINT64_C(1));
}

uint64_t warmup_cap(const struct warmup_curve *c, uint32_t day)
{
    return c->n ? c->caps[MIN(MAX(day, 1u), c->n) - 1] : 0;
}

/* ---- whom a warming server may write to */

bool warmup_audience_parse(struct str text, struct warmup_audience *out, struct err *e)
{
    struct str rest = str_trim(text), part;
    out->n = 0;
    while (rest.n && str_split(&rest, ' ', &part)) {
        uint64_t day = 0, up_to = 0;
        ptrdiff_t colon = str_chr(part, ':');
        bool ok = colon > 0 && out->n < WARMUP_STEPS_MAX &&
                  str_to_u64(str_cut(part, 0, (size_t)colon), WARMUP_DAYS_MAX, &day) &&
                  str_to_u64(str_from_index(part, (size_t)colon + 1), WARMUP_CLASSES, &up_to) &&
                  day > (out->n ? out->steps[out->n - 1].from_day : 0) && up_to > 0;
        if (!ok)
            return err_set(
                e, ERR_INVALID,
                "classes: \"%.*s\" must look like \"1:2 8:4 15:7\" (from day 1 classes 1 "
                "to 2, from day 8 to 4 ...)",
                (int)MIN(text.n, (size_t)60), text.p ? text.p : "");
        out->steps[out->n++] =
            (struct warmup_class_step){.from_day = (uint32_t)day, .up_to = (uint32_t)up_to};
    }
    return true;
}

uint32_t warmup_classes(const struct warmup_audience *a, uint32_t day, bool is_known)
{
    uint32_t up_to = WARMUP_CLASSES;
    for (uint32_t i = 0; i < a->n; i++)
        if (i == 0 || a->steps[i].from_day <= day)
            up_to = a->steps[i].up_to;
    uint32_t mask = ((1u << (up_to + 1)) - 1) & ~1u;
    bool unknown = !is_known || MAX(a->unknown, 1u) <= up_to;
    return mask | unknown;
}

/* ---- the gate */

void warmup_gate_defaults(struct warmup_gate *g)
{
    *g = (struct warmup_gate){.hard_max = 0.02,
                              .complaint_max = 0.001,
                              .deferral_max = 0.1,
                              .volume_min = 20,
                              .events_min = 2,
                              .blocks = 2,
                              .use_min = 0.1,
                              .step_back = 2};
}

static const char *const moves[] = {"stayed", "advanced", "held", "stepped_back", "finished"};

const char *warmup_move_name(enum warmup_move m)
{
    return (size_t)m < countof(moves) ? moves[m] : "?";
}

/* True: too many of `n` among `of`, said in out->why. */
static bool is_over(const struct warmup_gate *g, const char *what, uint64_t n, uint64_t of,
                    double max, struct warmup_step *out)
{
    if (n < g->events_min || !of || (double)n <= max * (double)of)
        return false;
    snprintf(out->why, sizeof out->why, "%s %.2f %% (%llu of %llu), at most %.2f %%", what,
             100.0 * (double)n / (double)of, (unsigned long long)n, (unsigned long long)of,
             100 * max);
    return true;
}

static bool is_bad(const struct warmup_gate *g, const struct warmup_figures *f,
                   struct warmup_step *out)
{
    if (f->answers < g->volume_min)
        return false;
    return is_over(g, "hard bounces", f->hard, f->answers, g->hard_max, out) ||
           is_over(g, "complaints", f->complaints, f->sent, g->complaint_max, out) ||
           is_over(g, "deferrals", f->deferred, f->answers, g->deferral_max, out);
}

void warmup_judge(const struct warmup_gate *g, const struct warmup_curve *c, uint32_t day,
                  const struct warmup_figures *last, struct warmup_step *out)
{
    *out = (struct warmup_step){.move = WARMUP_STAY, .day = day};
    if (g->blocks && last->blocked >= g->blocks) {
        out->move = WARMUP_STEP_BACK;
        out->day = day > g->step_back ? day - g->step_back : 1;
        snprintf(out->why, sizeof out->why, "%llu block replies: back to day %u",
                 (unsigned long long)last->blocked, out->day);
        return;
    }
    if (is_bad(g, last, out)) {
        out->move = WARMUP_HOLD;
        return;
    }
    uint64_t cap = warmup_cap(c, day);
    if (!last->sent || (double)last->sent < g->use_min * (double)cap) {
        snprintf(out->why, sizeof out->why, "%llu of %llu sent: the day does not count",
                 (unsigned long long)last->sent, (unsigned long long)cap);
        return;
    }
    out->move = day >= c->n ? WARMUP_FINISH : WARMUP_ADVANCE;
    out->day = day + 1;
    snprintf(out->why, sizeof out->why, "day %u of %u was good: %llu sent, %llu hard bounces", day,
             c->n, (unsigned long long)last->sent, (unsigned long long)last->hard);
}
