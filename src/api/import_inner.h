/* Private to import*.c: what every import of CSV holds, and what they share. */
#ifndef API_IMPORT_INNER_H
#define API_IMPORT_INNER_H

#include "api/inner.h"
#include "base/csv.h"
#include "model/contact.h"

struct import {
    struct http_request *r;
    struct csv *csv;
    bool has_header;
    /* columns */
    int email_column;
    bool takes_address; /* a column "address" will do for the email */
    size_t n_columns;
    int field_of[CSV_COLUMNS_MAX]; /* index into fields, or -1 */
    json_t *fields;                /* names */
    /* the sums */
    json_t *sums, *errors;
    bool too_many_errors;
};

/* counters: names of the sums, NULL at the end. on_row gets arg. */
void import_open(struct import *im, struct http_request *r, const char *const *counters,
                 bool (*on_row)(void *arg, const struct csv_row *row, struct err *e), void *arg);
void import_close(struct import *im);
/* Reads the whole body. */
bool import_feed(struct import *im, struct err *e) MUST_USE;
/* Sets the error of an import that the end of the daemon breaks off; false. */
bool import_stopping(struct err *e);
/* The header's line: finds the column of addresses and the fields. */
bool import_header(struct import *im, const struct csv_row *row, struct err *e) MUST_USE;
void import_sum(struct import *im, const char *name, json_int_t n);
/* A row that was not taken over; counted by import_sum only. */
void import_wrong_row(struct import *im, uint64_t line, struct str email, const char *why);
/* A row of which no more than this is known: counted as a row and as invalid. */
void import_invalid(struct import *im, uint64_t line, struct str email, const char *why);
/* Adds the numbers that core answered. */
void import_take_counts(struct import *im, const json_t *data);
/* The answer of the request: the sums, or the error with what was taken over before. */
void import_answer(struct import *im, bool ok, const struct err *e);

#endif
