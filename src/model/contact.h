/* A contact: one address with fields. */
#ifndef MODEL_CONTACT_H
#define MODEL_CONTACT_H

#include "base/base.h"
#include "base/str.h"

#define CONTACT_FIELDS_MAX      64
#define CONTACT_FIELD_NAME_MAX  64   /* bytes; [a-z0-9_], begins with a letter */
#define CONTACT_FIELD_VALUE_MAX 4096 /* bytes */
#define CONTACT_EMAIL_MAX       254  /* bytes, normalised */

struct field {
    struct str name;
    struct str value;
};

struct contact {
    uint64_t id;      /* dense: 1, 2, 3 ... in table order */
    struct str email; /* normalised: mail/addr.h */
    struct field *fields;
    size_t n_fields;
};

#endif
