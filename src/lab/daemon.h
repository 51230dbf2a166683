/* A daemon of our own for demo and bench: this very binary as a child over a data folder, reached
 * by its link socket. Settings of the user's environment do not reach it, and it dies with us.
 * No shell, no search path. One thread. */
#ifndef LAB_DAEMON_H
#define LAB_DAEMON_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"
#include "link/link.h"

#include <sys/types.h>

#define LAB_PATH_MAX 4096

struct lab_daemon {
    char dir[LAB_PATH_MAX]; /* the data folder */
    char http[128];         /* where its HTTP listens; empty: it has none */
    pid_t pid;              /* 0: none runs */
    struct link_client *link;
    int status; /* of the last process that ended; 128 + signal */
};

struct lab_daemon_config {
    const char *dir;        /* must exist or be creatable; initialised when empty */
    const char *log_path;   /* the daemon's own lines are appended here */
    bool with_web;          /* the whole daemon; else core alone */
    const char *preload;    /* a library for LD_PRELOAD; NULL: none */
    const char *ahead;      /* intents ahead of the disk; NULL: the default */
    const char *submission; /* core alone: where it takes mail, "127.0.0.1:2525"; NULL: nowhere */
    bool may_be_slow;       /* a big ledger may be read at the start: waits for minutes */
};

/* Starts it and waits until it can be asked. */
bool lab_daemon_start(struct lab_daemon *d, const struct lab_daemon_config *cfg,
                      struct err *e) MUST_USE;
/* Asks it to end, waits, and kills it after 12 s. True: exit status 0. */
bool lab_daemon_stop(struct lab_daemon *d);
/* Is the process still there? */
bool lab_daemon_alive(struct lab_daemon *d);
/* One call of the link; steals args (may be NULL). data_out may be NULL. */
bool lab_daemon_call(struct lab_daemon *d, const char *op, json_t *args, struct str tail,
                     json_t **data_out, struct err *e) MUST_USE;
/* The same without tail and answer. */
bool lab_daemon_do(struct lab_daemon *d, const char *op, json_t *args, struct err *e) MUST_USE;

/* The most resident memory its process had so far, in MB; of the whole daemon: the parent's. */
double lab_daemon_peak_mb(const struct lab_daemon *d);
/* Runs this binary with other arguments (ending with NULL) to its end; its output goes to the log.
 * False only when it could not be started. */
bool lab_self_run(const char *const *args, const char *log_path, int *status_out,
                  struct err *e) MUST_USE;

/* ---- folders ---- */

/* A new folder below TMPDIR (or /tmp) for us alone; out: LAB_PATH_MAX bytes. */
bool lab_folder_new(const char *what, char *out, struct err *e) MUST_USE;
/* Makes DIR, or takes it when it is empty; out: its absolute path. */
bool lab_folder_take(const char *dir, char *out, struct err *e) MUST_USE;
/* Removes it with all that is in it; never follows a link out of it. */
void lab_folder_remove(const char *dir);

#endif
