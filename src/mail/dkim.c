/* Making the DKIM-Signature field: which fields it covers, the text of it, and what is hashed.
 * Called by the desks for each mail; the body is read once, whatever the number of keys. */
#include "mail/dkim.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/codec.h"
#include "mail/dkim_canon.h"
#include "mail/dkim_key.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME(s)    s, sizeof(s) - 1
#define LINE_USUAL 76 /* columns after which a signature field folds */

/* ---- what is covered ---- */

enum cover {
    OVERSIGN,      /* as often as it stands there, and once more: none can be added */
    OVERSIGN_SEEN, /* the same, but only where there is one */
    SIGN_SEEN,     /* as often as it stands there: lists and forwarders may add their own */
};

/* RFC 6376, section 5.4.1; RFC 8058, section 4 (List-Unsubscribe, -Post); RFC 9477, section 3.1
 * (CFBL-*); Feedback-ID must be signed for Gmail's feedback loop. Fields that change on the way
 * (Received, Return-Path, X- ...) are left out. */
static const struct {
    const char *name;
    size_t n;
    enum cover cover;
} covered[] = {
    {NAME("from"), OVERSIGN},
    {NAME("to"), OVERSIGN},
    {NAME("cc"), OVERSIGN},
    {NAME("reply-to"), OVERSIGN},
    {NAME("subject"), OVERSIGN},
    {NAME("date"), OVERSIGN},
    {NAME("message-id"), OVERSIGN},
    {NAME("mime-version"), OVERSIGN},
    {NAME("content-type"), OVERSIGN},
    {NAME("content-transfer-encoding"), OVERSIGN},
    {NAME("list-unsubscribe"), OVERSIGN_SEEN},
    {NAME("list-unsubscribe-post"), OVERSIGN_SEEN},
    {NAME("feedback-id"), OVERSIGN_SEEN},
    {NAME("sender"), OVERSIGN_SEEN},
    {NAME("in-reply-to"), OVERSIGN_SEEN},
    {NAME("references"), OVERSIGN_SEEN},
    {NAME("content-disposition"), OVERSIGN_SEEN},
    {NAME("cfbl-address"), OVERSIGN_SEEN},
    {NAME("cfbl-feedback-id"), OVERSIGN_SEEN},
    {NAME("auto-submitted"), SIGN_SEEN},
    {NAME("list-id"), SIGN_SEEN},
    {NAME("list-help"), SIGN_SEEN},
    {NAME("list-owner"), SIGN_SEEN},
    {NAME("list-subscribe"), SIGN_SEEN},
    {NAME("list-post"), SIGN_SEEN},
    {NAME("list-archive"), SIGN_SEEN},
    {NAME("resent-date"), SIGN_SEEN},
    {NAME("resent-from"), SIGN_SEEN},
    {NAME("resent-sender"), SIGN_SEEN},
    {NAME("resent-to"), SIGN_SEEN},
    {NAME("resent-cc"), SIGN_SEEN},
    {NAME("resent-message-id"), SIGN_SEEN},
};
#define FROM 0

struct found { /* a covered field of the mail, from top to bottom */
    size_t which;
    struct str text;
};

struct cover_list {
    struct found found[DKIM_FIELDS_MAX];
    size_t n;
    size_t times[countof(covered)];
};

/* ---- the mail, cut ---- */

/* Takes a line with its end off *rest. */
static struct str take_line(struct str *rest)
{
    const char *lf = memchr(rest->p, '\n', rest->n);
    size_t n = lf ? (size_t)(lf - rest->p) + 1 : rest->n;
    const char *cr = memchr(rest->p, '\r', n);
    if (cr && cr + 1 != lf)
        n = (size_t)(cr - rest->p) + 1;
    struct str line = str_from(rest->p, n);
    *rest = str_from_index(*rest, n);
    return line;
}

static bool is_empty_line(struct str line)
{
    return line.p[0] == '\r' || line.p[0] == '\n';
}

static bool is_folded(struct str line)
{
    return line.p[0] == ' ' || line.p[0] == '\t';
}

/* Takes a field with its folds; false at the empty line, which is taken, or at the end. */
static bool take_field(struct str *rest, struct str *field)
{
    if (!rest->n)
        return false;
    *field = take_line(rest);
    if (is_empty_line(*field))
        return false;
    while (rest->n && is_folded(*rest))
        field->n += take_line(rest).n;
    return true;
}

struct str dkim_body_of(struct str mail)
{
    struct str field = STR_NONE, rest = mail;
    while (take_field(&rest, &field))
        continue;
    return field.n && is_empty_line(field) ? rest : STR_NONE;
}

/* The index in `covered`; countof(covered): none of them. */
static size_t which_of(struct str field)
{
    ptrdiff_t colon = str_chr(field, ':');
    struct str name = str_trim(str_cut(field, 0, colon < 0 ? 0 : (size_t)colon));
    size_t i = 0;
    while (i < countof(covered) && !str_ieq(name, str_from(covered[i].name, covered[i].n)))
        i++;
    return i;
}

static bool find_covered(struct str mail, struct cover_list *list, struct str *body_out,
                         struct err *e)
{
    struct str field, rest = mail;
    while (take_field(&rest, &field)) {
        size_t which = which_of(field);
        if (which == countof(covered))
            continue;
        if (list->n == DKIM_FIELDS_MAX)
            return err_set(e, ERR_INVALID, "DKIM: the mail has over %d header fields to sign",
                           DKIM_FIELDS_MAX);
        list->found[list->n++] = (struct found){which, field};
        list->times[which]++;
    }
    *body_out = rest;
    return list->times[FROM] || err_set(e, ERR_INVALID, "DKIM: the mail has no From field");
}

/* How often h= names it. */
static size_t names_of(const struct cover_list *list, size_t which)
{
    size_t times = list->times[which];
    enum cover c = covered[which].cover;
    return times + (c == OVERSIGN || (c == OVERSIGN_SEEN && times > 0));
}

/* ---- hashes ---- */

struct dkim_body {
    struct canon_body canon;
    EVP_MD_CTX *digest;
};

static void eat(void *arg, const char *p, size_t n)
{
    check(EVP_DigestUpdate(((struct dkim_body *)arg)->digest, p, n) == 1);
}

static EVP_MD_CTX *sha256_new(void)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    check(c && EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1);
    return c;
}

struct dkim_body *dkim_body_new(void)
{
    struct dkim_body *b = alloc_one(struct dkim_body);
    b->digest = sha256_new();
    canon_body_begin(&b->canon, eat, b);
    return b;
}

void dkim_body_add(struct dkim_body *b, struct str chunk)
{
    canon_body_add(&b->canon, chunk);
}

void dkim_body_end(struct dkim_body **bp, uint8_t out[DKIM_HASH_BYTES])
{
    struct dkim_body *b = *bp;
    *bp = NULL;
    canon_body_end(&b->canon);
    check(EVP_DigestFinal_ex(b->digest, out, NULL) == 1);
    EVP_MD_CTX_free(b->digest);
    free(b);
}

void dkim_body_hash(struct str body, uint8_t out[DKIM_HASH_BYTES])
{
    struct dkim_body *b = dkim_body_new();
    dkim_body_add(b, body);
    dkim_body_end(&b, out);
}

/* The covered fields as they are hashed: by the order of h=, each name from the bottom up. */
static bool add_canonical(const struct cover_list *list, struct buf *out)
{
    bool ok = true;
    for (size_t w = 0; w < countof(covered); w++)
        for (size_t i = list->times[w] ? list->n : 0; ok && i-- > 0;)
            if (list->found[i].which == w)
                ok = canon_field(list->found[i].text, out) && buf_add(out, "\r\n", 2);
    return ok;
}

/* ---- the text of the field ---- */

struct writer {
    struct buf *out;
    size_t column;
};

/* Adds a word that is not broken; on a new line when it would go over this one. */
static bool put_word(struct writer *w, struct str word, bool blank_before)
{
    if (w->column + blank_before + word.n > LINE_USUAL) {
        w->column = 1;
        if (!buf_adds(w->out, "\r\n "))
            return false;
    } else if (blank_before) {
        w->column++;
        if (!buf_addc(w->out, ' '))
            return false;
    }
    w->column += word.n;
    return buf_addstr(w->out, word);
}

static bool put_tag(struct writer *w, const char *tag, const char *value)
{
    char text[400];
    int n = snprintf(text, sizeof text, "%s=%s;", tag, value);
    return n > 0 && (size_t)n < sizeof text && put_word(w, str_from(text, (size_t)n), true);
}

static bool put_time(struct writer *w, const char *tag, int64_t seconds)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)seconds);
    return put_tag(w, tag, text);
}

static bool put_names(struct writer *w, const struct cover_list *list)
{
    char text[64];
    bool first = true, ok = true;
    for (size_t i = 0; i < countof(covered); i++)
        for (size_t k = names_of(list, i); ok && k > 0; k--) {
            int n = snprintf(text, sizeof text, "%s%s", first ? "h=" : ":", covered[i].name);
            ok = put_word(w, str_from(text, (size_t)n), first);
            first = false;
        }
    return ok && buf_addc(w->out, ';') && ++w->column;
}

static bool put_hash(struct writer *w, const uint8_t hash[DKIM_HASH_BYTES])
{
    struct buf text;
    buf_init(&text, 64);
    bool ok = codec_base64_add(&text, hash, DKIM_HASH_BYTES) && put_tag(w, "bh", buf_cstr(&text));
    buf_free(&text);
    return ok;
}

/* All of the field up to "b=". */
static bool put_field(struct writer *w, const struct dkim_key *k, const struct cover_list *list,
                      const struct dkim_terms *t, const uint8_t *body_hash)
{
    bool ok = put_word(w, STR("DKIM-Signature:"), false) && put_tag(w, "v", "1") &&
              put_tag(w, "a", dkim_algorithm_tag(k->algorithm)) &&
              put_tag(w, "c", "relaxed/relaxed") && put_tag(w, "d", k->domain) &&
              put_tag(w, "s", k->selector);
    if (ok && t->time_s > 0)
        ok = put_time(w, "t", t->time_s) &&
             (t->lifetime_s <= 0 || put_time(w, "x", t->time_s + t->lifetime_s));
    return ok && put_names(w, list) && put_hash(w, body_hash) && put_word(w, STR("b="), true);
}

static bool put_signature(struct writer *w, const uint8_t *signature, size_t n)
{
    struct buf text;
    buf_init(&text, DKIM_SIGNATURE_MAX * 2);
    bool ok = codec_base64_add(&text, signature, n);
    struct str rest = buf_str(&text);
    while (ok && rest.n) {
        size_t room = w->column < LINE_USUAL ? LINE_USUAL - w->column : 0;
        struct str piece = str_cut(rest, 0, MIN(rest.n, room ? room : LINE_USUAL - 1));
        ok = put_word(w, piece, false);
        rest = str_from_index(rest, piece.n);
    }
    buf_free(&text);
    return ok && buf_add(w->out, "\r\n", 2);
}

/* ---- signing ---- */

struct signing {
    const struct cover_list *list;
    const struct dkim_terms *terms;
    const uint8_t *body_hash;
    struct buf canonical; /* the fields of the mail */
};

static bool sign_one(const struct signing *s, const struct dkim_key *k, struct buf *out,
                     struct err *e)
{
    uint8_t hash[DKIM_HASH_BYTES], signature[DKIM_SIGNATURE_MAX];
    size_t n = 0, before = out->n;
    struct buf own;
    struct writer w = {.out = out};
    if (!put_field(&w, k, s->list, s->terms, s->body_hash))
        return err_set(e, ERR_TOO_BIG, "DKIM: the signature is over %zu bytes", out->max);
    buf_init(&own, DKIM_FIELD_MAX);
    bool ok = canon_field(str_from_index(buf_str(out), before), &own);
    EVP_MD_CTX *digest = sha256_new();
    check(EVP_DigestUpdate(digest, s->canonical.p, s->canonical.n) == 1);
    check(EVP_DigestUpdate(digest, own.p, own.n) == 1);
    check(EVP_DigestFinal_ex(digest, hash, NULL) == 1);
    EVP_MD_CTX_free(digest);
    buf_free(&own);
    if (!ok || out->n - before > DKIM_FIELD_MAX)
        return err_set(e, ERR_TOO_BIG, "DKIM: the signature is over %d bytes", DKIM_FIELD_MAX);
    if (!dkim_key_sign(k, hash, signature, &n, e))
        return false;
    return put_signature(&w, signature, n) ||
           err_set(e, ERR_TOO_BIG, "DKIM: the signature is over %zu bytes", out->max);
}

bool dkim_sign(const struct dkim_key *const *keys, size_t n, struct str mail,
               const struct dkim_terms *terms, struct buf *out, struct err *e)
{
    uint8_t own_hash[DKIM_HASH_BYTES];
    struct str body;
    struct cover_list *list = alloc_one(struct cover_list);
    struct signing s = {list, terms, terms->body_hash, {0}};
    buf_init(&s.canonical, mail.n + 2 * DKIM_FIELDS_MAX);
    bool ok = find_covered(mail, list, &body, e);
    if (ok && !s.body_hash) {
        dkim_body_hash(body, own_hash);
        s.body_hash = own_hash;
    }
    if (ok && !add_canonical(list, &s.canonical))
        ok = err_set(e, ERR_TOO_BIG, "DKIM: the header is too large");
    for (size_t i = 0; ok && i < n; i++)
        ok = sign_one(&s, keys[i], out, e);
    buf_free(&s.canonical);
    free(list);
    return ok;
}
