/* Private to src/mail: the body of a built mail, from its MIME fields to its last line. */
#ifndef MAIL_MIME_BODY_H
#define MAIL_MIME_BODY_H

#include "mail/mime.h"

/* Appends Content-Type, what else its MIME fields are, the empty line and the body:
 *   mixed( alternative( text, related( html, inline parts ) ), attachments )
 * with every multipart left out that would have one part. Of HTML without a text part the text is
 * made here. *leading_dot is set when a line begins with a dot. False with *e: too big, or an
 * attachment that cannot be written. */
bool mime_add_body(struct buf *out, const struct mime_message *m, bool *leading_dot,
                   struct err *e) MUST_USE;

#endif
