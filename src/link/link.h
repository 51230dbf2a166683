/* What web and core say to each other: calls and answers in frames over a Unix stream socket.
 * The frame: u32 length of what follows (big-endian, at most LINK_FRAME_MAX) | u8 version | u8 type
 * | u16 zero | u64 id | payload. The payload of a call or an answer: u32 length of the JSON text,
 * the JSON text, and behind it a binary tail (rows of an import, a raw mail). A hello in each
 * direction goes first; another version ends the connection with a clear word.
 * Everything is bounded: the frame, the calls and bytes a peer may have outstanding, what waits to
 * be written. What one side gets wrong closes that connection, never the process. */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/str.h"

#include <jansson.h>

#define LINK_VERSION         1
#define LINK_HEADER_BYTES    16u          /* length, version, type, zero, id */
#define LINK_FRAME_MAX       (48u << 20)  /* bytes behind the length field */
#define LINK_OUTSTANDING_MAX 64u          /* unanswered calls of one connection */
#define LINK_BYTES_MAX       (192u << 20) /* unanswered bytes of all connections of a server */
#define LINK_CONNECTIONS_MAX 64u

/* ---- frames (frame.c; no socket) ---- */

enum link_type { LINK_HELLO = 1, LINK_CALL, LINK_ANSWER };

struct link_frame {
    enum link_type type;
    uint64_t id;
    struct str payload; /* borrows from the bytes given */
};

enum link_parsed { LINK_MORE, LINK_FRAME, LINK_BROKEN };

/* Reads the first frame of `bytes`. LINK_MORE: not whole yet (a header that is already wrong is
 * LINK_BROKEN at once). used_out: bytes of the frame. */
enum link_parsed link_frame_read(struct str bytes, struct link_frame *out, size_t *used_out,
                                 struct err *e) MUST_USE;
/* Adds a frame with JSON and tail to b. False: over LINK_FRAME_MAX or over b's maximum. */
bool link_frame_add(struct buf *b, enum link_type type, uint64_t id, struct str json,
                    struct str tail) MUST_USE;
/* Splits a payload. json_out is the caller's (json_decref); tail_out borrows. */
bool link_payload_read(struct str payload, json_t **json_out, struct str *tail_out,
                       struct err *e) MUST_USE;
/* {"ok":true,"data":...}; steals data (NULL: null). */
json_t *link_answer_ok(json_t *data) MUST_USE;
/* {"ok":false,"error":{"code","text"}} */
json_t *link_answer_error(const struct err *e) MUST_USE;
/* Reads either form: true with *data_out (the caller's), or false with the error in *e. */
bool link_answer_read(json_t *answer, json_t **data_out, struct err *e) MUST_USE;

/* ---- the server, in core, on net/loop (server.c) ---- */

struct link_server;
struct link_peer;
struct net;
struct loop;

/* A call that waits for its answer. Lives until link_answer, also when its peer is gone. */
struct link_request {
    const char *op;    /* "server.add" */
    json_t *args;      /* an object; may be empty */
    struct str tail;   /* binary tail, n 0: none */
    const char *actor; /* who asks: "socket", "key:NAME", "public" */
    /* internal: */
    struct link_server *server;
    struct link_peer *peer;
    struct list link;
    uint64_t id;
    json_t *call;
    char *bytes;
    size_t weight;
};

typedef void link_handler(void *arg, struct link_request *r);

/* Listens on `path` (0600; a stale socket is replaced); only our own uid and root are let in.
 * Calls `handler` on the loop's thread. */
bool link_server_new(struct loop *l, struct net *n, const char *path, link_handler *handler,
                     void *arg, struct link_server **out, struct err *e) MUST_USE;
/* The same without a listener: connections come by link_server_adopt. */
struct link_server *link_server_bare(struct net *n, link_handler *handler, void *arg) MUST_USE;
/* Takes over an accepted descriptor. */
void link_server_adopt(struct link_server *s, int fd);
/* Closes listener and connections. Requests still out must be answered before (the answers of
 * closed peers are dropped) or after link_server_close, and before link_server_free. */
void link_server_close(struct link_server *s);
void link_server_free(struct link_server **s);
/* Once a request, on the loop's thread. Steals `answer` and frees the request. An answer over
 * LINK_FRAME_MAX becomes an error. */
void link_answer(struct link_request *r, json_t *answer);
size_t link_server_outstanding(const struct link_server *s);

/* ---- the client, in web, from any thread (client.c) ---- */

struct link_client;

/* Nothing is connected before the first call. path is copied. connections: at most 32. */
struct link_client *link_client_new(const char *path, unsigned connections) MUST_USE;
void link_client_free(struct link_client **c);
/* Calls that wait end now with ERR_LATER, and so does every later one. From any thread. */
void link_client_stop(struct link_client *c);
/* Calls op and waits. args may be NULL and stays the caller's; actor may be NULL. *data_out is the
 * caller's, unless data_out is NULL. False: *e holds core's own error, or ERR_UNREACHABLE when
 * core was not reached or broke off, or ERR_LATER when timeout_ms passed: then the work may
 * still be done. A call is never repeated once a byte of it was written. */
bool link_call(struct link_client *c, const char *op, json_t *args, struct str tail,
               const char *actor, int timeout_ms, json_t **data_out, struct err *e) MUST_USE;

#endif
