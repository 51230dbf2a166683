/* Canonical forms of RFC 6376 that signatures are made over: relaxed header fields (3.4.2) and
 * relaxed bodies (3.4.4). Bodies stream: the same bytes come out for every way of cutting them.
 * Line ends are CRLF, LF or CR, all of them, as on the way out (mail/mime.h). Pure. */
#ifndef MAIL_DKIM_CANON_H
#define MAIL_DKIM_CANON_H

#include "base/base.h"
#include "base/buf.h"
#include "base/str.h"

/* One field as it stands in a mail, folds and all, with or without its last line end; nothing when
 * it has no colon. Adds "name:value" without a line end. False only when out is full. */
bool canon_field(struct str field, struct buf *out);

#define CANON_STAGE 4096

struct canon_body {
    void (*emit)(void *arg, const char *p, size_t n); /* gets the canonical bytes, in pieces */
    void *arg;
    size_t blank_lines; /* seen, not given out: those at the end never are */
    bool has_cr;        /* the last byte was a CR: its LF may follow */
    bool has_blank;     /* blanks stand before whatever comes next */
    bool in_line;       /* this line has given out something */
    size_t n;
    char stage[CANON_STAGE];
};

void canon_body_begin(struct canon_body *c, void (*emit)(void *arg, const char *p, size_t n),
                      void *arg);
void canon_body_add(struct canon_body *c, struct str chunk);
/* Gives out the rest. An empty body, or one of blank lines only, gives nothing at all. */
void canon_body_end(struct canon_body *c);

#endif
