/* The forecast of a campaign (fleet/forecast.h) for web: what to send comes from the database, read
 * by web (store/reports.h, report_forecast_facts); the fleet as it is now is copied on the reactor;
 * the reckoning is a desk's. Changes nothing. */
#ifndef ENGINE_FORESEE_H
#define ENGINE_FORESEE_H

#include "engine/state.h"
#include "fleet/forecast.h"

struct foresight { /* belongs to one thread at a time: the reactor, a desk, the reactor */
    struct pool_job job;
    struct core *core;
    struct link_request *request;
    struct fleet *fleet;
    struct forecast_class *classes;
    size_t n_classes;
    char **from_domains; /* of the campaigns, as the classes borrow them */
    size_t n_from_domains;
    struct forecast_server *servers;
    char **server_names;
    bool *measured;
    size_t n_servers;
    struct forecast_calendar *calendars;
    size_t n_calendars;
    struct forecast_warmup *warmups;
    size_t n_warmups;
    int64_t now, wall_offset, deadline; /* steady ms */
    char waits[800];                    /* why nothing at all is sent now; "" */
    char stuck[256];                    /* it does not end: what messages of this group wait for */
    uint32_t stuck_group;
    json_t *answer;
};

/* Answers live.forecast. */
void foresee_start(struct core *c, struct link_request *r);
/* {"groups":[{"num","n","share"}]}: how a campaign's audience (as report_forecast_facts has one) is
 * spread over the groups by the rules of now. */
json_t *foresee_plan(struct core *c, const json_t *campaign);
/* Answers live.simulate (simulating.c). */
void simulating_start(struct core *c, struct link_request *r);

/* foresee_json.c, on a desk */
void foresee_read_warmups(struct foresight *x);
json_t *foresee_answer(const struct foresight *x, const struct forecast *r);

#endif
