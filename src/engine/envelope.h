/* The envelope of a message for smtp/client, and the DSN parameters (RFC 3461) in it: as they came
 * by submission they are kept with the message, one text of four lines (RET, ENVID, NOTIFY, ORCPT;
 * an empty one was not said), and go on to a server that offers DSN. */
#ifndef ENGINE_ENVELOPE_H
#define ENGINE_ENVELOPE_H

#include "base/base.h"
#include "base/str.h"
#include "smtp/client.h"

struct job;

/* What was said with MAIL and with RCPT, as one text; NULL: nothing at all. The caller frees. */
char *dsn_pack(struct str ret, struct str envid, struct str notify, struct str orcpt);
/* The text into the envelope, which borrows from it. */
void dsn_unpack(struct str text, struct smtp_envelope *e);
/* Borrows from the job. */
struct smtp_envelope envelope_of(const struct job *j);

#endif
