/* The phrase search, see phrases.h. Pieces lie in hash buckets by their first 4 (or 2) bytes; a
 * piece that must begin a word is looked for at word starts only. A phrase of several pieces
 * remembers where its last found piece ended. */
#include "feedback/phrases.h"
#include "base/alloc.h"
#include "base/check.h"
#include <stdlib.h>

enum { BITS_MIN = 4, BITS_MAX = 13, PIECES_MAX = 8, LITERAL_MAX = 200 };

struct part {
    char *literal;
    uint16_t n;
    uint16_t phrase;
    bool first, last; /* of its phrase */
    bool word_start, word_end;
};

struct bucket_table {
    unsigned bits;
    uint16_t *start; /* bucket b is slot[start[b]] up to slot[start[b + 1]] */
    uint16_t *slot;  /* part numbers, by bucket */
    size_t count;
};

enum { TABLE_LONG = 0, TABLE_SHORT, TABLE_FREE_LONG, TABLE_FREE_SHORT, TABLE_COUNT };

struct phrases {
    struct part *part;
    size_t parts, cap, phrases;
    struct bucket_table table[TABLE_COUNT];
    bool sealed;
};

struct phrases *phrases_new(void)
{
    return alloc_one(struct phrases);
}

void phrases_free(struct phrases **pp)
{
    struct phrases *p = *pp;
    *pp = NULL;
    if (!p)
        return;
    for (size_t i = 0; i < p->parts; i++)
        free(p->part[i].literal);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        free(p->table[i].start);
        free(p->table[i].slot);
    }
    free(p->part);
    free(p);
}

size_t phrases_count(const struct phrases *p)
{
    return p->phrases;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Folds into dst (size bytes); gives the length. */
static size_t fold(struct str raw, char *dst, size_t size)
{
    size_t n = 0;
    bool blank = true;
    for (size_t i = 0; i < raw.n && n < size; i++) {
        unsigned char c = (unsigned char)raw.p[i];
        if (c <= ' ' || c == 127) {
            if (!blank)
                dst[n++] = ' ';
            blank = true;
            continue;
        }
        dst[n++] = ascii_lower((char)c);
        blank = false;
    }
    return n && dst[n - 1] == ' ' ? n - 1 : n;
}

void phrases_text_make(struct str raw, struct phrases_text *out)
{
    out->bytes[0] = ' ';
    out->n = fold(raw, out->bytes + 1, PHRASES_TEXT_MAX);
    memset(out->bytes + 1 + out->n, 0, 8);
}

struct str phrases_text_str(const struct phrases_text *t)
{
    return str_from(t->bytes + 1, t->n);
}

static struct part *part_push(struct phrases *p)
{
    if (p->parts == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 256;
        p->part = alloc_resize(p->part, p->cap * sizeof(*p->part));
    }
    struct part *at = &p->part[p->parts++];
    *at = (struct part){0};
    return at;
}

/* One piece between two `*`; free_left and free_right: the `*` touches it there. */
static bool add_piece(struct phrases *p, struct str piece, bool free_left, bool free_right,
                      struct err *e)
{
    char folded[LITERAL_MAX];
    if (piece.n > LITERAL_MAX)
        return err_set(e, ERR_TOO_BIG, "a phrase is longer than %d bytes", LITERAL_MAX);
    size_t n = fold(piece, folded, sizeof(folded));
    if (n < 2)
        return err_set(e, ERR_INVALID, "each piece of a phrase needs at least 2 characters");
    if (p->parts == PHRASES_PARTS_MAX)
        return err_set(e, ERR_TOO_BIG, "over %d phrase pieces", PHRASES_PARTS_MAX);
    struct part *at = part_push(p);
    at->literal = str_dup(str_from(folded, n));
    at->n = (uint16_t)n;
    at->phrase = (uint16_t)p->phrases;
    at->word_start = !free_left && is_word(folded[0]);
    at->word_end = !free_right && is_word(folded[n - 1]);
    return true;
}

static bool add_pieces(struct phrases *p, struct str rest, struct err *e)
{
    struct str piece;
    unsigned pieces = 0;
    bool star_before = false;
    while (str_split(&rest, '*', &piece)) {
        bool star_after = rest.p != NULL;
        bool touches_left = star_before && piece.n && piece.p[0] != ' ';
        bool touches_right = star_after && piece.n && piece.p[piece.n - 1] != ' ';
        star_before = true;
        if (str_trim(piece).n == 0)
            continue;
        if (++pieces > PIECES_MAX)
            return err_set(e, ERR_TOO_BIG, "over %d pieces in a phrase", PIECES_MAX);
        if (!add_piece(p, str_trim(piece), touches_left, touches_right, e))
            return false;
    }
    return pieces ? true : err_set(e, ERR_INVALID, "a phrase is empty");
}

bool phrases_add(struct phrases *p, struct str phrase, unsigned *id_out, struct err *e)
{
    check(!p->sealed);
    size_t first = p->parts;
    if (p->phrases == PHRASES_MAX)
        return err_set(e, ERR_TOO_BIG, "over %d phrases", PHRASES_MAX);
    if (!add_pieces(p, phrase, e)) {
        while (p->parts > first)
            free(p->part[--p->parts].literal);
        return false;
    }
    p->part[first].first = true;
    p->part[p->parts - 1].last = true;
    *id_out = (unsigned)p->phrases++;
    return true;
}

static unsigned hash_long(const char *s, unsigned bits)
{
    uint32_t v;
    memcpy(&v, s, 4);
    return (v * UINT32_C(2654435761)) >> (32 - bits);
}

static unsigned hash_short(const char *s, unsigned bits)
{
    uint16_t v;
    memcpy(&v, s, 2);
    return (v * UINT32_C(2654435761)) >> (32 - bits);
}

static unsigned table_of(const struct part *at)
{
    unsigned free_start = !at->word_start && is_word(at->literal[0]) ? TABLE_FREE_LONG : 0;
    return free_start + (at->n >= 4 ? TABLE_LONG : TABLE_SHORT);
}

static unsigned bucket_of(const struct bucket_table *t, const char *s, bool is_long)
{
    return is_long ? hash_long(s, t->bits) : hash_short(s, t->bits);
}

static size_t count_in_table(const struct phrases *p, unsigned which)
{
    size_t n = 0;
    for (size_t i = 0; i < p->parts; i++)
        n += table_of(&p->part[i]) == which;
    return n;
}

/* Parts by bucket, a bucket's in the order they were added: a counting sort. */
static void table_build(struct phrases *p, unsigned which)
{
    struct bucket_table *t = &p->table[which];
    bool is_long = which == TABLE_LONG || which == TABLE_FREE_LONG;
    t->count = count_in_table(p, which);
    if (t->count == 0)
        return;
    for (t->bits = BITS_MIN; t->bits < BITS_MAX && (size_t)1 << t->bits < 2 * t->count;)
        t->bits++;
    size_t buckets = (size_t)1 << t->bits;
    t->start = alloc_many(uint16_t, buckets + 2);
    t->slot = alloc_many(uint16_t, t->count);
    for (size_t i = 0; i < p->parts; i++)
        if (table_of(&p->part[i]) == which)
            t->start[bucket_of(t, p->part[i].literal, is_long) + 2]++;
    for (size_t b = 2; b < buckets + 2; b++)
        t->start[b] = (uint16_t)(t->start[b] + t->start[b - 1]);
    /* start[b + 1] is where bucket b is filled next, and ends as where it ends. */
    for (size_t i = 0; i < p->parts; i++)
        if (table_of(&p->part[i]) == which)
            t->slot[t->start[bucket_of(t, p->part[i].literal, is_long) + 1]++] = (uint16_t)i;
}

void phrases_seal(struct phrases *p)
{
    check(!p->sealed);
    p->sealed = true;
    for (unsigned which = 0; which < TABLE_COUNT; which++)
        table_build(p, which);
}

struct search {
    const struct phrases *p;
    const char *base;
    size_t n;
    uint64_t *hits;
    uint16_t *ended; /* by part: 1 + where it ended last; 0: not found yet */
};

static void try_part(struct search *s, uint16_t number, size_t at)
{
    const struct part *part = &s->p->part[number];
    size_t end = at + part->n;
    if (end > s->n || memcmp(s->base + at, part->literal, part->n) != 0)
        return;
    if (part->word_end && is_word(s->base[end]))
        return;
    if (!part->first) {
        size_t before = s->ended[number - 1];
        if (!before || at + 1 < before || at + 1 - before > PHRASES_GAP)
            return;
    }
    s->ended[number] = (uint16_t)(end + 1);
    if (part->last)
        s->hits[part->phrase / 64] |= UINT64_C(1) << (part->phrase % 64);
}

static void try_bucket(struct search *s, const struct bucket_table *t, unsigned bucket, size_t at)
{
    for (unsigned i = t->start[bucket]; i < t->start[bucket + 1]; i++)
        try_part(s, t->slot[i], at);
}

static void try_tables(struct search *s, unsigned first, size_t at)
{
    const struct bucket_table *t = &s->p->table[first];
    if (t[0].count)
        try_bucket(s, &t[0], hash_long(s->base + at, t[0].bits), at);
    if (t[1].count)
        try_bucket(s, &t[1], hash_short(s->base + at, t[1].bits), at);
}

void phrases_find(const struct phrases *p, const struct phrases_text *t, uint64_t *hits)
{
    check(p->sealed);
    uint16_t ended[PHRASES_PARTS_MAX];
    memset(ended, 0, p->parts * sizeof(ended[0]));
    memset(hits, 0, (p->phrases + 63) / 64 * sizeof(hits[0]));
    struct search s = {p, t->bytes + 1, t->n, hits, ended};
    bool any_free = p->table[TABLE_FREE_LONG].count || p->table[TABLE_FREE_SHORT].count;
    bool in_word = false;
    for (size_t at = 0; at < t->n; at++) {
        bool word = is_word(s.base[at]);
        if (!(in_word && word))
            try_tables(&s, TABLE_LONG, at);
        if (any_free)
            try_tables(&s, TABLE_FREE_LONG, at);
        in_word = word;
    }
}
