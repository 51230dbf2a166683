/* The master key and what hangs on it: SMTP passwords sealed in the database (XChaCha20-Poly1305,
 * bound to "table|id|column", so that a ciphertext moved elsewhere does not open) and keys derived
 * by label. The key lies outside the database: file secret.key (0400) in the data folder, or the
 * systemd credential of that name. A wrong or missing key is refused, never replaced. */
#ifndef STORE_SECRETS_H
#define STORE_SECRETS_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"
#include "store/db.h"

#define SECRETS_KEY_BYTES   32
#define SECRETS_FILE        "secret.key"
#define SECRETS_PLAIN_MAX   65536   /* bytes of one sealed value */
#define SECRETS_LABEL_TOKEN "token" /* label of the key that proves links (mail/token.h) */

struct secrets;

/* Makes DIR/secret.key with a fresh key, synced with its folder; ERR_CONFLICT when it is there. */
bool secrets_create(const char *dir, struct err *e) MUST_USE;
/* $CREDENTIALS_DIRECTORY/secret.key if there is one, else DIR/secret.key. ERR_NOT_FOUND when there
 * is none, ERR_NOT_ALLOWED when others may read it, ERR_CORRUPT when it is malformed. */
bool secrets_load(const char *dir, struct secrets **out, struct err *e) MUST_USE;
void secrets_free(struct secrets **s);
/* Holds the key against the check value in the database, which is written when there is none and
 * nothing is sealed yet (so call it within a transaction on a read-write handle). ERR_REFUSED when
 * the key is not the one that the database was made with. */
bool secrets_match(const struct secrets *s, struct db *db, struct err *e) MUST_USE;

/* The same without writing, for a read-only handle: a database that nothing was sealed in yet fits
 * every key. Also opens one sealed password. */
bool secrets_check(const struct secrets *s, struct db *db, struct err *e) MUST_USE;
/* When the key file was written, epoch ms; 0: not known. The path is borrowed. */
int64_t secrets_written_at(const struct secrets *s, const char **path_out);

/* Adds the sealed form (version, nonce, ciphertext with tag) to out. id: of the row. */
bool secrets_seal(const struct secrets *s, const char *table, uint64_t id, const char *column,
                  struct str plain, struct buf *out, struct err *e) MUST_USE;
/* ERR_CORRUPT when it was changed, cut, sealed for another place, or with another key. */
bool secrets_unseal(const struct secrets *s, const char *table, uint64_t id, const char *column,
                    struct str sealed, struct secret **out, struct err *e) MUST_USE;
/* A key for one purpose; the same label gives the same key for as long as the master key lives. */
void secrets_derive(const struct secrets *s, const char *label, uint8_t out[SECRETS_KEY_BYTES]);

#endif
