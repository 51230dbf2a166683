/* Addresses: RFC 5321/5322 mailboxes, IDN (RFC 5891) and SMTPUTF8 (RFC 6531). Pure. */
#ifndef MAIL_ADDR_H
#define MAIL_ADDR_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

#define ADDR_MAX 254 /* bytes of a normalised address, RFC 5321 4.5.3.1 */

struct addr {
    char text[ADDR_MAX + 1]; /* local part as given (quotes dropped when needless), '@', domain in
                                lower-case A-labels; "" is the null path */
    size_t n;
    size_t at;       /* index of '@' */
    bool needs_utf8; /* the local part is not ASCII */
};

/* "local@domain" only (no display name, no brackets). Control characters, bare CR/LF, over-long
 * parts, an empty or dotless-invalid domain and more are refused with the reason. */
bool addr_parse(struct str s, struct addr *out, struct err *e) MUST_USE;
/* `Name <local@domain>`, `"Name, Inc." <a@b>`, or a bare address; name_out: display name, unquoted,
 * UTF-8, into name (size bytes, "" when none). Refuses line breaks. */
bool addr_parse_mailbox(struct str s, struct addr *out, char *name, size_t size,
                        struct err *e) MUST_USE;
/* Takes the first mailbox off a list ("A <a@b>, c@d"): up to a comma outside quotes and brackets,
 * trimmed, perhaps empty. Ends when *list is empty. */
struct str addr_list_next(struct str *list);
struct str addr_domain(const struct addr *a);
struct str addr_local(const struct addr *a);
/* The key under which suppression and contacts know an address: the whole text, local part
 * lower-cased too (two mailboxes that differ only in case are one here: said in doc/). */
void addr_key(const struct addr *a, char out[ADDR_MAX + 1]);

#endif
