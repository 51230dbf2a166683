/* An address is found at its '@' and read to both sides; what stands in quotes is not taken for a
 * local part, its last piece is masked all the same. */
#include "mail/mask.h"
#include "base/codec.h"

#include <sodium.h>
#include <string.h>

static bool is_local(char c)
{
    return ascii_isalnum(c) || (unsigned char)c > 127 || (c && strchr("!#$%&'*+-/=?^_`{|}~.\"", c));
}

static bool is_host(char c)
{
    return ascii_isalnum(c) || (unsigned char)c > 127 || c == '.' || c == '-';
}

/* msg_ and 13 characters: an id of ours, left of '@' in Message-IDs. */
static bool is_our_id(struct str local)
{
    uint64_t id;
    return codec_id_parse("msg", local, &id);
}

static void add_hash(const struct mask *m, struct str local, struct buf *out)
{
    unsigned char hash[crypto_generichash_BYTES_MIN];
    char lower[64];
    size_t n = MIN(local.n, sizeof lower);
    for (size_t i = 0; i < n; i++)
        lower[i] = ascii_lower(local.p[i]);
    crypto_generichash(hash, sizeof hash, (const unsigned char *)lower, n, m->key, sizeof m->key);
    buf_adds(out, "x-");
    codec_hex_add(out, hash, 4);
}

/* The secret that begins here; STR_NONE. */
static struct str secret_at(const struct mask *m, struct str text, size_t at)
{
    struct str best = STR_NONE;
    for (size_t i = 0; i < m->n_secrets; i++) {
        struct str s = m->secrets[i];
        if (s.n >= 3 && s.n > best.n && text.n - at >= s.n && memcmp(text.p + at, s.p, s.n) == 0)
            best = s;
    }
    return best;
}

static void mask_secrets(const struct mask *m, struct str text, struct buf *out)
{
    for (size_t i = 0; i < text.n;) {
        struct str s = secret_at(m, text, i);
        if (s.n) {
            buf_adds(out, "***");
            i += s.n;
        } else {
            buf_addc(out, text.p[i++]);
        }
    }
}

static void mask_addresses(const struct mask *m, struct str text, struct buf *out)
{
    size_t from = 0;
    for (size_t at = 0; at < text.n; at++) {
        if (text.p[at] != '@')
            continue;
        size_t begin = at, end = at + 1;
        while (begin > from && is_local(text.p[begin - 1]))
            begin--;
        while (end < text.n && is_host(text.p[end]))
            end++;
        struct str local = str_cut(text, begin, at - begin);
        if (!local.n || end == at + 1)
            continue;
        buf_addstr(out, str_cut(text, from, begin - from));
        if (is_our_id(local))
            buf_addstr(out, local);
        else
            add_hash(m, local, out);
        from = at;
    }
    buf_addstr(out, str_from_index(text, MIN(from, text.n)));
}

void mask_text(const struct mask *m, struct str text, struct buf *out)
{
    struct buf b;
    buf_init(&b, text.n * 4 + 64);
    mask_secrets(m, text, &b);
    mask_addresses(m, buf_str(&b), out);
    buf_free(&b);
}

/* Base64 and the like: eight or more of its characters, with a digit, a sign or capitals inside. */
static bool looks_coded(struct str w)
{
    size_t signs = 0, capitals = 0, lower = 0;
    for (size_t i = 0; i < w.n; i++) {
        char c = w.p[i];
        if (!ascii_isalnum(c) && !strchr("+/=_-:.,;()<>\"'", c))
            return false;
        signs += ascii_isdigit(c) || c == '+' || c == '/' || c == '=';
        capitals += i > 0 && c >= 'A' && c <= 'Z';
        lower += c >= 'a' && c <= 'z';
    }
    return w.n >= 8 && (signs || (capitals && lower));
}

void mask_auth_reply(const struct mask *m, struct str text, struct buf *out)
{
    size_t i = 0;
    while (i < text.n) {
        size_t end = i;
        while (end < text.n && !ascii_isspace(text.p[end]))
            end++;
        struct str word = str_cut(text, i, end - i);
        if (looks_coded(word))
            buf_adds(out, "***");
        else
            mask_text(m, word, out);
        if (end < text.n)
            buf_addc(out, text.p[end++]);
        i = end;
    }
}

/* "C: AUTH PLAIN abc" keeps only the mechanism. */
static struct str auth_command(struct str line)
{
    struct str rest = line, word;
    size_t n = 0;
    for (int i = 0; i < 3 && str_split(&rest, ' ', &word); i++) /* "C:" "AUTH" mechanism */
        n = (size_t)(word.p + word.n - line.p);
    return str_cut(line, 0, n);
}

void mask_conversation(const struct mask *m, struct str text, struct buf *out)
{
    struct str rest = text, line;
    bool in_auth = false;
    while (str_split(&rest, '\n', &line)) {
        bool is_ours = str_starts(line, STR("C: ")), is_auth = str_istarts(line, STR("C: AUTH"));
        if (is_auth) {
            struct str shown = auth_command(line);
            mask_text(m, shown, out);
            buf_adds(out, shown.n < line.n ? " ***" : "");
        } else if (in_auth && is_ours) {
            buf_adds(out, "C: ***");
        } else if (str_starts(line, STR("S: 334"))) {
            buf_adds(out, "S: 334 ***");
        } else if (in_auth) {
            mask_auth_reply(m, line, out);
        } else {
            mask_text(m, line, out);
        }
        if (is_auth)
            in_auth = true;
        else if (str_starts(line, STR("S: ")) && !str_starts(line, STR("S: 334")) && line.n > 6 &&
                 line.p[6] == ' ')
            in_auth = false; /* the final reply to AUTH */
        buf_addc(out, '\n');
    }
}
