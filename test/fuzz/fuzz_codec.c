/* The text forms of bytes and numbers. Any bytes there and back are the same; any text that can be
 * read is read as its own form says, and never past its bounds. */
#include <jansson.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef bool encoder(struct buf *b, const void *p, size_t n);
typedef bool decoder(struct str s, struct buf *b);

static void there_and_back(struct str s, encoder *add, decoder *read)
{
    struct buf text, back;
    buf_init(&text, 1u << 20);
    buf_init(&back, 1u << 20);
    check(add(&text, s.p, s.n) && read(buf_str(&text), &back));
    check(str_eq(buf_str(&back), s));
    /* What the input itself says in this form comes back when it is said again. */
    buf_clear(&text);
    if (read(s, &text)) {
        struct buf again;
        buf_init(&again, 1u << 20);
        buf_clear(&back);
        check(add(&again, text.p, text.n) && read(buf_str(&again), &back));
        check(str_eq(buf_str(&back), buf_str(&text)));
        buf_free(&again);
    }
    buf_free(&text);
    buf_free(&back);
}

static bool percent_add(struct buf *b, const void *p, size_t n)
{
    return codec_percent_add(b, str_from(p, n));
}

static bool percent_read(struct str s, struct buf *b)
{
    return codec_percent_decode(s, false, b);
}

static void check_texts(struct str s)
{
    struct buf b;
    buf_init(&b, 1u << 20);
    check(codec_html_add(&b, s));
    check(str_chr(buf_str(&b), '<') < 0 && str_chr(buf_str(&b), '"') < 0);
    buf_clear(&b);
    check(codec_json_string_add(&b, s));
    json_t *j = json_loadb(b.p, b.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    check(json_is_string(j));
    check(!str_is_utf8(s) ||
          (json_string_length(j) == s.n && (s.n == 0 || !memcmp(json_string_value(j), s.p, s.n))));
    json_decref(j);
    buf_clear(&b);
    (void)codec_percent_decode(s, true, &b);
    buf_free(&b);
}

static void check_numbers(struct str s, const uint8_t *data)
{
    uint64_t id = 0, back = 0, n = 0;
    int64_t ms = 0;
    char text[24];
    memcpy(&id, data, MIN(s.n, sizeof id));
    id &= INT64_MAX;
    codec_id_format("msg", id, text);
    check(codec_id_parse("msg", str_of(text), &back) && back == id);
    check(!codec_id_parse("srv", str_of(text), &back));
    if (codec_id_parse("msg", s, &back)) {
        codec_id_format("msg", back, text);
        check(s.n == strlen(text));
    }
    if (codec_duration_parse(s, &ms))
        check(ms >= 0);
    (void)codec_size_parse(s, &n);
    (void)codec_count_parse(s, &n);
    check(codec_crc32c(codec_crc32c(0, s.p, s.n / 2), s.p + s.n / 2, s.n - s.n / 2) ==
          codec_crc32c(0, s.p, s.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str s = str_from((const char *)data, size);
    if (size == 0 || size > 2048)
        return 0;
    there_and_back(s, codec_base64_add, codec_base64_decode);
    there_and_back(s, codec_base64url_add, codec_base64url_decode);
    there_and_back(s, codec_hex_add, codec_hex_decode);
    there_and_back(s, percent_add, percent_read);
    check_texts(s);
    check_numbers(s, data);
    return 0;
}
