/* The start, the workers and the end of the process web. Workers take requests whose body is
 * complete, run their handler with a database handle of their own, and give them back to the
 * listener. Two kinds, so that imports and tests of servers never hold up the others. */
#include "api/web.h"

#include "api/inner.h"
#include "api/throttle.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/listen.h"
#include "store/db.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define FAST_WORKERS 6
#define SLOW_WORKERS 4
#define FAST_QUEUE   512
#define SLOW_QUEUE   64
#define LINK_CALLS   16
#define STOP_WAIT_MS 5000
#define STOP_MORE_MS 2000

static pthread_key_t db_key;

static void close_db(void *db)
{
    struct db *d = db;
    db_close(&d);
}

struct db *web_db(struct web *w, struct err *e)
{
    struct db *db = pthread_getspecific(db_key);
    if (db)
        return db;
    if (!db_open(w->db_path, DB_READ_ONLY, &db, e)) {
        e->code = ERR_LATER;
        return NULL;
    }
    pthread_setspecific(db_key, db);
    return db;
}

static void run(struct web *w, struct http_request *r)
{
    struct err e;
    if (w->is_stopping) {
        r->must_close = true;
        http_answer_problem(r, 503, "later", "the daemon is stopping: try again in a few seconds");
        return;
    }
    bool needs_db = strcmp(r->route->pattern, "/livez") != 0 &&
                    strcmp(r->route->pattern, "/readyz") != 0 &&
                    strcmp(r->route->pattern, "/v1/openapi.json") != 0;
    r->db = needs_db ? web_db(w, &e) : NULL;
    if (needs_db && !r->db)
        http_answer_error(r, &e);
    else if (body_is_understood(r))
        r->route->handle(r);
    r->db = NULL;
}

struct worker {
    struct web *web;
    struct queue *queue;
    pthread_t thread;
    bool is_over;
};

static void *work(void *arg)
{
    struct worker *k = arg;
    struct http_request *r;
    while ((r = queue_pop(k->queue)) != NULL) {
        run(k->web, r);
        http_resume(r);
    }
    return NULL;
}

static bool start_workers(struct web *w, struct worker *workers, struct err *e)
{
    for (int i = 0; i < FAST_WORKERS + SLOW_WORKERS; i++) {
        workers[i] = (struct worker){.web = w, .queue = i < FAST_WORKERS ? w->fast : w->slow};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return err_set(e, ERR_FAILED, "no thread can be started");
    }
    return true;
}

static bool listen_all(struct web *w, struct http_listener **tcp, struct http_listener **local,
                       struct err *e)
{
    char path[4200];
    uint16_t port = 0;
    snprintf(path, sizeof(path), "%s/api.sock", w->config->data_dir);
    int fd = listen_unix_socket(path, e);
    if (fd < 0 || !http_listen(w, fd, true, local, e))
        return false;
    if (!w->config->http_listen)
        return true;
    fd = listen_tcp_socket(w->config->http_listen, &port, e);
    if (fd < 0 || !http_listen(w, fd, false, tcp, e))
        return false;
    log_event(LOG_INFO, "http.listening", "address=%s socket=%s", w->config->http_listen, path);
    return true;
}

static void wait_for_signal(void)
{
    sigset_t set;
    int signum = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigwait(&set, &signum);
}

/* Before any thread is made: all of them leave these signals to the main one. */
static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Those that are not joined yet; false: some still work. */
static bool join_some(struct worker *workers, int ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    bool all = true;
    for (int i = 0; i < FAST_WORKERS + SLOW_WORKERS; i++) {
        struct worker *k = &workers[i];
        k->is_over = k->is_over || pthread_timedjoin_np(k->thread, NULL, &until) == 0;
        all = all && k->is_over;
    }
    return all;
}

/* Nobody may be suspended when a listener stops: each request gets its answer first. Who waits for
 * core too long is told so. A worker that even then works on is not waited for: the process ends
 * without it. */
static bool join_workers(struct web *w, struct worker *workers)
{
    queue_close(w->fast);
    queue_close(w->slow);
    if (join_some(workers, STOP_WAIT_MS))
        return true;
    link_client_stop(w->link);
    return join_some(workers, STOP_MORE_MS);
}

static struct web *web_new(const struct api_web_config *config)
{
    struct web *w = alloc_one(struct web);
    char path[4200];
    w->config = config;
    w->started_at = clock_wall_ms();
    snprintf(path, sizeof(path), "%s/postfleet.db", config->data_dir);
    w->db_path = alloc_copy(path);
    snprintf(path, sizeof(path), "%s/link.sock", config->data_dir);
    w->link = link_client_new(path, LINK_CALLS);
    w->throttle = throttle_new();
    w->fast = queue_new(FAST_QUEUE, NULL, NULL);
    w->slow = queue_new(SLOW_QUEUE, NULL, NULL);
    pthread_mutex_init(&w->keys_lock, NULL);
    return w;
}

static void web_free(struct web *w)
{
    queue_free(&w->fast);
    queue_free(&w->slow);
    link_client_free(&w->link);
    throttle_free(&w->throttle);
    pthread_mutex_destroy(&w->keys_lock);
    free(w->db_path);
    free(w);
}

int api_web_main(const struct api_web_config *config)
{
    struct worker workers[FAST_WORKERS + SLOW_WORKERS];
    struct http_listener *tcp = NULL, *local = NULL;
    struct err e;
    block_signals();
    pthread_key_create(&db_key, close_db);
    struct web *w = web_new(config);
    if (!watch_start() || !start_workers(w, workers, &e) || !listen_all(w, &tcp, &local, &e)) {
        log_event(LOG_ERROR, "web.failed", "why=\"%s\"", e.text);
        return 1;
    }
    wait_for_signal();
    w->is_stopping = true;
    if (tcp)
        http_quiesce(tcp);
    http_quiesce(local);
    if (!join_workers(w, workers))
        _exit(0);
    http_stop(&tcp);
    http_stop(&local);
    watch_stop();
    web_free(w);
    return 0;
}
