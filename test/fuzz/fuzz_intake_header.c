/* The header of a mail by submission: control headers of seven products. Whatever it is, a mail
 * that passes has our Received in front, its body behind as it was, and of the fields that came
 * those that are nobody's words, in their order; no word of ours goes on. */
#include <jansson.h>
#include <stdio.h>

#include "base/check.h"
#include "engine/intake_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines end with CRLF, and there is no NUL: smtp/server lets nothing else through. */
static void add_lines(struct buf *b, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n')
            buf_addc(b, '\r');
        if (data[i] != '\r' && data[i] != '\0')
            buf_addc(b, (char)data[i]);
    }
    if (b->n > 0 && b->p[b->n - 1] != '\n')
        buf_adds(b, "\r\n");
}

static struct str body_behind(struct str mail)
{
    ptrdiff_t at = str_starts(mail, STR("\r\n")) ? -2 : str_find(mail, STR("\r\n\r\n"));
    return at == -1 ? STR_NONE : str_from_index(mail, (size_t)(at + 4));
}

static bool is_ours(struct str line)
{
    return str_istarts(line, STR("X-Postfleet-")) && str_chr(line, ':') > 0;
}

static void check_passed(const struct intake_mail *m)
{
    struct str raw = buf_str(&m->raw), came = buf_str(&m->body), line;
    check(str_starts(raw, STR("Received: from x\r\n")));
    struct str rest = str_from_index(raw, strlen("Received: from x\r\n"));
    check(rest.n <= came.n && str_ends(came, str_from_index(rest, rest.n)));
    struct str body = body_behind(came);
    check(str_ends(rest, body));
    while (str_split(&rest, '\n', &line) && line.n > 1)
        check(!is_ours(line));
    check(m->words.received <= INTAKE_RECEIVED_MAX && m->words.from_fields <= 1);
    check(!m->words.metadata || json_is_object(m->words.metadata));
    for (size_t i = 0; i < m->words.tags.n; i++)
        check((unsigned char)m->words.tags.p[i] >= ' ' || m->words.tags.p[i] == '\n');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct intake_mail m = {.n = 0};
    struct err e = {.text = ""};
    buf_init(&m.body, 1u << 20);
    buf_init(&m.raw, 1u << 20);
    add_lines(&m.body, data, size);
    snprintf(m.received, sizeof m.received, "Received: from x\r\n");
    if (intake_header_read(&m, &e))
        check_passed(&m);
    else
        check(e.text[0]);
    intake_words_free(&m.words);
    buf_free(&m.body);
    buf_free(&m.raw);
    return 0;
}
