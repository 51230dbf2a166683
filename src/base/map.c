/* Open addressing with linear probing and backward-shift deletion; load at most 3/4. */
#include "base/map.h"
#include "base/alloc.h"
#include "base/check.h"

#include <stdlib.h>

uint64_t hash_u64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

uint64_t hash_bytes(const void *p, size_t n, uint64_t seed)
{
    const unsigned char *b = p;
    uint64_t h = seed ^ (n * 0x9E3779B97F4A7C15u);
    while (n >= 8) {
        uint64_t w = 0;
        memcpy(&w, b, 8);
        h = hash_u64(h ^ w);
        b += 8;
        n -= 8;
    }
    uint64_t tail = 0;
    if (n)
        memcpy(&tail, b, n);
    return hash_u64(h ^ tail ^ ((uint64_t)n << 56));
}

struct slot_u64 {
    uint64_t key;
    void *value; /* NULL: empty */
};

struct map_u64 {
    struct slot_u64 *slots;
    size_t cap, n;
};

struct map_u64 *map_u64_new(void)
{
    struct map_u64 *m = alloc_one(struct map_u64);
    m->cap = 16;
    m->slots = alloc_many(struct slot_u64, m->cap);
    return m;
}

void map_u64_free(struct map_u64 **m)
{
    if (*m) {
        free((*m)->slots);
        free(*m);
        *m = NULL;
    }
}

static size_t place_u64(const struct map_u64 *m, uint64_t key)
{
    size_t i = hash_u64(key) & (m->cap - 1);
    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return i;
}

static void resize_u64(struct map_u64 *m, size_t cap)
{
    struct slot_u64 *old = m->slots;
    size_t old_cap = m->cap;
    m->cap = cap;
    m->slots = alloc_many(struct slot_u64, m->cap);
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].value)
            m->slots[place_u64(m, old[i].key)] = old[i];
    free(old);
}

void map_u64_set(struct map_u64 *m, uint64_t key, void *value)
{
    check(value != NULL);
    if ((m->n + 1) * 4 > m->cap * 3)
        resize_u64(m, m->cap * 2);
    struct slot_u64 *s = &m->slots[place_u64(m, key)];
    m->n += s->value == NULL;
    s->key = key;
    s->value = value;
}

void *map_u64_get(const struct map_u64 *m, uint64_t key)
{
    return m->slots[place_u64(m, key)].value;
}

void *map_u64_remove(struct map_u64 *m, uint64_t key)
{
    size_t i = place_u64(m, key);
    void *old = m->slots[i].value;
    if (!old)
        return NULL;
    m->n--;
    for (size_t j = (i + 1) & (m->cap - 1); m->slots[j].value; j = (j + 1) & (m->cap - 1)) {
        size_t home = hash_u64(m->slots[j].key) & (m->cap - 1);
        if (((j - home) & (m->cap - 1)) < ((j - i) & (m->cap - 1)))
            continue;
        m->slots[i] = m->slots[j];
        i = j;
    }
    m->slots[i].value = NULL;
    return old;
}

size_t map_u64_count(const struct map_u64 *m)
{
    return m->n;
}

bool map_u64_next(const struct map_u64 *m, size_t *pos, uint64_t *key_out, void **value_out)
{
    for (; *pos < m->cap; (*pos)++)
        if (m->slots[*pos].value) {
            *key_out = m->slots[*pos].key;
            *value_out = m->slots[*pos].value;
            (*pos)++;
            return true;
        }
    return false;
}

struct slot_str {
    char *key;
    size_t n;
    void *value;
};

struct map_str {
    struct slot_str *slots;
    size_t cap, n;
};

struct map_str *map_str_new(void)
{
    struct map_str *m = alloc_one(struct map_str);
    m->cap = 16;
    m->slots = alloc_many(struct slot_str, m->cap);
    return m;
}

void map_str_free(struct map_str **mp)
{
    struct map_str *m = *mp;
    *mp = NULL;
    if (!m)
        return;
    for (size_t i = 0; i < m->cap; i++)
        free(m->slots[i].key);
    free(m->slots);
    free(m);
}

static size_t home_str(const struct map_str *m, const char *p, size_t n)
{
    return hash_bytes(p, n, 0) & (m->cap - 1);
}

static size_t place_str(const struct map_str *m, struct str key)
{
    size_t i = home_str(m, key.p, key.n);
    while (m->slots[i].key &&
           !(m->slots[i].n == key.n && memcmp(m->slots[i].key, key.p, key.n) == 0))
        i = (i + 1) & (m->cap - 1);
    return i;
}

static void grow_str(struct map_str *m)
{
    struct slot_str *old = m->slots;
    size_t old_cap = m->cap;
    m->cap *= 2;
    m->slots = alloc_many(struct slot_str, m->cap);
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].key)
            m->slots[place_str(m, str_from(old[i].key, old[i].n))] = old[i];
    free(old);
}

void map_str_set(struct map_str *m, struct str key, void *value)
{
    check(value != NULL);
    if ((m->n + 1) * 4 > m->cap * 3)
        grow_str(m);
    struct slot_str *s = &m->slots[place_str(m, key)];
    if (!s->key) {
        s->key = str_dup(key);
        s->n = key.n;
        m->n++;
    }
    s->value = value;
}

void *map_str_get(const struct map_str *m, struct str key)
{
    return m->slots[place_str(m, key)].value;
}

void *map_str_remove(struct map_str *m, struct str key)
{
    size_t i = place_str(m, key);
    if (!m->slots[i].key)
        return NULL;
    void *old = m->slots[i].value;
    free(m->slots[i].key);
    m->n--;
    for (size_t j = (i + 1) & (m->cap - 1); m->slots[j].key; j = (j + 1) & (m->cap - 1)) {
        size_t home = home_str(m, m->slots[j].key, m->slots[j].n);
        if (((j - home) & (m->cap - 1)) < ((j - i) & (m->cap - 1)))
            continue;
        m->slots[i] = m->slots[j];
        i = j;
    }
    m->slots[i] = (struct slot_str){0};
    return old;
}

size_t map_str_count(const struct map_str *m)
{
    return m->n;
}

bool map_str_next(const struct map_str *m, size_t *pos, struct str *key_out, void **value_out)
{
    for (; *pos < m->cap; (*pos)++)
        if (m->slots[*pos].key) {
            *key_out = str_from(m->slots[*pos].key, m->slots[*pos].n);
            *value_out = m->slots[*pos].value;
            (*pos)++;
            return true;
        }
    return false;
}
