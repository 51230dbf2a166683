/* init, db: what works on the data directory itself, without a daemon. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/codec.h"
#include "base/log.h"
#ifdef HAVE_ENGINE
#include "engine/core.h"
#endif
#include "main/call.h"
#include "main/commands.h"
#include "main/config.h"
#include "main/datadir.h"
#include "store/db.h"
#include "store/migrate.h"
#include "store/secrets.h"
#include "store/upkeep.h"
#ifdef HAVE_LEDGER_CHECK
#include "store/ledger_check.h"
#endif

/* ---- init ---- */

static bool lock_and_prepare(const char *dir, bool *made_out, struct err *e)
{
    enum datadir_kind kind;
    int lock = -1;
    if (!datadir_look(dir, &kind, e))
        return false;
    if (kind == DATADIR_OURS && !datadir_lock(dir, 0, &lock, e))
        return false;
    bool ok = datadir_prepare(dir, made_out, e);
    if (lock >= 0)
        close(lock);
    return ok;
}

/* The commented sample, unless the user has written a file already. */
static bool write_sample(const char *dir, struct err *e)
{
    char *path = datadir_path(dir, CONFIG_FILE), *text = config_sample();
    size_t n = strlen(text);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 ? write(fd, text, n) == (ssize_t)n : errno == EEXIST;
    if (!ok)
        err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    free(text);
    free(path);
    return ok;
}

int cmd_init(struct cmd *c)
{
    struct err e = {0};
    bool made = false;
    const char *dir = data_dir(c);
    if (!lock_and_prepare(dir, &made, &e) || (made && !write_sample(dir, &e)))
        return output_fail(&e);
    if (output_is_json()) {
        json_t *o =
            json_pack("{s:s, s:b, s:i}", "data", dir, "created", made, "schema", migrate_latest());
        output_json(o);
        json_decref(o);
        return 0;
    }
    output_line("%s %s", dir, made ? "is ready" : "was there already and is up to date");
    if (made) {
        output_line("keep a copy of %s/" SECRETS_FILE " apart: without it no password in the "
                    "database can be read",
                    dir);
        output_line("next: postfleet serve --data %s", dir);
    }
    return 0;
}

/* ---- db ---- */

/* Result of a check: lines for people, one object for programs. */
static int show_findings(json_t *findings, const char *good)
{
    size_t i;
    json_t *one;
    bool ok = json_array_size(findings) == 0;
    if (output_is_json()) {
        json_t *o = json_pack("{s:b, s:O}", "ok", ok, "findings", findings);
        output_json(o);
        json_decref(o);
    } else {
        json_array_foreach(findings, i, one)
        {
            output_line("%s", json_string_value(one));
        }
        if (ok)
            output_line("%s", good);
    }
    return ok ? 0 : 1;
}

static void add_finding(void *ctx, const char *text)
{
    json_array_append_new(ctx, json_string(text));
}

static bool check_file(struct db *db, json_t *findings, struct err *e)
{
    return upkeep_check(db, add_finding, findings, e);
}

static bool check_key(const char *dir, struct db *db, struct err *e)
{
    struct secrets *key = NULL;
    bool ok = secrets_load(dir, &key, e) && secrets_check(key, db, e);
    secrets_free(&key);
    return ok;
}

static bool check_ledger(struct db *db, json_t *findings, struct err *e)
{
#ifdef HAVE_LEDGER_CHECK
    size_t n = 0;
    return ledger_check(db, add_finding, findings, &n, e);
#else
    (void)db, (void)findings;
    return err_set(e, ERR_FAILED, "this build has no ledger check");
#endif
}

int cmd_db_check(struct cmd *c)
{
    struct err e = {0};
    struct db *db = NULL;
    const char *dir = data_dir(c);
    json_t *findings = json_array();
    bool ok = datadir_open(dir, DB_READ_ONLY, &db, &e) && migrate_require_latest(db, &e) &&
              check_file(db, findings, &e) && check_key(dir, db, &e);
    if (ok && cmd_has(c, "ledger"))
        ok = check_ledger(db, findings, &e);
    int status = ok ? show_findings(findings, "the database is whole") : output_fail(&e);
    db_close(&db);
    json_decref(findings);
    return status;
}

/* ---- db recover ---- */

#ifdef HAVE_ENGINE
static json_t *json_of_ids(const uint64_t *ids, size_t n)
{
    json_t *list = json_array();
    char text[24];
    for (size_t i = 0; i < n; i++) {
        codec_id_format("msg", ids[i], text);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static int show_recovered(const struct engine_recovered *r, json_t *findings)
{
    bool ok = json_array_size(findings) == 0;
    json_t *uncertain = json_of_ids(r->uncertain, r->n_uncertain), *one;
    size_t i;
    if (output_is_json()) {
        json_t *o = json_pack("{s:b, s:s, s:I, s:O, s:o, s:O}", "ok", ok, "journal",
                              r->journal_lost ? "lost" : "whole", "results", (json_int_t)r->results,
                              "uncertain", uncertain, "ready", json_of_ids(r->ready, r->n_ready),
                              "findings", findings);
        output_json(o);
        json_decref(o);
    } else {
        if (r->journal_lost)
            output_line("the journal is lost: what was being sent is uncertain");
        output_line("%zu results read from the journal, %zu messages go on, %zu are uncertain%s",
                    r->results, r->n_ready, r->n_uncertain, r->n_uncertain ? ":" : "");
        json_array_foreach(uncertain, i, one) output_line("  %s", json_string_value(one));
        json_array_foreach(findings, i, one) output_line("%s", json_string_value(one));
        if (ok)
            output_line("the database is whole");
    }
    json_decref(uncertain);
    return ok ? 0 : 1;
}

static bool recover_folder(const char *dir, struct engine_recovered *out, struct err *e)
{
    enum datadir_kind kind;
    int lock = -1;
    if (!datadir_look(dir, &kind, e))
        return false;
    if (kind != DATADIR_OURS)
        return err_set(e, ERR_NOT_FOUND, "%s holds no Postfleet database", dir);
    bool ok = datadir_lock(dir, 0, &lock, e) && engine_recover(dir, out, e);
    if (lock >= 0)
        close(lock);
    return ok;
}

int cmd_db_recover(struct cmd *c)
{
    struct err e = {0};
    struct db *db = NULL;
    struct engine_recovered r = {0};
    const char *dir = data_dir(c);
    json_t *findings = json_array();
    log_setup("recover", LOG_WARNING, 2);
    bool ok = recover_folder(dir, &r, &e) && datadir_open(dir, DB_READ_ONLY, &db, &e) &&
              check_file(db, findings, &e) && check_ledger(db, findings, &e);
    int status = ok ? show_recovered(&r, findings) : output_fail(&e);
    db_close(&db);
    json_decref(findings);
    free(r.uncertain);
    free(r.ready);
    return status;
}
#else
int cmd_db_recover(struct cmd *c)
{
    struct err e = {0};
    (void)c;
    err_set(&e, ERR_FAILED, "this build has no engine");
    return output_fail(&e);
}
#endif

int cmd_db_backup(struct cmd *c)
{
    struct err e = {0};
    struct db *db = NULL;
    const char *file = cmd_arg(c, 0);
    if (access(file, F_OK) == 0) {
        err_set(&e, ERR_CONFLICT, "%s is there already; name a new file", file);
        return output_fail(&e);
    }
    bool ok = datadir_open(data_dir(c), DB_READ_ONLY, &db, &e) && upkeep_backup(db, file, &e);
    db_close(&db);
    if (!ok)
        return output_fail(&e);
    if (output_is_json()) {
        json_t *o = json_pack("{s:s}", "file", file);
        output_json(o);
        json_decref(o);
    }
    output_line("%s written; the key %s is not in it: keep a copy of both", file, SECRETS_FILE);
    return 0;
}

int cmd_db_migrate(struct cmd *c)
{
    struct err e = {0};
    struct db *db = NULL;
    const char *dir = data_dir(c);
    int before = 0, lock = -1;
    bool dry = cmd_has(c, "dry-run");
    bool ok = datadir_open(dir, dry ? DB_READ_ONLY : DB_READ_WRITE, &db, &e) &&
              (dry || datadir_lock(dir, 0, &lock, &e)) && migrate_version(db, &before, &e) &&
              (dry || migrate_to_latest(db, &e));
    db_close(&db);
    if (lock >= 0)
        close(lock);
    if (!ok)
        return output_fail(&e);
    if (output_is_json()) {
        json_t *o =
            json_pack("{s:i, s:i, s:b}", "from", before, "to", migrate_latest(), "dry_run", dry);
        output_json(o);
        json_decref(o);
    }
    output_line(before == migrate_latest() ? "schema %d is the latest" : "schema %d%s", before,
                dry ? " would be brought up to date" : " brought up to date");
    return 0;
}
