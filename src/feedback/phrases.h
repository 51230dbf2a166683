/* Many phrases against one text, in one pass. A phrase is literal text, matched without regard to
 * ASCII case, with every run of blanks and control characters read as one blank. It begins and ends
 * at word boundaries; `*` at an end lifts that, `*` inside stands for up to PHRASES_GAP bytes, and
 * blanks around it make its neighbours whole words ("mailbox * full"). No regular expressions here.
 *
 * A text of 200 bytes against 3,000 phrases costs about a microsecond: only places where a word
 * begins are looked up, by a hash of the first bytes. Finding allocates nothing. */
#ifndef FEEDBACK_PHRASES_H
#define FEEDBACK_PHRASES_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

enum {
    PHRASES_MAX = 8192,       /* phrases in a set */
    PHRASES_PARTS_MAX = 8192, /* pieces between `*` in all */
    PHRASES_TEXT_MAX = 4096,  /* bytes of a text that are looked at, after folding */
    PHRASES_GAP = 80,
    PHRASES_WORDS = PHRASES_MAX / 64,
};

struct phrases;

/* A text made ready: lower case, blanks folded. bytes[0] is a blank before the text. */
struct phrases_text {
    size_t n;
    char bytes[1 + PHRASES_TEXT_MAX + 8];
};

struct phrases *phrases_new(void) MUST_USE;
void phrases_free(struct phrases **p);
/* Ids count from 0. Refused: pieces under 2 bytes, over 8 pieces, a set that is full. */
bool phrases_add(struct phrases *p, struct str phrase, unsigned *id_out, struct err *e) MUST_USE;
/* Once, after the last add and before the first find. */
void phrases_seal(struct phrases *p);
size_t phrases_count(const struct phrases *p);

void phrases_text_make(struct str raw, struct phrases_text *out);
struct str phrases_text_str(const struct phrases_text *t);
/* Sets the bits of the phrases that are in the text; hits: PHRASES_WORDS words, cleared here as far
 * as the set reaches. */
void phrases_find(const struct phrases *p, const struct phrases_text *t, uint64_t *hits);

#endif
