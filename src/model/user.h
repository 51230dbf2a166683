/* People who may log in, and what their role allows. */
#ifndef MODEL_USER_H
#define MODEL_USER_H

#include "base/base.h"

enum user_role {
    USER_VIEWER, /* looks at everything but keys and users */
    USER_SENDER, /* and sends: messages, campaigns, lists, templates */
    USER_ADMIN,  /* and runs the fleet: servers, groups, limits, keys */
    USER_OWNER,  /* and decides who may log in */
    USER_ROLE_COUNT
};

#define USER_NAME_MAX     64
#define USER_PASSWORD_MIN 12 /* characters; NIST SP 800-63B asks for 8 at least */
#define USER_PASSWORD_MAX 1024

const char *user_role_name(enum user_role r);
bool user_role_parse(const char *text, enum user_role *out);
/* Does the role have this scope of the API? */
bool user_role_allows(enum user_role r, const char *scope);

#endif
