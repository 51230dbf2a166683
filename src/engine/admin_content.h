/* The content of a mail out of templates, for checks, previews and tests: compiles subject, HTML
 * and text, says which variables have no value, renders for one contact. The sending itself renders
 * on desks with the same words (draft_value). */
#ifndef ENGINE_ADMIN_CONTENT_H
#define ENGINE_ADMIN_CONTENT_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "mail/template.h"

#include <jansson.h>

enum draft_part { DRAFT_SUBJECT, DRAFT_HTML, DRAFT_TEXT, DRAFT_PARTS };

struct draft {
    struct template *part[DRAFT_PARTS]; /* NULL: not there */
};

/* Compiles what is not NULL; the error names the part, line and column. Free in any case. */
bool draft_compile(const char *subject, const char *html, const char *text, struct draft *out,
                   struct err *e) MUST_USE;
void draft_free(struct draft *c);
const char *draft_part_name(enum draft_part p);

/* Calls back for every variable of every part. */
bool draft_each(const struct draft *c,
                bool (*each)(void *arg, enum draft_part part, struct str name, bool has_default,
                             int line, int column, struct err *e),
                void *arg, struct err *e) MUST_USE;
/* True for the words that are no field of a contact: campaign.name, list.name, the URLs, date,
 * contact.email. */
bool draft_is_known(struct str name);
bool draft_has(const struct draft *c, enum draft_part part, const char *name);

/* What stands behind the words for one contact. */
struct draft_facts {
    const char *email;
    json_t *fields; /* object of texts, or NULL */
    const char *campaign, *list, *unsubscribe_url, *view_url, *preferences_url;
    int64_t wall_ms; /* date */
};
/* The value of a variable: STR_NONE when it has none. scratch: at least 64 bytes. */
struct str draft_value(const struct draft_facts *f, struct str name, char *scratch);
bool draft_render(const struct draft *c, enum draft_part part, const struct draft_facts *f,
                  struct buf *out, struct err *e) MUST_USE;

/* Of a stored contact: fills email and fields (json_decref it). Strings live in the arena. */
struct admin_context;
struct arena;
bool draft_of_contact(struct admin_context *c, const char *email, struct arena *a,
                      struct draft_facts *f, struct err *e) MUST_USE;
/* {"subject","html","text"}; text is made from html when there is none. */
bool draft_answer(const struct draft *d, const struct draft_facts *f, json_t **data_out,
                  struct err *e) MUST_USE;

#endif
