/* The daemon's public HTTP API as the command line uses it: over the Unix socket in the data
 * directory, or over TCP with a key. An answer outside 2xx becomes text on standard error (with
 * --json the problem document itself) and the exit status of INTERFACES.md. Interrupts (Ctrl-C)
 * end a call with 130. One thread only. */
#ifndef MAIN_CLIENT_H
#define MAIN_CLIENT_H

#include <jansson.h>

#include "base/base.h"
#include "base/err.h"
#include "main/command.h"

#define EXIT_NOT_FOUND   3
#define EXIT_PARTLY      4
#define EXIT_UNREACHABLE 6
#define EXIT_INTERRUPTED 130

struct daemon;

/* By --url and --token-file (or POSTFLEET_URL, POSTFLEET_TOKEN_FILE when no --data is given), else
 * by the socket of the data directory. Does not connect yet. NULL: the error is printed and
 * *status_out is the exit status. */
struct daemon *daemon_new(const struct cmd *c, int *status_out) MUST_USE;
void daemon_free(struct daemon **cl);

/* "/v1/servers/%s" with each %s percent-encoded; malloc'd, owned by the caller. */
char *daemon_path(const char *pattern, ...) MUST_USE;
/* Appends "key=value" (encoded) to a path; frees the old text. value NULL: nothing is added. */
char *daemon_query(char *path, const char *key, const char *value) MUST_USE;

/* What to send. All fields may be 0. */
struct upload {
    json_t *json;                /* body as JSON, borrowed */
    int fd;                      /* else, with type set, a body read from here to its end */
    const char *type;            /* media type of the stream */
    int64_t size;                /* of the stream; 0: not known */
    const char *label;           /* of the progress bar; NULL: none */
    const char *idempotency_key; /* NULL: none */
};

/* One call; path is freed. 0 and, with answer_out, the JSON answer (owned by the caller; NULL when
 * there is none); else the exit status, the reason printed. */
int daemon_call(struct daemon *cl, const char *method, char *path, const struct upload *up,
                json_t **answer_out) MUST_USE;
/* As daemon_call, but errors are not printed: *problem_out is the document (owned by the caller).
 */
int daemon_try(struct daemon *cl, const char *method, char *path, const struct upload *up,
               json_t **answer_out, json_t **problem_out) MUST_USE;
/* GET of something that is no JSON, written to fd as it comes. */
int daemon_download(struct daemon *cl, char *path, int fd) MUST_USE;
/* Every object of a list, following the cursor; limit 0: all. each gives false to stop early. */
int daemon_list(struct daemon *cl, char *path, int64_t limit,
                bool (*each)(void *ctx, const json_t *row), void *ctx) MUST_USE;

/* SIGINT and SIGTERM set a flag from now on instead of ending the process. */
void interrupt_catch(void);
bool interrupt_seen(void);
/* Waits; false when interrupted meanwhile. */
bool interrupt_sleep(int64_t ms);

/* The data directory a command works on: --data, $POSTFLEET_DATA, ./postfleet-data when it is
 * there, /var/lib/postfleet when it is there, else ./postfleet-data. Borrowed. */
const char *data_dir(const struct cmd *c);

#endif
