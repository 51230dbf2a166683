/* Pieces of HTML reading shared by text-from-HTML and by the strip_html filter. Pure. */
#ifndef MAIL_TEXT_H
#define MAIL_TEXT_H

#include "base/base.h"
#include "base/buf.h"
#include "base/str.h"

/* s begins with "&": the character that the reference stands for and the bytes it takes; 0 when it
 * is none (unknown name, missing semicolon). */
size_t text_entity(struct str s, uint32_t *c_out);
/* s begins with "<": length of the tag, comment or declaration, quotes respected; the whole rest
 * when it is not closed; 0 when "<" is mere text. */
size_t text_tag_length(struct str s);
/* s begins with "{": length of the template's output or tag there ("{{ ... }}", "{% ... %}", at
 * most 2,000 bytes, on any lines), 0 when it is none. HTML is read before it is rendered, too. */
size_t text_liquid_length(struct str s);

#endif
