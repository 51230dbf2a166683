/* Templates: a safe Liquid subset, compiled once per campaign to a flat list of operations. Pure,
 * no file, no network, bounded output and iterations. Errors name line and column. */
#ifndef MAIL_TEMPLATE_H
#define MAIL_TEMPLATE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct template;

enum template_kind { TEMPLATE_TEXT, TEMPLATE_HTML }; /* HTML: output is escaped unless `| raw` */

struct template_limits {
    size_t output_max;       /* 0: 1 MB */
    uint32_t iterations_max; /* 0: 10,000 */
};

/* A compiled template is immutable and may be rendered on any thread. */
bool template_compile(struct str source, enum template_kind kind, struct template **out,
                      struct err *e) MUST_USE;
void template_free(struct template **t);

/* The variables it reads, each once: "contact.first_name". has_default: every use of it has a
 * `default` filter or stands only in a condition. */
size_t template_variables(const struct template *t);
struct str template_variable(const struct template *t, size_t i, bool *has_default_out,
                             int *line_out, int *column_out);

/* values[i] belongs to template_variable(t, i); p NULL: not set (renders as "" or its default).
 * Line breaks in values are the caller's concern for headers. */
bool template_render(const struct template *t, const struct str *values,
                     const struct template_limits *limits, struct buf *out, struct err *e) MUST_USE;

#endif
