/* Two benches of data: contacts read from a CSV file by the real way (command line, HTTP, core),
 * and the start of a daemon that finds a million messages in its queue. */
#include "lab/bench_inner.h"

#include "base/clock.h"
#include "base/codec.h"
#include "store/accept.h"
#include "store/ids.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define ROWS_USUAL   200000
#define QUEUED_USUAL 1000000
#define QUEUED_BITE  1000
#define SETTLE_MS    3000

struct place {
    char folder[LAB_PATH_MAX], data[LAB_PATH_MAX + 8], log[LAB_PATH_MAX + 16];
    char csv[LAB_PATH_MAX + 16], db[LAB_PATH_MAX + 32];
    struct lab_daemon daemon;
};

static bool place_take(struct place *p, const struct bench_options *o, struct err *e)
{
    *p = (struct place){0};
    bool ok =
        o->keep ? lab_folder_take(o->keep, p->folder, e) : lab_folder_new("bench", p->folder, e);
    snprintf(p->data, sizeof(p->data), "%s/data", p->folder);
    snprintf(p->log, sizeof(p->log), "%s/daemon.log", p->folder);
    snprintf(p->csv, sizeof(p->csv), "%s/contacts.csv", p->folder);
    snprintf(p->db, sizeof(p->db), "%s/postfleet.db", p->data);
    return ok;
}

static void place_leave(struct place *p, const struct bench_options *o)
{
    if (p->daemon.pid > 0)
        (void)lab_daemon_stop(&p->daemon);
    if (p->folder[0] && !o->keep)
        lab_folder_remove(p->folder);
}

static bool place_start(struct place *p, bool with_web, struct err *e)
{
    struct lab_daemon_config cfg = {
        .dir = p->data, .log_path = p->log, .with_web = with_web, .may_be_slow = true};
    return lab_daemon_start(&p->daemon, &cfg, e);
}

/* ---- import ---- */

/* In the crowd's order, which is random to the database, or in the order of the addresses. */
static void ordered_address(uint64_t i, struct lab_person *p)
{
    snprintf(p->email, sizeof(p->email), "reader%09llu@example.com", (unsigned long long)i);
}

static bool write_csv(const char *path, const struct lab_crowd *c, bool ordered, struct err *e)
{
    FILE *out = fopen(path, "w");
    if (!out)
        return err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    fputs("email,first_name,last_name,city\r\n", out);
    for (uint64_t i = 0; i < c->n; i++) {
        struct lab_person p;
        lab_crowd_person(c, i, &p);
        if (ordered)
            ordered_address(i, &p);
        fprintf(out, "%s,%s,\"%s\",%s\r\n", p.email, p.first, p.last, p.city);
    }
    return fclose(out) == 0 || err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
}

static double megabytes(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (double)st.st_size / 1e6 : 0;
}

static bool time_command(struct place *p, double *seconds_out, struct err *e)
{
    const char *args[] = {"postfleet", "contact", "import", "--data", p->data,
                          "--list",    "all",     p->csv,   "--json", NULL};
    int status = 0;
    int64_t t0 = clock_boot_us();
    if (!lab_self_run(args, p->log, &status, e))
        return false;
    *seconds_out = (double)(clock_boot_us() - t0) / 1e6;
    return status == 0 ||
           err_set(e, ERR_FAILED, "contact import ended with status %d; see %s", status, p->log);
}

/* The same rows straight to core, other list and other people. */
static bool time_bites(struct place *p, uint64_t rows, double *seconds_out, struct err *e)
{
    struct lab_crowd c;
    lab_crowd_new(&c, rows, 2);
    bool ok = lab_daemon_do(&p->daemon, "list.add", json_pack("{s:s}", "name", "bites"), e);
    int64_t t0 = clock_boot_us();
    ok = ok && lab_crowd_import(&c, &p->daemon, "bites", NULL, NULL, e);
    *seconds_out = (double)(clock_boot_us() - t0) / 1e6;
    return ok;
}

struct import_figures {
    double seconds, cpu_us, bytes, longest_ms, over; /* of core; over: bites longer than 5 ms */
};

static double of_imports(const json_t *status, const char *field)
{
    return json_number_value(
        json_object_get(json_object_get(json_object_get(status, "ledger_work"), "imports"), field));
}

static double grown(const json_t *before, const json_t *after, const char *field)
{
    return json_number_value(json_object_get(after, field)) -
           json_number_value(json_object_get(before, field));
}

/* The file by the real way into an empty database. */
static bool time_file(struct place *p, const struct lab_crowd *c, bool ordered,
                      struct import_figures *f, struct err *e)
{
    json_t *before = NULL, *after = NULL;
    bool ok = write_csv(p->csv, c, ordered, e) && place_start(p, true, e) &&
              lab_daemon_do(&p->daemon, "list.add", json_pack("{s:s}", "name", "all"), e) &&
              lab_daemon_call(&p->daemon, "live.status", NULL, STR_NONE, &before, e) &&
              time_command(p, &f->seconds, e) &&
              lab_daemon_call(&p->daemon, "live.status", NULL, STR_NONE, &after, e);
    if (ok) {
        f->cpu_us = grown(before, after, "cpu_us");
        f->bytes = grown(before, after, "db_bytes");
        f->longest_ms = of_imports(after, "longest_ms");
        f->over = of_imports(after, "over");
    }
    json_decref(before);
    json_decref(after);
    (void)lab_daemon_stop(&p->daemon);
    lab_folder_remove(p->data);
    return ok;
}

static bool import(struct place *p, const struct bench_options *o, struct err *e)
{
    struct bench_figures f;
    struct lab_crowd c;
    struct import_figures random = {0}, ordered = {0};
    double bites_s = 0, rows = (double)(o->contacts ? o->contacts : ROWS_USUAL);
    lab_crowd_new(&c, (uint64_t)rows, 1);
    if (!place_take(p, o, e) || !place_start(p, false, e) ||
        !time_bites(p, (uint64_t)rows, &bites_s, e))
        return false;
    (void)lab_daemon_stop(&p->daemon);
    lab_folder_remove(p->data);
    if (!time_file(p, &c, true, &ordered, e) || !time_file(p, &c, false, &random, e))
        return false;
    bench_begin(&f, o, "import");
    bench_put(&f, "rows", rows, "rows", "");
    bench_put(&f, "megabytes", megabytes(p->csv), "size of the file", "MB");
    bench_put(&f, "rows_per_s", rows / random.seconds, "contact import (command, HTTP, core)",
              "/s");
    bench_put(&f, "ordered_rows_per_s", rows / ordered.seconds,
              "the same, the file ordered by address", "/s");
    bench_put(&f, "bites_per_s", rows / bites_s,
              "no CSV, straight to core, by the thousand and unordered", "/s");
    bench_put(&f, "ratio", bites_s / random.seconds, "ratio of the first to the last", "");
    bench_put(&f, "cpu_us", random.cpu_us / rows, "CPU of core a row", "us");
    bench_put(&f, "db_bytes", random.bytes / rows, "bytes to the database a row", "");
    bench_put(&f, "longest_ms", random.longest_ms, "work of the longest transaction", "ms");
    bench_put(&f, "over", random.over, "transactions with over 5 ms of work", "");
    bench_end(&f);
    return true;
}

int bench_import(const struct bench_options *o, struct err *e)
{
    struct place p;
    bool ok = import(&p, o, e);
    place_leave(&p, o);
    return ok ? 0 : -1;
}

/* ---- start ---- */

static bool queue_one(struct db *db, struct ids *ids, const struct lab_crowd *c, uint64_t i,
                      struct err *e)
{
    static const char body[] = "Subject: It is ready\r\nMIME-Version: 1.0\r\n\r\nYour order can "
                               "be fetched from tomorrow on.\r\n";
    struct lab_person p;
    char message_id[64];
    int64_t now = clock_wall_ms();
    lab_crowd_person(c, i, &p);
    snprintf(message_id, sizeof(message_id), "%llu@shop.example", (unsigned long long)i);
    struct accepted m = {.id = ids_next(ids, now),
                         .lane = LANE_BULK,
                         .group_num = 1,
                         .from = STR("news@shop.example"),
                         .rcpt = str_of(p.email),
                         .rcpt_key = str_of(p.email),
                         .header_from = STR("news@shop.example"),
                         .subject = STR("It is ready"),
                         .message_id = str_of(message_id),
                         .body = STR(body),
                         .created_at = now,
                         .due = now};
    return accept_message(db, &m, e);
}

static bool fill_queue(struct place *p, uint64_t n, struct err *e)
{
    struct db *db = NULL;
    struct ids ids;
    struct lab_crowd c;
    lab_crowd_new(&c, n, 1);
    bool ok = db_open(p->db, DB_READ_WRITE, &db, e) && ids_load(&ids, 1, db, e);
    for (uint64_t i = 0; ok && i < n && !bench_asked_to_end;) {
        ok = db_begin(db, e);
        for (uint64_t k = 0; ok && k < QUEUED_BITE * 10 && i < n; k++)
            ok = queue_one(db, &ids, &c, i++, e);
        ok = ok && db_commit(db, e);
        bench_say("%llu of %llu queued", (unsigned long long)i, (unsigned long long)n);
    }
    db_close(&db);
    return ok;
}

static bool timed_start(struct place *p, double *ms_out, struct err *e)
{
    int64_t t0 = clock_boot_us();
    if (!place_start(p, false, e))
        return false;
    *ms_out = (double)(clock_boot_us() - t0) / 1000;
    return true;
}

/* A paused server: the queue is taken up, and stays. */
static bool add_paused(struct place *p, struct err *e)
{
    struct lab_daemon *d = &p->daemon;
    return lab_daemon_do(d, "server.add",
                         json_pack("{s:s, s:s, s:i, s:s}", "name", "resting", "host", "127.0.0.1",
                                   "port", 25, "tls", "none"),
                         e) &&
           lab_daemon_do(d, "server.pause", json_pack("{s:s}", "name", "resting"), e);
}

static bool start(struct place *p, const struct bench_options *o, struct err *e)
{
    struct bench_figures f;
    uint64_t n = o->contacts ? o->contacts : QUEUED_USUAL;
    double first_ms = 0, empty_ms = 0, full_ms = 0;
    if (!place_take(p, o, e) || !timed_start(p, &first_ms, e) || !add_paused(p, e))
        return false;
    (void)lab_daemon_stop(&p->daemon);
    if (!timed_start(p, &empty_ms, e))
        return false;
    double empty_mb = lab_daemon_peak_mb(&p->daemon);
    (void)lab_daemon_stop(&p->daemon);
    if (!fill_queue(p, n, e) || bench_asked_to_end || !timed_start(p, &full_ms, e))
        return bench_asked_to_end;
    (void)poll(NULL, 0, SETTLE_MS);
    bench_say("%s", "");
    bench_begin(&f, o, "start");
    bench_put(&f, "queued", (double)n, "queued messages", "");
    bench_put(&f, "ready_ms", full_ms, "from start to the first answer", "ms");
    bench_put(&f, "empty_ready_ms", empty_ms, "the same with an empty queue", "ms");
    bench_put(&f, "ratio", full_ms / empty_ms, "ratio", "");
    bench_put(&f, "database_mb", megabytes(p->db), "size of the database", "MB");
    bench_put(&f, "peak_rss_mb", lab_daemon_peak_mb(&p->daemon), "peak memory of core", "MB");
    bench_put(&f, "empty_peak_rss_mb", empty_mb, "the same with an empty queue", "MB");
    bench_end(&f);
    return true;
}

int bench_start(const struct bench_options *o, struct err *e)
{
    struct place p;
    bool ok = start(&p, o, e);
    place_leave(&p, o);
    return bench_asked_to_end ? 130 : ok ? 0 : -1;
}
