/* Makes a text fit to be given away: addresses keep their domain, their local part becomes a short
 * keyed hash (the same address reads the same everywhere under one key, and nobody without the key
 * finds it by trying); secrets and what AUTH says are replaced. Message-IDs of ours stay. Pure. */
#ifndef MAIL_MASK_H
#define MAIL_MASK_H

#include "base/base.h"
#include "base/buf.h"
#include "base/str.h"

#define MASK_KEY_BYTES   32
#define MASK_SECRETS_MAX 8

struct mask {
    uint8_t key[MASK_KEY_BYTES];          /* fresh for each bundle */
    struct str secrets[MASK_SECRETS_MAX]; /* borrowed; under 3 bytes: passed over */
    size_t n_secrets;
};

/* "ana@example.net" -> "x-3f9a01bc@example.net" in running text, secrets -> "***". Adds to out. */
void mask_text(const struct mask *m, struct str text, struct buf *out);
/* The same for what a server says to AUTH: words that look coded go too. */
void mask_auth_reply(const struct mask *m, struct str text, struct buf *out);
/* The same for a kept conversation ("C: " and "S: " lines): arguments of AUTH, its challenges and
 * its answers go, whatever they are. */
void mask_conversation(const struct mask *m, struct str text, struct buf *out);

#endif
