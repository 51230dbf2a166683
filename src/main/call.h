/* The shapes that most commands have: change one thing, show one thing, list many, ask first, read
 * a file into the body. Over client.h and output.h; every function gives an exit status. */
#ifndef MAIN_CALL_H
#define MAIN_CALL_H

#include "main/client.h"
#include "main/command.h"
#include "main/output.h"

/* One call; path and body (may be NULL) are freed. Prints the answer with --json, else the line. */
int call_change(struct cmd *c, const char *method, char *path, json_t *body, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
/* GET, shown as a record. */
int call_show(struct cmd *c, char *path);
/* GET of a list, shown as a table; --limit is respected where the command has it. */
int call_table(struct cmd *c, char *path, const struct column *columns, const char *nothing);
/* One call whose answer the caller wants; path and body are freed. */
int call_answer(struct cmd *c, const char *method, char *path, json_t *body, json_t **answer_out);
/* POST of FILE or - as a stream of this media type with a progress bar; path is freed. */
int call_upload(struct cmd *c, char *path, const char *file, const char *type, const char *label,
                json_t **answer_out);
/* GET written to --output or standard output; path is freed. */
int call_download(struct cmd *c, char *path);

/* Asks on a terminal unless --yes; without a terminal nobody is asked. false: the answer was no. */
bool ask_first(struct cmd *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The whole file (- is standard input) as text into the body; at most max bytes. */
bool body_add_file(json_t *body, const char *field, const char *path, size_t max,
                   struct err *e) MUST_USE;
/* The password of --password-file, when given: one newline at its end is dropped. */
bool body_add_password(struct cmd *c, json_t *body, struct err *e) MUST_USE;
/* --field NAME=VALUE ... as an object under `field`, when given. */
void body_add_pairs(struct cmd *c, json_t *body, const char *option, const char *field);
/* A time: RFC 3339 stays; a duration counts from now, forwards or back. malloc'd; NULL with *e when
 * it is neither. */
char *time_text(const char *text, bool back, struct err *e) MUST_USE;
/* The same for an option whose time lies ahead, when given. */
bool body_add_time(struct cmd *c, json_t *body, const char *option, const char *field,
                   struct err *e) MUST_USE;
const char *json_text(const json_t *object, const char *key); /* "" when absent */
int64_t json_number(const json_t *object, const char *key);   /* 0 when absent */

#endif
