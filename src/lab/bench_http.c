/* `bench http`: batches of messages over the HTTP API until they are durable; sending is paused.
 * The baseline writes the same bytes to a file, one sync a batch, in one thread. Clients are plain
 * sockets that post bodies made before the clock starts. */
#include "lab/bench_inner.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGES_USUAL 40000
#define BATCH          1000
#define CLIENTS_USUAL  4
#define ANSWER_MAX     (1u << 20)
#define BODY_MAX       (64u << 20)

struct place {
    char folder[LAB_PATH_MAX], data[LAB_PATH_MAX + 8], log[LAB_PATH_MAX + 16];
    char key[100];
    struct sockaddr_in at;
    struct lab_daemon daemon;
};

struct posting {
    struct place *p;
    struct buf *bodies;
    size_t n, next; /* under the lock */
    pthread_mutex_t lock;
    struct err error;
    bool failed;
};

/* ---- bodies ---- */

static bool add_text(struct buf *b, size_t bytes, uint64_t seed)
{
    static const char *const words[] = {"order",  "invoice", "thank",   "delivery", "tomorrow",
                                        "number", "please",  "account", "your",     "with"};
    size_t end = b->n + bytes;
    bool ok = true;
    for (uint64_t i = seed; ok && b->n < end;
         i = i * 6364136223846793005ull + 1442695040888963407ull)
        ok = buf_adds(b, words[(i >> 33) % countof(words)]) &&
             buf_adds(b, i % 11 == 0 ? ".\\r\\n" : " ");
    return ok;
}

/* Texts of their own, or one template with variables. */
static bool make_body(struct buf *b, size_t batch, size_t text, bool templated)
{
    bool ok = buf_adds(b, "{\"defaults\":{\"from\":\"Shop <shop@shop.example>\",\"subject\":"
                          "\"Your order\"");
    ok = ok && buf_adds(b, templated ? ",\"template\":\"receipt\"" : "") &&
         buf_adds(b, "},\"messages\":[");
    for (size_t i = 0; ok && i < BATCH; i++) {
        size_t n = batch * BATCH + i;
        ok = buf_addf(b, "%s{\"to\":\"reader%zu@example.com\"", i ? "," : "", n);
        if (ok && templated)
            ok = buf_addf(b, ",\"variables\":{\"name\":\"Reader %zu\",\"order\":{\"id\":%zu}}}", n,
                          n * 7);
        else
            ok = ok && buf_adds(b, ",\"text\":\"") && add_text(b, text, n) && buf_adds(b, "\"}");
    }
    return ok && buf_adds(b, "]}");
}

/* ---- a client ---- */

static bool send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

/* A whole answer: head and body by Content-Length. */
static bool read_answer(int fd, struct buf *in)
{
    static const char length[] = "Content-Length: ";
    buf_clear(in);
    for (;;) {
        char piece[65536];
        ssize_t n = recv(fd, piece, sizeof(piece), 0);
        if (n <= 0 || !buf_add(in, piece, (size_t)n))
            return false;
        struct str all = buf_str(in);
        ptrdiff_t end = str_find(all, STR("\r\n\r\n")), at = str_find(all, str_of(length));
        if (end < 0 || at < 0)
            continue;
        size_t body = strtoul(buf_cstr(in) + at + sizeof(length) - 1, NULL, 10);
        if (all.n >= (size_t)end + 4 + body)
            return true;
    }
}

static bool post_one(struct posting *w, int fd, const struct buf *body, struct buf *in)
{
    char head[400];
    int n =
        snprintf(head, sizeof(head),
                 "POST /v1/messages:batch HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n"
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                 w->p->key, body->n);
    if (!send_all(fd, head, (size_t)n) || !send_all(fd, body->p, body->n) || !read_answer(fd, in))
        return err_set(&w->error, ERR_FAILED, "the daemon closed the connection");
    struct str all = buf_str(in);
    if (str_starts(all, STR("HTTP/1.1 202")) && str_find(all, STR("\"rejected\":0")) > 0)
        return true;
    return err_set(&w->error, ERR_FAILED, "a batch was not accepted: %.300s", buf_cstr(in));
}

static void *client(void *arg)
{
    struct posting *w = arg;
    struct buf in;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (const struct sockaddr *)&w->p->at, sizeof(w->p->at)) == 0;
    if (ok)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    buf_init(&in, ANSWER_MAX);
    while (ok && !bench_asked_to_end) {
        pthread_mutex_lock(&w->lock);
        size_t i = w->next < w->n && !w->failed ? w->next++ : w->n;
        pthread_mutex_unlock(&w->lock);
        if (i == w->n)
            break;
        ok = post_one(w, fd, &w->bodies[i], &in);
    }
    if (!ok) {
        pthread_mutex_lock(&w->lock);
        w->failed = true;
        pthread_mutex_unlock(&w->lock);
    }
    buf_free(&in);
    if (fd >= 0)
        close(fd);
    return NULL;
}

static bool post_all(struct posting *w, size_t clients, double *seconds_out, struct err *e)
{
    pthread_t threads[64];
    size_t started = 0;
    pthread_mutex_init(&w->lock, NULL);
    int64_t t0 = clock_boot_us();
    while (started < MIN(clients, countof(threads)) &&
           pthread_create(&threads[started], NULL, client, w) == 0)
        started++;
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    *seconds_out = (double)(clock_boot_us() - t0) / 1e6;
    pthread_mutex_destroy(&w->lock);
    if (!w->failed && started)
        return true;
    return err_set(e, ERR_FAILED, "%s",
                   w->error.text[0] ? w->error.text : "no client could connect");
}

/* ---- the baseline ---- */

static bool write_raw(const struct place *p, const struct posting *w, double *seconds_out,
                      struct err *e)
{
    char path[LAB_PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/raw", p->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    int64_t t0 = clock_boot_us();
    for (size_t i = 0; ok && i < w->n; i++)
        ok = write(fd, w->bodies[i].p, w->bodies[i].n) == (ssize_t)w->bodies[i].n &&
             fdatasync(fd) == 0;
    *seconds_out = (double)(clock_boot_us() - t0) / 1e6;
    if (!ok)
        err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    unlink(path);
    return ok;
}

/* ---- the whole ---- */

static bool read_address(struct place *p, struct err *e)
{
    struct str all = str_of(p->daemon.http);
    ptrdiff_t colon = str_rchr(all, ':');
    uint64_t port = 0;
    if (colon < 0 || !str_to_u64(str_from_index(all, (size_t)colon + 1), 65535, &port))
        return err_set(e, ERR_FAILED, "the daemon has no HTTP listener: \"%s\"", p->daemon.http);
    p->at = (struct sockaddr_in){.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    return true;
}

static bool prepare(struct place *p, struct err *e)
{
    json_t *data = NULL;
    struct lab_daemon *d = &p->daemon;
    struct lab_daemon_config cfg = {.dir = p->data, .log_path = p->log, .with_web = true};
    if (!lab_daemon_start(d, &cfg, e) || !read_address(p, e) ||
        !lab_daemon_do(d, "system.pause", NULL, e) ||
        !lab_daemon_do(d, "template.add",
                       json_pack("{s:s, s:s, s:s}", "name", "receipt", "subject",
                                 "Order {{ order.id }}", "text",
                                 "Dear {{ name }},\nyour order {{ order.id }} is on its way.\n"),
                       e) ||
        !lab_daemon_call(d, "key.create",
                         json_pack("{s:s, s:s}", "name", "bench", "scope", "messages:send"),
                         STR_NONE, &data, e))
        return false;
    snprintf(p->key, sizeof(p->key), "%s", json_string_value(json_object_get(data, "key")));
    json_decref(data);
    return true;
}

struct figures {
    double rate, raw_rate, bytes, cpu_us;
};

/* Processor time that core has used, us. */
static double cpu_of_core(struct place *p)
{
    json_t *status = NULL;
    struct err e;
    double us = lab_daemon_call(&p->daemon, "live.status", NULL, STR_NONE, &status, &e)
                    ? (double)json_integer_value(json_object_get(status, "cpu_us"))
                    : 0;
    json_decref(status);
    return us;
}

static bool measure(struct place *p, const struct bench_options *o, bool templated,
                    struct figures *f, struct err *e)
{
    size_t messages = o->contacts ? o->contacts : MESSAGES_USUAL;
    struct posting w = {.p = p, .n = MAX(messages / BATCH, (size_t)1)};
    double seconds = 1, raw_seconds = 1, total = 0;
    bool ok = true;
    w.bodies = alloc_many(struct buf, w.n);
    for (size_t i = 0; i < w.n; i++) {
        buf_init(&w.bodies[i], BODY_MAX);
        ok = ok && make_body(&w.bodies[i], i, o->body, templated);
        total += (double)w.bodies[i].n;
    }
    if (!ok)
        err_set(e, ERR_TOO_BIG, "body: a batch of %d would be over 64 MB", BATCH);
    double cpu_us = cpu_of_core(p);
    ok = ok && write_raw(p, &w, &raw_seconds, e) &&
         post_all(&w, o->connections ? o->connections : CLIENTS_USUAL, &seconds, e);
    double n = (double)(w.n * BATCH);
    *f = (struct figures){n / seconds, n / raw_seconds, total / n, (cpu_of_core(p) - cpu_us) / n};
    for (size_t i = 0; i < w.n; i++)
        buf_free(&w.bodies[i]);
    free(w.bodies);
    return ok;
}

static bool run(struct place *p, const struct bench_options *o, struct err *e)
{
    struct bench_figures f;
    struct figures texts, templates;
    bool ok =
        o->keep ? lab_folder_take(o->keep, p->folder, e) : lab_folder_new("bench", p->folder, e);
    snprintf(p->data, sizeof(p->data), "%s/data", p->folder);
    snprintf(p->log, sizeof(p->log), "%s/daemon.log", p->folder);
    if (!ok || !prepare(p, e) || !measure(p, o, true, &templates, e) ||
        !measure(p, o, false, &texts, e))
        return false;
    bench_begin(&f, o, "http");
    bench_put(&f, "batch", BATCH, "messages of a batch", "");
    bench_put(&f, "text_bytes", texts.bytes, "bytes of a message with a text of its own", "");
    bench_put(&f, "messages_per_s", texts.rate, "accepted durably", "/s");
    bench_put(&f, "raw_per_s", texts.raw_rate, "raw: the same bytes to a file, a sync a batch",
              "/s");
    bench_put(&f, "cpu_us_per_message", texts.cpu_us, "CPU of core a message", "us");
    bench_put(&f, "ratio", texts.rate / texts.raw_rate, "ratio", "");
    bench_put(&f, "template_bytes", templates.bytes, "bytes of a message by a template", "");
    bench_put(&f, "template_per_s", templates.rate, "accepted durably", "/s");
    bench_put(&f, "template_raw_per_s", templates.raw_rate, "raw", "/s");
    bench_put(&f, "template_cpu_us_per_message", templates.cpu_us, "CPU of core a message", "us");
    bench_put(&f, "template_ratio", templates.rate / templates.raw_rate, "ratio", "");
    bench_end(&f);
    return true;
}

int bench_http(const struct bench_options *o, struct err *e)
{
    struct place p = {.key = ""};
    bool ok = run(&p, o, e);
    if (p.daemon.pid > 0)
        (void)lab_daemon_stop(&p.daemon);
    if (p.folder[0] && !o->keep)
        lab_folder_remove(p.folder);
    return bench_asked_to_end ? 130 : ok ? 0 : -1;
}
