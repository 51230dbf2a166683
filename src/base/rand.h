/* Randomness: a seeded generator for simulation and jitter, and the system's for secrets. */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/base.h"

struct rand {
    uint64_t s[4]; /* xoshiro256** */
};

void rand_seed(struct rand *r, uint64_t seed);
uint64_t rand_u64(struct rand *r);
uint64_t rand_below(struct rand *r, uint64_t n); /* 0 <= x < n; n > 0 */
double rand_unit(struct rand *r);                /* 0 <= x < 1 */
void rand_secret(void *p, size_t n);             /* from the operating system, never fails */
uint64_t rand_secret_u64(void);

#endif
