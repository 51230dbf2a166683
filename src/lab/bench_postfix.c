/* A Postfix of our own beside the one that may run here: its configuration, queue and port are ours
 * alone, and it ends with us. Tuned for the work of `bench relay`; doc/BENCH.md names each setting
 * and why. It stays durable: a queue file is synced before its 250, as it always is. */
#include "lab/bench_inner.h"

#include "base/buf.h"
#include "base/clock.h"
#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS   30000
#define STOP_MS    10000
#define CONFIG_MAX 65536

static const char *find_binary(void)
{
    static const char *const places[] = {"/usr/sbin/postfix", "/usr/local/sbin/postfix",
                                         "/usr/lib/postfix/sbin/postfix"};
    for (size_t i = 0; i < countof(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

const char *bench_postfix_why_not(void)
{
    if (!find_binary())
        return "not installed; bench/with-postfix lends one";
    if (geteuid() != 0)
        return "needs root to start";
    return getpwnam("postfix") ? NULL : "has no user `postfix`";
}

/* ---- configuration */

static const char settings[] =
    "compatibility_level = 3.6\n"
    "inet_interfaces = 127.0.0.1\n"
    "inet_protocols = ipv4\n"
    "myhostname = bench.example\n"
    "mydestination =\n"
    "mynetworks = 127.0.0.0/8\n"
    "smtpd_relay_restrictions = permit_mynetworks, reject\n"
    /* processes and concurrency: never what it waits for */
    "default_process_limit = 400\n"
    "qmgr_message_active_limit = 60000\n"
    "qmgr_message_recipient_limit = 60000\n"
    "smtpd_client_connection_count_limit = 0\n"
    "smtpd_client_event_limit_exceptions = static:all\n"
    "max_use = 100000\n"
    "max_idle = 600s\n"
    "in_flow_delay = 0\n"
    /* the way out: no look-ups, connections kept */
    "smtp_connection_cache_on_demand = yes\n"
    "smtp_connection_cache_destinations = static:all\n"
    "smtp_connection_reuse_time_limit = 600s\n"
    "smtp_dns_support_level = disabled\n"
    "smtp_tls_security_level = none\n"
    /* checks that cost and find nothing here */
    "receive_override_options = no_header_body_checks, no_unknown_recipient_checks, "
    "no_address_mappings\n"
    "smtpd_peername_lookup = no\n"
    "smtputf8_enable = no\n"
    "local_recipient_maps =\n"
    "local_header_rewrite_clients =\n"
    "notify_classes =\n"
    "maillog_file_prefixes = /\n";

static const char services[] = "pickup unix n - n 60 1 pickup\n"
                               "cleanup unix n - n - 0 cleanup\n"
                               "qmgr unix n - n 300 1 qmgr\n"
                               "rewrite unix - - n - - trivial-rewrite\n"
                               "bounce unix - - n - 0 bounce\n"
                               "defer unix - - n - 0 bounce\n"
                               "trace unix - - n - 0 bounce\n"
                               "verify unix - - n - 1 verify\n"
                               "flush unix n - n 1000? 0 flush\n"
                               "proxymap unix - - n - - proxymap\n"
                               "proxywrite unix - - n - 1 proxymap\n"
                               "smtp unix - - n - - smtp\n"
                               "relay unix - - n - - smtp\n"
                               "showq unix n - n - - showq\n"
                               "error unix - - n - - error\n"
                               "retry unix - - n - - error\n"
                               "discard unix - - n - - discard\n"
                               "anvil unix - - n - 1 anvil\n"
                               "scache unix - - n - 1 scache\n"
                               "postlog unix-dgram n - n - 1 postlogd\n";

static bool write_file(const char *dir, const char *name, const struct buf *text, struct err *e)
{
    char path[LAB_PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && write(fd, text->p, text->n) == (ssize_t)text->n;
    if (!ok)
        err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return ok;
}

/* A destination for each sink, as many connections to it as we have. */
static bool write_main(const struct bench_postfix *p, const uint16_t *ports, size_t n,
                       uint64_t connections, struct err *e)
{
    struct buf b;
    unsigned long long each = MAX(connections / n, (uint64_t)1);
    buf_init(&b, CONFIG_MAX);
    bool ok = buf_adds(&b, settings) &&
              buf_addf(&b,
                       "queue_directory = %s/queue\ndata_directory = %s/data\nmaillog_file = "
                       "%s/mail.log\ninitial_destination_concurrency = %llu\n"
                       "default_destination_concurrency_limit = %llu\ntransport_maps = inline:{",
                       p->dir, p->dir, p->dir, each, each);
    for (size_t i = 0; ok && i < n; i++)
        ok = buf_addf(&b, "%s {r%zu.example = smtp:[127.0.0.1]:%u}", i ? "," : "", i, ports[i]);
    ok = ok && buf_adds(&b, " }\n") && write_file(p->dir, "main.cf", &b, e);
    buf_free(&b);
    return ok;
}

static bool write_master(const struct bench_postfix *p, struct err *e)
{
    struct buf b;
    buf_init(&b, CONFIG_MAX);
    bool ok = buf_addf(&b, "127.0.0.1:%u inet n - n - - smtpd\n", p->port) &&
              buf_adds(&b, services) && write_file(p->dir, "master.cf", &b, e);
    buf_free(&b);
    return ok;
}

static bool make_folders(const struct bench_postfix *p, struct err *e)
{
    const struct passwd *owner = getpwnam("postfix");
    char queue[LAB_PATH_MAX + 16], data[LAB_PATH_MAX + 16];
    snprintf(queue, sizeof(queue), "%s/queue", p->dir);
    snprintf(data, sizeof(data), "%s/data", p->dir);
    return (owner && mkdir(p->dir, 0755) == 0 && mkdir(queue, 0755) == 0 &&
            mkdir(data, 0700) == 0 && chown(data, owner->pw_uid, owner->pw_gid) == 0) ||
           err_set(e, ERR_FAILED, "folders of Postfix below %s: %s", p->dir, strerror(errno));
}

/* ---- its process */

static _Noreturn void become(const char *binary, const char *dir, int log_fd, pid_t parent)
{
    char *const env[] = {(char[]){"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, (char[]){"LC_ALL=C"},
                         NULL};
    const char *const args[] = {"postfix", "-c", dir, "start-fg", NULL};
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (setpgid(0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent ||
        dup2(log_fd, 1) < 0 || dup2(log_fd, 2) < 0)
        _exit(127);
    execve(binary, (char *const *)(uintptr_t)args, env);
    _exit(127);
}

static bool is_alive(struct bench_postfix *p)
{
    if (p->pid > 0 && waitpid(p->pid, NULL, WNOHANG) == p->pid)
        p->pid = 0;
    return p->pid > 0;
}

static bool greets(const struct bench_postfix *p)
{
    const struct bench_load one = {.port = p->port,
                                   .connections = 1,
                                   .per_connection = 1,
                                   .domains = 1}; /* connects, no more */
    struct bench_loaded out;
    struct err e;
    return bench_load_run(&one, &out, &e);
}

static bool wait_ready(struct bench_postfix *p, struct err *e)
{
    for (int64_t until = clock_boot_ms() + START_MS; clock_boot_ms() < until;) {
        if (!is_alive(p))
            break;
        if (greets(p))
            return true;
        (void)poll(NULL, 0, 50);
    }
    return err_set(e, ERR_FAILED, "Postfix did not start; it said why in %s/start.log or mail.log",
                   p->dir);
}

static bool find_port(uint16_t *out, struct err *e)
{
    int fd = listen_tcp_socket("127.0.0.1:0", out, e);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

bool bench_postfix_start(struct bench_postfix *p, const char *folder, const uint16_t *ports,
                         size_t n_ports, uint64_t connections, struct err *e)
{
    char path[LAB_PATH_MAX + 16];
    const char *binary = find_binary();
    pid_t parent = getpid();
    *p = (struct bench_postfix){0};
    if (snprintf(p->dir, sizeof(p->dir), "%s/postfix", folder) >= LAB_PATH_MAX || !binary)
        return err_set(e, ERR_FAILED, "Postfix cannot be started below %s", folder);
    if (chmod(folder, 0755) != 0 || !make_folders(p, e) || !find_port(&p->port, e) ||
        !write_main(p, ports, n_ports, connections, e) || !write_master(p, e))
        return false;
    snprintf(path, sizeof(path), "%s/start.log", p->dir);
    int log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_fd < 0)
        return err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    p->pid = fork();
    if (p->pid == 0)
        become(binary, p->dir, log_fd, parent);
    close(log_fd);
    return wait_ready(p, e);
}

void bench_postfix_stop(struct bench_postfix *p)
{
    if (p->pid > 0)
        (void)kill(p->pid, SIGTERM);
    for (int64_t until = clock_boot_ms() + STOP_MS; is_alive(p);) {
        if (clock_boot_ms() > until)
            (void)kill(p->pid, SIGKILL);
        (void)poll(NULL, 0, 20);
    }
}
