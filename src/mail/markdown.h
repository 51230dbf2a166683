/* Markdown (CommonMark with GFM tables and strikethrough) to HTML, for templates: what stands
 * between {{ }} or {% %} goes through untouched, in links too. Raw HTML in it is kept: the author
 * of a template may write HTML anyway. Pure. */
#ifndef MAIL_MARKDOWN_H
#define MAIL_MARKDOWN_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define MARKDOWN_MAX (4u << 20) /* bytes in, and eight times as many out */

bool markdown_to_html(struct str source, struct buf *out, struct err *e) MUST_USE;

#endif
