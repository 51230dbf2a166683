/* Reads replies of an SMTP server (RFC 5321, 4.2; enhanced codes RFC 3463), byte by byte or many
 * at once, with the same result for every cutting. It knows nothing of commands or sessions.
 *
 * Tolerated: LF alone as the end of a line, NUL and 8-bit bytes in the text, a bare code, lines up
 * to 4096 bytes. Not a reply (BAD): anything else that does not start with a code from 200 to 599,
 * codes that differ within one reply, a longer line, more than 64 KB in all.
 * Control characters of the text become '?', so that it can be shown and stored. */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/base.h"
#include "base/buf.h"
#include "base/str.h"

enum { SMTP_REPLY_LINE_MAX = 4096, SMTP_REPLY_TOTAL_MAX = 65536 };

enum smtp_reply_status { SMTP_REPLY_MORE, SMTP_REPLY_READY, SMTP_REPLY_BAD };

struct smtp_reply {
    int code;            /* 200 to 599; 0 when BAD */
    uint8_t enhanced[3]; /* of the first line that has one; 0 0 0: none */
    struct buf text;     /* READY: the lines without code, separated by '\n'; BAD: why */
    struct buf line;     /* an unfinished line (internal) */
    size_t total;        /* bytes of this reply (internal) */
    bool over;           /* the last feed ended a reply (internal) */
};

void smtp_reply_init(struct smtp_reply *r);
void smtp_reply_free(struct smtp_reply *r);
/* Takes bytes off *bytes up to the end of one reply. READY: the fields are valid until the next
 * feed, which begins a new reply. BAD is final. */
enum smtp_reply_status smtp_reply_feed(struct smtp_reply *r, struct str *bytes);
/* Adds all lines to `out`, joined by blanks, without their enhanced codes; cut where out is full.
 */
void smtp_reply_join(const struct smtp_reply *r, struct buf *out);
/* Takes an enhanced code ("5.1.1 ") off the front of *s; false and zeros when there is none. */
bool smtp_reply_take_enhanced(struct str *s, uint8_t enhanced_out[3]);

#endif
