/* The steady clock: boot time, anchored at the wall clock once a boot. Windows of limits run on it,
 * so it must not pass faster than time does, whatever is done to the wall clock. */
#ifndef ENGINE_ANCHOR_H
#define ENGINE_ANCHOR_H

#include "engine/state.h"

/* At the start, before the database is used for anything that has a time: sets c->steady_offset.
 * After a reboot the wall clock is believed forwards; what it was moved forwards by before is no
 * time that passed, so the use of limits moves along. Over a day: c->jump_held. */
bool anchor_open(struct core *c, struct db *db, struct err *e) MUST_USE;
/* Each second: how far the clocks had come, once a minute and whenever the wall clock was moved. */
void anchor_second(struct core *c);

#endif
