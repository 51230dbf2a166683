/* Base64, hex, percent, HTML, JSON strings, CRC-32C, ids, durations, sizes, counts. */
#include "base/codec.h"

static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex[] = "0123456789abcdef";
static const char crockford[] = "0123456789abcdefghjkmnpqrstvwxyz";

static bool add_base64(struct buf *b, const unsigned char *p, size_t n, const char *table, bool pad)
{
    char *to = buf_reserve(b, (n + 2) / 3 * 4);
    if (!to)
        return false;
    char *start = to;
    for (; n >= 3; p += 3, n -= 3) {
        *to++ = table[p[0] >> 2];
        *to++ = table[(p[0] & 3) << 4 | p[1] >> 4];
        *to++ = table[(p[1] & 15) << 2 | p[2] >> 6];
        *to++ = table[p[2] & 63];
    }
    if (n) {
        unsigned second = n == 2 ? p[1] : 0;
        *to++ = table[p[0] >> 2];
        *to++ = table[(p[0] & 3) << 4 | second >> 4];
        if (n == 2)
            *to++ = table[(second & 15) << 2];
        else if (pad)
            *to++ = '=';
        if (pad)
            *to++ = '=';
    }
    buf_commit(b, (size_t)(to - start));
    return true;
}

bool codec_base64_add(struct buf *b, const void *p, size_t n)
{
    return add_base64(b, p, n, b64, true);
}

bool codec_base64url_add(struct buf *b, const void *p, size_t n)
{
    return add_base64(b, p, n, b64url, false);
}

static bool decode_base64(struct str s, const char *table, struct buf *b)
{
    uint32_t acc = 0;
    int bits = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(table, s.p[i]) : NULL;
        if (!at)
            return false;
        acc = (acc << 6 | (uint32_t)(at - table)) & 0xFFFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            if (!buf_addc(b, (char)(acc >> bits & 0xFF)))
                return false;
        }
    }
    return bits < 6 && (acc & ((1u << bits) - 1)) == 0;
}

bool codec_base64_decode(struct str s, struct buf *b)
{
    if (s.n % 4)
        return false;
    for (int i = 0; i < 2 && s.n && s.p[s.n - 1] == '='; i++)
        s.n--;
    return decode_base64(s, b64, b);
}

bool codec_base64url_decode(struct str s, struct buf *b)
{
    return decode_base64(s, b64url, b);
}

bool codec_hex_add(struct buf *b, const void *p, size_t n)
{
    const unsigned char *u = p;
    for (size_t i = 0; i < n; i++)
        if (!buf_addc(b, hex[u[i] >> 4]) || !buf_addc(b, hex[u[i] & 15]))
            return false;
    return true;
}

static int hex_digit(char c)
{
    if (ascii_isdigit(c))
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool codec_hex_decode(struct str s, struct buf *b)
{
    if (s.n % 2)
        return false;
    for (size_t i = 0; i < s.n; i += 2) {
        int hi = hex_digit(s.p[i]), lo = hex_digit(s.p[i + 1]);
        if (hi < 0 || lo < 0 || !buf_addc(b, (char)(hi << 4 | lo)))
            return false;
    }
    return true;
}

bool codec_percent_add(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        unsigned char u = (unsigned char)c;
        bool ok = ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~'
                      ? buf_addc(b, c)
                      : buf_addf(b, "%%%02X", u);
        if (!ok)
            return false;
    }
    return true;
}

bool codec_percent_decode(struct str s, bool plus_is_blank, struct buf *b)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int hi = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
            int lo = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        if (!buf_addc(b, c))
            return false;
    }
    return true;
}

static const char *html_entity(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

bool codec_html_add(struct buf *b, struct str s)
{
    size_t from = 0;
    for (size_t i = 0; i < s.n; i++) {
        const char *entity = html_entity(s.p[i]);
        if (!entity)
            continue;
        if (!buf_add(b, s.p + from, i - from) || !buf_adds(b, entity))
            return false;
        from = i + 1;
    }
    return buf_add(b, s.p + from, s.n - from);
}

static size_t valid_prefix(struct str s)
{
    size_t n = MIN(s.n, (size_t)4);
    for (size_t len = 1; len <= n; len++)
        if (str_is_utf8(str_cut(s, 0, len)))
            return len;
    return 0;
}

bool codec_json_string_add(struct buf *b, struct str s)
{
    if (!buf_addc(b, '"'))
        return false;
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        bool ok = true;
        size_t step = 1;
        if (c == '"' || c == '\\')
            ok = buf_addc(b, '\\') && buf_addc(b, (char)c);
        else if (c == '\n')
            ok = buf_adds(b, "\\n");
        else if (c < 0x20 || c == 0x7F)
            ok = buf_addf(b, "\\u%04x", c);
        else if (c < 0x80)
            ok = buf_addc(b, (char)c);
        else if ((step = valid_prefix(str_from_index(s, i))) > 0)
            ok = buf_add(b, s.p + i, step);
        else
            ok = buf_adds(b, "\xEF\xBF\xBD"), step = 1;
        if (!ok)
            return false;
        i += step;
    }
    return buf_addc(b, '"');
}

static uint32_t crc_table[8][256];

static void crc_setup(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0x82F63B78u ^ (c >> 1) : c >> 1;
        crc_table[0][i] = c;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            crc_table[t][i] = crc_table[0][crc_table[t - 1][i] & 0xFF] ^ (crc_table[t - 1][i] >> 8);
}

__attribute__((constructor)) static void crc_at_start(void)
{
    crc_setup();
}

uint32_t codec_crc32c(uint32_t crc, const void *p, size_t n)
{
    const unsigned char *u = p;
    crc = ~crc;
    for (; n >= 8; u += 8, n -= 8) {
        uint64_t w = 0;
        memcpy(&w, u, 8);
        w ^= crc;
        crc = crc_table[7][w & 0xFF] ^ crc_table[6][w >> 8 & 0xFF] ^ crc_table[5][w >> 16 & 0xFF] ^
              crc_table[4][w >> 24 & 0xFF] ^ crc_table[3][w >> 32 & 0xFF] ^
              crc_table[2][w >> 40 & 0xFF] ^ crc_table[1][w >> 48 & 0xFF] ^ crc_table[0][w >> 56];
    }
    while (n--)
        crc = crc_table[0][(crc ^ *u++) & 0xFF] ^ (crc >> 8);
    return ~crc;
}

void codec_id_format(const char *prefix, uint64_t id, char out[24])
{
    size_t n = strlen(prefix);
    n = MIN(n, (size_t)9);
    memcpy(out, prefix, n);
    out[n++] = '_';
    for (int shift = 60; shift >= 0; shift -= 5)
        out[n++] = crockford[id >> shift & 31];
    out[n] = 0;
}

bool codec_id_parse(const char *prefix, struct str s, uint64_t *id_out)
{
    size_t n = strlen(prefix);
    if (s.n != n + 14 || memcmp(s.p, prefix, n) != 0 || s.p[n] != '_')
        return false;
    uint64_t id = 0;
    for (size_t i = n + 1; i < s.n; i++) {
        const char *at = s.p[i] ? strchr(crockford, ascii_lower(s.p[i])) : NULL;
        if (!at || id >> 59)
            return false;
        id = id << 5 | (uint64_t)(at - crockford);
    }
    *id_out = id;
    return true;
}

static bool parse_scaled(struct str s, const char *units, const uint64_t *scale, uint64_t *out)
{
    uint64_t factor = 1, v = 0;
    if (s.n && !ascii_isdigit(s.p[s.n - 1])) {
        const char *at = strchr(units, s.p[s.n - 1]);
        if (!at || !*at)
            return false;
        factor = scale[at - units];
        s.n--;
    }
    return str_to_u64(s, UINT64_MAX, &v) && !__builtin_mul_overflow(v, factor, out) &&
           *out <= INT64_MAX;
}

bool codec_duration_parse(struct str s, int64_t *ms_out)
{
    static const uint64_t scale[] = {1000, 60000, 3600000, 86400000};
    uint64_t v = 0;
    if (str_ends(s, STR("ms"))) {
        if (!str_to_u64(str_cut(s, 0, s.n - 2), INT64_MAX, &v))
            return false;
    } else if (s.n && ascii_isdigit(s.p[s.n - 1])) {
        if (!str_to_u64(s, INT64_MAX / 1000, &v))
            return false;
        v *= 1000;
    } else if (!parse_scaled(s, "smhd", scale, &v)) {
        return false;
    }
    *ms_out = (int64_t)v;
    return true;
}

bool codec_size_parse(struct str s, uint64_t *bytes_out)
{
    static const uint64_t scale[] = {1024, 1024, 1048576, 1048576, 1073741824, 1073741824};
    return parse_scaled(s, "kKmMgG", scale, bytes_out);
}

bool codec_count_parse(struct str s, uint64_t *count_out)
{
    static const uint64_t scale[] = {1000, 1000, 1000000, 1000000, 1000000000, 1000000000};
    return parse_scaled(s, "kKmMgG", scale, count_out);
}
