/* The process `core`: sockets to servers, the fleet, the ledger. The only process with the secret
 * key. Started by the parent (main/serve_parent.c); ends on SIGTERM within 10 s, exit status 0. */
#ifndef ENGINE_CORE_H
#define ENGINE_CORE_H

#include "base/base.h"
#include "base/err.h"

struct engine_core_config {
    const char *data_dir;
    bool held;               /* start with sending held (three crashes in a minute) */
    int poison_fd;           /* shared page with the ids of messages on desks; -1: none */
    const char *http_url;    /* "http://127.0.0.1:8025": where web listens, for links */
    const char *public_url;  /* NULL: not configured */
    const char *dns_servers; /* NULL: the system's */
    const char *ca_file;     /* NULL: the system's */
    const char *submission, *submission_tls; /* "127.0.0.1:587", 465; NULL: no listener */
    uint32_t submission_per_address;         /* connections of an address, IPv6 /64; 0: any */
    const char *cert_file, *key_file;        /* of these listeners; NULL: none */
    unsigned desk_threads;                   /* 0: number of cores */
    uint32_t ledger_ahead;                   /* intents ahead of the disk, bulk only; 0: none */
};

/* Runs until told to stop; the exit status of the process. */
int engine_core_main(const struct engine_core_config *cfg);

/* What a start settled of the run before. The lists are the caller's to free. */
struct engine_recovered {
    bool journal_lost;   /* what was leased and had no result is uncertain */
    size_t results;      /* read from the journal */
    uint64_t *uncertain; /* ids: the dot may have left, no reply is known */
    uint64_t *ready;     /* ids: leased, not begun; they go on */
    size_t n_uncertain, n_ready;
};

/* Does what a start does first and no more: opens the database, settles what an unclean stop left
 * behind by the journal, begins a new one, and leaves all as after a clean stop. Sends nothing. The
 * caller holds the folder's lock; once a process, and not in one that runs core. */
bool engine_recover(const char *data_dir, struct engine_recovered *out, struct err *e) MUST_USE;

#endif
