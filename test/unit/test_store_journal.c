/* The journal: bytes there and back, groups, replay in order, damage in every block, recycled and
 * lost segments, early settling, a killed writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/map.h"
#include "store/journal_format.h"
#include "store_test.h"

#include <dirent.h>
#include <signal.h>

#define AT_MS INT64_C(1750000000000)

struct desk { /* a folder for a journal, and what was replayed from it */
    char dir[64];
    struct journal *j;
    struct journal_config cfg;
    enum journal_health health;
    struct journal_record *seen;
    size_t n, cap;
};

static void on_record(void *arg, const struct journal_record *r)
{
    struct desk *d = arg;
    if (d->n == d->cap) {
        d->cap = MAX(d->cap * 2, (size_t)256);
        d->seen = alloc_resize(d->seen, d->cap * sizeof *d->seen);
    }
    d->seen[d->n++] = *r;
}

static void desk_init(struct desk *d, uint32_t segment_blocks)
{
    *d = (struct desk){0};
    (void)snprintf(d->dir, sizeof d->dir, "/tmp/postfleet-test-XXXXXX");
    assert_non_null(mkdtemp(d->dir));
    d->cfg = (struct journal_config){.dir = d->dir, .epoch = 7, .segment_blocks = segment_blocks};
}

static void desk_free(struct desk *d)
{
    journal_close(&d->j);
    remove_tree(d->dir);
    free(d->seen);
}

static bool desk_try_open(struct desk *d, bool expect, struct err *e)
{
    journal_close(&d->j);
    d->n = 0;
    return journal_open(&d->cfg, expect, on_record, d, &d->j, &d->health, e);
}

static void desk_open(struct desk *d, bool expect)
{
    struct err e = {0};
    assert_ok(desk_try_open(d, expect, &e));
}

static void desk_begin(struct desk *d)
{
    struct err e = {0};
    desk_open(d, false);
    assert_ok(journal_start(d->j, &e));
}

static struct journal_record intent(uint64_t id)
{
    return (struct journal_record){
        .message_id = id, .kind = JOURNAL_INTENT, .n = 1, .server_num = 3, .at = AT_MS};
}

static uint64_t add(struct desk *d, uint64_t id)
{
    struct journal_record r = intent(id);
    return journal_add(d->j, &r);
}

static void wait_durable(struct desk *d, uint64_t ticket)
{
    journal_hurry(d->j);
    for (int i = 0; i < 100000 && journal_durable(d->j) < ticket; i++)
        usleep(100);
    assert_true(journal_durable(d->j) >= ticket);
}

static void segment(const struct desk *d, uint64_t number, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%010llu.journal", d->dir, (unsigned long long)number);
}

static size_t count_segments(const struct desk *d, uint64_t *first_out)
{
    DIR *dir = opendir(d->dir);
    size_t n = 0;
    *first_out = UINT64_MAX;
    for (struct dirent *it = readdir(dir); it; it = readdir(dir))
        if (strstr(it->d_name, ".journal")) {
            n++;
            *first_out = MIN(*first_out, strtoull(it->d_name, NULL, 10));
        }
    closedir(dir);
    return n;
}

/* Reclaiming follows a sync on the journal's own thread. */
static void wait_for_few(const struct desk *d, size_t most)
{
    uint64_t first = 0;
    for (int i = 0; i < 20000 && count_segments(d, &first) > most; i++)
        usleep(100);
    assert_true(count_segments(d, &first) <= most);
}

/* ids first .. last, one each, in order, are what was replayed. */
static void assert_seen(const struct desk *d, uint64_t first, uint64_t last)
{
    assert_int_equal(d->n, last + 1 - first);
    for (size_t i = 0; i < d->n; i++)
        assert_int_equal(d->seen[i].message_id, first + i);
}

/* ---- bytes */

static struct journal_record any_record(uint64_t seed)
{
    uint64_t h = hash_u64(seed), k = hash_u64(seed + 1000);
    return (struct journal_record){.message_id = h & INT64_MAX,
                                   .kind = (enum journal_kind)(1 + k % 3),
                                   .n = (uint8_t)(k >> 8),
                                   .state = (uint8_t)(k >> 16 & 15),
                                   .verdict = (uint8_t)(k >> 20 & 15),
                                   .hard = k >> 24 & 1,
                                   .server_num = (uint16_t)(k >> 32),
                                   .code = (uint16_t)((k >> 48) % 1000),
                                   .at = AT_MS + (int64_t)(k >> 40) % 65536};
}

static void assert_same(const struct journal_record *a, const struct journal_record *b)
{
    assert_int_equal(a->message_id, b->message_id);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->n, b->n);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->verdict, b->verdict);
    assert_int_equal(a->hard, b->hard);
    assert_int_equal(a->server_num, b->server_num);
    assert_int_equal(a->code, b->code);
    assert_int_equal(a->at, b->at);
}

static void records_come_back(void **state)
{
    for (uint64_t i = 0; i < 20000; i++) {
        struct journal_record a = any_record(i * 3), b;
        uint8_t bytes[JOURNAL_RECORD];
        journal_record_pack(&a, AT_MS, bytes);
        journal_record_unpack(bytes, AT_MS, &b);
        assert_same(&a, &b);
    }
    struct journal_record far = any_record(1), back;
    uint8_t bytes[JOURNAL_RECORD];
    far.at = AT_MS + 100000; /* beyond its 65 s: the nearest that can be said */
    journal_record_pack(&far, AT_MS, bytes);
    journal_record_unpack(bytes, AT_MS, &back);
    assert_int_equal(back.at, AT_MS + 65535);
    far.at = AT_MS - 5;
    journal_record_pack(&far, AT_MS, bytes);
    journal_record_unpack(bytes, AT_MS, &back);
    assert_int_equal(back.at, AT_MS);
}

static void make_block(uint8_t *block, const struct journal_block *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        struct journal_record r = any_record(i);
        journal_record_pack(&r, b->base_ms, block + JOURNAL_HEAD + i * JOURNAL_RECORD);
    }
    journal_block_seal(block, b);
}

static void blocks_come_back(void **state)
{
    uint8_t block[JOURNAL_BLOCK];
    for (uint32_t n = 0; n <= JOURNAL_PER_BLOCK; n++) {
        struct journal_block a = {hash_u64(n), 7, n * 1000u + 1, AT_MS - n, n}, b;
        memset(block, 0xee, sizeof block);
        make_block(block, &a);
        assert_int_equal(journal_block_read(block, &b), JOURNAL_FOUND_BLOCK);
        assert_int_equal(a.sequence, b.sequence);
        assert_int_equal(a.epoch, b.epoch);
        assert_int_equal(a.first_ticket, b.first_ticket);
        assert_int_equal(a.base_ms, b.base_ms);
        assert_int_equal(a.n, b.n);
    }
    struct journal_block b;
    memset(block, 0, sizeof block);
    assert_int_equal(journal_block_read(block, &b), JOURNAL_FOUND_ZERO);
}

/* Its checksum fits, but a record's time would not: nobody wrote this. */
static void a_time_beyond_all_time_is_damage(void **state)
{
    uint8_t block[JOURNAL_BLOCK];
    struct journal_block a = {5, 7, 1, INT64_MAX - UINT16_MAX, 3}, b;
    make_block(block, &a);
    assert_int_equal(journal_block_read(block, &b), JOURNAL_FOUND_BLOCK);
    a.base_ms++;
    make_block(block, &a);
    assert_int_equal(journal_block_read(block, &b), JOURNAL_FOUND_DAMAGED);
    a.base_ms = -1;
    make_block(block, &a);
    assert_int_equal(journal_block_read(block, &b), JOURNAL_FOUND_DAMAGED);
}

static void every_flipped_bit_is_seen(void **state)
{
    uint8_t block[JOURNAL_BLOCK];
    struct journal_block a = {5, 7, 1, AT_MS, 100}, b;
    make_block(block, &a);
    for (size_t bit = 0; bit < sizeof block * 8; bit += bit < JOURNAL_HEAD * 8 ? 1 : 7) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum journal_found f = journal_block_read(block, &b);
        if (f != (bit / 8 == 3 ? JOURNAL_FOUND_NEWER : JOURNAL_FOUND_DAMAGED))
            fail_msg("bit %zu: %d", bit, f);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t cut = 0; cut < sizeof block; cut += 512) { /* torn at every sector */
        uint8_t torn[JOURNAL_BLOCK] = {0};
        memcpy(torn, block, cut);
        assert_int_equal(journal_block_read(torn, &b), cut == 0 ? JOURNAL_FOUND_ZERO
                                                       : cut < JOURNAL_HEAD + 100 * JOURNAL_RECORD
                                                           ? JOURNAL_FOUND_DAMAGED
                                                           : JOURNAL_FOUND_BLOCK);
    }
}

/* ---- writing and replay */

static void replays_all_in_order(void **state)
{
    struct desk d;
    desk_init(&d, 4);
    desk_begin(&d);
    assert_int_equal(d.health, JOURNAL_NEW);
    uint64_t id = 0;
    for (int group = 0; group < 60; group++) {
        uint64_t ticket = 0;
        for (uint64_t k = hash_u64((uint64_t)group) % 400; k-- > 0;)
            ticket = add(&d, ++id);
        if (ticket)
            wait_durable(&d, ticket);
        assert_int_equal(ticket ? ticket : id, id);
    }
    uint64_t first = 0;
    assert_true(count_segments(&d, &first) > 5);
    desk_open(&d, true);
    assert_int_equal(d.health, JOURNAL_WHOLE);
    assert_seen(&d, 1, id);
    desk_free(&d);
}

static void kinds_and_values_survive(void **state)
{
    struct desk d;
    desk_init(&d, 0);
    desk_begin(&d);
    uint64_t ticket = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        struct journal_record r = any_record(i);
        r.at = AT_MS + (int64_t)(i / 100);
        ticket = journal_add(d.j, &r);
    }
    wait_durable(&d, ticket);
    desk_open(&d, true);
    for (uint64_t i = 0; i < 1000; i++) {
        struct journal_record r = any_record(i);
        r.at = AT_MS + (int64_t)(i / 100);
        assert_same(&d.seen[i], &r);
    }
    desk_free(&d);
}

static void a_group_closes_by_itself(void **state)
{
    struct desk d;
    desk_init(&d, 0);
    desk_begin(&d);
    uint64_t ticket = add(&d, 1);
    for (int i = 0; i < 20000 && journal_durable(d.j) < ticket; i++)
        usleep(100); /* nobody hurries it */
    assert_int_equal(journal_durable(d.j), ticket);
    struct journal_record r = {.message_id = 1, .kind = JOURNAL_OUTCOME, .n = 1, .at = AT_MS};
    ticket = journal_add(d.j, &r);
    for (int i = 0; i < 20000 && journal_durable(d.j) < ticket; i++)
        usleep(100);
    assert_int_equal(journal_durable(d.j), ticket);
    desk_free(&d);
}

/* A group that fills more than two segments is synced in each of them. */
static void a_huge_group_is_synced_everywhere(void **state)
{
    struct desk d;
    struct journal_stats st;
    desk_init(&d, 1);
    d.cfg.intent_wait_us = 2000000;
    desk_begin(&d);
    uint64_t ticket = 0;
    for (uint64_t id = 1; id <= 6 * JOURNAL_PER_BLOCK; id++)
        ticket = add(&d, id);
    wait_durable(&d, ticket);
    journal_stats(d.j, &st);
    assert_int_equal(st.blocks, 6);
    assert_true(st.syncs >= 6);
    assert_int_equal(st.segments, 6);
    desk_free(&d);
}

static void other_epochs_are_not_ours(void **state)
{
    struct desk d;
    desk_init(&d, 4);
    desk_begin(&d);
    wait_durable(&d, add(&d, 1));
    journal_close(&d.j);
    d.cfg.epoch = 8;
    desk_begin(&d);
    assert_int_equal(d.n, 0);
    wait_durable(&d, add(&d, 2));
    desk_open(&d, true);
    assert_int_equal(d.health, JOURNAL_WHOLE);
    assert_seen(&d, 2, 2);
    desk_free(&d);
}

/* ---- damage */

/* n blocks of one record each, all synced, in segments of 4; then closed. */
static void write_blocks(struct desk *d, uint64_t n)
{
    desk_init(d, 4);
    desk_begin(d);
    for (uint64_t id = 1; id <= n; id++)
        wait_durable(d, add(d, id));
    journal_close(&d->j);
}

static void a_damaged_synced_block_loses_the_journal(void **state)
{
    for (uint64_t at = 0; at < 10; at++) {
        struct desk d;
        char path[128];
        write_blocks(&d, 10);
        segment(&d, 1 + at / 4, path, sizeof path);
        spoil(path, (off_t)(at % 4 * JOURNAL_BLOCK + 60), 8);
        desk_open(&d, true);
        if (d.health != JOURNAL_LOST)
            fail_msg("block %llu: health %d", (unsigned long long)at, d.health);
        desk_free(&d);
    }
}

static void a_synced_block_that_is_gone_loses_it_too(void **state)
{
    struct desk d;
    char path[128];
    write_blocks(&d, 10);
    segment(&d, 3, path, sizeof path);
    assert_int_equal(truncate(path, JOURNAL_BLOCK), 0);
    desk_open(&d, true);
    assert_int_equal(d.health, JOURNAL_LOST);
    desk_free(&d);
    write_blocks(&d, 10);
    segment(&d, 2, path, sizeof path);
    assert_int_equal(unlink(path), 0); /* one in the middle */
    desk_open(&d, true);
    assert_int_equal(d.health, JOURNAL_LOST);
    desk_free(&d);
}

static void put_block(const char *path, off_t at, const uint8_t *block, size_t n)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, block, n, at), (ssize_t)n);
    close(fd);
}

/* Behind what was synced a block may be torn at every byte: no dot has relied on it. */
static void a_torn_tail_is_no_loss(void **state)
{
    struct desk d;
    char path[128];
    uint8_t block[JOURNAL_BLOCK];
    write_blocks(&d, 6);
    struct journal_block b = {7, 7, 7, AT_MS, 200};
    make_block(block, &b);
    segment(&d, 2, path, sizeof path);
    for (size_t cut = 1; cut < sizeof block; cut += 97) {
        uint8_t zeros[JOURNAL_BLOCK] = {0};
        put_block(path, 2 * JOURNAL_BLOCK, zeros, sizeof zeros);
        put_block(path, 2 * JOURNAL_BLOCK, block, cut);
        desk_open(&d, true);
        assert_int_equal(d.health, JOURNAL_WHOLE);
        if (d.n != 206) /* else the rest of the block was zero anyway */
            assert_seen(&d, 1, 6);
    }
    put_block(path, 2 * JOURNAL_BLOCK, block, sizeof block);
    desk_open(&d, true); /* whole, though the page was not written any more */
    assert_int_equal(d.health, JOURNAL_WHOLE);
    assert_int_equal(d.n, 206);
    desk_free(&d);
}

/* After a torn tail the journal goes on, and what it wrote before and behind is there. */
static void goes_on_after_a_torn_tail(void **state)
{
    struct desk d;
    char path[128];
    struct err e = {0};
    write_blocks(&d, 6);
    segment(&d, 2, path, sizeof path);
    spoil(path, 2 * JOURNAL_BLOCK, 2000);
    desk_open(&d, true);
    assert_int_equal(d.health, JOURNAL_WHOLE);
    assert_seen(&d, 1, 6);
    assert_ok(journal_start(d.j, &e)); /* old ones are settled: they go */
    wait_durable(&d, add(&d, 100));
    desk_open(&d, true);
    assert_int_equal(d.health, JOURNAL_WHOLE);
    assert_seen(&d, 100, 100);
    desk_free(&d);
}

static void a_missing_journal_is_lost_only_when_expected(void **state)
{
    struct desk d;
    uint64_t first = 0;
    char path[128];
    write_blocks(&d, 3);
    segment(&d, 1, path, sizeof path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(count_segments(&d, &first), 0);
    desk_open(&d, true);
    assert_int_equal(d.health, JOURNAL_LOST);
    desk_open(&d, false);
    assert_int_equal(d.health, JOURNAL_NEW);
    journal_close(&d.j);
    remove_tree(d.dir);
    desk_open(&d, true);
    assert_int_equal(d.health, JOURNAL_LOST);
    desk_free(&d);
}

static void a_newer_version_is_refused(void **state)
{
    struct desk d;
    struct err e = {0};
    char path[128];
    write_blocks(&d, 3);
    segment(&d, 1, path, sizeof path);
    put_block(path, JOURNAL_BLOCK + 3, (const uint8_t *)"2", 1);
    assert_false(desk_try_open(&d, true, &e));
    assert_non_null(strstr(e.text, "newer"));
    desk_free(&d);
}

static void a_folder_that_cannot_be_is_an_error(void **state)
{
    struct desk d;
    struct err e = {0};
    desk_init(&d, 4);
    d.cfg.dir = "/proc/no/such/place";
    assert_false(desk_try_open(&d, false, &e));
    assert_true(e.text[0]);
    desk_free(&d);
}

/* ---- segments */

static void settled_segments_are_used_again(void **state)
{
    struct desk d;
    uint64_t id = 0;
    desk_init(&d, 2);
    desk_begin(&d);
    for (; id < 200; id++) {
        uint64_t ticket = add(&d, id + 1);
        wait_durable(&d, ticket);
        journal_settle(d.j, ticket);
    }
    wait_durable(&d, add(&d, ++id));
    wait_for_few(&d, 3);
    desk_open(&d, true);
    assert_int_equal(d.health, JOURNAL_WHOLE);
    assert_in_range(d.n, 1, 6); /* nothing of the file's older lives */
    assert_seen(&d, id + 1 - d.n, id);
    desk_free(&d);
}

/* An old open intent keeps everything behind it; when it is settled all go at once. */
static void segments_go_oldest_first(void **state)
{
    struct desk d;
    uint64_t first = 0, tickets[40];
    struct journal_stats st;
    desk_init(&d, 2);
    desk_begin(&d);
    for (uint64_t i = 0; i < 40; i++)
        wait_durable(&d, tickets[i] = add(&d, i + 1));
    for (uint64_t i = 1; i < 40; i++)
        journal_settle(d.j, tickets[i]);
    wait_durable(&d, tickets[1] = add(&d, 41));
    assert_true(count_segments(&d, &first) >= 20);
    assert_int_equal(first, 1);
    assert_true(journal_is_old(d.j, tickets[0]));
    assert_false(journal_is_old(d.j, tickets[1]));
    journal_settle(d.j, tickets[0]);
    wait_durable(&d, add(&d, 42));
    wait_for_few(&d, 2);
    journal_stats(d.j, &st);
    assert_true(st.segments <= 2);
    desk_free(&d);
}

/* A withdrawal may be settled before its intent was written. */
static void settled_early_is_settled(void **state)
{
    struct desk d;
    uint64_t ticket = 0;
    desk_init(&d, 2);
    d.cfg.intent_wait_us = 3000;
    desk_begin(&d);
    for (uint64_t i = 0; i < 2000; i++) {
        ticket = add(&d, i + 1);
        journal_settle(d.j, ticket);
        if (i % 100 == 0)
            usleep(1500);
    }
    wait_durable(&d, ticket);
    wait_durable(&d, add(&d, 9999));
    wait_for_few(&d, 3);
    desk_free(&d);
}

/* ---- a killed writer: what was told to be durable is there, in order */

struct told {
    int fd;
    struct journal *j;
};

static void tell(void *arg)
{
    struct told *t = arg;
    uint64_t durable = t->j ? journal_durable(t->j) : 0;
    if (write(t->fd, &durable, sizeof durable) != sizeof durable)
        _exit(1);
}

static _Noreturn void write_until_killed(struct desk *d, int fd)
{
    struct err e = {0};
    static struct told t;
    t.fd = fd;
    d->cfg.on_durable = tell;
    d->cfg.arg = &t;
    if (!journal_open(&d->cfg, false, NULL, NULL, &d->j, &d->health, &e) ||
        (t.j = d->j, !journal_start(d->j, &e)))
        _exit(2);
    for (uint64_t id = 1;; id++) {
        (void)add(d, id);
        if (id % 50 == 0)
            journal_hurry(d->j);
        if (id % 500 == 0)
            usleep(500);
    }
}

static void a_killed_writer_loses_nothing_it_told(void **state)
{
    for (int round = 0; round < 10; round++) {
        struct desk d;
        int ends[2], status = 0;
        uint64_t durable = 0, last = 0;
        desk_init(&d, 16);
        assert_int_equal(pipe(ends), 0);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            write_until_killed(&d, ends[1]);
        close(ends[1]);
        for (int i = 0; i < 20 + round * 17; i++)
            if (read(ends[0], &durable, sizeof durable) == sizeof durable)
                last = durable;
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        while (read(ends[0], &durable, sizeof durable) == sizeof durable)
            last = durable;
        close(ends[0]);
        desk_open(&d, true);
        assert_int_equal(d.health, JOURNAL_WHOLE);
        assert_true(last > 0 && d.n >= last);
        assert_seen(&d, 1, d.n);
        desk_free(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(blocks_come_back),
        cmocka_unit_test(a_time_beyond_all_time_is_damage),
        cmocka_unit_test(every_flipped_bit_is_seen),
        cmocka_unit_test(replays_all_in_order),
        cmocka_unit_test(kinds_and_values_survive),
        cmocka_unit_test(a_group_closes_by_itself),
        cmocka_unit_test(a_huge_group_is_synced_everywhere),
        cmocka_unit_test(other_epochs_are_not_ours),
        cmocka_unit_test(a_damaged_synced_block_loses_the_journal),
        cmocka_unit_test(a_synced_block_that_is_gone_loses_it_too),
        cmocka_unit_test(a_torn_tail_is_no_loss),
        cmocka_unit_test(goes_on_after_a_torn_tail),
        cmocka_unit_test(a_missing_journal_is_lost_only_when_expected),
        cmocka_unit_test(a_newer_version_is_refused),
        cmocka_unit_test(a_folder_that_cannot_be_is_an_error),
        cmocka_unit_test(settled_segments_are_used_again),
        cmocka_unit_test(segments_go_oldest_first),
        cmocka_unit_test(settled_early_is_settled),
        cmocka_unit_test(a_killed_writer_loses_nothing_it_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
