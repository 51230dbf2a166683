/* Content transfer encodings of RFC 2045: chooses 7bit, quoted-printable or base64 for a text body
 * and writes it with CRLF line ends. Any mix of CR, LF and CRLF comes in; a bare CR counts as a
 * line end; malformed UTF-8 becomes U+FFFD; a body that does not end with a line end gets one.
 * Pure; linear in the body. */
#ifndef MAIL_ENCODE_H
#define MAIL_ENCODE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/str.h"

enum encode_kind { ENCODE_7BIT, ENCODE_QUOTED, ENCODE_BASE64 };

struct encode_plan {
    enum encode_kind kind;
    bool has_bare_cr;
    size_t bare_lf; /* line feeds without a CR before them */
};

/* Looks at the body once: 7bit when it is ASCII without NUL and no line is over 998 bytes, else the
 * smaller of the other two. */
struct encode_plan encode_choose(struct str body);
/* The value of Content-Transfer-Encoding. */
const char *encode_name(enum encode_kind kind);
/* Appends the body; *leading_dot is set when a line of the output begins with a dot (7bit only). */
bool encode_body(struct buf *out, struct str body, const struct encode_plan *plan,
                 bool *leading_dot);
/* Appends any bytes as base64 in lines of 76 characters. */
bool encode_bytes(struct buf *out, struct str bytes);
/* Appends s with every CR, LF and CRLF as one LF and malformed UTF-8 as U+FFFD. */
bool encode_unify(struct buf *out, struct str s);

#endif
