/* Whose fault? Is what a server says of its recipients worth believing, beside what the rest of its
 * group says? See doc/DISPATCH.md, "Whose fault". Called by engine/settle, whose and live. */
#ifndef FLEET_SUSPECT_H
#define FLEET_SUSPECT_H

#include "base/base.h"
#include "model/verdict.h"

struct fleet;

#define FLEET_SIGHTS_MAX 6

struct sight { /* of the last 200 recipients at most, each counted once */
    uint32_t n, bad;
    uint32_t domains; /* of the bad ones: at least so many */
    int64_t since;    /* steady ms of the oldest */
};

struct blame { /* one verdict: the server's own, and the rest of its group in the same time */
    enum verdict verdict;
    struct sight own, rest;
};

/* False: the server is suspect, so this verdict against a recipient or a message is not taken: the
 * next server is asked. */
bool fleet_believes(struct fleet *f, uint16_t num, enum verdict v);
/* What a suspect server is suspect of; else VERDICT_NONE. */
enum verdict fleet_suspected_of(struct fleet *f, uint16_t num);
/* Makes a server suspect that was it when the daemon ended; until: steady ms of its probation.
 * False: it is unknown, or its state says more already. It leaves by probation or fleet_release. */
bool fleet_suspect(struct fleet *f, uint16_t num, enum verdict v, const char *reason, int64_t until,
                   int64_t now_ms);
/* The figures of every verdict that was seen lately; returns how many, FLEET_SIGHTS_MAX at most. */
size_t fleet_sights(struct fleet *f, uint16_t num, struct blame *out, size_t max);

#endif
