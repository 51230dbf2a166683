/* Operations on people who may log in. Passwords come as hashes: web makes them, as that is slow on
 * purpose. There is always an owner left. */
#include "engine/admin_parts.h"
#include "store/ids.h"
#include "store/users.h"

#include <stdio.h>

#define HASH_HEAD "$argon2id$"

static bool read_role(json_t *args, struct user *u, bool needed, struct err *e)
{
    const char *role = NULL;
    if (!args_text(args, "role", 40, &role, e))
        return false;
    if (!role)
        return !needed || err_set(e, ERR_INVALID, "role: is needed");
    return user_role_parse(role, &u->role) ||
           err_set(e, ERR_INVALID, "role: \"%s\" is none of owner, admin, sender, viewer", role);
}

static bool read_hash(json_t *args, struct user *u, bool needed, bool *given, struct err *e)
{
    const char *hash = NULL;
    if (!args_text(args, "password_hash", USERS_HASH_MAX - 1, &hash, e))
        return false;
    *given = hash != NULL;
    if (!hash)
        return !needed || err_set(e, ERR_INVALID, "password: is needed");
    if (strncmp(hash, HASH_HEAD, sizeof(HASH_HEAD) - 1) != 0)
        return err_set(e, ERR_INVALID, "password_hash: is no Argon2id hash");
    snprintf(u->password, sizeof(u->password), "%s", hash);
    return true;
}

static json_t *answer_of(const struct user *u)
{
    return json_pack("{s:s, s:s}", "name", u->name, "role", user_role_name(u->role));
}

static bool run_create(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    static const char *const known[] = {"name", "role", "password_hash", NULL};
    struct user u = {.id = ids_next(c->ids, c->wall_ms), .created_at = c->wall_ms};
    const char *name = NULL;
    bool given = false;
    if (!args_known(args, known, e) || !args_name(args, "name", &name, e) ||
        !read_role(args, &u, true, e) || !read_hash(args, &u, true, &given, e))
        return false;
    snprintf(u.name, sizeof(u.name), "%s", name);
    if (!users_create(c->db, &u, e) || !note_event(c, "user.created", name, e))
        return false;
    *data_out = answer_of(&u);
    return true;
}

/* Nobody could let anybody in any more. */
static bool keeps_an_owner(struct admin_context *c, const struct user *u, struct err *e)
{
    uint64_t n = 0;
    if (u->role != USER_OWNER)
        return true;
    if (!users_count_owners(c->db, &n, e))
        return false;
    return n > 1 ||
           err_set(e, ERR_REFUSED, "user: %s is the last owner; make another one first", u->name);
}

static bool find(struct admin_context *c, json_t *args, struct user *u, struct err *e)
{
    const char *name = NULL;
    return args_need(args, "name", 4096, &name, e) && users_get(c->db, name, u, e);
}

static bool run_set(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                    struct err *e)
{
    (void)tail;
    static const char *const known[] = {"name", "role", "password_hash", NULL};
    struct user u, before;
    bool given = false;
    if (!args_known(args, known, e) || !find(c, args, &u, e))
        return false;
    before = u;
    if (!read_role(args, &u, false, e) || !read_hash(args, &u, false, &given, e))
        return false;
    if (!given && u.role == before.role)
        return err_set(e, ERR_INVALID, "nothing to change: give a role or a password");
    if (u.role != USER_OWNER && !keeps_an_owner(c, &before, e))
        return false;
    u.updated_at = c->wall_ms;
    if (!users_update(c->db, &u, e) || !users_end_sessions(c->db, u.num, e) ||
        !note_event(c, "user.changed", u.name, e))
        return false;
    *data_out = answer_of(&u);
    return true;
}

static bool run_revoke(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    struct user u;
    if (!args_known(args, (const char *const[]){"name", NULL}, e) || !find(c, args, &u, e) ||
        !keeps_an_owner(c, &u, e) || !users_revoke(c->db, &u, c->wall_ms, e) ||
        !note_event(c, "user.revoked", u.name, e))
        return false;
    *data_out = json_pack("{s:s, s:b}", "name", u.name, "revoked", 1);
    return true;
}

/* The password was right: web asks for the session. */
static bool run_login(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                      struct err *e)
{
    (void)tail;
    struct user u;
    const char *token = NULL;
    if (!args_known(args, (const char *const[]){"name", "token", NULL}, e) ||
        !find(c, args, &u, e) || !args_need(args, "token", USERS_TOKEN_MAX, &token, e) ||
        !users_login(c->db, &u, token, c->wall_ms, e))
        return false;
    *data_out = answer_of(&u);
    return true;
}

static bool run_logout(struct admin_context *c, json_t *args, struct str tail, json_t **data_out,
                       struct err *e)
{
    (void)tail;
    const char *token = NULL;
    bool was_in = false;
    if (!args_known(args, (const char *const[]){"token", NULL}, e) ||
        !args_need(args, "token", USERS_TOKEN_MAX, &token, e) ||
        !users_logout(c->db, str_of(token), &was_in, e))
        return false;
    *data_out = json_pack("{s:b}", "logged_out", was_in);
    return true;
}

static const struct admin_entry entries[] = {
    {"user.create", run_create, false, false},    {"user.set", run_set, false, false},
    {"user.revoke", run_revoke, false, false},    {"session.create", run_login, false, false},
    {"session.remove", run_logout, false, false},
};
const struct admin_noun admin_users = {entries, countof(entries)};
