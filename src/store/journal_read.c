/* Opening the journal: finding segments, reading blocks in order of their sequence, judging damage.
 */
#include "store/journal_inner.h"
#include "base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct found { /* a segment file */
    uint64_t number;
};

struct reading {
    struct journal *j;
    void (*replay)(void *arg, const struct journal_record *r);
    void *arg;
    uint64_t synced; /* highest sequence that was synced */
    uint64_t last;   /* highest good sequence seen */
    bool lost, newer;
};

static int compare_found(const void *a, const void *b)
{
    uint64_t x = ((const struct found *)a)->number, y = ((const struct found *)b)->number;
    return x < y ? -1 : x > y;
}

static struct found *list_segments(const char *dir, size_t *n_out)
{
    struct found *all = NULL;
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *it = d ? readdir(d) : NULL; it; it = readdir(d)) {
        unsigned long long number = 0;
        int used = 0;
        if (sscanf(it->d_name, "%10llu.journal%n", &number, &used) != 1 || used == 0 ||
            it->d_name[used] != 0)
            continue;
        all = alloc_resize(all, (n + 1) * sizeof *all);
        all[n++].number = number;
    }
    if (d)
        closedir(d);
    if (n)
        qsort(all, n, sizeof *all, compare_found);
    *n_out = n;
    return all;
}

void journal_number_next(struct journal *j)
{
    size_t n = 0;
    struct found *all = list_segments(j->dir, &n);
    if (n)
        j->next_segment = MAX(j->next_segment, all[n - 1].number + 1);
    free(all);
}

void journal_drop_old(struct journal *j)
{
    size_t n = 0;
    struct found *all = list_segments(j->dir, &n);
    for (size_t i = 0; i < n; i++) {
        char path[4200];
        if (all[i].number < j->segments[0].number &&
            journal_segment_path(j, all[i].number, path, sizeof path))
            unlink(path);
    }
    free(all);
}

static void replay_block(struct reading *r, const uint8_t *block, const struct journal_block *b)
{
    for (uint32_t i = 0; i < b->n && r->replay; i++) {
        struct journal_record rec;
        journal_record_unpack(block + JOURNAL_HEAD + i * JOURNAL_RECORD, b->base_ms, &rec);
        r->replay(r->arg, &rec);
    }
}

/* False: nothing of use follows in this segment. */
static bool read_block(struct reading *r, const uint8_t *block)
{
    struct journal_block b;
    switch (journal_block_read(block, &b)) {
    case JOURNAL_FOUND_NEWER: r->newer = true; return false;
    case JOURNAL_FOUND_ZERO:
    case JOURNAL_FOUND_DAMAGED:
        r->lost |= r->last == 0 && r->synced > 0; /* how it began is not known */
        return false;
    case JOURNAL_FOUND_BLOCK: break;
    }
    if (b.epoch != r->j->epoch || (r->last && b.sequence <= r->last))
        return false; /* of an older use of this file */
    if (r->last && b.sequence != r->last + 1) {
        r->lost = true;
        return false;
    }
    r->last = b.sequence;
    replay_block(r, block, &b);
    return true;
}

static bool read_segment(struct reading *r, uint64_t number, struct err *e)
{
    char path[4200];
    uint8_t block[JOURNAL_BLOCK];
    journal_segment_path(r->j, number, path, sizeof path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ERR_FAILED, "journal %s: %s", path, strerror(errno));
    off_t at = 0;
    while (pread(fd, block, sizeof block, at) == (ssize_t)sizeof block && read_block(r, block))
        at += (off_t)sizeof block;
    close(fd);
    return true;
}

static bool open_synced_page(struct journal *j, struct err *e)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/synced", j->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, JOURNAL_BLOCK) != 0) {
        if (fd >= 0)
            close(fd);
        return err_set(e, ERR_FAILED, "journal %s: %s", path, strerror(errno));
    }
    void *p = mmap(NULL, JOURNAL_BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return err_set(e, ERR_FAILED, "journal %s: %s", path, strerror(errno));
    j->synced_page = p;
    return true;
}

static struct journal *make(const struct journal_config *cfg)
{
    struct journal *j = alloc_one(struct journal);
    j->dir = alloc_copy(cfg->dir);
    j->epoch = cfg->epoch;
    j->segment_blocks = cfg->segment_blocks ? cfg->segment_blocks : 2048;
    j->intent_wait_us = cfg->intent_wait_us ? cfg->intent_wait_us : 300;
    j->outcome_wait_us = cfg->outcome_wait_us ? cfg->outcome_wait_us : 5000;
    j->on_durable = cfg->on_durable;
    j->arg = cfg->arg;
    j->fd = -1;
    j->next_segment = 1;
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_init(&j->segment_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &attr);
    pthread_condattr_destroy(&attr);
    return j;
}

static bool read_all(struct reading *r, bool expect_existing, enum journal_health *health,
                     struct err *e)
{
    size_t n = 0;
    struct found *all = list_segments(r->j->dir, &n);
    bool ok = true;
    for (size_t i = 0; i < n && ok && !r->lost && !r->newer; i++)
        ok = read_segment(r, all[i].number, e);
    free(all);
    if (!ok)
        return false;
    if (r->newer)
        return err_set(e, ERR_FAILED,
                       "the journal in %s was written by a newer postfleet: start that one, or "
                       "stop it cleanly first",
                       r->j->dir);
    if (n == 0)
        *health = expect_existing ? JOURNAL_LOST : JOURNAL_NEW;
    else
        *health = r->lost || r->last < r->synced ? JOURNAL_LOST : JOURNAL_WHOLE;
    return true;
}

bool journal_open(const struct journal_config *cfg, bool expect_existing,
                  void (*replay)(void *arg, const struct journal_record *r), void *replay_arg,
                  struct journal **out, enum journal_health *health_out, struct err *e)
{
    if (mkdir(cfg->dir, 0700) != 0 && errno != EEXIST)
        return err_set(e, ERR_FAILED, "journal folder %s: %s", cfg->dir, strerror(errno));
    struct journal *j = make(cfg);
    struct reading r = {.j = j, .replay = replay, .arg = replay_arg};
    bool ok = open_synced_page(j, e);
    r.synced = ok && j->synced_page[1] == j->epoch ? j->synced_page[0] : 0;
    j->epoch_seen = ok ? MAX(j->synced_page[1], j->epoch) : 0;
    ok = ok && read_all(&r, expect_existing, health_out, e);
    if (ok && j->epoch && j->epoch_seen > j->epoch)
        *health_out = JOURNAL_AHEAD;
    if (!ok) {
        journal_close(&j);
        return false;
    }
    j->sequence = MAX(MAX(r.last, r.synced) + 1, (uint64_t)1);
    if (j->synced_page[1] != j->epoch) {
        j->synced_page[0] = 0;
        j->synced_page[1] = j->epoch;
    }
    *out = j;
    return true;
}

uint64_t journal_epoch_seen(const struct journal *j)
{
    return j->epoch_seen;
}
