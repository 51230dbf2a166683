/* Masking works on tokens: runs of characters without a blank, from which quotes and brackets are
 * peeled. A token is masked as a whole or kept as a whole, but for digits inside short words. */
#include "feedback/shape.h"
#include "base/alloc.h"
#include "base/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX 320 /* nothing longer is a word */

struct shapes {
    struct map_str *index; /* key -> place + 1 */
    struct shape **all;
    size_t n, cap;
    uint64_t left_out;
};

struct facts { /* of a token */
    size_t letters, digits, dots, colons, others, upper, lower;
    bool has_at, is_hex;
};

static struct facts facts_of(struct str t)
{
    struct facts f = {.is_hex = true};
    for (size_t i = 0; i < t.n; i++) {
        char c = t.p[i];
        f.letters += ascii_isalpha(c) || (unsigned char)c > 127;
        f.upper += c >= 'A' && c <= 'Z';
        f.lower += c >= 'a' && c <= 'z';
        f.digits += ascii_isdigit(c);
        f.dots += c == '.';
        f.colons += c == ':';
        f.others += !ascii_isalnum(c) && (unsigned char)c <= 127 && c != '.' && c != ':';
        f.has_at = f.has_at || (c == '@' && i > 0);
        f.is_hex = f.is_hex && strchr("0123456789abcdefABCDEF", c);
    }
    return f;
}

/* "5.7.1": one digit of 2, 4 or 5, then two short numbers. */
static bool is_enhanced(struct str t)
{
    struct str rest = t, part;
    uint64_t n;
    int parts = 0;
    while (str_split(&rest, '.', &part)) {
        if (part.n == 0 || part.n > 3 || !str_to_u64(part, 999, &n))
            return false;
        if (parts == 0 && n != 2 && n != 4 && n != 5)
            return false;
        parts++;
    }
    return parts == 3;
}

static bool is_ipv4(struct str t)
{
    struct str rest = t, part;
    uint64_t n;
    int parts = 0;
    while (str_split(&rest, '.', &part)) {
        if (part.n > 3 || !str_to_u64(part, 255, &n))
            return false;
        parts++;
    }
    return parts == 4;
}

static bool is_ipv6(struct str t, const struct facts *f)
{
    if (str_istarts(t, STR("ipv6:")))
        return true;
    return f->colons >= 2 && f->letters + f->digits + f->colons + f->dots == t.n &&
           (f->colons >= 4 || str_find(t, STR("::")) >= 0) && f->upper + f->lower <= f->letters;
}

/* Labels with a dot between, the last of two letters or more: a host name. */
static bool is_domain(struct str t, const struct facts *f)
{
    ptrdiff_t last = str_rchr(t, '.');
    if (f->dots == 0 || last <= 0 || f->colons)
        return false;
    struct str top = str_from_index(t, (size_t)last + 1);
    if (top.n < 2)
        return false;
    for (size_t i = 0; i < top.n; i++)
        if (!ascii_isalpha(top.p[i]) && (unsigned char)top.p[i] < 128)
            return false;
    for (size_t i = 0; i < t.n; i++)
        if (!ascii_isalnum(t.p[i]) && !strchr(".-_*", t.p[i]) && (unsigned char)t.p[i] < 128)
            return false;
    return true;
}

/* TS03, S3150, RFC5321: one to five capitals, then one to four digits. */
static bool is_tag(struct str t)
{
    size_t i = 0;
    while (i < t.n && t.p[i] >= 'A' && t.p[i] <= 'Z')
        i++;
    size_t capitals = i;
    while (i < t.n && ascii_isdigit(t.p[i]))
        i++;
    size_t digits = i - capitals;
    return i == t.n && capitals >= 1 && capitals <= 5 && digits >= 1 && digits <= 4;
}

static bool is_id(struct str t, const struct facts *f)
{
    size_t mixed = f->letters && f->digits;
    struct str body = t;
    while (body.n && body.p[body.n - 1] == '=')
        body.n--; /* padding of base64 */
    if (str_chr(body, '=') >= 0 || str_chr(body, ':') >= 0 || str_chr(body, '#') >= 0)
        return false; /* a name and its value: each on its own */
    if (t.n >= 6 && f->is_hex && mixed)
        return true;
    if (t.n >= 8 && f->letters && f->digits >= 2)
        return true;
    return t.n >= 24 && f->upper >= 3 && f->lower >= 3 && (f->others || f->upper * 4 > f->lower);
}

static const char *mask_of(struct str t)
{
    struct facts f = facts_of(t);
    if (is_enhanced(t))
        return NULL;
    if (str_ifind(t, STR("://")) >= 0 || str_istarts(t, STR("www.")))
        return "<url>";
    if (f.has_at)
        return "<address>";
    if (is_ipv4(t) || is_ipv6(t, &f))
        return "<ip>";
    if (is_domain(t, &f))
        return "<domain>";
    if (f.digits && !f.letters)
        return "<n>";
    if (is_tag(t))
        return NULL;
    return is_id(t, &f) ? "<id>" : NULL;
}

/* ---- writing ---- */

struct out {
    char *p;
    size_t n, size;
    bool blank, full;
};

static void put(struct out *o, const char *text, size_t n)
{
    size_t blank = o->blank && o->n;
    if (o->full || o->n + blank + n + 1 > o->size) {
        o->full = true;
        return;
    }
    if (blank)
        o->p[o->n++] = ' ';
    o->blank = false;
    if (n)
        memcpy(o->p + o->n, text, n);
    o->n += n;
}

static bool ends_with(const struct out *o, const char *text)
{
    size_t n = strlen(text);
    return o->n >= n && !o->blank && memcmp(o->p + o->n - n, text, n) == 0;
}

/* A word that stays: lower-case words with digits lose only those (mx2 and mx3 are one). */
static void put_word(struct out *o, struct str t)
{
    bool keeps = is_tag(t) || is_enhanced(t);
    for (size_t i = 0; i < t.n; i++) {
        if (keeps || !ascii_isdigit(t.p[i])) {
            put(o, t.p + i, 1);
            continue;
        }
        while (i + 1 < t.n && ascii_isdigit(t.p[i + 1]))
            i++;
        put(o, "<n>", 3);
    }
}

static bool is_edge(char c)
{
    return strchr("()[]{}\"'`,;!|", c) != NULL && c;
}

/* A token without quotes and brackets: masked, kept, or taken apart at = : / between its parts. */
static void put_core(struct out *o, struct str t)
{
    const char *mask = t.n > TOKEN_MAX ? "<id>" : mask_of(t);
    if (mask) {
        if (!(strcmp(mask, "<n>") == 0 && ends_with(o, "<n>")))
            put(o, mask, strlen(mask));
        return;
    }
    for (size_t i = 0; i < t.n; i++) {
        if (!strchr("=:/#", t.p[i]) || !t.p[i])
            continue;
        put_core(o, str_cut(t, 0, i));
        put(o, t.p + i, 1);
        put_core(o, str_from_index(t, i + 1));
        return;
    }
    put_word(o, t);
}

/* Whatever stands in <> is an address or an id of theirs. */
static size_t angle_end(struct str t, size_t at)
{
    for (size_t i = at + 1; i < t.n && i < at + 320; i++) {
        if (t.p[i] == '>')
            return i;
        if (ascii_isspace(t.p[i]) || t.p[i] == '<')
            return 0;
    }
    return 0;
}

static size_t core_end(struct str t, size_t at)
{
    size_t i = at;
    while (i < t.n && !ascii_isspace(t.p[i]) && !is_edge(t.p[i]) && t.p[i] != '<' && t.p[i] != '>')
        i++;
    return i;
}

size_t shape_of(struct str reply, char *out, size_t size)
{
    struct out o = {.p = out, .size = size};
    struct str t = str_trim(reply);
    for (size_t i = 0; i < t.n && !o.full;) {
        size_t close = t.p[i] == '<' ? angle_end(t, i) : 0;
        size_t end = core_end(t, i);
        if (ascii_isspace(t.p[i])) {
            o.blank = true;
            i++;
        } else if (close) {
            put(&o, "<address>", 9);
            i = close + 1;
        } else if (end == i) {
            put(&o, t.p + i++, 1);
        } else {
            size_t stop = end;
            while (stop > i + 1 && strchr(".:?", t.p[stop - 1]))
                stop--; /* the dot of a sentence is no part of a name */
            put_core(&o, str_cut(t, i, stop - i));
            put(&o, t.p + stop, end - stop);
            i = end;
        }
    }
    while (o.n && o.n < size && ((unsigned char)o.p[o.n - 1] & 0x80) && o.full)
        o.n--; /* never inside a letter */
    if (size)
        o.p[o.n] = 0;
    return o.n;
}

/* ---- the collection ---- */

struct shapes *shapes_new(void)
{
    struct shapes *s = alloc_one(struct shapes);
    s->index = map_str_new();
    return s;
}

void shapes_free(struct shapes **sp)
{
    struct shapes *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        free(s->all[i]);
    free(s->all);
    map_str_free(&s->index);
    free(s);
}

static struct shape *make(struct shapes *s, const struct sighting *x, const char *text)
{
    if (s->n == SHAPES_MAX)
        return NULL;
    if (s->n == s->cap) {
        s->cap = MAX(s->cap * 2, (size_t)32);
        s->all = alloc_resize(s->all, s->cap * sizeof *s->all);
    }
    struct shape *k = s->all[s->n++] = alloc_one(struct shape);
    str_copy(str_of(text), k->text, sizeof k->text);
    str_copy(x->rule, k->rule, sizeof k->rule);
    str_copy(x->enhanced, k->enhanced, sizeof k->enhanced);
    k->code = x->code;
    k->verdict = x->verdict;
    k->phase = x->phase;
    k->first_at = k->last_at = x->at;
    return k;
}

static void add_server(struct shape *k, uint16_t num)
{
    for (uint32_t i = 0; i < k->n_servers; i++)
        if (k->servers[i] == num)
            return;
    if (!num)
        return;
    if (k->n_servers < SHAPE_SERVERS)
        k->servers[k->n_servers++] = num;
    else
        k->servers_more = true;
}

static void keep_sample(struct shape *k, struct str reply)
{
    size_t n = MIN(reply.n, sizeof k->sample - 1);
    while (n && n < reply.n && ((unsigned char)reply.p[n] & 0xC0) == 0x80)
        n--;
    str_copy(str_cut(reply, 0, n), k->sample, sizeof k->sample);
}

struct shape *shapes_add(struct shapes *s, const struct sighting *x)
{
    char text[SHAPE_TEXT_MAX], key[SHAPE_TEXT_MAX + 128];
    size_t n = shape_of(x->reply, text, sizeof text);
    int m = snprintf(key, sizeof key, "%d|%d|" STR_F "|" STR_F "|", x->code, (int)x->phase,
                     STR_A(str_cut(x->enhanced, 0, 15)), STR_A(str_cut(x->rule, 0, 47)));
    for (size_t i = 0; i < n && (size_t)m < sizeof key; i++)
        key[m++] = ascii_lower(text[i]);
    uintptr_t at = (uintptr_t)map_str_get(s->index, str_from(key, (size_t)m));
    struct shape *k = at ? s->all[at - 1] : make(s, x, text);
    if (!k) {
        s->left_out += x->counts;
        return NULL;
    }
    if (!at)
        map_str_set(s->index, str_from(key, (size_t)m), (void *)(uintptr_t)s->n);
    k->first_at = MIN(k->first_at, x->at);
    k->last_at = MAX(k->last_at, x->at);
    if (x->counts) {
        k->count++;
        add_server(k, x->server_num);
        if (!k->sample[0])
            keep_sample(k, x->reply);
    }
    return k;
}

void shape_add_provider(struct shape *k, unsigned provider)
{
    k->lookups++;
    for (uint32_t i = 0; i < k->n_providers; i++)
        if (k->providers[i] == provider)
            return;
    if (k->n_providers < SHAPE_PROVIDERS)
        k->providers[k->n_providers++] = provider;
}

size_t shapes_count(const struct shapes *s)
{
    return s->n;
}

uint64_t shapes_left_out(const struct shapes *s)
{
    return s->left_out;
}

static int compare(const void *a, const void *b)
{
    const struct shape *x = *(const struct shape *const *)a, *y = *(const struct shape *const *)b;
    bool unknown_x = x->verdict == VERDICT_UNKNOWN, unknown_y = y->verdict == VERDICT_UNKNOWN;
    if (unknown_x != unknown_y)
        return unknown_x ? -1 : 1;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return strcmp(x->text, y->text);
}

const struct shape **shapes_sorted(const struct shapes *s, size_t *n_out)
{
    const struct shape **all = alloc_array(s->n + 1, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->all[i]->count)
            all[n++] = s->all[i];
    qsort(all, n, sizeof *all, compare);
    *n_out = n;
    return all;
}
