/* Mails: what is built or normalised has CRLF only, no line over 998 bytes, seven bits where that
 * is promised, tells its leading dots, and does not change when it is normalised again. First byte
 * 0: a raw message. 1: HTML to text. Others: fields of a mail, cut at bytes 0x01. */
#include "base/check.h"
#include "mail/encode.h"
#include "mail/header.h"
#include "mail/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check_mail(struct str m, const struct mime_facts *f)
{
    size_t column = 0;
    bool dot = false, high = false;
    check(str_ends(m, STR("\r\n")));
    for (size_t i = 0; i < m.n; i++) {
        unsigned char c = (unsigned char)m.p[i];
        dot = dot || (column == 0 && c == '.');
        high = high || c > 0x7f;
        if (c == '\r') {
            check(m.p[i + 1] == '\n' && column <= 998);
            column = 0;
            i++;
            continue;
        }
        check(c != '\n' && c != 0);
        column++;
    }
    check(!dot || f->has_leading_dot);
    check(!high || f->is_8bit || f->needs_utf8);
}

static void fuzz_raw(struct str raw)
{
    struct mime_facts f, g;
    struct err e = {0};
    struct buf out, again;
    char subject[100];
    const struct mime_header extra = {STR("X-Extra"), str_cut(raw, 0, 40)};
    buf_init(&out, 1 << 20);
    buf_init(&again, 1 << 20);
    if (mime_normalise(raw, STR("added@example.org"), 0, &extra, raw.n & 1, &out, &f, &e)) {
        check_mail(buf_str(&out), &f);
        check(mime_normalise(buf_str(&out), STR("other@example.org"), 1, NULL, 0, &again, &g, &e));
        check(str_eq(buf_str(&out), buf_str(&again)));
        check(f.is_8bit == g.is_8bit && f.has_leading_dot == g.has_leading_dot);
        (void)mime_field(buf_str(&out), "Subject", subject, sizeof(subject));
        check(mime_field(buf_str(&out), "bcc", subject, sizeof(subject)).p == NULL);
    } else {
        check(e.text[0] && !strchr(e.text, '\n'));
    }
    buf_free(&out);
    buf_free(&again);
}

static void fuzz_html(struct str html)
{
    struct buf out;
    buf_init(&out, 1 << 22);
    check(mime_text_of_html(html, &out));
    check(out.n == 0 || out.p[out.n - 1] == '\n');
    buf_free(&out);
}

static void fuzz_parts(struct str s)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    check(buf_adds(&b, "Content-Disposition: attachment"));
    check(header_add_parameter(&b, STR("filename"), s));
    bool utf8 = false;
    struct err e;
    (void)header_add_mailbox_list(&b, STR("Cc"), s, &utf8, &e);
    check(header_decode(s, &b));
    buf_clear(&b);
    check(encode_unify(&b, s) && str_is_utf8(buf_str(&b)));
    buf_free(&b);
}

static void fuzz_build(uint8_t choice, struct str fields)
{
    struct str part[10] = {STR("Shop <shop@example.org>"), STR("ada@example.org"), STR("Hello")};
    for (size_t i = 0; i < countof(part) && str_split(&fields, 1, &part[i]);)
        i++;
    const struct mime_header extra = {choice & 16 ? part[8] : STR("X-Extra"), part[9]};
    struct mime_message m = {.from = part[0],
                             .to = part[1],
                             .subject = part[2],
                             .text = choice & 2 ? part[3] : STR_NONE,
                             .html = choice & 4 ? part[4] : STR_NONE,
                             .message_id = choice & 8 ? part[5] : STR("a@example.org"),
                             .list_unsubscribe = part[6],
                             .one_click = true,
                             .feedback_id = part[7],
                             .reply_to = choice & 32 ? part[0] : STR_NONE,
                             .headers = &extra,
                             .n_headers = 1,
                             .boundary_seed = choice};
    struct mime_facts f;
    struct err e = {0};
    struct buf out;
    buf_init(&out, 1 << 20);
    if (mime_build(&m, &out, &f, &e)) {
        check_mail(buf_str(&out), &f);
        check(!f.is_8bit);
    } else {
        check(e.text[0] != 0);
    }
    buf_free(&out);
    fuzz_parts(part[3]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    struct str rest = str_from((const char *)data + 1, n - 1);
    if (data[0] == 0)
        fuzz_raw(rest);
    else if (data[0] == 1)
        fuzz_html(rest);
    else
        fuzz_build(data[0], rest);
    return 0;
}
