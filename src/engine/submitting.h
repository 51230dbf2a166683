/* Messages of the API, one or a batch: read and composed on a desk, stored by the ledger in bites,
 * answered when all of it is durable. */
#ifndef ENGINE_SUBMITTING_H
#define ENGINE_SUBMITTING_H

#include "base/base.h"

struct core;
struct link_request;

/* message.send: args {"item", "test", "groups", "key"}, the tail is the mail itself or nothing.
 * message.send_json: the tail is the message as JSON. message.batch: the tail is
 * {"messages":[...],"defaults":{...}}. key: the Idempotency-Key. Answers {"id","message_id"}, or
 * {"accepted","rejected","data":[{"id","message_id"}|{"error":{"code","detail"}}]}; with
 * "replayed" when a key was answered before. False: no operation of these. */
bool submitting_start(struct core *c, struct link_request *r);

#endif
