/* See daemon.h. The child gets a process group of its own, so that Ctrl-C reaches us alone and we
 * end it in order; when we die without a word, the kernel ends it. */
#include "lab/daemon.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS      20000
#define START_SLOW_MS 600000
#define STOP_MS       12000
#define CALL_MS       60000
#define ARGS_MAX      24

extern char **environ;

/* Our environment but for the settings of a daemon; the caller frees the array and its first
 * element when preload is given. */
static char **clean_environment(const char *preload)
{
    size_t n = 0, k = 0;
    while (environ[n])
        n++;
    char **out = alloc_many(char *, n + 2);
    if (preload) {
        size_t size = strlen(preload) + sizeof("LD_PRELOAD=");
        out[0] = alloc_bytes(size);
        snprintf(out[k++], size, "LD_PRELOAD=%s", preload);
    }
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "POSTFLEET_", 10) != 0 &&
            (!preload || strncmp(environ[i], "LD_PRELOAD=", 11) != 0))
            out[k++] = environ[i];
    return out;
}

/* Between fork and exec: only what a process with threads may do there. */
static _Noreturn void become(char *const *args, char *const *env, int out_fd, int err_fd,
                             pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent ||
        dup2(out_fd, 1) < 0 || dup2(err_fd, 2) < 0)
        _exit(127);
    execve("/proc/self/exe", args, env);
    _exit(127);
}

/* out_fd: the child's standard output. The id, or -1. */
static pid_t spawn(const char *const *args, const char *preload, int out_fd, int err_fd)
{
    char **env = clean_environment(preload);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become((char *const *)(uintptr_t)args, env, out_fd, err_fd, parent);
    if (preload)
        free(env[0]);
    free(env);
    return pid;
}

static void note_end(struct lab_daemon *d, int status)
{
    d->pid = 0;
    d->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool lab_daemon_alive(struct lab_daemon *d)
{
    int status = 0;
    if (d->pid > 0 && waitpid(d->pid, &status, WNOHANG) == d->pid)
        note_end(d, status);
    return d->pid > 0;
}

static void nap(int ms)
{
    (void)poll(NULL, 0, ms);
}

static bool died(struct lab_daemon *d, const char *log_path, struct err *e)
{
    return err_set(e, ERR_FAILED,
                   "the daemon ended with status %d before it was ready; it said "
                   "why in %s",
                   d->status, log_path);
}

static bool initialise(struct lab_daemon *d, const char *log_path, struct err *e)
{
    const char *args[] = {"postfleet", "init", "--data", d->dir, NULL};
    return lab_self_run(args, log_path, &d->status, e) && (d->status == 0 || died(d, log_path, e));
}

/* Waits for its socket and the first answer. */
static bool wait_ready(struct lab_daemon *d, const struct lab_daemon_config *cfg, struct err *e)
{
    int64_t until = clock_boot_ms() + (cfg->may_be_slow ? START_SLOW_MS : START_MS);
    char path[LAB_PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/link.sock", d->dir);
    d->link = link_client_new(path, 1);
    for (;;) {
        if (access(path, F_OK) == 0 && lab_daemon_do(d, "live.status", NULL, e))
            return true;
        if (!lab_daemon_alive(d))
            return died(d, cfg->log_path, e);
        if (clock_boot_ms() > until)
            return err_set(e, ERR_FAILED, "the daemon was not ready in time; see %s",
                           cfg->log_path);
        nap(5);
    }
}

static bool start_core(struct lab_daemon *d, const struct lab_daemon_config *cfg, int log_fd)
{
    char pid_text[24];
    const char *args[ARGS_MAX] = {
        "postfleet",    "serve",       "--role", "core",       "--data",
        d->dir,         "--log-level", "notice", "--http-url", "http://127.0.0.1:8025",
        "--parent-pid", pid_text};
    size_t n = 12;
    snprintf(pid_text, sizeof(pid_text), "%ld", (long)getpid());
    if (cfg->ahead) {
        args[n++] = "--ledger-ahead";
        args[n++] = cfg->ahead;
    }
    if (cfg->submission) {
        args[n++] = "--submission";
        args[n++] = cfg->submission;
    }
    d->pid = spawn(args, cfg->preload, log_fd, log_fd);
    return d->pid > 0;
}

/* The line `{"ready":true,...,"http":"http://..."}` tells where HTTP listens. */
static bool read_ready(struct lab_daemon *d, int fd, const char *log_path, struct err *e)
{
    char line[8192] = "";
    size_t n = 0;
    int64_t until = clock_boot_ms() + START_MS;
    while (n < sizeof(line) - 1 && !memchr(line, '\n', n)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = until - clock_boot_ms();
        ssize_t got =
            left > 0 && poll(&p, 1, (int)left) == 1 ? read(fd, line + n, sizeof(line) - 1 - n) : -1;
        if (got <= 0)
            return lab_daemon_alive(d) && got < 0
                       ? err_set(e, ERR_FAILED, "the daemon was not ready in time; see %s",
                                 log_path)
                       : died(d, log_path, e);
        n += (size_t)got;
    }
    line[n] = '\0';
    json_t *j = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    const char *http = json_string_value(json_object_get(j, "http"));
    (void)str_copy(str_of(http), d->http, sizeof(d->http));
    json_decref(j);
    return true;
}

static bool start_all(struct lab_daemon *d, const struct lab_daemon_config *cfg, int log_fd,
                      struct err *e)
{
    const char *args[] = {"postfleet", "serve", "--data", d->dir, "--json", NULL};
    int out[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        return err_set(e, ERR_FAILED, "pipe: %s", strerror(errno));
    d->pid = spawn(args, cfg->preload, out[1], log_fd);
    close(out[1]);
    bool ok = d->pid > 0 ? read_ready(d, out[0], cfg->log_path, e)
                         : err_set(e, ERR_FAILED, "cannot start a process: %s", strerror(errno));
    close(out[0]);
    return ok;
}

bool lab_daemon_start(struct lab_daemon *d, const struct lab_daemon_config *cfg, struct err *e)
{
    char db[LAB_PATH_MAX + 16];
    *d = (struct lab_daemon){0};
    if (!str_copy(str_of(cfg->dir), d->dir, sizeof(d->dir)))
        return err_set(e, ERR_INVALID, "the path of the data folder is too long");
    int log_fd = open(cfg->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return err_set(e, ERR_FAILED, "%s: %s", cfg->log_path, strerror(errno));
    bool ok = true;
    snprintf(db, sizeof(db), "%s/postfleet.db", d->dir);
    if (!cfg->with_web && access(db, F_OK) != 0)
        ok = initialise(d, cfg->log_path, e);
    if (ok && cfg->with_web)
        ok = start_all(d, cfg, log_fd, e);
    else if (ok && !start_core(d, cfg, log_fd))
        ok = err_set(e, ERR_FAILED, "cannot start a process: %s", strerror(errno));
    close(log_fd);
    if (ok && wait_ready(d, cfg, e))
        return true;
    (void)lab_daemon_stop(d);
    return false;
}

bool lab_daemon_stop(struct lab_daemon *d)
{
    link_client_free(&d->link);
    if (d->pid > 0)
        (void)kill(d->pid, SIGTERM);
    int64_t until = clock_boot_ms() + STOP_MS;
    while (lab_daemon_alive(d)) {
        if (clock_boot_ms() > until)
            (void)kill(d->pid, SIGKILL);
        nap(5);
    }
    return d->status == 0;
}

bool lab_daemon_call(struct lab_daemon *d, const char *op, json_t *args, struct str tail,
                     json_t **data_out, struct err *e)
{
    bool ok = link_call(d->link, op, args, tail, "user:lab", CALL_MS, data_out, e);
    json_decref(args);
    return ok || err_prefix(e, "%s", op);
}

bool lab_daemon_do(struct lab_daemon *d, const char *op, json_t *args, struct err *e)
{
    return lab_daemon_call(d, op, args, STR_NONE, NULL, e);
}

/* VmHWM: what the process itself had, not what it was forked from. */
double lab_daemon_peak_mb(const struct lab_daemon *d)
{
    char path[64], line[256];
    double kb = 0;
    snprintf(path, sizeof(path), "/proc/%ld/status", (long)d->pid);
    FILE *in = fopen(path, "re");
    while (in && fgets(line, sizeof(line), in))
        if (!strncmp(line, "VmHWM:", 6))
            kb = strtod(line + 6, NULL);
    if (in)
        fclose(in);
    return kb / 1024;
}

bool lab_self_run(const char *const *args, const char *log_path, int *status_out, struct err *e)
{
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0)
        return err_set(e, ERR_FAILED, "%s: %s", log_path, strerror(errno));
    struct lab_daemon child = {.pid = spawn(args, NULL, log_fd, log_fd)};
    close(log_fd);
    if (child.pid < 0)
        return err_set(e, ERR_FAILED, "cannot start a process: %s", strerror(errno));
    while (lab_daemon_alive(&child))
        nap(2);
    *status_out = child.status;
    return true;
}

/* ---- folders ---- */

bool lab_folder_new(const char *what, char *out, struct err *e)
{
    const char *base = getenv("TMPDIR");
    if (!base || base[0] != '/')
        base = "/tmp";
    int n = snprintf(out, LAB_PATH_MAX, "%s/postfleet-%s-XXXXXX", base, what);
    if (n < 0 || n >= LAB_PATH_MAX || !mkdtemp(out))
        return err_set(e, ERR_FAILED, "cannot make a folder below %s: %s", base, strerror(errno));
    return true;
}

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    bool empty = d != NULL;
    while (d && (entry = readdir(d)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            empty = false;
    if (d)
        closedir(d);
    return empty;
}

bool lab_folder_take(const char *dir, char *out, struct err *e)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_set(e, ERR_FAILED, "cannot make %s: %s", dir, strerror(errno));
    char *real = realpath(dir, NULL);
    bool ok = real && str_copy(str_of(real), out, LAB_PATH_MAX);
    free(real);
    if (!ok)
        return err_set(e, ERR_FAILED, "%s: %s", dir, strerror(errno ? errno : ENAMETOOLONG));
    if (!is_empty(out))
        return err_set(e, ERR_REFUSED, "%s is not empty: name a new folder", out);
    return true;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    (void)remove(path);
    return 0;
}

void lab_folder_remove(const char *dir)
{
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
