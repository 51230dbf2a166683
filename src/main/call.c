/* What most commands share; see call.h. */
#include "main/call.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/secret.h"

#define PASSWORD_MAX 4096

const char *json_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

int64_t json_number(const json_t *object, const char *key)
{
    return (int64_t)json_number_value(json_object_get(object, key));
}

int call_answer(struct cmd *c, const char *method, char *path, json_t *body, json_t **answer_out)
{
    int status = 0;
    struct upload up = {.json = body};
    struct daemon *cl = daemon_new(c, &status);
    if (cl)
        status = daemon_call(cl, method, path, &up, answer_out);
    else
        free(path);
    daemon_free(&cl);
    json_decref(body);
    return status;
}

int call_change(struct cmd *c, const char *method, char *path, json_t *body, const char *fmt, ...)
{
    json_t *answer = NULL;
    char text[500];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    int status = call_answer(c, method, path, body, &answer);
    if (status == 0 && !answer)
        answer = json_pack("{s:b}", "ok", 1);
    if (status == 0 && output_is_json())
        output_json(answer);
    else if (status == 0 && json_text(answer, "nothing_to_do")[0])
        output_note("nothing to do: %s", json_text(answer, "nothing_to_do"));
    else if (status == 0 && !output_is_quiet())
        output_line("%s", text);
    json_decref(answer);
    return status;
}

int call_show(struct cmd *c, char *path)
{
    json_t *answer = NULL;
    int status = call_answer(c, "GET", path, NULL, &answer);
    if (status == 0)
        output_record(answer);
    json_decref(answer);
    return status;
}

static bool add_row(void *ctx, const json_t *row)
{
    table_add(ctx, row);
    return true;
}

int call_table(struct cmd *c, char *path, const struct column *columns, const char *nothing)
{
    int status = 0;
    bool has_limit = command_find_option(c->command, "limit", 5) != NULL;
    struct daemon *cl = daemon_new(c, &status);
    if (!cl) {
        free(path);
        return status;
    }
    struct table *t = table_new(columns);
    status = daemon_list(cl, path, has_limit ? cmd_number(c, "limit", 0) : 0, add_row, t);
    table_end(&t, status == 0 ? nothing : NULL);
    daemon_free(&cl);
    return status;
}

int call_upload(struct cmd *c, char *path, const char *file, const char *type, const char *label,
                json_t **answer_out)
{
    struct err e = {0};
    struct stat st;
    int status = 0;
    int fd = !strcmp(file, "-") ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
        err_set(&e, errno == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, "%s: %s", file,
                fd >= 0 && S_ISDIR(st.st_mode) ? "is a folder" : strerror(errno));
        if (fd > STDIN_FILENO)
            close(fd);
        free(path);
        return output_fail(&e);
    }
    struct upload up = {
        .fd = fd, .type = type, .label = label, .size = S_ISREG(st.st_mode) ? st.st_size : 0};
    off_t at = S_ISREG(st.st_mode) ? lseek(fd, 0, SEEK_CUR) : 0;
    up.size = at > 0 && at <= up.size ? up.size - at : up.size;
    struct daemon *cl = daemon_new(c, &status);
    if (cl)
        status = daemon_call(cl, "POST", path, &up, answer_out);
    else
        free(path);
    daemon_free(&cl);
    if (fd != STDIN_FILENO)
        close(fd);
    return status;
}

int call_download(struct cmd *c, char *path)
{
    struct err e = {0};
    const char *file = cmd_text(c, "output");
    bool to_file = file && strcmp(file, "-") != 0;
    int status = 0;
    struct daemon *cl = daemon_new(c, &status);
    int fd = STDOUT_FILENO;
    if (cl && to_file)
        fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (cl && fd < 0) {
        err_set(&e, ERR_FAILED, "%s: %s", file, strerror(errno));
        status = output_fail(&e);
    }
    if (cl && fd >= 0)
        status = daemon_download(cl, path, fd);
    else
        free(path);
    if (to_file && fd >= 0 && close(fd) != 0 && status == 0) {
        err_set(&e, ERR_FAILED, "%s: %s", file, strerror(errno));
        status = output_fail(&e);
    }
    daemon_free(&cl);
    return status;
}

bool ask_first(struct cmd *c, const char *fmt, ...)
{
    char line[32] = "", text[500];
    struct buf safe;
    va_list ap;
    if (cmd_has(c, "yes") || !isatty(0) || !isatty(2))
        return true;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_init(&safe, 4096);
    output_safe_add(&safe, str_of(text));
    fprintf(stderr, "%s [y/N] ", buf_cstr(&safe));
    fflush(stderr);
    buf_free(&safe);
    bool yes = fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
    if (!yes)
        output_note("nothing was changed");
    return yes;
}

static bool read_all(const char *path, struct buf *b, struct err *e)
{
    char piece[65536];
    ssize_t n;
    int fd = !strcmp(path, "-") ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_FAILED, "%s: %s", path,
                       strerror(errno));
    while ((n = read(fd, piece, sizeof(piece))) > 0 && buf_add(b, piece, (size_t)n))
        ;
    int why = errno;
    if (fd != STDIN_FILENO)
        close(fd);
    secret_wipe(piece, sizeof(piece));
    if (n < 0)
        return err_set(e, ERR_FAILED, "%s: %s", path, strerror(why));
    return n == 0 || err_set(e, ERR_TOO_BIG, "%s: over %zu bytes", path, b->max);
}

bool body_add_file(json_t *body, const char *field, const char *path, size_t max, struct err *e)
{
    struct buf b;
    buf_init(&b, max);
    bool ok = read_all(path, &b, e);
    struct str s = buf_str(&b);
    if (ok && str_starts(s, STR("\xef\xbb\xbf")))
        s = str_from_index(s, 3);
    if (ok && !str_is_utf8(s))
        ok = err_set(e, ERR_INVALID, "%s: is not valid UTF-8", path);
    if (ok)
        json_object_set_new(body, field, json_stringn(s.p ? s.p : "", s.n));
    buf_free(&b);
    return ok;
}

bool body_add_password(struct cmd *c, json_t *body, struct err *e)
{
    const char *path = cmd_text(c, "password-file");
    struct buf b;
    if (!path)
        return true;
    buf_init(&b, PASSWORD_MAX);
    bool ok = read_all(path, &b, e);
    if (ok && b.n && b.p[b.n - 1] == '\n')
        b.n--;
    if (ok && b.n && b.p[b.n - 1] == '\r')
        b.n--;
    if (ok && (b.n == 0 || !str_is_utf8(buf_str(&b))))
        ok = err_set(e, ERR_INVALID, "%s: %s", path, b.n ? "is not valid UTF-8" : "is empty");
    if (ok)
        json_object_set_new(body, "password", json_stringn(b.p, b.n));
    if (b.p)
        secret_wipe(b.p, b.n);
    buf_free(&b);
    return ok;
}

void body_add_pairs(struct cmd *c, json_t *body, const char *option, const char *field)
{
    const struct value *v;
    json_t *all = NULL;
    for (size_t i = 0; (v = cmd_value(c, option, i)) != NULL; i++) {
        const char *equals = strchr(v->text, '=');
        if (!all)
            all = json_object();
        json_t *text = json_string(equals + 1);
        json_t *name = json_stringn(v->text, (size_t)(equals - v->text));
        json_object_set_new(all, json_string_value(name), text);
        json_decref(name);
    }
    if (all)
        json_object_set_new(body, field, all);
}

char *time_text(const char *text, bool back, struct err *e)
{
    int64_t ms = 0;
    char out[32];
    if (clock_parse(text, &ms)) {
        clock_format(ms, out);
    } else if (codec_duration_parse(str_of(text), &ms)) {
        clock_format(clock_wall_ms() + (back ? -ms : ms), out);
    } else {
        err_set(e, ERR_INVALID,
                "%.60s: neither a time such as 2026-11-21T09:30:00Z nor a duration "
                "such as 2h",
                text);
        return NULL;
    }
    return str_dup(str_of(out));
}

bool body_add_time(struct cmd *c, json_t *body, const char *option, const char *field,
                   struct err *e)
{
    if (!cmd_has(c, option))
        return true;
    char *t = time_text(cmd_text(c, option), false, e);
    if (!t)
        return err_prefix(e, "--%s", option);
    json_object_set_new(body, field, json_string(t));
    free(t);
    return true;
}
