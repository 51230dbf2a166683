/* See hooks_rules.h. */
#include "engine/hooks_rules.h"

#include <sodium.h>
#include <stdio.h>

#include "base/codec.h"
#include "base/rand.h"
#include "store/webhooks.h"

#define SECOND  INT64_C(1000)
#define MINUTE  (60 * SECOND)
#define HOUR    (60 * MINUTE)
#define ASK_MAX (24 * HOUR)

static const int64_t delays[] = {5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR,
                                 10 * HOUR,  14 * HOUR,  20 * HOUR,   24 * HOUR};

bool hooks_sign(const struct secret *key, const char *id, int64_t timestamp_s, struct str body,
                struct buf *b)
{
    uint8_t mac[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state st;
    char head[160];
    struct str k = secret_reveal(key);
    int n = snprintf(head, sizeof head, "%s.%lld.", id, (long long)timestamp_s);
    crypto_auth_hmacsha256_init(&st, (const uint8_t *)k.p, k.n);
    crypto_auth_hmacsha256_update(&st, (const uint8_t *)head, (size_t)n);
    crypto_auth_hmacsha256_update(&st, (const uint8_t *)body.p, body.n);
    crypto_auth_hmacsha256_final(&st, mac);
    secret_wipe(&st, sizeof st);
    return (b->n == 0 || buf_addc(b, ' ')) && buf_adds(b, "v1,") &&
           codec_base64_add(b, mac, sizeof mac);
}

bool hooks_secret_parse(struct str text, struct secret **out, struct err *e)
{
    struct buf b;
    struct str prefix = STR(HOOKS_SECRET_PREFIX);
    buf_init(&b, WEBHOOK_SECRET_MAX);
    bool ok = str_starts(text, prefix) && codec_base64_decode(str_from_index(text, prefix.n), &b) &&
              b.n >= WEBHOOK_SECRET_MIN;
    if (ok)
        *out = secret_new(b.p, b.n);
    if (b.n)
        secret_wipe(b.p, b.n);
    buf_free(&b);
    return ok ||
           err_set(e, ERR_INVALID,
                   "secret: must be whsec_ and base64 of %d to %d bytes; leave it out and one "
                   "is made",
                   WEBHOOK_SECRET_MIN, WEBHOOK_SECRET_MAX);
}

bool hooks_secret_format(const struct secret *key, struct buf *b)
{
    struct str k = secret_reveal(key);
    return buf_adds(b, HOOKS_SECRET_PREFIX) && codec_base64_add(b, k.p, k.n);
}

struct secret *hooks_secret_make(void)
{
    uint8_t bytes[32];
    rand_secret(bytes, sizeof bytes);
    struct secret *s = secret_new(bytes, sizeof bytes);
    secret_wipe(bytes, sizeof bytes);
    return s;
}

unsigned hooks_attempts(void)
{
    return countof(delays) + 1;
}

int64_t hooks_retry_ms(unsigned n, int64_t asked_s, uint64_t random)
{
    if (n == 0 || n > countof(delays))
        return -1;
    int64_t ms = delays[n - 1];
    int64_t jittered = ms - ms / 10 + (int64_t)(random % (uint64_t)(ms / 5 + 1));
    int64_t asked = MIN(MAX(asked_s, 0), ASK_MAX / SECOND) * SECOND;
    return MAX(jittered, asked);
}

int64_t hooks_schedule_ms(void)
{
    int64_t sum = 0;
    for (size_t i = 0; i < countof(delays); i++)
        sum += delays[i];
    return sum;
}
