/* The content of a mail out of templates, for checks, previews and the browser: compiles subject,
 * HTML and text, says which variables have no value, renders for one contact. The sending itself
 * renders on desks by the same words. Pure. */
#ifndef MAIL_DRAFT_H
#define MAIL_DRAFT_H

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
    const char *date; /* "2026-11-21" */
};
/* The value of a variable: STR_NONE when it has none. */
struct str draft_value(const struct draft_facts *f, struct str name);
bool draft_render(const struct draft *c, enum draft_part part, const struct draft_facts *f,
                  struct buf *out, struct err *e) MUST_USE;

/* {"subject","html","text"}; text is made from html when there is none. */
bool draft_answer(const struct draft *d, const struct draft_facts *f, json_t **data_out,
                  struct err *e) MUST_USE;

#endif
