/* When will a campaign end, what holds it up, and how much leaves by whom each day? Answered by the
 * fleet's own code on a virtual clock: a copy of the fleet is asked and told as the real one is, by
 * virtual connections that take as long for a message as measured. Idle time is jumped over. Pure:
 * time, calendars and what a warming server may send on the days to come are data.
 * Every message is taken to be accepted at its first attempt; health is as it is now. */
#ifndef FLEET_FORECAST_H
#define FLEET_FORECAST_H

#include "fleet/fleet.h"

#define FORECAST_DAYS_MAX 400 /* further nobody looks */

/* The part of a fleet that mail to these groups can reach, as it is now, with nothing in flight.
 * The caller's. Quiet: it says nothing to anybody. */
struct fleet *fleet_copy(const struct fleet *of, const uint32_t *groups, size_t n,
                         int64_t now_ms) MUST_USE;
/* What a message takes on one connection by the answers of late, us: the median from dot to reply
 * and once more the shortest of them for the way to the dot. 0: none was measured. */
int64_t fleet_service_us(const struct fleet *f, uint16_t num);
/* Nums of the servers in it, at most max. */
size_t fleet_servers(const struct fleet *f, uint16_t *nums, size_t max);

struct forecast_class { /* messages that are alike; those of number 0 are asked for */
    uint32_t campaign;  /* 0, or another one that shares the servers: takes turns with it */
    uint32_t campaign_num, group_num, provider;
    const char *provider_name; /* borrowed */
    enum lane lane;
    uint8_t engagement;
    char country[3];
    const char *from_domain; /* lower case, borrowed; "": not known */
    uint64_t n;
};

struct forecast_calendar { /* steady ms, rising; the first is the begin of what runs now */
    const int64_t *days, *months;
    size_t n_days, n_months; /* beyond the last: each 24 hours or 30 days */
};

struct forecast_server {
    uint16_t num;
    const char *name;   /* borrowed */
    int64_t service_us; /* a message on one connection, pauses included; over 0 */
    uint32_t calendar;  /* of its day, in calendars */
};

struct forecast_warmup { /* of a server, or of one mailbox provider there */
    uint16_t server_num;
    uint32_t provider; /* 0: the server itself */
    uint32_t day;      /* of sending, 1 first */
    const uint64_t *caps;
    const uint32_t *classes; /* masks of a day; NULL: as they are. As many as caps, >= 1 */
    size_t n;
    int64_t closes_at; /* of the day that runs */
    bool holds;        /* days pass, none advances */
};

struct forecast_in {
    struct fleet *fleet; /* a copy: it is used up */
    int64_t now_ms;
    int64_t wall_offset_ms; /* wall ms = steady ms + this; days of the answer are UTC's */
    const struct forecast_class *classes;
    size_t n_classes;
    const struct forecast_server *servers; /* all of the copy */
    size_t n_servers;
    const struct forecast_calendar *calendars; /* [0]: of limits that are no server's */
    size_t n_calendars;
    const struct forecast_warmup *warmups;
    size_t n_warmups;
    int64_t deadline_ms; /* steady; 0: none */
    uint64_t picks_max;  /* above it a virtual message stands for several; 0: 50,000 */
};

struct forecast_by_server {
    uint16_t num;
    uint64_t sent;
    uint64_t *days; /* by day from first_day */
    size_t n_days;
};

struct forecast_limit { /* what held it up, and for how long */
    char text[200];     /* "ses1: 2,000 an hour" */
    int64_t ms;
};

struct forecast {
    uint64_t recipients, sent;
    uint64_t by_deadline; /* of them; all without a deadline */
    bool ends;            /* within FORECAST_DAYS_MAX */
    int64_t finishes_at;  /* steady ms; of the last one seen to leave when it does not end */
    uint64_t batch;       /* most messages that a virtual one stood for */
    int64_t error_ms;     /* by standing for them, at most */
    int64_t first_day;    /* days since 1970, UTC */
    char bottleneck[400];
    char stuck[256];      /* it does not end: what its last messages wait for ... */
    uint32_t stuck_group; /* ... in this group */
    struct forecast_by_server *servers;
    size_t n_servers;
    struct forecast_limit *limits; /* longest first */
    size_t n_limits;
};

void forecast_run(const struct forecast_in *in, struct forecast *out);
void forecast_free(struct forecast *f);

#endif
