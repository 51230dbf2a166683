/* The shape of a reply: what stays when numbers, ids, addresses, IPs and host names are masked, so
 * that a million replies become a few dozen kinds. And a bounded collection that counts replies by
 * shape. Reads no database and no clock; called by engine/patterns and by tests. Guarantees: one
 * pass a reply, at most SHAPES_MAX kinds in memory, what found no place is counted. */
#ifndef FEEDBACK_SHAPE_H
#define FEEDBACK_SHAPE_H

#include "base/base.h"
#include "base/str.h"
#include "model/verdict.h"

#define SHAPE_TEXT_MAX    240  /* bytes of a shape with its end */
#define SHAPE_SAMPLE_MAX  400  /* of the reply kept as an example */
#define SHAPES_MAX        2000 /* kinds in one collection */
#define SHAPE_SERVERS     8    /* servers named of each; more are only counted */
#define SHAPE_PROVIDERS   8
#define SHAPE_LOOKUPS_MAX 25 /* replies of each whose mailbox provider is worth finding out */

/* Masks `reply` (its text; codes may stand before it): <address> <ip> <url> <domain> <id> <n>.
 * Enhanced codes and short error tags in capitals (TS03, S3150) stay: they carry meaning. Blanks
 * are folded. Writes a terminated text, cut at a mask's or letter's end; gives its length. */
size_t shape_of(struct str reply, char *out, size_t size);

struct sighting { /* one reply; texts are borrowed */
    struct str reply, rule, enhanced;
    int code; /* 0: none, the connection was lost */
    enum verdict verdict;
    enum phase phase;
    uint16_t server_num;
    int64_t at;  /* ms */
    bool counts; /* false: seen outside the span asked for; only tells since when it is known */
};

struct shape {
    char text[SHAPE_TEXT_MAX], sample[SHAPE_SAMPLE_MAX], rule[48], enhanced[16];
    int code;
    enum verdict verdict;
    enum phase phase;
    uint64_t count;
    int64_t first_at, last_at;
    uint16_t servers[SHAPE_SERVERS];
    uint32_t n_servers; /* named; servers_more: there are others */
    bool servers_more;
    unsigned providers[SHAPE_PROVIDERS];
    uint32_t n_providers, lookups;
};

struct shapes;
struct shapes *shapes_new(void) MUST_USE;
void shapes_free(struct shapes **s);
/* Counts a reply: the kind it belongs to, or NULL when the collection is full and knows no such
 * kind (then it is counted in shapes_left_out). Replies that differ in code, enhanced code, phase
 * or rule are of different kinds, however alike they read. */
struct shape *shapes_add(struct shapes *s, const struct sighting *x);
void shape_add_provider(struct shape *k, unsigned provider);
size_t shapes_count(const struct shapes *s);
uint64_t shapes_left_out(const struct shapes *s);
/* What needs a rule first (unknown), then by count; pointers live as long as the collection. Those
 * that count nothing are left out. *n_out of them, malloc'd, the caller's. */
const struct shape **shapes_sorted(const struct shapes *s, size_t *n_out) MUST_USE;

#endif
