/* Reads the line format of the files in rules/: sections, items, fields, lists of scalars; a strict
 * subset of YAML 1.2 (doc/RULES.md), so that ordinary YAML tools read the same files. It knows
 * nothing of rules. Guarantees: bounded lines and values, every error names its line, no
 * allocation.
 *
 *   section:                 RULEDATA_SECTION key
 *     - id: value            RULEDATA_ITEM, then RULEDATA_FIELD key value
 *       field: value         RULEDATA_FIELD key value
 *       field:               RULEDATA_LIST key
 *         - value            RULEDATA_ELEMENT key value
 */
#ifndef FEEDBACK_RULEDATA_H
#define FEEDBACK_RULEDATA_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

enum { RULEDATA_LINE_MAX = 4096, RULEDATA_FILE_MAX = 4 << 20 };

enum ruledata_kind {
    RULEDATA_ERROR = 0,
    RULEDATA_END,
    RULEDATA_SECTION,
    RULEDATA_ITEM,
    RULEDATA_FIELD,
    RULEDATA_LIST,
    RULEDATA_ELEMENT,
};

struct ruledata {
    struct str rest;
    int line;                      /* of the event given last, from 1 */
    int depth;                     /* what the next line may be: internal */
    bool pending;                  /* "- id: x" was split in two events: internal */
    struct str pending_text;       /* internal */
    char key[64];                  /* of the field or list given last */
    char value[RULEDATA_LINE_MAX]; /* unquoted; the event's value borrows from it */
};

struct ruledata_event {
    enum ruledata_kind kind;
    struct str key;
    struct str value;
};

/* `data` is borrowed until the end. False when it is over RULEDATA_FILE_MAX or holds a NUL. */
bool ruledata_open(struct ruledata *r, struct str data, struct err *e) MUST_USE;
/* The next event; after RULEDATA_ERROR (*e filled) or RULEDATA_END nothing follows.
 * Slices are valid until the next call. */
enum ruledata_kind ruledata_next(struct ruledata *r, struct ruledata_event *out, struct err *e);

#endif
