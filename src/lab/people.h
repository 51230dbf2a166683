/* Invented contacts on reserved domains (RFC 2606, RFC 6761: they can never be anybody's), the same
 * for the same seed, each address once; and the bites in which they are imported. */
#ifndef LAB_PEOPLE_H
#define LAB_PEOPLE_H

#include "lab/daemon.h"

struct lab_crowd {
    uint64_t n, step, offset; /* walks all names before one comes again with a figure behind it */
};

struct lab_person {
    char email[96];
    const char *first, *last, *city;
};

void lab_crowd_new(struct lab_crowd *c, uint64_t n, uint64_t seed);
/* i: 0 .. n-1 */
void lab_crowd_person(const struct lab_crowd *c, uint64_t i, struct lab_person *out);
/* Imports all of them into a list that exists. progress may be NULL; false from it stops early,
 * which is no error. */
bool lab_crowd_import(const struct lab_crowd *c, struct lab_daemon *d, const char *list,
                      bool (*progress)(void *arg, uint64_t done), void *arg,
                      struct err *e) MUST_USE;

#endif
