/* First the commonest failure, then addresses refused nearly everywhere, then servers that fail
 * where others do not; what is left is mixed. */
#include "feedback/compare.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

#define NEARLY_ALL(part, whole) ((part)*5 >= (whole)*4)
#define SLOW_MS                 2000
#define SLOW_TIMES              5

const char *compared_name(enum compared k)
{
    static const char *const names[] = {"nothing", "well",       "systemic",
                                        "servers", "recipients", "mixed"};
    return names[k];
}

static bool failed(const struct finding *f)
{
    return f->ran && !f->ok;
}

/* The same step and the same answer; of enhanced codes all three numbers. */
static bool is_alike(const struct finding *a, const struct finding *b)
{
    return a->step == b->step && a->code / 100 == b->code / 100 &&
           strcmp(a->enhanced, b->enhanced) == 0;
}

static void find_common(const struct finding *f, size_t n, struct comparison *out)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t same = 0;
        if (!failed(&f[i]))
            continue;
        for (size_t k = 0; k < n; k++)
            same += failed(&f[k]) && is_alike(&f[i], &f[k]);
        if (same > out->same) {
            out->same = same;
            out->common = &f[i];
        }
    }
}

struct counts {
    uint32_t ran, failed;
};

/* An address that nearly all servers could not serve, while another one went through. */
static uint32_t mark_recipients(const struct finding *f, size_t n, uint32_t n_recipients,
                                struct comparison *out)
{
    struct counts c[COMPARE_RECIPIENTS_MAX] = {{0}};
    uint32_t marked = 0;
    for (size_t i = 0; i < n; i++) {
        c[f[i].recipient].ran += f[i].ran;
        c[f[i].recipient].failed += failed(&f[i]);
    }
    for (uint32_t r = 0; r < n_recipients; r++) {
        bool all = c[r].ran > 1 && NEARLY_ALL(c[r].failed, c[r].ran);
        bool other_is_well = false;
        for (uint32_t k = 0; k < n_recipients; k++)
            other_is_well = other_is_well || (k != r && c[k].ran && c[k].failed * 2 <= c[k].ran);
        out->recipients[r] = all && other_is_well;
        marked += out->recipients[r];
    }
    return marked;
}

/* A server that fails at least half of what is not the recipients' own. */
static uint32_t mark_servers(const struct finding *f, size_t n, uint32_t n_servers,
                             struct comparison *out)
{
    struct counts c[COMPARE_SERVERS_MAX] = {{0}};
    uint32_t marked = 0;
    for (size_t i = 0; i < n; i++) {
        if (out->recipients[f[i].recipient])
            continue;
        c[f[i].server].ran += f[i].ran;
        c[f[i].server].failed += failed(&f[i]);
    }
    for (uint32_t s = 0; s < n_servers; s++) {
        out->servers[s] = c[s].failed && c[s].failed * 2 >= c[s].ran;
        marked += out->servers[s];
    }
    return marked;
}

static int by_ms(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void mark_slow(const struct finding *f, size_t n, struct comparison *out)
{
    int64_t ms[COMPARE_SERVERS_MAX * COMPARE_RECIPIENTS_MAX];
    size_t ok = 0;
    for (size_t i = 0; i < n; i++)
        if (f[i].ran && f[i].ok)
            ms[ok++] = f[i].ms;
    if (ok < 3)
        return;
    qsort(ms, ok, sizeof *ms, by_ms);
    int64_t median = ms[ok / 2];
    for (size_t i = 0; i < n; i++)
        if (f[i].ran && f[i].ok && f[i].ms > SLOW_MS && f[i].ms > SLOW_TIMES * median)
            out->slow[f[i].server] = true;
}

void compare_findings(const struct finding *f, size_t n, uint32_t n_servers, uint32_t n_recipients,
                      struct comparison *out)
{
    check(n_servers <= COMPARE_SERVERS_MAX && n_recipients <= COMPARE_RECIPIENTS_MAX);
    check(n <= (size_t)COMPARE_SERVERS_MAX * COMPARE_RECIPIENTS_MAX);
    *out = (struct comparison){.kind = COMPARED_NOTHING};
    for (size_t i = 0; i < n; i++) {
        check(f[i].server < n_servers && f[i].recipient < n_recipients);
        out->ran += f[i].ran;
        out->failed += failed(&f[i]);
    }
    if (!out->ran)
        return;
    mark_slow(f, n, out);
    out->kind = COMPARED_WELL;
    if (!out->failed)
        return;
    find_common(f, n, out);
    if (n_servers > 1 && NEARLY_ALL(out->failed, out->ran) && NEARLY_ALL(out->same, out->failed)) {
        out->kind = COMPARED_SYSTEMIC;
        return;
    }
    uint32_t recipients = mark_recipients(f, n, n_recipients, out);
    uint32_t servers = mark_servers(f, n, n_servers, out);
    if (recipients && !servers)
        out->kind = COMPARED_RECIPIENTS;
    else if (servers && !recipients && (n_servers == 1 || servers * 2 <= n_servers))
        out->kind = COMPARED_SERVERS;
    else
        out->kind = COMPARED_MIXED;
}
