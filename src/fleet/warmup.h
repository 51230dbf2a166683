/* Warm-up: how much a new server may send on each sending day, and whether a day was good enough to
 * go on. A curve is a table of caps, one a day; a plan adds what the gate wants to see and whom the
 * server may write to. Pure: the figures of the last day come in, the next day comes out. Who keeps
 * and enforces it: store/warmup.h, engine/warming.c. */
#ifndef FLEET_WARMUP_H
#define FLEET_WARMUP_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

#define WARMUP_DAYS_MAX    366
#define WARMUP_CAP_MAX     UINT64_C(1000000000)
#define WARMUP_CLASSES     7
#define WARMUP_ALL_CLASSES 0xFFu /* bit 0: nothing is known of the contact; bits 1 (best) to 7 */
#define WARMUP_STEPS_MAX   16

struct warmup_curve {
    uint32_t n; /* days */
    uint64_t caps[WARMUP_DAYS_MAX];
};

/* One of
 *     50,100,200                 a table
 *     linear:50-10000/30         from 50 to 10,000 over 30 days
 *     exponential:50-100000*1.41 times 1.41 each day until 100,000
 * with k and M behind numbers. Caps are at least 1 and never fall. ERR_INVALID names the form. */
bool warmup_curve_parse(struct str text, struct warmup_curve *out, struct err *e) MUST_USE;
/* The same days with this share of each cap (0 < percent <= 100), at least 1. */
void warmup_curve_share(const struct warmup_curve *of, double percent, struct warmup_curve *out);
/* The cap of a day, 1 first; the last one's beyond the end, 0 for an empty curve. */
uint64_t warmup_cap(const struct warmup_curve *c, uint32_t day);

struct warmup_gate {      /* fractions of the answers of a day; starting values, settable */
    double hard_max;      /* hard bounces: 0.02 */
    double complaint_max; /* of what was sent: 0.001 */
    double deferral_max;  /* told to come later or slower: 0.1 */
    uint64_t volume_min;  /* answers below which no rate is judged: 20 */
    uint64_t events_min;  /* of a kind below which none holds: 2; one bad recipient is no signal */
    uint64_t blocks;      /* block replies that step back: 2 */
    double use_min;       /* of the cap: below it a day does not count as one: 0.1 */
    uint32_t step_back;   /* days: 2 */
};
void warmup_gate_defaults(struct warmup_gate *g);

struct warmup_class_step { /* from this day on classes 1 up to `up_to` */
    uint32_t from_day;
    uint32_t up_to;
};

struct warmup_audience {
    struct warmup_class_step steps[WARMUP_STEPS_MAX]; /* days rising; none: everybody */
    uint32_t n;
    uint32_t unknown; /* the class a contact counts as of whom nothing is known, 1..7 */
};
/* "1:2 8:4 15:7": from day 1 classes 1 to 2, and so on. */
bool warmup_audience_parse(struct str text, struct warmup_audience *out, struct err *e) MUST_USE;
/* Mask of classes allowed that day. Where no contact of the house has a class at all
 * (is_known false), the unknown ones count as the best: else nobody could be written to. */
uint32_t warmup_classes(const struct warmup_audience *a, uint32_t day, bool is_known);

struct warmup_figures { /* of one day, for a server or for one mailbox provider there */
    uint64_t attempts;  /* all */
    uint64_t answers;   /* those that say something of the recipients' side */
    uint64_t sent, hard, deferred, blocked, complaints;
};

enum warmup_move {
    WARMUP_STAY = 0, /* nothing or next to nothing was sent: the day does not count */
    WARMUP_ADVANCE,
    WARMUP_HOLD,
    WARMUP_STEP_BACK,
    WARMUP_FINISH, /* the last day was good */
};
const char *warmup_move_name(enum warmup_move m); /* stored: "advanced", "held" ... */

struct warmup_step {
    enum warmup_move move;
    uint32_t day; /* the next one; beyond the curve when finished */
    char why[200];
};
/* What follows a day of the curve that is over. */
void warmup_judge(const struct warmup_gate *g, const struct warmup_curve *c, uint32_t day,
                  const struct warmup_figures *last, struct warmup_step *out);

#endif
