/* `server isolate`: one probe mail through each server to each address, compared: is it one server,
 * one recipient, or everything? */
#ifndef ENGINE_ISOLATE_H
#define ENGINE_ISOLATE_H

struct core;
struct link_request;

/* args: {"to":[...],"server":[...],"group","from","verbose"}; no server and no group: the group
 * default. Answers the request when all conversations are over: {"verdict","text","servers",
 * "recipients","slow","ran","failed","not_run","probes":[...]}. */
void isolate_start(struct core *c, struct link_request *r);

#endif
