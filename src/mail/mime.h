/* Building a mail: header fields, multipart/alternative, transfer encodings, folding. Pure: date,
 * Message-ID and boundary seed come in. Output is CRLF only, lines at most 998 bytes (78 where
 * folding can), no bare CR or LF whatever the input. */
#ifndef MAIL_MIME_H
#define MAIL_MIME_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct mime_header {
    struct str name;  /* RFC 5322 ftext; refused otherwise */
    struct str value; /* UTF-8; line breaks become blanks; encoded by RFC 2047 where needed */
};

struct mime_attachment {
    struct str filename;   /* UTF-8; STR_NONE: none */
    struct str type;       /* "application/pdf", without parameters */
    struct str content_id; /* "logo@shop": shown by the HTML as cid:logo@shop; STR_NONE: attached */
    struct str bytes;
};

struct mime_message {
    struct str from;       /* mailbox, "Name <a@b>"; needed */
    struct str to;         /* mailbox; needed */
    struct str reply_to;   /* STR_NONE: none */
    struct str subject;    /* UTF-8 */
    struct str message_id; /* "id@host", without brackets; needed */
    int64_t date_ms;       /* wall */
    int date_offset_min;   /* of the time zone; 0: UTC */
    struct str text;       /* UTF-8, any line ends; STR_NONE: none */
    struct str html;
    struct str list_unsubscribe; /* URL; adds List-Unsubscribe and, with one_click, -Post */
    bool one_click;
    struct str feedback_id;            /* STR_NONE: none */
    const struct mime_header *headers; /* further ones, in order */
    size_t n_headers;
    const struct mime_attachment *attachments;
    size_t n_attachments;
    uint64_t boundary_seed;
};

struct mime_facts {
    bool is_8bit, needs_utf8, has_leading_dot;
};

bool mime_build(const struct mime_message *m, struct buf *out, struct mime_facts *facts,
                struct err *e) MUST_USE;
/* A raw message from outside: bare CR and LF become CRLF, Date and Message-ID are added when
 * missing (at the end of the header), Bcc is dropped, ends with CRLF. extra: header fields to put
 * on top. Finds the facts. from_out/subject_out: raw values of those fields, in `out`'s memory
 * terms: offsets are not kept; copied into the given buffers, may be NULL. */
bool mime_normalise(struct str raw, struct str message_id, int64_t date_ms,
                    const struct mime_header *extra, size_t n_extra, struct buf *out,
                    struct mime_facts *facts, struct err *e) MUST_USE;
/* The raw value (unfolded) of the first field of that name in a message; STR_NONE when absent;
 * scratch holds it. */
struct str mime_field(struct str message, const char *name, char *scratch, size_t size);
/* Plain text out of HTML: links as "text (url)", lists, paragraphs, entities. */
bool mime_text_of_html(struct str html, struct buf *out);

#endif
