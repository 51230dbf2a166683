/* A domain that mail is sent from, and its DKIM keys, as words of the trade. Plain data. */
#ifndef MODEL_DOMAIN_H
#define MODEL_DOMAIN_H

#include "base/base.h"

#define DOMAIN_MAX 253 /* bytes, A-labels, lower case */

enum dkim_algorithm { DKIM_RSA_SHA256 = 0, DKIM_ED25519_SHA256, DKIM_ALGORITHMS };

/* A domain signs with at most one active key of each algorithm. */
enum dkim_key_state {
    DKIM_KEY_WAITING = 0, /* made; signs once a check has seen its record, or the user says so */
    DKIM_KEY_ACTIVE,
    DKIM_KEY_RETIRED, /* signs no more; its record is still needed for mail on its way */
};

/* Whether mail through a server gets our signature. auto: unless its provider signs itself. */
enum dkim_use { DKIM_USE_AUTO = 0, DKIM_USE_ON, DKIM_USE_OFF };

/* "rsa", "ed25519": what users write and what k= of the record says. */
const char *dkim_algorithm_name(enum dkim_algorithm v);
bool dkim_algorithm_parse(const char *s, enum dkim_algorithm *out);
const char *dkim_key_state_name(enum dkim_key_state v);
bool dkim_key_state_parse(const char *s, enum dkim_key_state *out);
const char *dkim_use_name(enum dkim_use v);
bool dkim_use_parse(const char *s, enum dkim_use *out);

#endif
