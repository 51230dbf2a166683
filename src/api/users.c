/* /v1/users and /v1/sessions: people who log in. Passwords are hashed and compared here, on the
 * workers for slow work and one at a time (64 MB each), never in core; they go nowhere else. */
#include "api/inner.h"
#include "api/resources.h"
#include "api/throttle.h"
#include "base/clock.h"
#include "base/secret.h"
#include "store/reports.h"
#include "store/users.h"

#include <stdio.h>

static pthread_mutex_t hashing = PTHREAD_MUTEX_INITIALIZER;

/* ---- users ---- */

void on_users_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_users(r->db, &p, &j, &e), &j, &e);
}

/* Puts the hash in the place of the password; core sees that only. */
static bool hash_password(json_t *body, struct err *e)
{
    json_t *v = json_object_get(body, "password");
    char hash[USERS_HASH_MAX];
    json_object_del(body, "password_hash");
    if (!v || json_is_null(v))
        return true;
    if (!json_is_string(v))
        return err_set(e, ERR_INVALID, "password: must be a text");
    struct str password = str_from(json_string_value(v), json_string_length(v));
    pthread_mutex_lock(&hashing);
    bool ok = users_hash_password(password, hash, e);
    pthread_mutex_unlock(&hashing);
    json_object_del(body, "password");
    if (ok)
        json_object_set_new(body, "password_hash", json_string(hash));
    return ok;
}

static void change(struct http_request *r, int status, const char *op, json_t *body)
{
    struct err e;
    if (!body)
        return;
    if (hash_password(body, &e)) {
        call_core(r, status, op, body);
        return;
    }
    json_decref(body);
    http_answer_error(r, &e);
}

void on_users_create(struct http_request *r)
{
    struct err e;
    json_t *body = body_object(r, &e);
    if (!body)
        http_answer_error(r, &e);
    change(r, 201, "user.create", body);
}

void on_users_set(struct http_request *r)
{
    change(r, 200, "user.set", named_body(r, "name"));
}

void on_users_revoke(struct http_request *r)
{
    call_core(r, 200, "user.revoke", named_body(r, "name"));
}

/* ---- sessions ---- */

static void answer_wait(struct http_request *r, int64_t ms)
{
    char text[120], seconds[24];
    snprintf(seconds, sizeof(seconds), "%lld", (long long)(ms + 999) / 1000);
    snprintf(text, sizeof(text), "too many logins failed: try again in %s s", seconds);
    http_header(r, "Retry-After", seconds);
    http_answer_problem(r, 429, "later", text);
}

/* An unknown name takes as long as a wrong password, and is told as one. */
static bool is_right(struct http_request *r, const char *name, struct str password, struct user *u,
                     struct err *e)
{
    bool found = users_get(r->db, name, u, e);
    if (!found && e->code != ERR_NOT_FOUND)
        return false;
    pthread_mutex_lock(&hashing);
    bool right = users_check_password(password, found ? u->password : NULL);
    pthread_mutex_unlock(&hashing);
    return right || err_set(e, ERR_NOT_ALLOWED, "the name or the password is wrong");
}

static bool open_session(struct http_request *r, const struct user *u, json_t **data_out,
                         struct err *e)
{
    char token[USERS_TOKEN_MAX], until[40], *actor = r->caller.name;
    users_token(token);
    snprintf(actor, sizeof(r->caller.name), "login:%.80s", u->name);
    json_t *args = json_pack("{s:s, s:s}", "name", u->name, "token", token);
    bool ok = call_data(r, "session.create", args, STR_NONE, CALL_MS, data_out, e);
    json_decref(args);
    if (ok) {
        clock_format(clock_wall_ms() + USERS_SESSION_MS, until);
        json_object_set_new(*data_out, "token", json_string(token));
        json_object_set_new(*data_out, "expires_at", json_string(until));
    }
    secret_wipe(token, sizeof(token));
    return ok;
}

static void log_in(struct http_request *r, const char *name, struct str password)
{
    struct throttle *t = r->web->throttle;
    struct user u;
    struct err e;
    json_t *data = NULL;
    int64_t wait = throttle_wait(t, str_of(name), clock_boot_ms());
    if (wait) {
        answer_wait(r, wait);
        return;
    }
    if (!is_right(r, name, password, &u, &e)) {
        if (e.code == ERR_NOT_ALLOWED)
            throttle_failed(t, str_of(name), clock_boot_ms());
        http_answer_problem(r, e.code == ERR_NOT_ALLOWED ? 401 : err_http_status(e.code),
                            err_code_name(e.code), e.text);
        return;
    }
    throttle_passed(t, str_of(name));
    if (open_session(r, &u, &data, &e))
        http_answer_json(r, 201, data);
    else
        http_answer_error(r, &e);
}

void on_sessions_create(struct http_request *r)
{
    struct err e;
    json_t *body = body_object(r, &e);
    const json_t *password = json_object_get(body, "password");
    const char *name = json_string_value(json_object_get(body, "name"));
    if (!body)
        http_answer_error(r, &e);
    else if (!name || !json_is_string(password) || json_object_size(body) != 2)
        http_answer_problem(r, 400, "invalid", "the body must be {\"name\":...,\"password\":...}");
    else
        log_in(r, name, str_from(json_string_value(password), json_string_length(password)));
    json_decref(body);
}

void on_sessions_remove(struct http_request *r)
{
    if (!r->caller.session[0]) {
        http_answer_problem(r, 409, "conflict", "there is no session: this is no login's token");
        return;
    }
    call_core(r, 200, "session.remove", json_pack("{s:s}", "token", r->caller.session));
}

/* ---- the audit log ---- */

void on_audit_list(struct http_request *r)
{
    struct err e;
    struct report_page p;
    json_t *j = NULL;
    if (read_page(r, &p))
        answer_report(r, report_audit(r->db, &p, &j, &e), &j, &e);
}

void on_audit_verify(struct http_request *r)
{
    call_core(r, 200, "audit.verify", json_object());
}
