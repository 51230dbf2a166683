/* libcurl behind client.h. One easy handle for the life of a command, so connections are reused. */
#include "main/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/secret.h"
#include "main/datadir.h"
#include "main/output.h"

#define ANSWER_MAX (64u << 20)
#define PAGE_LIMIT 500
/* `postfleet serve &` and the next command begin together: a daemon that starts is waited for. */
#define BEGIN_MS   500   /* without a sign of it */
#define START_MS   10000 /* while its process lives */
#define LOOK_MS    20

struct daemon {
    CURL *curl;
    char *base;              /* "http://localhost" or the URL, no slash at the end */
    char *where;             /* for errors: the socket's folder or the URL */
    struct curl_slist *auth; /* Authorization line, when there is a key */
    int dir_fd;              /* of the data directory; -1 with a URL */
    const struct command *command;
    char error[CURL_ERROR_SIZE];
};

struct transfer {
    struct buf answer;
    int out_fd; /* where a 2xx body goes instead; -1: into answer */
    CURL *curl;
    const struct upload *up;
    int64_t sent;
    struct progress bar;
    bool read_failed;
};

/* ---- interrupts ---- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    interrupted = sig;
}

void interrupt_catch(void)
{
    struct sigaction sa = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
}

bool interrupt_seen(void)
{
    return interrupted != 0;
}

bool interrupt_sleep(int64_t ms)
{
    int64_t until = clock_boot_ms() + ms;
    while (!interrupted) {
        int64_t left = until - clock_boot_ms();
        if (left <= 0)
            return true;
        poll(NULL, 0, (int)MIN(left, 1000));
    }
    return false;
}

/* ---- where the daemon is ---- */

const char *data_dir(const struct cmd *c)
{
    struct stat st;
    const char *given = cmd_text(c, "data"), *env = getenv("POSTFLEET_DATA");
    if (given)
        return given;
    if (env && env[0])
        return env;
    if (stat("postfleet-data", &st) != 0 && stat("/var/lib/postfleet", &st) == 0 &&
        S_ISDIR(st.st_mode))
        return "/var/lib/postfleet";
    return "postfleet-data";
}

static bool read_token(struct daemon *cl, const char *path, struct err *e)
{
    char line[600];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line + 22, sizeof(line) - 23);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return err_set(e, ERR_INVALID, "cannot read the key file %s: %s", path, strerror(errno));
    memcpy(line, "Authorization: Bearer ", 22);
    struct str key = str_trim(str_from(line + 22, (size_t)n));
    bool fine = key.n > 0;
    for (size_t i = 0; i < key.n; i++)
        fine = fine && key.p[i] > 0x20 && key.p[i] < 0x7f;
    if (fine) {
        memmove(line + 22, key.p, key.n);
        line[22 + key.n] = '\0';
        cl->auth = curl_slist_append(NULL, line);
    }
    secret_wipe(line, sizeof(line));
    return fine ||
           err_set(e, ERR_INVALID, "%s holds no API key; postfleet key create makes one", path);
}

static bool use_url(struct daemon *cl, const char *url, const char *token_file, struct err *e)
{
    struct str s = str_of(url);
    if (!str_starts(s, STR("http://")) && !str_starts(s, STR("https://")))
        return err_set(e, ERR_INVALID, "--url %.200s: must begin with http:// or https://", url);
    while (s.n && s.p[s.n - 1] == '/')
        s.n--;
    cl->base = str_dup(s);
    cl->where = str_dup(s);
    return !token_file || read_token(cl, token_file, e);
}

/* A socket address holds 107 bytes: the way over the folder's descriptor fits for any depth. */
static bool use_socket(struct daemon *cl, const char *dir, struct err *e)
{
    char path[64];
    int64_t begin = clock_boot_ms();
    do
        cl->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    while (cl->dir_fd < 0 && errno == ENOENT && clock_boot_ms() - begin < BEGIN_MS &&
           poll(NULL, 0, LOOK_MS) == 0);
    if (cl->dir_fd < 0)
        return err_set(e, ERR_UNREACHABLE,
                       "no daemon reached: data directory %s: %s; name it with --data, or start "
                       "postfleet serve",
                       dir, strerror(errno));
    snprintf(path, sizeof(path), "/proc/self/fd/%d/api.sock", cl->dir_fd);
    curl_easy_setopt(cl->curl, CURLOPT_UNIX_SOCKET_PATH, path);
    cl->base = alloc_copy("http://localhost");
    cl->where = alloc_copy(dir);
    return true;
}

struct daemon *daemon_new(const struct cmd *c, int *status_out)
{
    struct daemon *cl = alloc_one(struct daemon);
    struct err e = {0};
    const char *url = cmd_text(c, "url"), *token = cmd_text(c, "token-file");
    cl->dir_fd = -1;
    cl->command = c->command;
    cl->curl = curl_easy_init();
    check(cl->curl);
    if (!url && !cmd_has(c, "data") && getenv("POSTFLEET_URL")) {
        url = getenv("POSTFLEET_URL");
        token = getenv("POSTFLEET_TOKEN_FILE");
    }
    bool ok = url ? use_url(cl, url, token, &e) : use_socket(cl, data_dir(c), &e);
    if (ok) {
        interrupt_catch();
        return cl;
    }
    *status_out = output_fail(&e);
    daemon_free(&cl);
    return NULL;
}

void daemon_free(struct daemon **at)
{
    struct daemon *cl = *at;
    *at = NULL;
    if (!cl)
        return;
    curl_easy_cleanup(cl->curl);
    curl_slist_free_all(cl->auth);
    if (cl->dir_fd >= 0)
        close(cl->dir_fd);
    free(cl->base);
    free(cl->where);
    free(cl);
}

/* ---- paths ---- */

char *daemon_path(const char *pattern, ...)
{
    struct buf b;
    va_list ap;
    va_start(ap, pattern);
    buf_init(&b, 1 << 16);
    for (const char *p = pattern; *p; p++) {
        if (p[0] == '%' && p[1] == 's') {
            codec_percent_add(&b, str_of(va_arg(ap, const char *)));
            p++;
        } else {
            buf_addc(&b, *p);
        }
    }
    va_end(ap);
    return buf_steal(&b, NULL);
}

char *daemon_query(char *path, const char *key, const char *value)
{
    struct buf b;
    if (!value)
        return path;
    buf_init(&b, 1 << 16);
    buf_addf(&b, "%s%c%s=", path, strchr(path, '?') ? '&' : '?', key);
    codec_percent_add(&b, str_of(value));
    free(path);
    return buf_steal(&b, NULL);
}

/* ---- one call ---- */

static size_t on_answer(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    long status = 0;
    (void)size;
    curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (t->out_fd < 0 || status / 100 != 2)
        return buf_add(&t->answer, p, n) ? n : 0;
    for (size_t done = 0; done < n;) {
        ssize_t w = write(t->out_fd, p + done, n - done);
        if (w < 0 && errno != EINTR)
            return 0;
        done += w > 0 ? (size_t)w : 0;
    }
    return n;
}

static size_t on_upload(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    ssize_t got;
    do
        got = read(t->up->fd, p, size * n);
    while (got < 0 && errno == EINTR && !interrupted);
    if (got < 0) {
        t->read_failed = true;
        return CURL_READFUNC_ABORT;
    }
    t->sent += got;
    return (size_t)got;
}

static int on_progress(void *ctx, curl_off_t dl_total, curl_off_t dl, curl_off_t ul_total,
                       curl_off_t ul)
{
    struct transfer *t = ctx;
    (void)dl_total, (void)dl, (void)ul_total;
    if (t->up && t->up->label && t->sent > 0)
        progress_show(&t->bar, ul, t->up->size > 0 && ul >= t->up->size ? "working" : NULL, false);
    return interrupted != 0;
}

static struct curl_slist *add_body(struct daemon *cl, const struct upload *up, char **json_out)
{
    struct curl_slist *head = NULL;
    char line[200];
    if (up && up->type) {
        snprintf(line, sizeof(line), "Content-Type: %s", up->type);
        curl_easy_setopt(cl->curl, CURLOPT_POST, 1L);
        curl_easy_setopt(cl->curl, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(cl->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)(up->size > 0 ? up->size : -1));
        if (up->size <= 0)
            head = curl_slist_append(head, "Transfer-Encoding: chunked");
    } else {
        *json_out = up && up->json ? json_dumps(up->json, JSON_COMPACT) : NULL;
        snprintf(line, sizeof(line), "Content-Type: application/json");
        curl_easy_setopt(cl->curl, CURLOPT_POSTFIELDS, *json_out ? *json_out : "");
    }
    head = curl_slist_append(head, line);
    if (up && up->idempotency_key) {
        snprintf(line, sizeof(line), "Idempotency-Key: %s", up->idempotency_key);
        head = curl_slist_append(head, line);
    }
    return curl_slist_append(head, "Expect:");
}

static void prepare(struct daemon *cl, const char *method, const char *url, struct transfer *t)
{
    CURL *h = cl->curl;
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L); /* a name may be ".." */
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, cl->error);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "postfleet");
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(h, CURLOPT_READDATA, t);
    curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(h, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
}

static json_t *problem_new(int status, enum err_code code, const char *detail)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title",
                     err_code_name(code), "status", status, "code", err_code_name(code), "detail",
                     detail);
}

static bool may_not_open(const struct daemon *cl)
{
    return faccessat(cl->dir_fd, "api.sock", W_OK, AT_EACCESS) != 0 && errno == EACCES;
}

/* Nobody listens: is a daemon about to? Waits a little before it says yes. */
static bool may_begin(const struct daemon *cl, CURLcode rc, int64_t begin)
{
    if (rc != CURLE_COULDNT_CONNECT || cl->dir_fd < 0 || may_not_open(cl))
        return false;
    int64_t most = datadir_is_held(cl->dir_fd) ? START_MS : BEGIN_MS;
    return clock_boot_ms() - begin < most && interrupt_sleep(LOOK_MS);
}

/* No HTTP answer at all. */
static json_t *problem_lost(struct daemon *cl, CURLcode rc, const struct transfer *t)
{
    char text[900];
    if (t->read_failed)
        return problem_new(400, ERR_FAILED, "the input could not be read to its end");
    if (t->answer.overflow)
        return problem_new(502, ERR_TOO_BIG, "the answer of the daemon is over 64 MB");
    if (rc == CURLE_WRITE_ERROR)
        return problem_new(500, ERR_FAILED, "the answer could not be written; is the disk full?");
    bool no_peer = rc == CURLE_COULDNT_CONNECT || rc == CURLE_COULDNT_RESOLVE_HOST;
    if (cl->dir_fd >= 0 && no_peer && may_not_open(cl)) {
        snprintf(text, sizeof(text),
                 "the daemon in %s is for its owner and root only: run this as one of them, or "
                 "with --url and --token-file",
                 cl->where);
        return problem_new(403, ERR_NOT_ALLOWED, text);
    }
    if (cl->dir_fd >= 0 && no_peer)
        snprintf(text, sizeof(text),
                 "no daemon reached in %s; start it with postfleet serve --data %s", cl->where,
                 cl->where);
    else
        snprintf(text, sizeof(text), "no answer from the daemon at %s: %s", cl->where,
                 cl->error[0] ? cl->error : curl_easy_strerror(rc));
    return problem_new(502, ERR_UNREACHABLE, text);
}

static int status_of_problem(long http, const json_t *problem)
{
    static const struct {
        long http;
        int exit;
    } by_http[] = {{400, 2}, {401, 7}, {403, 7},  {404, 3}, {405, 2},  {413, 2},
                   {415, 2}, {422, 5}, {429, 75}, {502, 6}, {503, 75}, {507, 75}};
    const char *code = json_string_value(json_object_get(problem, "code"));
    for (int k = ERR_FAILED; code && k <= ERR_TOO_BIG; k++)
        if (!strcmp(err_code_name((enum err_code)k), code))
            return err_exit_status((enum err_code)k);
    for (size_t i = 0; i < countof(by_http); i++)
        if (by_http[i].http == http)
            return by_http[i].exit;
    return 1;
}

static int read_answer(struct daemon *cl, struct transfer *t, json_t **answer_out,
                       json_t **problem_out)
{
    long http = 0;
    json_error_t je;
    curl_easy_getinfo(cl->curl, CURLINFO_RESPONSE_CODE, &http);
    json_t *doc = t->answer.n ? json_loadb(t->answer.p, t->answer.n, 0, &je) : NULL;
    if (http / 100 == 2) {
        if (t->answer.n && !doc && answer_out) {
            *problem_out = problem_new(502, ERR_FAILED,
                                       "the daemon's answer is no JSON; is this "
                                       "Postfleet's address?");
            return 1;
        }
        if (answer_out)
            *answer_out = doc;
        else
            json_decref(doc);
        return 0;
    }
    if (!json_is_object(doc)) {
        char text[200];
        snprintf(text, sizeof(text), "the daemon answered HTTP %ld", http);
        json_decref(doc);
        doc = problem_new((int)http, http == 404 ? ERR_NOT_FOUND : ERR_FAILED, text);
        json_object_del(doc, "code");
    }
    if (http == 401 && !cl->auth && cl->dir_fd < 0)
        json_object_set_new(doc, "detail",
                            json_string("a key is needed: name its file by --token-file; "
                                        "postfleet key create makes one"));
    *problem_out = doc;
    return status_of_problem(http, doc);
}

static int perform(struct daemon *cl, const char *method, char *path, const struct upload *up,
                   int out_fd, json_t **answer_out, json_t **problem_out)
{
    struct transfer t = {.out_fd = out_fd, .curl = cl->curl, .up = up};
    struct curl_slist *head = NULL;
    char *json = NULL, *url = NULL;
    struct buf b;
    int status;
    int64_t begin = clock_boot_ms();
    buf_init(&t.answer, ANSWER_MAX);
    buf_init(&b, 1 << 17);
    buf_addf(&b, "%s%s", cl->base, path);
    url = buf_steal(&b, NULL);
    free(path);
    cl->error[0] = '\0';
    prepare(cl, method, url, &t);
    if (strcmp(method, "GET") != 0 && strcmp(method, "DELETE") != 0)
        head = add_body(cl, up, &json);
    if (up && up->label)
        progress_start(&t.bar, up->label, up->size, true);
    for (struct curl_slist *a = cl->auth; a; a = a->next)
        head = curl_slist_append(head, a->data);
    head = curl_slist_append(head, "Accept: application/json, */*;q=0.1");
    curl_easy_setopt(cl->curl, CURLOPT_HTTPHEADER, head);
    CURLcode rc;
    do
        rc = curl_easy_perform(cl->curl);
    while (may_begin(cl, rc, begin));
    if (up && up->label)
        progress_end(&t.bar);
    if (interrupted) {
        *problem_out = problem_new(499, ERR_FAILED, "interrupted");
        status = EXIT_INTERRUPTED;
    } else if (rc != CURLE_OK) {
        *problem_out = problem_lost(cl, rc, &t);
        status = status_of_problem(502, *problem_out);
    } else {
        status = read_answer(cl, &t, answer_out, problem_out);
    }
    curl_easy_setopt(cl->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(head);
    buf_free(&t.answer);
    free(json);
    free(url);
    return status;
}

int daemon_try(struct daemon *cl, const char *method, char *path, const struct upload *up,
               json_t **answer_out, json_t **problem_out)
{
    *problem_out = NULL;
    if (answer_out)
        *answer_out = NULL;
    return perform(cl, method, path, up, -1, answer_out, problem_out);
}

/* The option that a field of the API is on this command line; NULL: none. */
static const struct option *option_of(const struct command *c, struct str field)
{
    const struct option *o;
    for (size_t i = 0; c && (o = command_option(c, i)) != NULL; i++)
        if ((o->field && str_is(field, o->field)) ||
            (!o->field && o->arg && str_is(field, o->name)))
            return o;
    return NULL;
}

static size_t word_length(const char *p)
{
    size_t n = 0;
    while (ascii_isalnum(p[n]) || p[n] == '_')
        n++;
    return n;
}

/* "per_hour: ..." of the API is "--per-hour: ..." to who typed it; within the text only words that
 * can be nothing but a field are. */
static void say_options(const struct daemon *cl, json_t *problem)
{
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    struct buf b;
    if (!detail)
        return;
    buf_init(&b, 1 << 16);
    for (const char *p = detail; *p;) {
        size_t n = word_length(p);
        bool leads = p == detail && p[n] == ':';
        bool is_field = leads || memchr(p, '_', n);
        const struct option *o = is_field ? option_of(cl->command, str_from(p, n)) : NULL;
        if (o)
            buf_addf(&b, "--%s", o->name);
        else
            buf_add(&b, p, MAX(n, (size_t)1));
        p += MAX(n, (size_t)1);
    }
    json_object_set_new(problem, "detail", json_string(buf_cstr(&b)));
    buf_free(&b);
}

static int report(const struct daemon *cl, int status, json_t *problem)
{
    if (problem) {
        say_options(cl, problem);
        output_problem(problem);
    }
    json_decref(problem);
    return status;
}

int daemon_call(struct daemon *cl, const char *method, char *path, const struct upload *up,
                json_t **answer_out)
{
    json_t *problem = NULL;
    int status = daemon_try(cl, method, path, up, answer_out, &problem);
    return report(cl, status, problem);
}

int daemon_download(struct daemon *cl, char *path, int fd)
{
    json_t *problem = NULL;
    int status = perform(cl, "GET", path, NULL, fd, NULL, &problem);
    return report(cl, status, problem);
}

int daemon_list(struct daemon *cl, char *path, int64_t limit,
                bool (*each)(void *ctx, const json_t *row), void *ctx)
{
    char *cursor = NULL, page[24];
    int64_t seen = 0;
    int status = 0;
    bool more = true;
    while (more && status == 0) {
        json_t *answer = NULL, *row;
        size_t i;
        int64_t want = limit > 0 ? MIN(limit - seen, PAGE_LIMIT) : PAGE_LIMIT;
        snprintf(page, sizeof(page), "%lld", (long long)want);
        char *url = daemon_query(daemon_query(alloc_copy(path), "limit", page), "after", cursor);
        status = daemon_call(cl, "GET", url, NULL, &answer);
        free(cursor);
        cursor = alloc_copy(json_string_value(json_object_get(answer, "next")));
        more = cursor != NULL; /* a page of a search may be empty although more follow */
        json_array_foreach(json_object_get(answer, "data"), i, row)
        {
            seen++;
            if (!each(ctx, row) || (limit > 0 && seen >= limit)) {
                more = false;
                break;
            }
        }
        json_decref(answer);
    }
    free(cursor);
    free(path);
    return status;
}
