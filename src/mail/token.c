/* Proof tokens: 25 bytes of meaning and a 16-byte MAC, as 55 characters of base64url. The text has
 * exactly one form: a changed, cut or re-coded token is refused. Called by render and by the public
 * pages; keeps no state. */
#include "mail/token.h"

#include <sodium.h>

#define BODY_BYTES  25
#define MAC_BYTES   16
#define TOKEN_BYTES (BODY_BYTES + MAC_BYTES)

/* Keeps tokens apart from whatever else the same key may once sign. */
static const char domain[] = "postfleet link token 1";

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

static uint64_t get_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static void make_mac(const uint8_t *key, const uint8_t *body, uint8_t *mac_out)
{
    uint8_t input[sizeof(domain) + BODY_BYTES];
    memcpy(input, domain, sizeof(domain));
    memcpy(input + sizeof(domain), body, BODY_BYTES);
    (void)crypto_generichash(mac_out, MAC_BYTES, input, sizeof(input), key, TOKEN_KEY_BYTES);
}

void token_make(const uint8_t key[TOKEN_KEY_BYTES], const struct token *t, char *out)
{
    uint8_t bytes[TOKEN_BYTES];
    bytes[0] = (uint8_t)t->kind;
    put_u64(bytes + 1, t->message_id);
    put_u64(bytes + 9, t->list_id);
    put_u64(bytes + 17, t->contact_id);
    make_mac(key, bytes, bytes + BODY_BYTES);
    sodium_bin2base64(out, TOKEN_TEXT_MAX, bytes, sizeof(bytes),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool token_read(const uint8_t key[TOKEN_KEY_BYTES], struct str text, struct token *out)
{
    uint8_t bytes[TOKEN_BYTES], mac[MAC_BYTES];
    size_t n = 0;
    const char *end = NULL;
    if (text.n != (TOKEN_BYTES * 4 + 2) / 3)
        return false;
    if (sodium_base642bin(bytes, sizeof(bytes), text.p, text.n, NULL, &n, &end,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return false;
    if (n != sizeof(bytes) || end != text.p + text.n)
        return false;
    make_mac(key, bytes, mac);
    if (sodium_memcmp(mac, bytes + BODY_BYTES, MAC_BYTES) != 0)
        return false;
    if (bytes[0] < TOKEN_UNSUBSCRIBE || bytes[0] > TOKEN_PREFERENCES)
        return false;
    out->kind = (enum token_kind)bytes[0];
    out->message_id = get_u64(bytes + 1);
    out->list_id = get_u64(bytes + 9);
    out->contact_id = get_u64(bytes + 17);
    return true;
}
