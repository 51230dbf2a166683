/* A transcript played with smtp/server and no socket: see README.md beside this file. */
#ifndef SERVE_H
#define SERVE_H

#include "base/buf.h"
#include "smtp/server.h"

enum { SERVE_WHOLE = 0, SERVE_BY_BYTE = -1 };

struct serve {
    const char *file;
    size_t line_number;
    ptrdiff_t cut; /* SERVE_WHOLE, SERVE_BY_BYTE, or after that many bytes of the client */
    ptrdiff_t fed;
    bool failed;
    struct smtp_server *s;
    int64_t now_ms;
    struct buf client; /* not fed yet */
    struct buf server; /* said, and not looked at */
    struct buf events; /* a line each, not looked at */
    struct buf body;
};

/* Makes the server as the `config` lines of the text say. */
void serve_start(struct serve *t, const char *file, struct str text, ptrdiff_t cut);
void serve_finish(struct serve *t);
bool serve_line(struct serve *t, struct str line);
/* Nothing is left that no line looked at. */
bool serve_end(struct serve *t);
/* Feeds what waits, pulls events, collects what is said. */
void serve_pump(struct serve *t);
bool serve_fail(struct serve *t, const char *what, struct str got);
/* Plays a whole text: as written, byte by byte, and cut at every place. */
bool serve_every_way(const char *file, struct str text);

#endif
