/* Tag lists, key records and quoted TXT strings: see dkim_record.h. Called by the domain check and
 * by the commands that print records. */
#include "mail/dkim_record.h"

bool tags_next(struct str *rest, struct str *tag_out, struct str *value_out)
{
    struct str part;
    while (str_split(rest, ';', &part)) {
        part = str_trim(part);
        if (!part.n)
            continue;
        ptrdiff_t equals = str_chr(part, '=');
        *tag_out = equals < 0 ? part : str_trim(str_cut(part, 0, (size_t)equals));
        *value_out = STR_NONE;
        if (equals >= 0) {
            *value_out = str_trim(str_from_index(part, (size_t)equals + 1));
            if (!value_out->p)
                *value_out = STR("");
        }
        return true;
    }
    return false;
}

/* Does a list "a:b:c" have the word? */
static bool has_word(struct str list, const char *word)
{
    struct str part;
    while (str_split(&list, ':', &part))
        if (str_iis(str_trim(part), word))
            return true;
    return false;
}

static bool take_tag(struct dkim_record *r, struct str tag, struct str value, struct err *e)
{
    if (str_is(tag, "k") && str_is(value, "ed25519"))
        r->algorithm = DKIM_ED25519_SHA256;
    else if (str_is(tag, "k") && !str_is(value, "rsa"))
        return err_set(e, ERR_INVALID, "k=" STR_F ": neither rsa nor ed25519",
                       STR_A(str_cut(value, 0, 40)));
    if (str_is(tag, "h") && !has_word(value, "sha256"))
        return err_set(e, ERR_INVALID, "h= does not allow sha256");
    if (str_is(tag, "s") && !has_word(value, "email") && !has_word(value, "*"))
        return err_set(e, ERR_INVALID, "s= does not allow e-mail");
    if (str_is(tag, "t")) {
        r->is_test = has_word(value, "y");
        r->is_strict = has_word(value, "s");
    }
    if (str_is(tag, "p")) {
        r->public = value;
        r->is_revoked = value.n == 0;
    }
    return true;
}

bool dkim_record_parse(struct str text, struct dkim_record *out, struct err *e)
{
    struct str tag, value, rest = text;
    *out = (struct dkim_record){.algorithm = DKIM_RSA_SHA256};
    for (size_t i = 0; tags_next(&rest, &tag, &value); i++) {
        if (!value.p)
            return err_set(e, ERR_INVALID, "a part without '='");
        if (str_is(tag, "v") && (i > 0 || !str_is(value, "DKIM1")))
            return err_set(e, ERR_INVALID, "v= must stand first and be DKIM1");
        if (!take_tag(out, tag, value, e))
            return false;
    }
    return out->public.p || err_set(e, ERR_INVALID, "no key (p=) in it");
}

bool dkim_record_matches(const struct dkim_record *r, enum dkim_algorithm a, struct str public)
{
    size_t at = 0;
    if (r->algorithm != a || r->is_revoked)
        return false;
    for (size_t i = 0; i < r->public.n; i++) {
        if (ascii_isspace(r->public.p[i]))
            continue;
        if (at == public.n || public.p[at++] != r->public.p[i])
            return false;
    }
    return at == public.n;
}

bool dkim_record_text(enum dkim_algorithm a, struct str public, struct buf *out)
{
    return buf_addf(out, "v=DKIM1; k=%s; p=" STR_F, dkim_algorithm_name(a), STR_A(public));
}

bool dkim_record_name(const char *selector, const char *domain, struct buf *out)
{
    return buf_addf(out, "%s._domainkey.%s", selector, domain);
}

bool txt_quote(struct str value, struct buf *out)
{
    bool ok = true;
    for (size_t at = 0; ok && (at < value.n || at == 0); at += TXT_STRING_MAX) {
        struct str piece = str_cut(value, at, TXT_STRING_MAX);
        ok = buf_adds(out, at ? " \"" : "\"");
        for (size_t i = 0; ok && i < piece.n; i++) {
            if (piece.p[i] == '"' || piece.p[i] == '\\')
                ok = buf_addc(out, '\\');
            ok = ok && buf_addc(out, piece.p[i]);
        }
        ok = ok && buf_addc(out, '"');
    }
    return ok;
}

json_t *txt_record_json(const char *name, struct str value)
{
    struct buf zone;
    json_t *strings = json_array();
    buf_init(&zone, 65536);
    for (size_t at = 0; at < value.n; at += TXT_STRING_MAX) {
        struct str piece = str_cut(value, at, TXT_STRING_MAX);
        json_array_append_new(strings, json_stringn(piece.p, piece.n));
    }
    (void)buf_addf(&zone, "%s. IN TXT ", name);
    (void)txt_quote(value, &zone);
    json_t *j =
        json_pack("{s:s, s:s, s:s%, s:o, s:s%}", "name", name, "type", "TXT", "value",
                  value.n ? value.p : "", value.n, "strings", strings, "zone", zone.p, zone.n);
    buf_free(&zone);
    return j;
}

void dkim_add_records(json_t *domain)
{
    size_t i;
    json_t *key;
    const char *of = json_string_value(json_object_get(domain, "name"));
    json_array_foreach(json_object_get(domain, "keys"), i, key)
    {
        enum dkim_algorithm a;
        struct buf name, text;
        const char *selector = json_string_value(json_object_get(key, "selector"));
        const char *algorithm = json_string_value(json_object_get(key, "algorithm"));
        if (!of || !selector || !algorithm || !dkim_algorithm_parse(algorithm, &a))
            continue;
        buf_init(&name, 1024);
        buf_init(&text, 16384);
        if (dkim_record_name(selector, of, &name) &&
            dkim_record_text(a, str_of(json_string_value(json_object_get(key, "public"))), &text))
            json_object_set_new(key, "record", txt_record_json(buf_cstr(&name), buf_str(&text)));
        buf_free(&name);
        buf_free(&text);
    }
}
