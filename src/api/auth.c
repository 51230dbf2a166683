/* Who asks: bearer keys with scopes, or a login's token, on TCP. A key is looked up by its hash in
 * the database at each request, so that a revoked one stops at once. The reason of a refusal is not
 * told apart. */
#include "api/inner.h"

#include "base/clock.h"
#include "store/db.h"
#include "store/keys.h"
#include "store/users.h"

#include <stdio.h>

static void take_key(struct http_request *r, const struct api_key *k)
{
    snprintf(r->caller.name, sizeof(r->caller.name), "key:%.80s", k->name);
    r->caller.is_test = k->test;
    if (!k->n_groups)
        return;
    r->caller.groups = json_array();
    for (size_t i = 0; i < k->n_groups; i++)
        json_array_append_new(r->caller.groups, json_string(k->groups[i]));
}

static bool check_session(struct http_request *r, struct db *db, struct str token, int *status_out,
                          struct err *e)
{
    struct user u;
    if (!users_of_token(db, token, clock_wall_ms(), &u, e)) {
        *status_out = e->code == ERR_NOT_ALLOWED ? 401 : 503;
        return false;
    }
    if (r->route->scope && !user_role_allows(u.role, r->route->scope)) {
        *status_out = 403;
        return err_set(e, ERR_NOT_ALLOWED, "a user with the role %s may not do this (%s)",
                       user_role_name(u.role), r->route->scope);
    }
    snprintf(r->caller.name, sizeof(r->caller.name), "login:%.80s", u.name);
    str_copy(token, r->caller.session, sizeof(r->caller.session));
    return true;
}

bool auth_check(struct http_request *r, struct db *db, const char *authorization, int *status_out,
                struct err *e)
{
    struct api_key *k = NULL;
    struct str value = str_of(authorization);
    *status_out = 401;
    if (!value.n)
        return err_set(e, ERR_NOT_ALLOWED,
                       "a key is needed here: send \"Authorization: Bearer pf_live_...\" (make one "
                       "with `postfleet key create`)");
    if (!str_istarts(value, STR("Bearer ")))
        return err_set(e, ERR_NOT_ALLOWED, "only \"Authorization: Bearer KEY\" is understood");
    struct str token = str_trim(str_from_index(value, 7));
    if (str_starts(token, STR(USERS_TOKEN)))
        return check_session(r, db, token, status_out, e);
    if (!keys_check(db, token, clock_wall_ms(), &k, e)) {
        *status_out = e->code == ERR_NOT_ALLOWED ? 401 : 503;
        return false;
    }
    const char *scope = r->route->scope;
    bool ok = !scope || keys_has_scope(k, scope) || keys_has_scope(k, "*");
    if (ok)
        take_key(r, k);
    else
        *status_out = 403;
    keys_free(&k);
    return ok || err_set(e, ERR_NOT_ALLOWED, "the key lacks the scope %s", scope);
}
