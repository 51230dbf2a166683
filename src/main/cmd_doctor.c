/* doctor: is all that a daemon needs in order, and does it send? Looks at folder, database, key,
 * disk, limits, clock and settings, and asks the daemon; changes nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "main/call.h"
#include "main/commands.h"
#include "main/config.h"
#include "main/datadir.h"
#include "store/migrate.h"
#include "store/secrets.h"

#define DISK_LEAST_BYTES (512ull << 20)
#define FILES_LEAST      4096
#define KEY_AFTER_MS     60000

struct doctor {
    json_t *checks;
    bool bad;
};

/* remedy NULL: all is well. */
static void note_check(struct doctor *d, const char *name, const char *finding, const char *remedy)
{
    json_t *one = json_pack("{s:s, s:b, s:s, s:s?}", "check", name, "ok", remedy == NULL, "finding",
                            finding, "remedy", remedy);
    json_array_append_new(d->checks, one);
    d->bad = d->bad || remedy;
    output_line("%-4s %-10s %s", remedy ? "BAD" : "ok", name, finding);
    if (remedy)
        output_line("     %-10s %s", "", remedy);
}

static void check_folder(struct doctor *d, const char *dir)
{
    struct stat st;
    enum datadir_kind kind;
    struct err e = {0};
    if (!datadir_look(dir, &kind, &e)) {
        note_check(d, "folder", e.text, "run as the user that owns it");
        return;
    }
    if (kind != DATADIR_OURS) {
        note_check(d, "folder", dir,
                   "no Postfleet data there: name it with --data, or run "
                   "postfleet init");
        return;
    }
    bool open_to_others = stat(dir, &st) == 0 && (st.st_mode & 077);
    note_check(d, "folder", dir, open_to_others ? "others may look into it: chmod 700" : NULL);
}

/* Which of the two is foreign? init writes the key before the database, so a key file that is
 * younger than its database came from elsewhere; an older one had another database beside it. */
static void note_foreign(struct doctor *d, struct db *db, const struct secrets *key,
                         const struct err *why)
{
    const char *path = NULL;
    char made[40] = "?", written[40] = "?", text[700];
    int64_t key_at = secrets_written_at(key, &path), db_at = 0;
    struct err e = {0};
    if (migrate_made_at(db, &db_at, &e) && db_at)
        clock_format(db_at, made);
    if (key_at)
        clock_format(key_at, written);
    bool is_young = key_at > db_at + KEY_AFTER_MS;
    snprintf(text, sizeof text,
             "%s does not fit %s: the key is of %s, the database of %s, so %s is foreign", path,
             db_path(db), written, made,
             is_young ? "the key, written later than the database," : "probably the database");
    note_check(d, "key", why->code == ERR_REFUSED ? text : why->text,
               is_young
                   ? "put the key file of this database back from a backup, mode 0400; without "
                     "it no password in the database can be read"
                   : "put the database of this key back (or the key that was kept with this "
                     "database, mode 0400)");
}

static void check_key(struct doctor *d, const char *dir, struct db *db)
{
    struct secrets *key = NULL;
    struct err e = {0};
    if (!secrets_load(dir, &key, &e))
        note_check(d, "key", e.text, "put the key file of this database back, mode 0400");
    else if (db && !secrets_check(key, db, &e))
        note_foreign(d, db, key, &e);
    else
        note_check(d, "key",
                   db ? SECRETS_FILE " is private and fits the database"
                      : SECRETS_FILE " is private",
                   NULL);
    secrets_free(&key);
}

static void check_database(struct doctor *d, const char *dir)
{
    struct db *db = NULL;
    struct err e = {0};
    bool ok = datadir_open(dir, DB_READ_ONLY, &db, &e) && migrate_require_latest(db, &e);
    note_check(d, "database", ok ? "opens, schema is the latest" : e.text,
               ok ? NULL : "see the text; postfleet db check looks deeper");
    check_key(d, dir, ok ? db : NULL);
    db_close(&db);
}

static void check_machine(struct doctor *d, const char *dir)
{
    struct statvfs fs;
    struct rlimit files;
    char text[200], amount[32];
    if (statvfs(dir, &fs) == 0) {
        uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
        output_bytes(left, amount);
        snprintf(text, sizeof(text), "%s free", amount);
        note_check(d, "disk", text,
                   left < DISK_LEAST_BYTES ? "make room: sending waits on a full "
                                             "disk"
                                           : NULL);
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        snprintf(text, sizeof(text), "%llu files may be open", (unsigned long long)files.rlim_max);
        note_check(d, "files", text,
                   files.rlim_max < FILES_LEAST ? "raise the limit (ulimit -n)" : NULL);
    }
    bool clock_sane = time(NULL) > 1735689600; /* 2025 */
    note_check(d, "clock", clock_sane ? "says a likely time" : "is years behind",
               clock_sane ? NULL : "set the clock");
}

static void check_config(struct doctor *d, const char *dir)
{
    struct config config;
    struct err e = {0};
    bool ok = config_load(dir, &config, &e);
    note_check(d, "config", ok ? "in order" : e.text, ok ? NULL : "correct the line named");
    config_free(&config);
}

static json_t *ask_ready(struct cmd *c, int *status_out)
{
    json_t *answer = NULL, *problem = NULL;
    struct daemon *cl = daemon_new(c, status_out);
    if (!cl)
        return NULL;
    *status_out = daemon_try(cl, "GET", daemon_path("/readyz"), NULL, &answer, &problem);
    daemon_free(&cl);
    if (*status_out == 0) {
        json_decref(problem);
        return answer ? answer : json_object();
    }
    json_decref(answer);
    return problem;
}

/* Exits 0 only when the daemon says that all listeners and sending are up. */
static int doctor_ready(struct cmd *c)
{
    int status = 0;
    json_t *answer = ask_ready(c, &status);
    if (!answer)
        return status;
    if (status == 0 && output_is_json())
        output_record(answer);
    else if (status == 0)
        output_line("ready");
    else
        output_problem(answer);
    json_decref(answer);
    return status;
}

static void note_daemon(struct doctor *d, int status, const json_t *answer)
{
    const char *sending = json_string_value(json_object_get(answer, "sending"));
    const char *code = json_string_value(json_object_get(answer, "code"));
    char text[700];
    bool is_up = !sending || !strcmp(sending, "up");
    if (status != 0) {
        bool is_full = code && !strcmp(code, "full");
        note_check(d, "daemon", json_text(answer, "detail"),
                   is_full ? "make room on its disk" : "start it: postfleet serve");
        return;
    }
    snprintf(text, sizeof text, is_up ? "answers, sending is up" : "answers; sending waits: %s",
             sending ? sending : "");
    note_check(d, "daemon", text, NULL);
}

int cmd_doctor(struct cmd *c)
{
    struct doctor d = {.checks = json_array()};
    const char *dir = data_dir(c);
    int status = 0;
    if (cmd_has(c, "ready") || cmd_has(c, "url")) {
        json_decref(d.checks);
        return doctor_ready(c);
    }
    check_folder(&d, dir);
    if (!d.bad) {
        check_database(&d, dir);
        check_machine(&d, dir);
    }
    check_config(&d, dir);
    if (access(dir, X_OK) == 0) {
        json_t *answer = ask_ready(c, &status);
        note_daemon(&d, status, answer);
        json_decref(answer);
    }
    if (output_is_json()) {
        json_t *o = json_pack("{s:b, s:O}", "ok", !d.bad, "checks", d.checks);
        output_json(o);
        json_decref(o);
    }
    json_decref(d.checks);
    return d.bad ? 1 : 0;
}
