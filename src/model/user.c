/* See user.h. */
#include "model/user.h"

#include "base/str.h"

static const char *const names[USER_ROLE_COUNT] = {"viewer", "sender", "admin", "owner"};

const char *user_role_name(enum user_role r)
{
    return (unsigned)r < USER_ROLE_COUNT ? names[r] : "unknown";
}

bool user_role_parse(const char *text, enum user_role *out)
{
    for (int i = 0; i < USER_ROLE_COUNT; i++)
        if (!strcmp(text, names[i])) {
            *out = (enum user_role)i;
            return true;
        }
    return false;
}

bool user_role_allows(enum user_role r, const char *scope)
{
    static const char *const of_owner[] = {"users:write", "audit:read", NULL};
    static const char *const of_sender[] = {"messages:send",      "campaigns:write",
                                            "contacts:write",     "templates:write",
                                            "suppressions:write", NULL};
    struct str s = str_of(scope);
    if (r == USER_OWNER)
        return true;
    for (size_t i = 0; of_owner[i]; i++)
        if (str_is(s, of_owner[i]))
            return r == USER_ADMIN && str_is(s, "audit:read");
    if (str_ends(s, STR(":read")) || r == USER_ADMIN)
        return true;
    for (size_t i = 0; r == USER_SENDER && of_sender[i]; i++)
        if (str_is(s, of_sender[i]))
            return true;
    return false;
}
