/* What a server offers, read from its EHLO reply (RFC 5321, 4.1.1.1). */
#ifndef SMTP_CAPS_H
#define SMTP_CAPS_H

#include "smtp/client.h"

/* lines: the reply's lines without codes, separated by '\n'; the first one is a greeting.
 * Forgets what *caps held; unknown keywords are passed over. */
void smtp_caps_read(struct smtp_caps *caps, struct str lines);

#endif
