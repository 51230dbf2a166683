/* Cells: a server for one mailbox provider. A cell is the same small machine as the server
 * (healthy, degraded, open, half_open, ramp), comes into being with the first thing that speaks
 * against it and is gone when it is well and nothing happens; see doc/DISPATCH.md, "Cells". Called
 * by engine/cells (start), live and reputing. */
#ifndef FLEET_CELLS_H
#define FLEET_CELLS_H

#include "base/base.h"
#include "model/server.h"

struct fleet;

#define FLEET_CELLS_MAX 32 /* a server; more than there are mailbox providers with a name */

struct cell_view {
    uint32_t provider;
    enum oper_state state;
    char reason[160];
    int64_t until;      /* steady ms; 0: none */
    uint32_t openings;  /* in a row */
    uint32_t in_flight; /* picked since it came into being */
    double per_s;       /* the pace learned from throttling; 0: none */
};

/* Those of a server, at most max; returns how many. */
size_t fleet_cells(const struct fleet *f, uint16_t num, struct cell_view *out, size_t max);
/* How many of all servers are open, or on their way back. */
size_t fleet_cells_closed(const struct fleet *f);
/* Closes the server to one mailbox provider until then (steady ms) for its reputation. What is
 * closed already is kept closed for longer. */
void fleet_bar_provider(struct fleet *f, uint16_t num, uint32_t provider, const char *reason,
                        int64_t until, int64_t now_ms);
/* By the user's word: one message tries a closed cell at once, a learned pace is forgotten. False:
 * it is neither closed nor slowed. */
bool fleet_release_cell(struct fleet *f, uint16_t num, uint32_t provider, const char *reason,
                        int64_t now_ms);
/* A cell that was open when the daemon ended is so again; says nothing to anybody. */
void fleet_restore_cell(struct fleet *f, uint16_t num, uint32_t provider, const char *reason,
                        int64_t until, uint32_t openings, int64_t now_ms);

#endif
