/* Proof tokens in links: unsubscribe, view, preferences. Text of URL-safe characters: kind, message
 * id, list num and contact id, with a truncated MAC (BLAKE2b keyed, 128 bit). Pure. */
#ifndef MAIL_TOKEN_H
#define MAIL_TOKEN_H

#include "base/base.h"
#include "base/str.h"

#define TOKEN_KEY_BYTES 32
#define TOKEN_TEXT_MAX  96

enum token_kind { TOKEN_UNSUBSCRIBE = 1, TOKEN_VIEW = 2, TOKEN_PREFERENCES = 3 };

struct token {
    enum token_kind kind;
    uint64_t message_id, list_id, contact_id;
};

/* out has TOKEN_TEXT_MAX bytes; NUL-terminated. */
void token_make(const uint8_t key[TOKEN_KEY_BYTES], const struct token *t, char *out);
/* False: not ours, cut, or changed. Constant time in the MAC. */
bool token_read(const uint8_t key[TOKEN_KEY_BYTES], struct str text, struct token *out) MUST_USE;

#endif
