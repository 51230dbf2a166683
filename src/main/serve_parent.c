/* The parent process of the daemon: one thread, no sockets, no database while children live. It
 * holds the lock, starts core and web (the reader has its place), starts them again when they end,
 * counts crashes of core, and ends all within ten seconds on SIGTERM. A child dies with its parent.
 */
#include "main/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/poison.h"
#include "main/client.h"
#include "main/datadir.h"
#include "main/output.h"

#define LOCK_WAIT_MS      10000 /* for children of a killed parent to be gone */
#define STOP_MS           9500
#define CRASH_WINDOW_MS   60000
#define CRASHES_TO_HOLD   3
#define BACK_OFF_LEAST_MS 100
#define BACK_OFF_MOST_MS  10000
#define STEADY_MS         60000 /* alive that long: the back-off begins anew */
#define READY_LOOK_MS     50
#define ARGS_MAX          48

enum { CORE, WEB, READER, N_CHILDREN };

struct child {
    const char *role;
    bool wanted; /* the reader has its place, and comes with mail from outside */
    pid_t pid;   /* 0: does not run */
    int64_t started_ms, start_at_ms;
    int64_t back_off_ms;
};

struct parent {
    char *dir; /* absolute */
    struct config config;
    char http[96], http_url[112];
    char pid_text[24], poison_text[16];
    int lock_fd, dir_fd, poison_fd;
    struct poison_page *page;
    struct child children[N_CHILDREN];
    int64_t crashes_ms[CRASHES_TO_HOLD];
    bool held, ready, stopping;
    bool json;
    int64_t stop_by_ms;
    int status;
};

/* ---- starting ---- */

static bool make_page(struct parent *p, struct err *e)
{
    p->poison_fd = memfd_create("postfleet-poison", 0);
    if (p->poison_fd < 0 || ftruncate(p->poison_fd, sizeof(struct poison_page)) != 0)
        return err_set(e, ERR_FAILED, "shared page: %s", strerror(errno));
    p->page =
        mmap(NULL, sizeof(struct poison_page), PROT_READ | PROT_WRITE, MAP_SHARED, p->poison_fd, 0);
    if (p->page == MAP_FAILED)
        return err_set(e, ERR_FAILED, "shared page: %s", strerror(errno));
    p->page->magic = POISON_MAGIC;
    snprintf(p->poison_text, sizeof(p->poison_text), "%d", p->poison_fd);
    return true;
}

static void add_option(const char **args, size_t *n, const char *name, const char *value)
{
    if (!value || !value[0])
        return;
    check(*n + 3 < ARGS_MAX);
    args[(*n)++] = name;
    args[(*n)++] = value;
}

static void child_args(const struct parent *p, const struct child *c, const char **args)
{
    size_t n = 0;
    args[n++] = "postfleet";
    args[n++] = "serve";
    add_option(args, &n, "--role", c->role);
    add_option(args, &n, "--data", p->dir);
    add_option(args, &n, "--parent-pid", p->pid_text);
    add_option(args, &n, "--http", p->http);
    add_option(args, &n, "--http-url", p->http_url);
    add_option(args, &n, "--public-url", config_text(&p->config, SETTING_PUBLIC_URL));
    add_option(args, &n, "--log-level", config_text(&p->config, SETTING_LOG_LEVEL));
    if (c == &p->children[CORE]) {
        add_option(args, &n, "--poison-fd", p->poison_text);
        add_option(args, &n, "--desk-threads", config_text(&p->config, SETTING_DESK_THREADS));
        add_option(args, &n, "--ledger-ahead", config_text(&p->config, SETTING_LEDGER_AHEAD));
        add_option(args, &n, "--dns-servers", config_text(&p->config, SETTING_DNS_SERVERS));
        add_option(args, &n, "--ca-file", config_text(&p->config, SETTING_TLS_CA_FILE));
        add_option(args, &n, "--submission", config_text(&p->config, SETTING_SUBMISSION_LISTEN));
        add_option(args, &n, "--submission-tls",
                   config_text(&p->config, SETTING_SUBMISSION_TLS_LISTEN));
        add_option(args, &n, "--submission-per-address",
                   config_text(&p->config, SETTING_SUBMISSION_PER_ADDRESS));
        add_option(args, &n, "--cert-file", config_text(&p->config, SETTING_TLS_CERT_FILE));
        add_option(args, &n, "--key-file", config_text(&p->config, SETTING_TLS_KEY_FILE));
        if (p->held)
            args[n++] = "--held";
    }
    args[n] = NULL;
}

/* The lock is left open in children: it lasts until the last of them is gone. */
static void start_child(struct parent *p, struct child *c)
{
    const char *args[ARGS_MAX];
    posix_spawnattr_t attr;
    sigset_t none, all;
    child_args(p, c, args);
    sigemptyset(&none);
    sigfillset(&all);
    check(posix_spawnattr_init(&attr) == 0);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    int rc = posix_spawn(&c->pid, "/proc/self/exe", NULL, &attr, (char *const *)(uintptr_t)args,
                         environ);
    posix_spawnattr_destroy(&attr);
    c->started_ms = clock_boot_ms();
    if (rc != 0) {
        c->pid = 0;
        c->start_at_ms = c->started_ms + BACK_OFF_MOST_MS;
        log_event(LOG_ERROR, "process.not_started", "role=%s why=\"%s\"", c->role, strerror(rc));
        return;
    }
    log_event(LOG_DEBUG, "process.started", "role=%s pid=%ld%s", c->role, (long)c->pid,
              c == &p->children[CORE] && p->held ? " held=yes" : "");
}

/* ---- ending ---- */

static bool is_crash(int status)
{
    static const int signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; WIFSIGNALED(status) && i < countof(signals); i++)
        if (WTERMSIG(status) == signals[i])
            return true;
    return false;
}

/* The user has let held sending go: the count begins anew. */
static void take_release(struct parent *p)
{
    if (!atomic_exchange(&p->page->is_released, 0))
        return;
    p->held = false;
    memset(p->crashes_ms, 0, sizeof(p->crashes_ms));
}

/* Three crashes within a minute: core comes up with sending held, so that the user can look. */
static void count_crash(struct parent *p, int64_t now)
{
    poison_note_crash(p->page);
    memmove(&p->crashes_ms[1], &p->crashes_ms[0], sizeof(p->crashes_ms) - sizeof(p->crashes_ms[0]));
    p->crashes_ms[0] = now;
    int64_t oldest = p->crashes_ms[CRASHES_TO_HOLD - 1];
    if (oldest && now - oldest <= CRASH_WINDOW_MS && !p->held) {
        p->held = true;
        log_event(
            LOG_ERROR, "core.held",
            "%d crashes in a minute: core starts with sending held; postfleet resume lets it go",
            CRASHES_TO_HOLD);
    }
}

static void describe_end(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "signal %d", WTERMSIG(status));
    else
        snprintf(out, size, "exit status %d", WEXITSTATUS(status));
}

/* A child that fails before the daemon was ever ready has said why: starting it again would only
 * say it again. */
static void ended(struct parent *p, struct child *c, int status)
{
    int64_t now = clock_boot_ms();
    char how[40];
    c->pid = 0;
    if (p->stopping)
        return;
    describe_end(status, how, sizeof(how));
    log_event(LOG_WARNING, "process.ended", "role=%s %s", c->role, how);
    take_release(p);
    if (c == &p->children[CORE] && is_crash(status))
        count_crash(p, now);
    else if (c == &p->children[CORE])
        poison_clear_desks(p->page);
    if (!p->ready && WIFEXITED(status)) {
        p->stopping = true;
        p->status = WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
        p->stop_by_ms = now + STOP_MS;
        return;
    }
    bool steady = now - c->started_ms >= STEADY_MS;
    c->back_off_ms =
        steady || !c->back_off_ms ? BACK_OFF_LEAST_MS : MIN(c->back_off_ms * 2, BACK_OFF_MOST_MS);
    /* A kill is no sign of something wrong: the next start is not put off. */
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    c->start_at_ms = killed ? now : now + c->back_off_ms;
}

static void reap(struct parent *p)
{
    pid_t pid;
    int status;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (size_t i = 0; i < N_CHILDREN; i++)
            if (p->children[i].pid == pid)
                ended(p, &p->children[i], status);
}

static void signal_children(const struct parent *p, int sig)
{
    for (size_t i = 0; i < N_CHILDREN; i++)
        if (p->children[i].pid > 0)
            kill(p->children[i].pid, sig);
}

static bool any_child(const struct parent *p)
{
    for (size_t i = 0; i < N_CHILDREN; i++)
        if (p->children[i].pid > 0)
            return true;
    return false;
}

/* The first asks children to end; the second does not ask any more. */
static void stop(struct parent *p)
{
    if (p->stopping && p->stop_by_ms) {
        signal_children(p, SIGKILL);
        return;
    }
    p->stopping = true;
    p->stop_by_ms = clock_boot_ms() + STOP_MS;
    log_event(LOG_INFO, "daemon.stopping", "at most %d s", STOP_MS / 1000 + 1);
    signal_children(p, SIGTERM);
}

/* ---- watching ---- */

static void say_ready(struct parent *p)
{
    p->ready = true;
    json_t *o = json_pack("{s:b, s:s, s:s, s:i}", "ready", 1, "data", p->dir, "http", p->http_url,
                          "pid", (int)getpid());
    if (p->json)
        output_json(o);
    else
        output_line("postfleet " POSTFLEET_VERSION " is ready: data %s, HTTP %s", p->dir,
                    p->http_url);
    json_decref(o);
    output_end();
}

static int64_t next_look_ms(const struct parent *p, int64_t now)
{
    int64_t wait = 60000;
    if (p->stopping)
        return MAX(1, MIN(p->stop_by_ms - now, 1000));
    if (!p->ready)
        wait = READY_LOOK_MS;
    for (size_t i = 0; i < N_CHILDREN; i++)
        if (p->children[i].wanted && p->children[i].pid == 0)
            wait = MIN(wait, MAX(1, p->children[i].start_at_ms - now));
    return wait;
}

static void start_due(struct parent *p, int64_t now)
{
    for (size_t i = 0; i < N_CHILDREN; i++) {
        struct child *c = &p->children[i];
        if (c->wanted && c->pid == 0 && now >= c->start_at_ms)
            start_child(p, c);
    }
}

static void take_signal(struct parent *p, int sig)
{
    if (sig == SIGCHLD)
        reap(p);
    else if (sig == SIGTERM || sig == SIGINT)
        stop(p);
}

static void watch(struct parent *p, const sigset_t *signals)
{
    while (!p->stopping || any_child(p)) {
        int64_t now = clock_boot_ms();
        if (!p->stopping)
            start_due(p, now);
        else if (now >= p->stop_by_ms)
            signal_children(p, SIGKILL);
        int64_t wait = next_look_ms(p, now);
        struct timespec ts = {.tv_sec = wait / 1000, .tv_nsec = wait % 1000 * 1000000};
        bool was_stopping = p->stopping;
        int sig = sigtimedwait(signals, NULL, &ts);
        if (sig > 0)
            take_signal(p, sig);
        reap(p);
        if (p->stopping && !was_stopping)
            signal_children(p, SIGTERM);
        if (!p->ready && !p->stopping && serve_is_ready(p->dir_fd))
            say_ready(p);
    }
}

/* ---- the whole ---- */

static bool make_folder_first(const char *dir, struct err *e)
{
    enum datadir_kind kind;
    if (!datadir_look(dir, &kind, e))
        return false;
    if (kind == DATADIR_FOREIGN)
        return err_set(e, ERR_REFUSED,
                       "%s holds other files and no Postfleet database; name an empty or new "
                       "directory with --data",
                       dir);
    if (kind == DATADIR_MISSING && mkdir(dir, 0700) != 0)
        return err_set(e, ERR_FAILED, "cannot make data directory %s: %s", dir, strerror(errno));
    return true;
}

static bool open_up(struct parent *p, struct cmd *c, struct err *e)
{
    bool made = false;
    const char *asked = cmd_text(c, "http");
    if (!make_folder_first(data_dir(c), e))
        return false;
    p->dir = realpath(data_dir(c), NULL);
    if (!p->dir)
        return err_set(e, ERR_FAILED, "%s: %s", data_dir(c), strerror(errno));
    if (!datadir_lock(p->dir, LOCK_WAIT_MS, &p->lock_fd, e) || !config_load(p->dir, &p->config, e))
        return false;
    if (asked)
        config_set_option(&p->config, SETTING_HTTP_LISTEN, asked, "--http");
    if (cmd_text(c, "submission"))
        config_set_option(&p->config, SETTING_SUBMISSION_LISTEN, cmd_text(c, "submission"),
                          "--submission");
    if (cmd_text(c, "submission-tls"))
        config_set_option(&p->config, SETTING_SUBMISSION_TLS_LISTEN, cmd_text(c, "submission-tls"),
                          "--submission-tls");
    bool is_default = p->config.values[SETTING_HTTP_LISTEN].origin == ORIGIN_DEFAULT;
    if (!serve_choose_http(config_text(&p->config, SETTING_HTTP_LISTEN), !is_default, p->http,
                           sizeof(p->http), e) ||
        !datadir_prepare(p->dir, &made, e) || !make_page(p, e))
        return false;
    serve_http_url(p->http, p->http_url, sizeof(p->http_url));
    p->dir_fd = open(p->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (p->dir_fd < 0)
        return err_set(e, ERR_FAILED, "%s: %s", p->dir, strerror(errno));
    unlinkat(p->dir_fd, "api.sock", 0); /* left by a killed daemon; the lock is ours */
    unlinkat(p->dir_fd, "link.sock", 0);
    return true;
}

int serve_parent(struct cmd *c)
{
    struct parent p = {.lock_fd = -1, .dir_fd = -1, .poison_fd = -1, .json = output_is_json()};
    struct err e = {0};
    enum log_level level = LOG_INFO;
    sigset_t signals;
    p.children[CORE] = (struct child){.role = "core", .wanted = true};
    p.children[WEB] = (struct child){.role = "web", .wanted = true};
    p.children[READER] = (struct child){.role = "reader"};
    if (!open_up(&p, c, &e)) {
        config_free(&p.config);
        free(p.dir);
        return output_fail(&e);
    }
    log_level_parse(config_text(&p.config, SETTING_LOG_LEVEL), &level);
    log_setup("parent", level, 2);
    snprintf(p.pid_text, sizeof(p.pid_text), "%ld", (long)getpid());
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    watch(&p, &signals);
    log_event(LOG_INFO, "daemon.stopped", "exit status %d", p.status);
    config_free(&p.config);
    munmap(p.page, sizeof(struct poison_page));
    close(p.poison_fd);
    close(p.dir_fd);
    close(p.lock_fd);
    free(p.dir);
    return p.status;
}
