/* Inside the store: the journal's struct, shared by its writer and its reader. */
#ifndef STORE_JOURNAL_INNER_H
#define STORE_JOURNAL_INNER_H

#include "store/journal_format.h"

#include <pthread.h>

#define JOURNAL_SEGMENTS_MAX 4096

struct journal_segment {
    uint64_t number, first_ticket, last_ticket;
    int64_t open; /* intents not settled */
};

struct journal {
    char *dir;
    uint64_t epoch;
    uint64_t epoch_seen;
    uint32_t segment_blocks;
    int64_t intent_wait_us, outcome_wait_us;
    void (*on_durable)(void *);
    void *arg;

    pthread_mutex_t lock; /* pending records */
    pthread_cond_t wake;
    struct journal_record *pending, *other;
    uint32_t n_pending, cap_pending, cap_other;
    bool has_intent, hurry, closing;
    uint64_t ticket; /* given last */

    uint64_t durable; /* atomic */
    bool is_full;     /* atomic */

    /* the writer's own */
    pthread_t thread;
    bool started;
    int fd;
    uint32_t block;    /* next in the current segment */
    uint64_t sequence; /* next */
    uint64_t written;  /* last ticket written */
    uint64_t next_segment;
    uint32_t n_spares;
    uint64_t *synced_page;
    struct journal_stats stats;

    pthread_mutex_t segment_lock;
    struct journal_segment segments[JOURNAL_SEGMENTS_MAX];
    uint32_t n_segments;
    uint64_t *early; /* settled before they were written */
    uint32_t n_early, cap_early;
};

bool journal_segment_path(const struct journal *j, uint64_t number, char *out, size_t size);
/* The first number that no file has. */
void journal_number_next(struct journal *j);
/* Removes segments older than the first of ours. */
void journal_drop_old(struct journal *j);

#endif
