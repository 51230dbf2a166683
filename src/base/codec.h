/* Text forms of bytes and numbers. Pure. */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include "base/base.h"
#include "base/buf.h"
#include "base/str.h"

bool codec_base64_add(struct buf *b, const void *p, size_t n);
bool codec_base64url_add(struct buf *b, const void *p, size_t n); /* no padding */
/* Strict (no blanks inside); decodes into b; false when malformed. */
bool codec_base64_decode(struct str s, struct buf *b);
bool codec_base64url_decode(struct str s, struct buf *b);
bool codec_hex_add(struct buf *b, const void *p, size_t n); /* lower case */
bool codec_hex_decode(struct str s, struct buf *b);
bool codec_percent_add(struct buf *b, struct str s); /* RFC 3986 unreserved kept */
bool codec_percent_decode(struct str s, bool plus_is_blank, struct buf *b);
bool codec_html_add(struct buf *b, struct str s);        /* & < > " ' escaped */
bool codec_json_string_add(struct buf *b, struct str s); /* with quotes; bad UTF-8 becomes U+FFFD */
uint32_t codec_crc32c(uint32_t crc, const void *p, size_t n); /* start with 0 */
/* Public ids: prefix, underscore, 13 lower-case Crockford base32 digits ("msg_0abc..."). */
void codec_id_format(const char *prefix, uint64_t id, char out[24]);
bool codec_id_parse(const char *prefix, struct str s, uint64_t *id_out);
/* "10s" "5m" "2h" "1d" "250ms"; a bare number is seconds. */
bool codec_duration_parse(struct str s, int64_t *ms_out);
/* "10k" "5M" "1G" for sizes (1024) and counts (1000); strict: no sign, no blanks, no octal. */
bool codec_size_parse(struct str s, uint64_t *bytes_out);
bool codec_count_parse(struct str s, uint64_t *count_out);

#endif
