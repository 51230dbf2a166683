/* CSV (RFC 4180 and what spreadsheets make of it), streamed: fed in chunks of any cut, gives the
 * same rows for every cut. Comma, semicolon or tab, found from the first line; quotes, quoted line
 * breaks; CRLF, LF or CR; UTF-8 with or without BOM, UTF-16 by BOM, and Windows-1252 for rows that
 * are not UTF-8. What comes out is always UTF-8. Empty lines are skipped. Pure, bounded. */
#ifndef BASE_CSV_H
#define BASE_CSV_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define CSV_ROW_MAX     65536 /* bytes of a row's fields, as UTF-8 */
#define CSV_COLUMNS_MAX 256

struct csv;

struct csv_row {     /* valid during the callback */
    uint64_t number; /* of the row: 1 is the first (the header, if there is one) */
    uint64_t line;   /* line of the input on which it begins, from 1 */
    const struct str *fields;
    size_t n;
};

/* on_row returns false (with *e filled) to stop; csv_feed then fails with that. */
struct csv *csv_new(bool (*on_row)(void *arg, const struct csv_row *row, struct err *e),
                    void *arg) MUST_USE;
void csv_free(struct csv **c);
/* False: a row is over a limit (ERR_TOO_BIG, ERR_INVALID) or the callback stopped; *e says which
 * row. After a failure nothing more may be fed. */
bool csv_feed(struct csv *c, const void *p, size_t n, struct err *e) MUST_USE;
/* The end of the input: gives the last row; an open quote is an error that names its row. */
bool csv_finish(struct csv *c, struct err *e) MUST_USE;
char csv_separator(const struct csv *c); /* 0: not known yet */

/* Writing. A cell that a spreadsheet would run as a formula (= + - @, tab, CR, LF in front, behind
 * blanks too) gets an apostrophe in front, and csv_unguard takes exactly that away again. */
bool csv_add_cell(struct buf *b, struct str value, bool first);
bool csv_end_row(struct buf *b); /* CRLF */
struct str csv_unguard(struct str value);

#endif
