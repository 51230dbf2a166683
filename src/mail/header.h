/* Header fields of RFC 5322: encoding (RFC 2047), parameters (RFC 2231), folding, dates. Every
 * function that writes a field ends it with CRLF and keeps lines within 78 bytes where folding can
 * (998 always). Line breaks and other controls in a value become blanks, so that no value can start
 * a field of its own. Pure. */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "mail/addr.h"

#define HEADER_DATE_SIZE 40
#define HEADER_LINE_MAX  998 /* RFC 5322 2.1.1, without CRLF */

/* True when s can name a field: 1 to 76 printable ASCII characters without a colon (RFC 5322 2.2).
 */
bool header_name_is_valid(struct str s);
/* Whether a user may set this field with a value of their own: refuses malformed names and the
 * fields that a built mail writes itself (From, To, Subject, Date, MIME fields ...). */
bool header_check_extra(struct str name, struct err *e) MUST_USE;

/* An id to be put in a Message-ID field: id@host, printable ASCII without blanks and brackets, at
 * most 250 bytes. */
bool header_check_message_id(struct str id, struct err *e) MUST_USE;

/* "Name: value": unstructured text, encoded as RFC 2047 words when it is not plain ASCII. False
 * only when out is full. */
bool header_add_text(struct buf *out, struct str name, struct str value);
/* "Name: token": ASCII that must not be encoded (an id, a URL in brackets); written as it is. False
 * when out is full or the line would be longer than 998 bytes or hold a control or a blank at an
 * end. */
bool header_add_token(struct buf *out, struct str name, struct str value);
/* "Name: Display Name <address>": only the phrase is encoded or quoted. */
bool header_add_mailbox(struct buf *out, struct str name, struct str display,
                        const struct addr *address);
/* The same for a list of mailboxes, "A <a@b>, c@d"; *needs_utf8 is set when an address has a
 * UTF-8 local part. False with *e when one is malformed: nothing is written then. */
bool header_add_mailbox_list(struct buf *out, struct str name, struct str list, bool *needs_utf8,
                             struct err *e);
/* Appends "; name=value" to a field that is being written (no CRLF); RFC 2231 where needed, each
 * section on a line of its own when the value is long. */
bool header_add_parameter(struct buf *out, struct str name, struct str value);
/* `Name <a@b>` for display or for mime_message.from, quoted where needed, no encoding, no fold. */
bool header_mailbox_text(struct buf *out, struct str display, const struct addr *address);

/* RFC 5322 3.3: "Fri, 21 Nov 2025 21:38:00 +0000". Years 1 to 9999; times outside are clamped. */
void header_date(int64_t wall_ms, int offset_min, char out[HEADER_DATE_SIZE]);
/* Decodes RFC 2047 words in UTF-8, US-ASCII and ISO-8859-1 (Windows-1252 printable part read as
 * Latin-1); words in other charsets stay as they are. Blanks between words vanish. */
bool header_decode(struct str value, struct buf *out);

#endif
