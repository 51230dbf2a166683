/* What a child of the parent does: ties its life to the parent's, then runs its room. */
#include "main/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "main/client.h"
#include "main/output.h"
#ifdef HAVE_ENGINE
#include "engine/core.h"
#endif
#ifdef HAVE_API
#include "api/web.h"
#endif

#define FILES_WANTED 65536

/* SIGKILL when the parent goes: a core without a parent would be unwatched, and what it leaves is
 * what any kill leaves. Ctrl-C reaches the whole group; the parent alone acts on it. */
static bool tie_to_parent(const struct cmd *c)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
           getppid() == (pid_t)cmd_number(c, "parent-pid", 0);
}

/* A connection is a descriptor, and the usual soft limit of 1,024 is for programs that select. */
static void raise_files(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= MIN(r.rlim_max, (rlim_t)FILES_WANTED))
        return;
    r.rlim_cur = MIN(r.rlim_max, (rlim_t)FILES_WANTED);
    if (setrlimit(RLIMIT_NOFILE, &r) != 0)
        log_event(LOG_WARNING, "serve.files", "the limit of open files stays as it was: %s",
                  strerror(errno));
}

static int run_core(struct cmd *c)
{
#ifdef HAVE_ENGINE
    const struct engine_core_config config = {
        .data_dir = data_dir(c),
        .held = cmd_has(c, "held"),
        .poison_fd = (int)cmd_number(c, "poison-fd", -1),
        .http_url = cmd_text(c, "http-url"),
        .public_url = cmd_text(c, "public-url"),
        .dns_servers = cmd_text(c, "dns-servers"),
        .ca_file = cmd_text(c, "ca-file"),
        .submission = cmd_text(c, "submission"),
        .submission_tls = cmd_text(c, "submission-tls"),
        .submission_per_address = (uint32_t)cmd_number(c, "submission-per-address", 0),
        .cert_file = cmd_text(c, "cert-file"),
        .key_file = cmd_text(c, "key-file"),
        .desk_threads = (unsigned)cmd_number(c, "desk-threads", 0),
        .ledger_ahead = (uint32_t)cmd_number(c, "ledger-ahead", 0),
    };
    return engine_core_main(&config);
#else
    struct err e = {0};
    (void)c;
    err_set(&e, ERR_FAILED, "this build has no engine");
    return output_fail(&e);
#endif
}

static int run_web(struct cmd *c)
{
#ifdef HAVE_API
    const struct api_web_config config = {
        .data_dir = data_dir(c),
        .http_listen = cmd_text(c, "http"),
        .public_url = cmd_text(c, "public-url"),
    };
    return api_web_main(&config);
#else
    struct err e = {0};
    (void)c;
    err_set(&e, ERR_FAILED, "this build has no HTTP");
    return output_fail(&e);
#endif
}

int serve_role(struct cmd *c)
{
    enum log_level level = LOG_INFO;
    const char *role = cmd_text(c, "role"), *name = cmd_text(c, "log-level");
    if (name)
        (void)log_level_parse(name, &level);
    log_setup(role, level, 2);
    if (!tie_to_parent(c))
        return 1;
    raise_files();
    return !strcmp(role, "core") ? run_core(c) : run_web(c);
}

int main_serve(struct cmd *c)
{
    return cmd_has(c, "role") ? serve_role(c) : serve_parent(c);
}
