/* See auditing.h. Arguments are kept as they were given, but for secrets and contents: of those
 * only that they were given. What is too long is cut to the names of its fields. */
#include "engine/auditing.h"

#include "engine/admin_parts.h"
#include "store/audit.h"
#include "store/secrets.h"

#include <stdlib.h>

static bool is_named(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(name, *list))
            return true;
    return false;
}

static bool is_secret(const char *name)
{
    static const char *const secrets[] = {"password", "password_hash", "token",
                                          "secret",   "private_key",   NULL};
    return is_named(name, secrets);
}

static bool is_content(const char *name)
{
    static const char *const contents[] = {"html", "text",      "markdown", "raw",
                                           "rows", "variables", NULL};
    return is_named(name, contents);
}

static json_t *shown(json_t *args)
{
    json_t *out = json_object(), *v;
    const char *name;
    json_object_foreach(args, name, v)
    {
        if (is_secret(name))
            json_object_set_new(out, name, json_string("(secret)"));
        else if (is_content(name))
            json_object_set_new(out, name, json_string("(content)"));
        else
            json_object_set(out, name, v);
    }
    return out;
}

static json_t *names_only(json_t *args)
{
    json_t *out = json_array(), *v;
    const char *name;
    json_object_foreach(args, name, v)
    {
        if (json_array_size(out) < 40)
            json_array_append_new(out, json_string(name));
    }
    return json_pack("{s:o}", "fields", out);
}

static char *detail_of(json_t *args)
{
    json_t *j = shown(args);
    char *text = json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(j);
    if (text && strlen(text) <= AUDIT_DETAIL_MAX)
        return text;
    free(text);
    j = names_only(args);
    text = json_dumps(j, JSON_COMPACT);
    json_decref(j);
    return text;
}

static struct str subject_of(json_t *args)
{
    static const char *const names[] = {"name", "id", "address", "email", "server", "group", NULL};
    for (size_t i = 0; names[i]; i++) {
        json_t *v = json_object_get(args, names[i]);
        if (json_is_string(v))
            return str_from(json_string_value(v), json_string_length(v));
    }
    return STR("");
}

/* What recipients do themselves, by the thousand, and every chunk of an import: their own tables
 * and events tell of them. */
static bool is_kept_elsewhere(const char *op)
{
    static const char *const ops[] = {"public.unsubscribe", "people.import_rows",
                                      "suppression.import_rows", "server.import_rows", NULL};
    return is_named(op, ops);
}

bool auditing_note(struct admin_context *c, const char *op, json_t *args, struct err *e)
{
    uint8_t key[SECRETS_KEY_BYTES];
    if (!c->secrets || is_kept_elsewhere(op))
        return true;
    char *detail = detail_of(args);
    const struct audit_entry a = {.at = c->wall_ms,
                                  .actor = str_of(c->actor),
                                  .op = str_of(op),
                                  .subject = subject_of(args),
                                  .detail = str_of(detail ? detail : "{}")};
    secrets_derive(c->secrets, AUDIT_LABEL, key);
    bool ok = audit_append(c->db, key, &a, e);
    free(detail);
    return ok;
}
