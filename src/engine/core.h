/* The process `core`: sockets to servers, the fleet, the ledger. The only process with the secret
 * key. Started by the parent (main/serve_parent.c); ends on SIGTERM within 10 s, exit status 0. */
#ifndef ENGINE_CORE_H
#define ENGINE_CORE_H

#include "base/base.h"

struct engine_core_config {
    const char *data_dir;
    bool held;               /* start with sending held (three crashes in a minute) */
    int poison_fd;           /* shared page with the ids of messages on desks; -1: none */
    const char *http_url;    /* "http://127.0.0.1:8025": where web listens, for links */
    const char *public_url;  /* NULL: not configured */
    const char *dns_servers; /* NULL: the system's */
    const char *ca_file;     /* NULL: the system's */
    unsigned desk_threads;   /* 0: number of cores */
    uint32_t ledger_ahead;   /* intents ahead of the disk, bulk only; 0: none */
};

/* Runs until told to stop; the exit status of the process. */
int engine_core_main(const struct engine_core_config *cfg);

#endif
