/* The content of a mail out of templates, for checks, previews and tests: compiles subject, HTML
 * and text, says which variables have no value, renders for one contact. The sending itself renders
 * on desks with the same words (content_value). */
#ifndef ENGINE_ADMIN_CONTENT_H
#define ENGINE_ADMIN_CONTENT_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "mail/template.h"

#include <jansson.h>

enum content_part { CONTENT_SUBJECT, CONTENT_HTML, CONTENT_TEXT, CONTENT_PARTS };

struct content {
    struct template *part[CONTENT_PARTS]; /* NULL: not there */
};

/* Compiles what is not NULL; the error names the part, line and column. Free in any case. */
bool content_compile(const char *subject, const char *html, const char *text, struct content *out,
                     struct err *e) MUST_USE;
void content_free(struct content *c);
const char *content_part_name(enum content_part p);

/* Calls back for every variable of every part. */
bool content_each(const struct content *c,
                  bool (*each)(void *arg, enum content_part part, struct str name, bool has_default,
                               int line, int column, struct err *e),
                  void *arg, struct err *e) MUST_USE;
/* True for the words that are no field of a contact: campaign.name, list.name, the URLs, date,
 * contact.email. */
bool content_is_known(struct str name);
bool content_has(const struct content *c, enum content_part part, const char *name);

/* What stands behind the words for one contact. */
struct content_facts {
    const char *email;
    json_t *fields; /* object of texts, or NULL */
    const char *campaign, *list, *unsubscribe_url, *view_url, *preferences_url;
    int64_t wall_ms; /* date */
};
/* The value of a variable: STR_NONE when it has none. scratch: at least 64 bytes. */
struct str content_value(const struct content_facts *f, struct str name, char *scratch);
bool content_render(const struct content *c, enum content_part part, const struct content_facts *f,
                    struct buf *out, struct err *e) MUST_USE;

#endif
