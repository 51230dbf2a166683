/* xoshiro256** (public domain algorithm by Blackman and Vigna) seeded by splitmix64. */
#include "base/rand.h"

#include <sodium.h>

__extension__ typedef unsigned __int128 wide_t;

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

void rand_seed(struct rand *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9E3779B97F4A7C15u;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        r->s[i] = z ^ (z >> 31);
    }
}

uint64_t rand_u64(struct rand *r)
{
    uint64_t *s = r->s, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return result;
}

uint64_t rand_below(struct rand *r, uint64_t n)
{
    return (uint64_t)(((wide_t)rand_u64(r) * n) >> 64);
}

double rand_unit(struct rand *r)
{
    return (double)(rand_u64(r) >> 11) * 0x1.0p-53;
}

void rand_secret(void *p, size_t n)
{
    randombytes_buf(p, n);
}

uint64_t rand_secret_u64(void)
{
    uint64_t v = 0;
    rand_secret(&v, sizeof v);
    return v;
}
