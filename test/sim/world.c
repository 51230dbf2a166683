/* What every part of the world uses: the shared struct, its randomness, the trace that proves a
 * replay, and the steps at which the engine may crash. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct world *W;

void world_trace(const char *fmt, ...)
{
    char line[600];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    for (const char *p = line; *p; p++)
        W->trace_hash = (W->trace_hash ^ (unsigned char)*p) * UINT64_C(0x100000001B3);
    W->trace_hash = (W->trace_hash ^ (uint64_t)W->boot_us) * UINT64_C(0x100000001B3);
    W->n_traced++;
    if (W->verbose && n > 0)
        printf("%12.6f %s\n", (double)W->boot_us / 1e6, line);
}

void world_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(W->problem, sizeof W->problem, fmt, ap);
    va_end(ap);
    world_trace("FAILED %s", W->problem);
    (void)fflush(stdout);
    _exit(1);
}

uint64_t world_below(uint64_t n)
{
    return rand_below(&W->rand, n);
}

bool world_chance(uint32_t of_1000)
{
    return world_below(1000) < of_1000;
}

int64_t world_between(int64_t low, int64_t high)
{
    return low + (int64_t)world_below((uint64_t)(high - low + 1));
}

int64_t world_wall_us(void)
{
    return W->boot_us + W->wall_offset_us;
}

int64_t world_machine_us(void)
{
    return W->boot_us - W->boot_base_us;
}

void world_step(void)
{
    W->steps++;
    if (!W->crash_in || --W->crash_in)
        return;
    W->crashes++;
    W->connections_at_crash += conns_open();
    world_trace("crash at step %llu with %u connections", (unsigned long long)W->steps,
                conns_open());
    conns_crash();
    (void)fflush(stdout);
    _exit(CRASH_STATUS);
}

const struct behaviour *world_behaves(const struct vserver *s, enum verb v)
{
    for (uint32_t i = 0; i < s->n_behaviours; i++) {
        const struct behaviour *b = &s->behaviours[i];
        int64_t now = W->boot_us - W->ready_us;
        if (b->verb == v && W->ready_us && now >= b->from_us && now < b->to_us &&
            (!b->share || world_chance(b->share)))
            return b;
    }
    return NULL;
}
