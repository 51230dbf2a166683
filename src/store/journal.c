/* The journal's writer: a thread that closes groups, writes blocks, syncs, and tells. Segments are
 * made zero-filled, so that fdatasync has no metadata to write, and used again oldest first. */
#include "store/journal_inner.h"
#include "base/alloc.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPARE_MAX  3
#define GIVE_UP_MS 2000 /* a full disk that stays full while the journal closes */

bool journal_segment_path(const struct journal *j, uint64_t number, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/%010llu.journal", j->dir, (unsigned long long)number);
    return n > 0 && (size_t)n < size;
}

static bool sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

/* A zero-filled file under a temporary name: only a whole one gets a segment's name. */
static bool make_spare(struct journal *j, struct err *e)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/spare-%u", j->dir, j->n_spares);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno == ENOSPC ? ERR_FULL : ERR_FAILED, "journal %s: %s", path,
                       strerror(errno));
    static const char zeros[64 * 1024];
    size_t left = (size_t)j->segment_blocks * JOURNAL_BLOCK;
    bool ok = true;
    while (left && ok) {
        ssize_t n = write(fd, zeros, MIN(left, sizeof zeros));
        ok = n > 0;
        left -= ok ? (size_t)n : 0;
    }
    ok = ok && fsync(fd) == 0;
    int why = errno;
    close(fd);
    if (!ok) {
        unlink(path);
        return err_set(e, why == ENOSPC ? ERR_FULL : ERR_FAILED,
                       "journal: cannot make a segment in %s: %s. Free some disk space", j->dir,
                       strerror(why));
    }
    j->n_spares++;
    return true;
}

static bool next_segment(struct journal *j, struct err *e)
{
    char from[4200], to[4200];
    if (j->n_spares == 0 && !make_spare(j, e))
        return false;
    snprintf(from, sizeof from, "%s/spare-%u", j->dir, j->n_spares - 1);
    journal_segment_path(j, j->next_segment, to, sizeof to);
    if (rename(from, to) != 0 || !sync_dir(j->dir))
        return err_set(e, ERR_FAILED, "journal %s: %s", to, strerror(errno));
    j->n_spares--;
    int fd = open(to, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ERR_FAILED, "journal %s: %s", to, strerror(errno));
    if (j->fd >= 0)
        close(j->fd);
    j->fd = fd;
    j->block = 0;
    check(j->n_segments < JOURNAL_SEGMENTS_MAX);
    pthread_mutex_lock(&j->segment_lock);
    j->segments[j->n_segments++] = (struct journal_segment){
        .number = j->next_segment++, .first_ticket = j->written + 1, .last_ticket = UINT64_MAX};
    if (j->n_segments > 1)
        j->segments[j->n_segments - 2].last_ticket = j->written;
    pthread_mutex_unlock(&j->segment_lock);
    return true;
}

/* Oldest first: what has no open intent any more becomes a spare. */
static void reclaim(struct journal *j)
{
    for (;;) {
        pthread_mutex_lock(&j->segment_lock);
        bool can = j->n_segments > 1 && j->segments[0].open == 0;
        uint64_t number = j->segments[0].number;
        if (can) {
            memmove(j->segments, j->segments + 1, --j->n_segments * sizeof *j->segments);
        }
        pthread_mutex_unlock(&j->segment_lock);
        if (!can)
            return;
        char path[4200], spare[4200];
        journal_segment_path(j, number, path, sizeof path);
        snprintf(spare, sizeof spare, "%s/spare-%u", j->dir, j->n_spares);
        if (j->n_spares < SPARE_MAX && rename(path, spare) == 0)
            j->n_spares++;
        else
            unlink(path);
    }
}

static void count_intents(struct journal *j, const struct journal_record *r, uint32_t n)
{
    uint32_t intents = 0;
    for (uint32_t i = 0; i < n; i++)
        intents += r[i].kind == JOURNAL_INTENT;
    pthread_mutex_lock(&j->segment_lock);
    j->segments[j->n_segments - 1].open += intents;
    j->stats.blocks++;
    j->stats.bytes += JOURNAL_BLOCK;
    pthread_mutex_unlock(&j->segment_lock);
}

static _Noreturn void die(const char *what, int why)
{
    log_event(LOG_ERROR, "journal.failed",
              "%s: %s: what the disk holds is not known any more, so "
              "this process ends; a start repairs",
              what, strerror(why));
    _exit(74);
}

static bool is_closing(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool closing = j->closing;
    pthread_mutex_unlock(&j->lock);
    return closing;
}

/* Waits where the disk is full, dies where it lies. False: it stays full and the journal closes. */
static bool have_room(struct journal *j)
{
    struct err e = {0};
    int64_t since = clock_boot_ms(), told = 0;
    while (j->block == j->segment_blocks || j->fd < 0) {
        if (next_segment(j, &e))
            break;
        if (e.code != ERR_FULL)
            die(e.text, errno);
        int64_t now = clock_boot_ms();
        __atomic_store_n(&j->is_full, true, __ATOMIC_RELEASE);
        if (is_closing(j) && now - since >= GIVE_UP_MS)
            return false;
        if (now - told >= 1000)
            log_event(LOG_ERROR, "journal.full", "%s", e.text);
        told = now - told >= 1000 ? now : told;
        usleep(100000);
    }
    __atomic_store_n(&j->is_full, false, __ATOMIC_RELEASE);
    return true;
}

static bool write_block(struct journal *j, const struct journal_record *r, uint32_t n)
{
    uint8_t block[JOURNAL_BLOCK];
    if (!have_room(j))
        return false;
    for (uint32_t i = 0; i < n; i++)
        journal_record_pack(&r[i], r[0].at, block + JOURNAL_HEAD + i * JOURNAL_RECORD);
    struct journal_block head = {.sequence = j->sequence++,
                                 .epoch = j->epoch,
                                 .base_ms = r[0].at,
                                 .first_ticket = j->written + 1,
                                 .n = n};
    journal_block_seal(block, &head);
    size_t done = 0;
    off_t at = (off_t)j->block * JOURNAL_BLOCK;
    while (done < sizeof block) {
        ssize_t k = pwrite(j->fd, block + done, sizeof block - done, at + (off_t)done);
        if (k < 0 && errno != EINTR)
            die("journal write", errno);
        done += k > 0 ? (size_t)k : 0;
    }
    j->block++;
    count_intents(j, r, n);
    j->written += n;
    return true;
}

/* Lock held. */
static void settle_one(struct journal *j, uint64_t ticket)
{
    for (uint32_t i = 0; i < j->n_segments; i++) {
        struct journal_segment *s = &j->segments[i];
        if (ticket >= s->first_ticket && ticket <= s->last_ticket) {
            s->open--;
            return;
        }
    }
}

static void settle_early(struct journal *j)
{
    pthread_mutex_lock(&j->segment_lock);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < j->n_early; i++) {
        if (j->early[i] <= j->written)
            settle_one(j, j->early[i]);
        else
            j->early[kept++] = j->early[i];
    }
    j->n_early = kept;
    pthread_mutex_unlock(&j->segment_lock);
}

static void sync_group(struct journal *j)
{
    int64_t t = clock_boot_us();
    if (fdatasync(j->fd) != 0)
        die("journal fdatasync", errno);
    t = clock_boot_us() - t;
    pthread_mutex_lock(&j->segment_lock);
    j->stats.groups++;
    j->stats.syncs++;
    j->stats.sync_us_total += (uint64_t)t;
    j->stats.sync_us_max = MAX(j->stats.sync_us_max, (uint64_t)t);
    pthread_mutex_unlock(&j->segment_lock);
    __atomic_store_n(j->synced_page, j->sequence - 1, __ATOMIC_RELEASE);
    __atomic_store_n(&j->durable, j->written, __ATOMIC_RELEASE);
    if (j->on_durable)
        j->on_durable(j->arg);
    settle_early(j);
}

/* False: given up, with records that were not written. */
static bool write_group(struct journal *j, const struct journal_record *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += JOURNAL_PER_BLOCK) {
        if (j->block == j->segment_blocks && i)
            sync_group(j); /* a group never lies in two segments unsynced */
        if (!write_block(j, r + i, MIN(n - i, (uint32_t)JOURNAL_PER_BLOCK)))
            return false;
    }
    sync_group(j);
    reclaim(j);
    return true;
}

/* Waits until the group should close. Lock held. False: closing down and empty. */
static bool wait_for_group(struct journal *j)
{
    while (j->n_pending == 0 && !j->closing)
        pthread_cond_wait(&j->wake, &j->lock);
    if (j->n_pending == 0)
        return false;
    int64_t limit = j->outcome_wait_us * 1000;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t start = (int64_t)until.tv_sec * 1000000000 + until.tv_nsec;
    while (!j->hurry && !j->closing) {
        int64_t wait = j->has_intent ? j->intent_wait_us * 1000 : limit;
        int64_t end = start + wait;
        until.tv_sec = end / 1000000000;
        until.tv_nsec = end % 1000000000;
        bool had_intent = j->has_intent;
        int rc = pthread_cond_timedwait(&j->wake, &j->lock, &until);
        if (rc == ETIMEDOUT && (had_intent || !j->has_intent))
            break;
    }
    return true;
}

static void *writer(void *arg)
{
    struct journal *j = arg;
    pthread_mutex_lock(&j->lock);
    bool ok = true;
    while (ok && wait_for_group(j)) {
        struct journal_record *group = j->pending;
        uint32_t n = j->n_pending, cap = j->cap_pending;
        j->pending = j->other;
        j->cap_pending = j->cap_other;
        j->n_pending = 0;
        j->hurry = j->has_intent = false;
        pthread_mutex_unlock(&j->lock);
        ok = write_group(j, group, n);
        pthread_mutex_lock(&j->lock);
        j->hurry =
            false; /* said before these dots went: the intents behind them shall come along */
        j->other = group;
        j->cap_other = cap;
    }
    pthread_mutex_unlock(&j->lock);
    return NULL;
}

/* Before any record relies on it: the names of this run's files, and that the old ones are gone. An
 * old segment that came back after a power cut would be read as a damaged beginning of this epoch,
 * and a lost folder as a lost journal. A folder that is there may never have been synced. */
static bool sync_names(const struct journal *j, struct err *e)
{
    char above[4200];
    int n = snprintf(above, sizeof above, "%s/..", j->dir);
    bool ok = n > 0 && (size_t)n < sizeof above && sync_dir(j->dir) && sync_dir(above);
    return ok || err_set(e, ERR_FAILED, "journal folder %s cannot be synced: %s", j->dir,
                         strerror(errno));
}

bool journal_start(struct journal *j, struct err *e)
{
    journal_number_next(j);
    if (!next_segment(j, e))
        return false;
    journal_drop_old(j);
    if (!sync_names(j, e))
        return false;
    int rc = pthread_create(&j->thread, NULL, writer, j);
    if (rc != 0)
        return err_set(e, ERR_FAILED, "journal thread: %s", strerror(rc));
    j->started = true;
    return true;
}

void journal_close(struct journal **jp)
{
    struct journal *j = *jp;
    *jp = NULL;
    if (!j)
        return;
    if (j->started) {
        pthread_mutex_lock(&j->lock);
        j->closing = true;
        pthread_cond_signal(&j->wake);
        pthread_mutex_unlock(&j->lock);
        pthread_join(j->thread, NULL);
    }
    if (j->fd >= 0)
        close(j->fd);
    if (j->synced_page)
        munmap(j->synced_page, JOURNAL_BLOCK);
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    pthread_mutex_destroy(&j->segment_lock);
    free(j->pending);
    free(j->other);
    free(j->early);
    free(j->dir);
    free(j);
}

uint64_t journal_add(struct journal *j, const struct journal_record *r)
{
    pthread_mutex_lock(&j->lock);
    if (j->n_pending == j->cap_pending) {
        j->cap_pending = MAX(j->cap_pending * 2, 1024u);
        j->pending = alloc_resize(j->pending, j->cap_pending * sizeof *j->pending);
    }
    bool wake = j->n_pending == 0 || (r->kind == JOURNAL_INTENT && !j->has_intent);
    j->pending[j->n_pending++] = *r;
    j->has_intent |= r->kind == JOURNAL_INTENT;
    uint64_t ticket = ++j->ticket;
    if (wake)
        pthread_cond_signal(&j->wake);
    pthread_mutex_unlock(&j->lock);
    return ticket;
}

uint64_t journal_durable(const struct journal *j)
{
    return __atomic_load_n(&j->durable, __ATOMIC_ACQUIRE);
}

void journal_hurry(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    if (j->n_pending && !j->hurry) {
        j->hurry = true;
        pthread_cond_signal(&j->wake);
    }
    pthread_mutex_unlock(&j->lock);
}

bool journal_is_old(const struct journal *j, uint64_t ticket)
{
    struct journal *w = (struct journal *)j;
    pthread_mutex_lock(&w->segment_lock);
    bool old = w->n_segments >= 3 && ticket < w->segments[w->n_segments - 2].first_ticket;
    pthread_mutex_unlock(&w->segment_lock);
    return old;
}

void journal_settle(struct journal *j, uint64_t ticket)
{
    pthread_mutex_lock(&j->segment_lock);
    if (ticket <= journal_durable(j)) {
        settle_one(j, ticket);
    } else { /* withdrawn before it was written: its segment is not known yet */
        if (j->n_early == j->cap_early) {
            j->cap_early = MAX(j->cap_early * 2, 64u);
            j->early = alloc_resize(j->early, j->cap_early * sizeof *j->early);
        }
        j->early[j->n_early++] = ticket;
    }
    pthread_mutex_unlock(&j->segment_lock);
}

void journal_stats(struct journal *j, struct journal_stats *out)
{
    pthread_mutex_lock(&j->segment_lock);
    *out = j->stats;
    out->segments = j->n_segments;
    pthread_mutex_unlock(&j->segment_lock);
}
