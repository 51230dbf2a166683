/* Logins that fail slow down: by name, in the memory of web. */
#ifndef API_THROTTLE_H
#define API_THROTTLE_H

#include "base/base.h"
#include "base/str.h"

struct throttle;

struct throttle *throttle_new(void) MUST_USE;
void throttle_free(struct throttle **t);
/* ms until the name may be tried again; 0: now. Thread-safe, as all here. */
int64_t throttle_wait(struct throttle *t, struct str name, int64_t now_ms);
void throttle_failed(struct throttle *t, struct str name, int64_t now_ms);
void throttle_passed(struct throttle *t, struct str name);

#endif
