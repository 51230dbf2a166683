/* DKIM: any bytes as a mail to be signed, as a key, as a record. First byte 0: a mail. The body has
 * one canonical form for every cut, which is its own; the signature is the same again, does not
 * change with what is not covered, folds, and names itself. 1: a private key. 3: answers to a walk
 * over SPF. Others: a record. */
#include <stdlib.h>

#include "base/check.h"
#include "mail/dkim.h"
#include "mail/dkim_canon.h"
#include "mail/dkim_record.h"
#include "mail/dmarc.h"
#include "mail/spf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define OUT_MAX (1 << 21)

static const char seed_der[] = "\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20"
                               "0123456789abcdef0123456789abcdef";

static void collect(void *arg, const char *p, size_t n)
{
    check(buf_add(arg, p, n));
}

static void canonical(struct str body, size_t cut, struct buf *out)
{
    struct canon_body c;
    canon_body_begin(&c, collect, out);
    canon_body_add(&c, str_cut(body, 0, cut));
    canon_body_add(&c, str_from_index(body, MIN(cut, body.n)));
    canon_body_end(&c);
}

static void check_body(struct str body)
{
    struct buf one, other;
    buf_init(&one, OUT_MAX);
    buf_init(&other, OUT_MAX);
    canonical(body, 0, &one);
    for (size_t cut = body.n % 7; cut < body.n; cut += body.n / 2 + 1) {
        buf_clear(&other);
        canonical(body, cut, &other);
        check(str_eq(buf_str(&one), buf_str(&other)));
    }
    buf_clear(&other);
    canonical(buf_str(&one), one.n / 2, &other);
    check(str_eq(buf_str(&one), buf_str(&other)));
    check(one.n == 0 || str_ends(buf_str(&one), STR("\r\n")));
    check(!str_ends(buf_str(&one), STR("\r\n\r\n")) && str_find(buf_str(&one), STR(" \r")) < 0);
    buf_free(&one);
    buf_free(&other);
}

static void check_field(struct str field)
{
    size_t column = 0;
    check(str_starts(field, STR("DKIM-Signature: v=1;")) && str_ends(field, STR("\r\n")));
    for (size_t i = 0; i < field.n; i++) {
        column = field.p[i] == '\n' ? 0 : column + 1;
        check(column <= 79);
        check(field.p[i] != '\n' || i + 1 == field.n || field.p[i + 1] == ' ');
    }
}

static void fuzz_mail(const struct dkim_key *k, struct str mail)
{
    struct dkim_terms t = {.time_s = 1700000000, .lifetime_s = mail.n & 4 ? 600 : 0};
    struct buf one, other, more;
    struct err e = {0};
    buf_init(&one, OUT_MAX);
    buf_init(&other, OUT_MAX);
    buf_init(&more, OUT_MAX);
    check_body(mail);
    if (mail.n % 4 != 0) /* signing is slow: one in four, so that the rest gets its runs */
        return;
    if (dkim_sign(&k, 1, mail, &t, &one, &e)) {
        check_field(buf_str(&one));
        /* A mail that begins with a fold would have it in the new field. */
        bool again = mail.p[0] != ' ' && mail.p[0] != '\t';
        uint8_t hash[DKIM_HASH_BYTES];
        dkim_body_hash(dkim_body_of(mail), hash);
        t.body_hash = hash;
        check(buf_adds(&more, "X-Way: here\r\n\tand there\r\n") && buf_addstr(&more, mail));
        check(!again || (dkim_sign(&k, 1, buf_str(&more), &t, &other, &e) &&
                         str_eq(buf_str(&one), buf_str(&other))));
    } else {
        check(e.text[0] && !strchr(e.text, '\n'));
    }
    buf_free(&one);
    buf_free(&other);
    buf_free(&more);
}

static void fuzz_key(struct str bytes)
{
    struct dkim_key *k = NULL;
    struct err e = {0};
    struct buf der;
    buf_init(&der, 65536);
    if (dkim_key_new("b.example", "s", bytes, &k, &e))
        check(dkim_key_public(k, &der));
    else
        check(e.text[0] != 0);
    dkim_key_free(&k);
    buf_clear(&der);
    if (!dkim_pem_to_der(bytes, &der, &e))
        check(e.text[0] != 0);
    (void)dkim_selector_check(str_cut(bytes, 0, 80), &e);
    buf_free(&der);
}

static void fuzz_record(struct str text)
{
    struct dkim_record r;
    struct err e = {0};
    struct buf b;
    buf_init(&b, OUT_MAX);
    if (dkim_record_parse(text, &r, &e)) {
        struct dkim_record again;
        (void)dkim_record_matches(&r, DKIM_RSA_SHA256, STR("AAAA"));
        check(dkim_record_text(r.algorithm, r.public, &b));
        check(dkim_record_parse(buf_str(&b), &again, &e) && again.algorithm == r.algorithm);
    } else {
        check(e.text[0] != 0);
    }
    buf_clear(&b);
    check(txt_quote(text, &b) && b.n >= text.n + 2);
    check(dkim_record_name("s", "b.example", &b));
    buf_free(&b);
}

/* SPF: lines of the input answer one question after the other, whatever was asked. */
static void fuzz_spf(struct str text)
{
    struct spf_address own[2] = {{{192, 0, 2, 1}, false}, {{0x20, 1, 0xd, 0xb8}, true}};
    struct spf *s = spf_new("a.example", own, 2);
    struct str rest = text, line = STR_NONE;
    const char *name;
    enum spf_type type;
    unsigned asked = 0;
    while (spf_ask(s, &name, &type)) {
        char copy[4096] = "";
        const char *texts[1] = {copy};
        struct spf_address address;
        bool more = str_split(&rest, '\n', &line);
        (void)str_copy(more ? line : STR_NONE, copy, sizeof copy);
        bool is_address = spf_address_parse(str_of(copy), &address);
        struct spf_answer a = {.n = more && (type == SPF_TXT || type == SPF_MX || is_address),
                               .failed = more && line.n == 1,
                               .addresses = &address,
                               .texts = texts,
                               .host = copy};
        check(++asked <= SPF_QUESTIONS_MAX && name[0] != '\n');
        spf_tell(s, &a);
    }
    check(spf_result_of(s, 0) <= SPF_TEMPERROR && spf_result_of(s, 1) <= SPF_TEMPERROR);
    check(spf_standing(s) != SPF_PERMERROR || spf_problem(s)[0] ||
          spf_lookups(s) > SPF_LOOKUPS_MAX || spf_voids(s) > SPF_VOIDS_MAX);
    (void)spf_all(s);
    (void)spf_includes(s, "b.example");
    spf_free(&s);
    struct dmarc_record r;
    struct err e = {0};
    check(dmarc_parse(text, &r, &e) || e.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct dkim_key *key;
    struct err e;
    if (!key)
        check(dkim_key_new("b.example", "s", str_from(seed_der, sizeof seed_der - 1), &key, &e));
    if (n == 0)
        return 0;
    struct str rest = str_from((const char *)data + 1, n - 1);
    if (data[0] == 0)
        fuzz_mail(key, rest);
    else if (data[0] == 1)
        fuzz_key(rest);
    else if (data[0] == 3)
        fuzz_spf(rest);
    else
        fuzz_record(rest);
    return 0;
}
