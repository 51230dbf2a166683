/* The limits of one server: every window, what is reserved, what is taken, when it is free again.
 * Counts of hour, day and month are reserved by fleet_pick and become real when the dot leaves;
 * pace (second, minute) is taken only when the dot leaves. Pure. */
#ifndef FLEET_QUOTA_H
#define FLEET_QUOTA_H

#include "base/base.h"
#include "fleet/window.h"
#include "model/message.h"
#include "model/server.h"

#define QUOTA_RESERVE_PERCENT 20 /* of each quota, kept for transactional mail where it is due */

enum quota_window {
    QUOTA_SECOND = 0,
    QUOTA_MINUTE,
    QUOTA_HOUR,
    QUOTA_DAY,
    QUOTA_MONTH,
    QUOTA_WINDOWS
};

struct quota_line {
    uint64_t limit;       /* 0: none; counted all the same, for the day one is set */
    bool is_calendar;     /* counted from `opened_at`, by quota_open_calendar */
    struct window window; /* sliding; a month's is made when it has a limit */
    uint64_t used;        /* calendar */
    int64_t opened_at, closes_at;
    struct window urgent;   /* sliding: the transactional part of it; made with the first one */
    uint64_t urgent_used;   /* calendar: the same */
    int64_t spread_at_us;   /* when the next bulk message is due on an even pace */
    int64_t spread_step_us; /* what the last one moved it by */
};

enum quota_bar { QUOTA_FREE = 0, QUOTA_USED_UP, QUOTA_RESERVED, QUOTA_SPREAD };

struct quota {
    struct quota_line lines[QUOTA_WINDOWS];
    uint64_t reserved;  /* picked, dot not left yet */
    int64_t even_at_us; /* per second: when the next dot is due on an even pace */
    enum counts counts;
    enum spread spread;
    double phase;       /* 0..1: where in its pace it begins when a calendar window opens */
    bool counts_month;  /* for a volume that is paid for, whatever its limit */
    bool keeps_reserve; /* transactional mail may come: its part of each quota is kept */
};

const char *quota_window_name(enum quota_window w); /* "second" ... */
int64_t quota_window_span_ms(enum quota_window w);

void quota_init(struct quota *q);
void quota_free(struct quota *q);
/* Applies configured limits, keeping what was counted: a limit that is set or changed at work knows
 * of the use before it (a month: of the last day's). */
void quota_configure(struct quota *q, const struct limits *l, int64_t now_ms);
/* Pace windows begin used up (after a start the last second and minute are not known). */
void quota_fill_pace(struct quota *q, int64_t now_ms);
/* Puts use of the past back (from roll-ups), hour and longer. */
void quota_load(struct quota *q, enum quota_window w, int64_t now_ms, int64_t at_ms, uint64_t n);
/* A calendar window opens: used is what was counted since (whole buckets). */
void quota_open_calendar(struct quota *q, enum quota_window w, int64_t opened_at,
                         int64_t closes_at);

/* May one more of this lane be picked? If not: what bars it, *free_at_out when it is over
 * (INT64_MAX: unknown), *window_out which. Bulk and priority mail leaves the reserve alone and,
 * with SPREAD_EVEN, takes a day's or month's quota evenly: what is left over what is left of a
 * calendar window, never over four times the even pace; a sliding one at its even pace. */
enum quota_bar quota_may_reserve(struct quota *q, enum lane lane, int64_t now_ms,
                                 int64_t *free_at_out, enum quota_window *window_out);
void quota_reserve(struct quota *q, enum lane lane, int64_t now_ms);
void quota_return(struct quota *q, enum lane lane);
/* May a dot leave now? If not: *when_out. `ahead`: dots that wait already and go first. */
bool quota_may_dot(struct quota *q, int64_t now_ms, uint32_t ahead, int64_t *when_out);
/* The dot leaves (or, for counts = attempts without a dot, the attempt ends): reserved -> used. */
void quota_take(struct quota *q, enum lane lane, int64_t now_ms);
/* How many more may leave now beside what is reserved, by minute and longer; and counts so many as
 * if each had been reserved and taken, so that one virtual message can stand for many. */
uint64_t quota_room(struct quota *q, enum lane lane, int64_t now_ms);
void quota_take_more(struct quota *q, enum lane lane, uint64_t n, int64_t now_ms);
/* The message that took at `at_ms` was refused and the server counts accepted ones only. */
void quota_give_back(struct quota *q, enum lane lane, int64_t now_ms, int64_t at_ms);
uint64_t quota_used(struct quota *q, enum quota_window w, int64_t now_ms); /* with reserved */
/* What was counted in a window, whether it has a limit or not; a month only when it is counted. */
uint64_t quota_counted(struct quota *q, enum quota_window w, int64_t now_ms);
/* Counts the month though it has no limit: for a volume that is paid for. */
void quota_count_month(struct quota *q, bool is_calendar, int64_t now_ms);
int64_t quota_free_at(struct quota *q, enum quota_window w, int64_t now_ms);

#endif
