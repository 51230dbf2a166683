/* domain and dkim: the commands. dkim keygen and show work on the data directory itself while no
 * daemon runs there, by the very operations that the daemon uses. domain check is in
 * cmd_domain_check.c. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "main/call.h"
#include "main/commands.h"
#include "main/datadir.h"
#include "mail/dkim_record.h"
#include "store/ids.h"
#include "store/reports.h"
#include "store/secrets.h"
#ifdef HAVE_ENGINE
#include "engine/admin.h"
#endif

static const struct column domain_columns[] = {
    {"NAME", "name", FORM_TEXT, false},
    {"STATE", "state", FORM_STATE, false},
    {"SIGNS WITH", "signs_with", FORM_TEXT, true},
    {"CHECKED", "checked_at", FORM_TIME, true},
    {NULL, NULL, FORM_TEXT, false},
};

/* ---- printing ---- */

static const char *key_note(const char *state)
{
    if (!strcmp(state, "waiting"))
        return "waiting: signs once `domain check` has seen this record, or `dkim activate`";
    if (!strcmp(state, "retired"))
        return "retired: keep its record for a week, for mail that is on its way";
    return "active: signs now; publish this record first of all";
}

/* The record as most hosts of DNS want it: name, type, value in strings of at most 255 bytes. */
static void print_key(const json_t *key)
{
    size_t i;
    const json_t *record = json_object_get(key, "record"), *one;
    output_line("key %s (%s), %s", json_text(key, "selector"), json_text(key, "algorithm"),
                key_note(json_text(key, "state")));
    output_line("  name   %s", json_text(record, "name"));
    output_line("  type   TXT");
    output_line("  value  %s", json_text(record, "value"));
    if (json_array_size(json_object_get(record, "strings")) > 1)
        json_array_foreach(json_object_get(record, "strings"), i, one)
            output_line("         string %zu: \"%s\"", i + 1, json_string_value(one));
    output_line("  zone   %s", json_text(record, "zone"));
}

static void print_keys(const json_t *domain, const char *selector)
{
    size_t i;
    const json_t *key;
    if (!json_array_size(json_object_get(domain, "keys")))
        output_line("%s has no keys: postfleet dkim keygen %s makes one", json_text(domain, "name"),
                    json_text(domain, "name"));
    json_array_foreach(json_object_get(domain, "keys"), i, key)
    {
        if (!selector || !strcmp(selector, json_text(key, "selector")))
            print_key(key);
    }
}

static const json_t *newest_key(const json_t *domain)
{
    const json_t *keys = json_object_get(domain, "keys");
    return json_array_get(keys, json_array_size(keys) ? json_array_size(keys) - 1 : 0);
}

/* ---- without a daemon ---- */

#ifdef HAVE_ENGINE
static bool daemon_runs(const struct cmd *c)
{
    if (cmd_text(c, "url") || (!cmd_has(c, "data") && getenv("POSTFLEET_URL")))
        return true;
    int fd = open(data_dir(c), O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool held = fd >= 0 && datadir_is_held(fd);
    if (fd >= 0)
        close(fd);
    return held;
}

static bool execute(struct db *db, const struct secrets *secrets, const char *op, json_t *args,
                    json_t **data_out, struct err *e)
{
    struct ids ids;
    struct admin_answer answer = {.ok = false};
    if (!ids_load(&ids, 0, db, e) || !db_begin(db, e))
        return false;
    struct admin_context context = {.db = db,
                                    .secrets = secrets,
                                    .ids = &ids,
                                    .wall_ms = clock_wall_ms(),
                                    .actor = "the command line"};
    admin_execute(&context, op, args, STR_NONE, &answer);
    admin_changes_free(&context.changed);
    if (!answer.ok) {
        *e = answer.error;
        db_rollback(db);
        return false;
    }
    *data_out = answer.data;
    return db_commit(db, e);
}

/* Made and brought up to date like init does; the lock keeps a daemon out meanwhile. */
static bool open_folder(const char *dir, int *lock_out, struct db **db_out,
                        struct secrets **secrets_out, struct err *e)
{
    bool made = false;
    enum datadir_kind kind;
    if (!datadir_look(dir, &kind, e) ||
        (kind == DATADIR_OURS && !datadir_lock(dir, 0, lock_out, e)) ||
        !datadir_prepare(dir, &made, e) || !datadir_open(dir, DB_READ_WRITE, db_out, e))
        return false;
    return secrets_load(dir, secrets_out, e) && secrets_check(*secrets_out, *db_out, e);
}

static int run_offline(const struct cmd *c, const char *op, json_t *args, json_t **data_out)
{
    struct err e = {0};
    struct db *db = NULL;
    struct secrets *secrets = NULL;
    int lock = -1;
    bool ok = open_folder(data_dir(c), &lock, &db, &secrets, &e) &&
              execute(db, secrets, op, args, data_out, &e);
    db_close(&db);
    secrets_free(&secrets);
    if (lock >= 0)
        close(lock);
    json_decref(args);
    return ok ? 0 : output_fail(&e);
}

static int show_offline(const struct cmd *c, json_t **data_out)
{
    struct err e = {0};
    struct db *db = NULL;
    bool ok = datadir_open(data_dir(c), DB_READ_ONLY, &db, &e) &&
              report_domain(db, cmd_arg(c, 0), data_out, &e);
    db_close(&db);
    dkim_add_records(*data_out);
    return ok ? 0 : output_fail(&e);
}
#endif

/* ---- dkim ---- */

static bool add_private_key(struct cmd *c, json_t *body, struct err *e)
{
    const char *file = cmd_text(c, "private-key");
    return !file || body_add_file(body, "private_key", file, 65536, e);
}

static int print_made(int status, json_t *answer)
{
    const json_t *key = newest_key(answer);
    if (status == 0 && output_is_json()) {
        json_t *o = json_deep_copy(key);
        json_object_set(o, "domain", json_object_get(answer, "name"));
        output_json(o);
        json_decref(o);
    } else if (status == 0) {
        print_key(key);
    }
    json_decref(answer);
    return status;
}

int cmd_dkim_keygen(struct cmd *c)
{
    struct err e = {0};
    json_t *answer = NULL, *body = cmd_body(c);
    if (!add_private_key(c, body, &e)) {
        json_decref(body);
        return output_fail(&e);
    }
#ifdef HAVE_ENGINE
    if (!daemon_runs(c)) {
        json_object_set_new(body, "domain", json_string(cmd_arg(c, 0)));
        int offline = run_offline(c, "dkim.keygen", body, &answer);
        return print_made(offline, answer);
    }
#endif
    int status =
        call_answer(c, "POST", daemon_path("/v1/domains/%s/keys", cmd_arg(c, 0)), body, &answer);
    return print_made(status, answer);
}

static int get_domain(struct cmd *c, json_t **answer_out)
{
#ifdef HAVE_ENGINE
    if (!daemon_runs(c))
        return show_offline(c, answer_out);
#endif
    return call_answer(c, "GET", daemon_path("/v1/domains/%s", cmd_arg(c, 0)), NULL, answer_out);
}

int cmd_dkim_show(struct cmd *c)
{
    json_t *answer = NULL;
    int status = get_domain(c, &answer);
    if (status == 0 && output_is_json()) {
        json_t *o = json_pack("{s:O, s:O}", "domain", json_object_get(answer, "name"), "keys",
                              json_object_get(answer, "keys"));
        output_json(o);
        json_decref(o);
    } else if (status == 0) {
        print_keys(answer, cmd_arg(c, 1));
    }
    json_decref(answer);
    return status;
}

static char *key_path(const struct cmd *c, const char *tail)
{
    return daemon_path(tail, cmd_arg(c, 0), cmd_arg(c, 1));
}

int cmd_dkim_activate(struct cmd *c)
{
    return call_change(c, "POST", key_path(c, "/v1/domains/%s/keys/%s/activate"), NULL,
                       "%s signs with %s from now on", cmd_arg(c, 0), cmd_arg(c, 1));
}

int cmd_dkim_retire(struct cmd *c)
{
    return call_change(c, "POST", key_path(c, "/v1/domains/%s/keys/%s/retire"), NULL,
                       "%s signs with %s no more; keep its record for a week", cmd_arg(c, 0),
                       cmd_arg(c, 1));
}

int cmd_dkim_remove(struct cmd *c)
{
    if (!ask_first(c, "Remove the key %s of %s for good?", cmd_arg(c, 1), cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", key_path(c, "/v1/domains/%s/keys/%s"), NULL,
                       "key %s of %s removed", cmd_arg(c, 1), cmd_arg(c, 0));
}

/* ---- domain ---- */

int cmd_domain_add(struct cmd *c)
{
    json_t *answer = NULL, *body = cmd_body(c);
    json_object_set_new(body, "name", json_string(cmd_arg(c, 0)));
    int status = call_answer(c, "POST", daemon_path("/v1/domains"), body, &answer);
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0) {
        output_line("domain %s added; postfleet domain check %s tells what to publish",
                    json_text(answer, "name"), json_text(answer, "name"));
        print_keys(answer, NULL);
    }
    json_decref(answer);
    return status;
}

int cmd_domain_list(struct cmd *c)
{
    return call_table(c, daemon_path("/v1/domains"), domain_columns,
                      "no domains: postfleet domain add NAME makes one, with a key for DKIM");
}

int cmd_domain_show(struct cmd *c)
{
    return call_show(c, daemon_path("/v1/domains/%s", cmd_arg(c, 0)));
}

int cmd_domain_set(struct cmd *c)
{
    return call_change(c, "PATCH", daemon_path("/v1/domains/%s", cmd_arg(c, 0)), cmd_body(c),
                       "domain %s changed", cmd_arg(c, 0));
}

int cmd_domain_remove(struct cmd *c)
{
    if (!ask_first(c, "Remove domain %s with its keys? Its mail is not signed any more.",
                   cmd_arg(c, 0)))
        return 1;
    return call_change(c, "DELETE", daemon_path("/v1/domains/%s", cmd_arg(c, 0)), NULL,
                       "domain %s removed", cmd_arg(c, 0));
}
