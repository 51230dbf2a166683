/* The walk over SPF records, a stack of records being read: see spf.h. Called by the domain check.
 * A record's terms are taken one by one; a term that needs DNS stops the walk until it is told. */
#include "mail/spf.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

#define DEPTH_MAX  12
#define RECORD_MAX 8192
#define NAME_SIZE  256

struct frame { /* a record that is being read */
    char domain[NAME_SIZE];
    char record[RECORD_MAX];
    struct str rest;
    char redirect[NAME_SIZE];
    char qualifier; /* of the include that led here; 0: redirect or the first */
    bool is_read, has_all;
    uint32_t decided, pass, fail, soft;
};

enum stage { STAGE_NEXT, STAGE_TXT, STAGE_A, STAGE_AAAA, STAGE_MX, STAGE_OVER };

struct spf {
    struct spf_address addresses[SPF_ADDRESSES_MAX];
    size_t n;
    struct frame *frames[DEPTH_MAX];
    size_t depth;
    struct frame first; /* what the domain itself came to */
    enum stage stage;
    char name[NAME_SIZE]; /* of the question */
    /* the term that waits for addresses */
    char qualifier;
    unsigned bits4, bits6;
    uint32_t matched;
    bool any;
    unsigned lookups, voids, questions;
    bool has_record, has_ptr, perm, temp;
    char problem[300];
    char *seen; /* domains of includes, a blank before and behind each */
};

static void fail_for_good(struct spf *s, const char *what, struct str where)
{
    if (!s->perm)
        snprintf(s->problem, sizeof s->problem, "%s: " STR_F, what, STR_A(str_cut(where, 0, 200)));
    s->perm = true;
}

/* ---- addresses ---- */

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, left = bits % 8;
    if (memcmp(a, b, whole) != 0)
        return false;
    return !left || (a[whole] ^ b[whole]) >> (8 - left) == 0;
}

static uint32_t match(const struct spf *s, const struct spf_address *net, unsigned bits)
{
    uint32_t mask = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->addresses[i].is_v6 == net->is_v6 &&
            same_bits(s->addresses[i].bytes, net->bytes, bits))
            mask |= UINT32_C(1) << i;
    return mask;
}

static void decide(struct frame *f, uint32_t mask, char qualifier)
{
    mask &= ~f->decided;
    f->decided |= mask;
    if (qualifier == '+')
        f->pass |= mask;
    else if (qualifier == '-')
        f->fail |= mask;
    else if (qualifier == '~')
        f->soft |= mask;
}

static bool parse_v4(struct str text, uint8_t out[16])
{
    struct str part;
    size_t n = 0;
    uint64_t v = 0;
    while (str_split(&text, '.', &part)) {
        if (n == 4 || !str_to_u64(part, 255, &v))
            return false;
        out[n++] = (uint8_t)v;
    }
    return n == 4;
}

static bool hex_group(struct str s, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!ascii_isdigit(c) && (c < 'a' || c > 'f'))
            return false;
        *out = *out * 16 + (unsigned)(ascii_isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    return s.n >= 1 && s.n <= 4;
}

/* Groups of one side of "::" into out from index *n on; the last of the
 * address may be an IPv4 one. */
static bool v6_side(struct str side, bool is_last, uint8_t out[16], size_t *n)
{
    struct str part;
    unsigned v = 0;
    while (side.n && str_split(&side, ':', &part)) {
        uint8_t v4[16];
        if (str_chr(part, '.') >= 0) {
            if (*n > 12 || side.n || !is_last || !parse_v4(part, v4))
                return false;
            memcpy(out + *n, v4, 4);
            *n += 4;
            continue;
        }
        if (*n > 14 || !hex_group(part, &v))
            return false;
        out[(*n)++] = (uint8_t)(v >> 8);
        out[(*n)++] = (uint8_t)v;
    }
    return true;
}

static bool parse_v6(struct str text, uint8_t out[16])
{
    uint8_t head[16] = {0}, tail[16] = {0};
    size_t n_head = 0, n_tail = 0;
    ptrdiff_t gap = str_find(text, STR("::"));
    struct str left = gap >= 0 ? str_cut(text, 0, (size_t)gap) : text;
    struct str right = gap >= 0 ? str_from_index(text, (size_t)gap + 2) : STR_NONE;
    if (!v6_side(left, gap < 0, head, &n_head) || !v6_side(right, true, tail, &n_tail) ||
        (gap < 0 ? n_head != 16 : n_head + n_tail > 14))
        return false;
    memset(out, 0, 16);
    memcpy(out, head, n_head);
    memcpy(out + 16 - n_tail, tail, n_tail);
    return true;
}

bool spf_address_parse(struct str text, struct spf_address *out)
{
    if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
        text = str_cut(text, 1, text.n - 2);
    *out = (struct spf_address){.is_v6 = false};
    if (parse_v4(text, out->bytes))
        return true;
    out->is_v6 = true;
    return parse_v6(text, out->bytes);
}

/* ---- the stack ---- */

static struct frame *top(struct spf *s)
{
    return s->frames[s->depth - 1];
}

static bool push(struct spf *s, struct str domain, char qualifier)
{
    for (size_t i = 0; i < s->depth; i++)
        if (str_ieq(domain, str_of(s->frames[i]->domain))) {
            fail_for_good(s, "it includes itself", domain);
            return false;
        }
    if (s->depth == DEPTH_MAX) {
        fail_for_good(s, "includes are too deep", domain);
        return false;
    }
    struct frame *f = alloc_one(struct frame);
    if (!str_copy(domain, f->domain, sizeof f->domain)) {
        free(f);
        fail_for_good(s, "a name is too long", domain);
        return false;
    }
    f->qualifier = qualifier;
    s->frames[s->depth++] = f;
    (void)str_copy(domain, s->name, sizeof s->name);
    s->stage = STAGE_TXT;
    return true;
}

/* A record is read to its end: its redirect, or back to what included it. */
static void pop(struct spf *s)
{
    struct frame *f = top(s);
    if (f->redirect[0] && !f->has_all) {
        char target[NAME_SIZE];
        memcpy(target, f->redirect, sizeof target);
        f->redirect[0] = 0;
        s->lookups++;
        if (push(s, str_of(target), 0))
            return;
    }
    s->depth--;
    if (s->depth == 0)
        s->first = *f;
    else if (f->qualifier)
        decide(top(s), f->pass, f->qualifier);
    else {
        decide(top(s), f->pass, '+');
        decide(top(s), f->fail, '-');
        decide(top(s), f->soft, '~');
    }
    free(f);
    s->stage = s->depth ? STAGE_NEXT : STAGE_OVER;
}

/* ---- terms ---- */

/* "/24", "/24//64", "//64" behind a name. */
static bool parse_bits(struct str text, unsigned *bits4, unsigned *bits6)
{
    uint64_t v = 0;
    *bits4 = 32;
    *bits6 = 128;
    ptrdiff_t six = str_find(text, STR("//"));
    if (six >= 0) {
        if (!str_to_u64(str_from_index(text, (size_t)six + 2), 128, &v))
            return false;
        *bits6 = (unsigned)v;
        text = str_cut(text, 0, (size_t)six);
    }
    if (text.n && !str_to_u64(str_from_index(text, 1), 32, &v))
        return false;
    if (text.n)
        *bits4 = (unsigned)v;
    return true;
}

static void term_ip(struct spf *s, struct str value, bool is_v6, char qualifier)
{
    struct spf_address net = {.is_v6 = is_v6};
    ptrdiff_t slash = str_chr(value, '/');
    uint64_t bits = is_v6 ? 128 : 32;
    struct str ip = slash >= 0 ? str_cut(value, 0, (size_t)slash) : value;
    bool ok = (slash < 0 || str_to_u64(str_from_index(value, (size_t)slash + 1), bits, &bits)) &&
              (is_v6 ? parse_v6(ip, net.bytes) : parse_v4(ip, net.bytes));
    if (ok)
        decide(top(s), match(s, &net, (unsigned)bits), qualifier);
    else
        fail_for_good(s, "malformed address", value);
}

/* a, mx: the addresses of a name. */
static void term_hosts(struct spf *s, struct str value, bool is_mx, char qualifier)
{
    ptrdiff_t slash = str_chr(value, '/');
    struct str name = slash >= 0 ? str_cut(value, 0, (size_t)slash) : value;
    struct str bits = slash >= 0 ? str_from_index(value, (size_t)slash) : STR_NONE;
    s->lookups++;
    if (str_chr(name, '%') >= 0)
        return;
    if (!parse_bits(bits, &s->bits4, &s->bits6) ||
        !str_copy(name.n ? name : str_of(top(s)->domain), s->name, sizeof s->name)) {
        fail_for_good(s, "malformed term", value);
        return;
    }
    s->qualifier = qualifier;
    s->matched = 0;
    s->any = false;
    s->stage = is_mx ? STAGE_MX : STAGE_A;
}

static void note_seen(struct spf *s, struct str domain)
{
    size_t n = strlen(s->seen);
    s->seen = alloc_resize(s->seen, n + domain.n + 2);
    memcpy(s->seen + n, domain.p, domain.n);
    memcpy(s->seen + n + domain.n, " ", 2);
}

static void term_include(struct spf *s, struct str value, char qualifier)
{
    s->lookups++;
    if (!value.n) {
        fail_for_good(s, "include without a name", str_of(top(s)->domain));
        return;
    }
    note_seen(s, value);
    if (str_chr(value, '%') < 0)
        (void)push(s, value, qualifier);
}

static bool take_modifier(struct spf *s, struct str term)
{
    ptrdiff_t equals = str_chr(term, '='), colon = str_chr(term, ':'), slash = str_chr(term, '/');
    if (equals < 0 || (colon >= 0 && colon < equals) || (slash >= 0 && slash < equals))
        return false;
    if (str_istarts(term, STR("redirect=")) &&
        !str_copy(str_from_index(term, 9), top(s)->redirect, NAME_SIZE))
        fail_for_good(s, "a name is too long", term);
    return true;
}

static void take_term(struct spf *s, struct str term)
{
    char qualifier = '+';
    if (take_modifier(s, term))
        return;
    if (strchr("+-~?", term.p[0])) {
        qualifier = term.p[0];
        term = str_from_index(term, 1);
    }
    size_t n = 0;
    while (n < term.n && (ascii_isalnum(term.p[n])))
        n++;
    struct str word = str_cut(term, 0, n), value = str_from_index(term, n);
    if (value.n && value.p[0] == ':')
        value = str_from_index(value, 1);
    if (str_iis(word, "all")) {
        top(s)->has_all = true;
        decide(top(s), UINT32_MAX, qualifier);
        top(s)->rest = STR_NONE; /* terms behind it are never looked at */
    } else if (str_iis(word, "ip4") || str_iis(word, "ip6"))
        term_ip(s, value, str_iis(word, "ip6"), qualifier);
    else if (str_iis(word, "a") || str_iis(word, "mx"))
        term_hosts(s, value, str_iis(word, "mx"), qualifier);
    else if (str_iis(word, "include"))
        term_include(s, value, qualifier);
    else if (str_iis(word, "exists") || str_iis(word, "ptr")) {
        s->lookups++;
        s->has_ptr = s->has_ptr || str_iis(word, "ptr");
    } else
        fail_for_good(s, "unknown term", term);
}

static void take_next(struct spf *s)
{
    struct str term;
    while (s->stage == STAGE_NEXT && s->depth) {
        if (!top(s)->rest.n) {
            pop(s);
            continue;
        }
        if (str_split(&top(s)->rest, ' ', &term) && term.n)
            take_term(s, term);
    }
}

/* ---- the face ---- */

struct spf *spf_new(const char *domain, const struct spf_address *addresses, size_t n)
{
    struct spf *s = alloc_one(struct spf);
    s->n = MIN(n, (size_t)SPF_ADDRESSES_MAX);
    if (s->n)
        memcpy(s->addresses, addresses, s->n * sizeof *addresses);
    s->seen = alloc_copy(" ");
    if (!push(s, str_of(domain), 0))
        s->stage = STAGE_OVER;
    return s;
}

void spf_free(struct spf **sp)
{
    struct spf *s = *sp;
    *sp = NULL;
    if (!s)
        return;
    while (s->depth)
        free(s->frames[--s->depth]);
    free(s->seen);
    free(s);
}

bool spf_ask(struct spf *s, const char **name_out, enum spf_type *type_out)
{
    static const enum spf_type types[] = {
        [STAGE_TXT] = SPF_TXT, [STAGE_A] = SPF_A, [STAGE_AAAA] = SPF_AAAA, [STAGE_MX] = SPF_MX};
    take_next(s);
    if (s->stage == STAGE_OVER || s->questions++ >= SPF_QUESTIONS_MAX)
        return false;
    *name_out = s->name;
    *type_out = types[s->stage];
    return true;
}

static bool is_spf(struct str text)
{
    return str_istarts(text, STR("v=spf1")) && (text.n == 6 || text.p[6] == ' ');
}

static void tell_txt(struct spf *s, const struct spf_answer *a)
{
    struct frame *f = top(s);
    size_t n = 0;
    s->stage = STAGE_NEXT;
    for (size_t i = 0; i < a->n; i++) {
        if (!is_spf(str_of(a->texts[i])))
            continue;
        if (!n && !str_copy(str_of(a->texts[i]), f->record, sizeof f->record))
            fail_for_good(s, "the record is too long", str_of(f->domain));
        n++;
    }
    if (n > 1)
        fail_for_good(s, "more than one SPF record", str_of(f->domain));
    if (n)
        f->rest = str_from_index(str_of(f->record), 6);
    if (s->depth == 1)
        s->has_record = n > 0;
    else if (!n && !a->failed)
        fail_for_good(s, "no SPF record at an included name", str_of(f->domain));
    s->voids += s->depth > 1 && a->n == 0 && !a->failed;
}

static void tell_hosts(struct spf *s, const struct spf_answer *a)
{
    for (size_t i = 0; i < a->n; i++)
        s->matched |= match(s, &a->addresses[i], a->addresses[i].is_v6 ? s->bits6 : s->bits4);
    s->any = s->any || a->n > 0;
    if (s->stage == STAGE_A) {
        s->stage = STAGE_AAAA;
        return;
    }
    s->voids += !s->any;
    decide(top(s), s->matched, s->qualifier);
    s->stage = STAGE_NEXT;
}

void spf_tell(struct spf *s, const struct spf_answer *a)
{
    if (a->failed && !s->temp) {
        s->temp = true;
        snprintf(s->problem, sizeof s->problem, "no DNS server answered for %s", s->name);
    }
    if (s->stage == STAGE_TXT)
        tell_txt(s, a);
    else if (s->stage == STAGE_A || s->stage == STAGE_AAAA)
        tell_hosts(s, a);
    else if (s->stage == STAGE_MX && a->n && a->host && a->host[0] &&
             str_copy(str_of(a->host), s->name, sizeof s->name))
        s->stage = STAGE_A;
    else {
        s->voids += a->n == 0;
        s->stage = STAGE_NEXT;
    }
}

enum spf_result spf_standing(const struct spf *s)
{
    if (!s->has_record)
        return s->temp ? SPF_TEMPERROR : SPF_NO_RECORD;
    if (s->perm || s->lookups > SPF_LOOKUPS_MAX || s->voids > SPF_VOIDS_MAX)
        return SPF_PERMERROR;
    return s->temp ? SPF_TEMPERROR : SPF_PASS;
}

enum spf_result spf_result_of(const struct spf *s, size_t i)
{
    enum spf_result standing = spf_standing(s);
    uint32_t bit = i < s->n ? UINT32_C(1) << i : 0;
    if (standing != SPF_PASS)
        return standing;
    if (s->first.pass & bit)
        return SPF_PASS;
    if (s->first.fail & bit)
        return SPF_FAIL;
    return s->first.soft & bit ? SPF_SOFTFAIL : SPF_NEUTRAL;
}

const char *spf_result_name(enum spf_result r)
{
    static const char *const names[] = {"none",     "neutral",   "pass",     "fail",
                                        "softfail", "permerror", "temperror"};
    return names[r];
}

unsigned spf_lookups(const struct spf *s)
{
    return s->lookups;
}

unsigned spf_voids(const struct spf *s)
{
    return s->voids;
}

const char *spf_problem(const struct spf *s)
{
    return s->problem;
}

const char *spf_record(const struct spf *s)
{
    return s->first.record;
}

char spf_all(const struct spf *s)
{
    uint32_t spare = UINT32_C(1) << 31; /* an address that nothing else matches */
    if (!s->first.has_all && !(s->first.decided & spare))
        return 0;
    if (s->first.pass & spare)
        return '+';
    if (s->first.fail & spare)
        return '-';
    return s->first.soft & spare ? '~' : '?';
}

bool spf_includes(const struct spf *s, const char *domain)
{
    char word[NAME_SIZE + 2];
    int n = snprintf(word, sizeof word, " %s ", domain);
    return n > 0 && (size_t)n < sizeof word && str_ifind(str_of(s->seen), str_of(word)) >= 0;
}

bool spf_has_ptr(const struct spf *s)
{
    return s->has_ptr;
}
