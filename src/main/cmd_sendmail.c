/* sendmail: takes a mail from standard input as sendmail(1) does, so that whatever calls that
 * program (cron, PHP's mail(), scripts) sends through the fleet. Its options are sendmail's, not
 * ours, and so are its exit statuses (sysexits.h). One request carries all recipients, with an
 * Idempotency-Key: while the daemon starts again it is repeated without harm. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/rand.h"
#include "mail/addr.h"
#include "mail/header.h"
#include "mail/mime.h"
#include "main/call.h"
#include "main/commands.h"

#define MAIL_MAX     (40u << 20)
#define FIELD_MAX    65536
#define PATIENCE_MS  10000
#define TRY_EVERY_MS 300

struct sendmail {
    struct cmd *c;
    const char *from, *name;
    bool from_header; /* -t: recipients are those of the header too */
    bool ignore_dots; /* -i: a line with a dot alone is no end */
    bool is_verbose;
    json_t *to, *tags;
    const char *group, *stream;
    struct buf mail;
};

static int refuse(int status, const char *what, const char *why)
{
    struct err e;
    err_set(&e, ERR_FAILED, "%s%s", what, why);
    (void)output_fail(&e);
    return status;
}

/* ---- the line ---- */

/* Options that change nothing here: how errors are told, how to deliver, what is always so. */
static bool is_idle(const char *o)
{
    static const char *const idle[] = {
        "-bm", "-oem", "-oee", "-oep", "-oeq", "-oew",   "-odb",       "-odi",    "-odq", "-om",
        "-m",  "-n",   "-U",   "-G",   "-om",  "-B7BIT", "-B8BITMIME", "-Nnever", NULL};
    for (size_t i = 0; idle[i]; i++)
        if (!strcmp(o, idle[i]))
            return true;
    return false;
}

static void set_value(struct cmd *c, const char *name, const char *text)
{
    const struct option *o = command_find_option(c->command, name, strlen(name));
    c->values[c->n_values++] = (struct value){.option = o, .text = text};
}

/* Ours, with two dashes. */
static bool take_long(struct sendmail *s, const char *name, const char *value)
{
    if (!strcmp(name, "--data") || !strcmp(name, "--url") || !strcmp(name, "--token-file"))
        set_value(s->c, name + 2, value);
    else if (!strcmp(name, "--group"))
        s->group = value;
    else if (!strcmp(name, "--stream"))
        s->stream = value;
    else if (!strcmp(name, "--tag"))
        json_array_append_new(s->tags, json_string(value));
    else
        return false;
    return true;
}

/* -f, -r, -F, -B, -N: the value is in the same word or the next one. Null: no such option. */
static bool take_valued(struct sendmail *s, char letter, const char *value)
{
    char whole[64];
    switch (letter) {
    case 'f':
    case 'r': s->from = value; return true;
    case 'F': s->name = value; return true;
    case 'B':
    case 'N': snprintf(whole, sizeof(whole), "-%c%s", letter, value); return is_idle(whole);
    default: return false;
    }
}

static bool take_flags(struct sendmail *s, const char *word)
{
    for (const char *p = word + 1; *p; p++) {
        if (*p == 't')
            s->from_header = true;
        else if (*p == 'i')
            s->ignore_dots = true;
        else if (*p == 'v')
            s->is_verbose = true;
        else
            return false;
    }
    return word[1] != '\0';
}

/* argv: the words behind "sendmail". Gives how many words it took; 0: refused. */
static int take_option(struct sendmail *s, int argc, char **argv)
{
    const char *word = argv[0];
    bool has_next = argc > 1;
    if (!strncmp(word, "--", 2))
        return has_next && take_long(s, word, argv[1]) ? 2 : 0;
    if (is_idle(word))
        return 1;
    if (!strcmp(word, "-oi")) {
        s->ignore_dots = true;
        return 1;
    }
    if (word[1] && strchr("frFBN", word[1])) {
        if (word[2])
            return take_valued(s, word[1], word + 2) ? 1 : 0;
        return has_next && take_valued(s, word[1], argv[1]) ? 2 : 0;
    }
    return take_flags(s, word) ? 1 : 0;
}

static bool take_line(struct sendmail *s, int argc, char **argv)
{
    bool options = true;
    for (int i = 0; i < argc; i++) {
        if (options && !strcmp(argv[i], "--")) {
            options = false;
            continue;
        }
        if (!options || argv[i][0] != '-') {
            json_array_append_new(s->to, json_string(argv[i]));
            continue;
        }
        int taken = take_option(s, argc - i, argv + i);
        if (!taken) {
            (void)refuse(0, argv[i],
                         ": is no option that sendmail has here; there are -t -i -f -F -r -v, "
                         "--group --stream --tag --data --url --token-file; the queue is shown by "
                         "postfleet queue summary");
            return false;
        }
        i += taken - 1;
    }
    return true;
}

/* ---- the mail ---- */

/* Without -i a line with a single dot ends the mail. */
static bool read_mail(struct sendmail *s)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    bool ok = true;
    while (ok && (n = getline(&line, &cap, stdin)) > 0) {
        if (!s->ignore_dots && (!strcmp(line, ".\n") || !strcmp(line, ".\r\n")))
            break;
        ok = buf_add(&s->mail, line, (size_t)n);
    }
    free(line);
    return ok && !ferror(stdin);
}

/* "Friends: a@b, c@d;": the name of a group of addresses and its end are no addresses. */
static struct str without_group(struct str list)
{
    ptrdiff_t colon = str_chr(list, ':');
    ptrdiff_t at = str_chr(list, '@');
    if (colon < 0 || (at >= 0 && at < colon))
        return list;
    list = str_trim(str_from_index(list, (size_t)colon + 1));
    return list.n && list.p[list.n - 1] == ';' ? str_cut(list, 0, list.n - 1) : list;
}

static bool add_field(struct sendmail *s, const char *name)
{
    char *scratch = alloc_bytes(FIELD_MAX), display[512];
    struct err e;
    struct addr a;
    struct str list = without_group(mime_field(buf_str(&s->mail), name, scratch, FIELD_MAX));
    bool ok = true;
    while (ok && list.n) {
        struct str one = addr_list_next(&list);
        if (!one.n)
            continue;
        ok = addr_parse_mailbox(one, &a, display, sizeof(display), &e);
        if (ok)
            json_array_append_new(s->to, json_stringn(a.text, a.n));
        else
            (void)(err_prefix(&e, "%s", name), output_fail(&e));
    }
    free(scratch);
    return ok;
}

/* A mail without From is from who calls. */
static void add_sender(struct sendmail *s, json_t *body)
{
    char scratch[16], host[256] = "localhost", address[512];
    bool has_from = mime_field(buf_str(&s->mail), "From", scratch, sizeof(scratch)).n > 0;
    const struct passwd *who = getpwuid(getuid());
    if (!s->from && has_from)
        return;
    (void)gethostname(host, sizeof(host) - 1);
    if (!strchr(host, '.')) /* a bare name is no domain of the world */
        str_copy(STR("localhost"), host, sizeof(host));
    const char *user = who ? who->pw_name : "postmaster";
    if (s->from && strchr(s->from, '@'))
        snprintf(address, sizeof(address), "%.400s", s->from);
    else
        snprintf(address, sizeof(address), "%.200s@%.200s", s->from ? s->from : user, host);
    if (s->name && !has_from)
        json_object_set_new(body, "from", json_sprintf("\"%s\" <%s>", s->name, address));
    else
        json_object_set_new(body, "from", json_string(address));
}

static json_t *make_body(struct sendmail *s)
{
    struct buf b;
    json_t *body = json_pack("{s:O, s:O}", "to", s->to, "tags", s->tags);
    buf_init(&b, MAIL_MAX / 3 * 4 + 8);
    if (codec_base64_add(&b, s->mail.p, s->mail.n))
        json_object_set_new(body, "raw_base64", json_stringn(b.p, b.n));
    buf_free(&b);
    if (s->group)
        json_object_set_new(body, "group", json_string(s->group));
    if (s->stream)
        json_object_set_new(body, "stream", json_string(s->stream));
    add_sender(s, body);
    return body;
}

/* ---- the call ---- */

static int status_of(int status)
{
    switch (status) {
    case 0: return EX_OK;
    case 2: return EX_DATAERR;
    case EXIT_NOT_FOUND: return EX_CONFIG;
    case 5: return EX_UNAVAILABLE;
    case 7: return EX_NOPERM;
    case EXIT_UNREACHABLE:
    case 75: return EX_TEMPFAIL;
    default: return EX_SOFTWARE;
    }
}

/* With a list the answer tells each recipient's fate. Some queued is done: who called must not
 * send it to all of them again. */
static int tell(struct sendmail *s, const json_t *answer)
{
    json_t *item, *list = json_object_get(answer, "data");
    size_t i, queued = 0;
    if (!list && s->is_verbose)
        output_line("%s queued", json_text(answer, "id"));
    if (!list)
        return EX_OK;
    json_array_foreach(list, i, item)
    {
        const char *to = json_string_value(json_array_get(s->to, i));
        const json_t *e = json_object_get(item, "error");
        queued += !e;
        if (e)
            output_note("%s: not queued: %s", to, json_text(e, "detail"));
        else if (s->is_verbose)
            output_line("%s queued for %s", json_text(item, "id"), to);
    }
    return queued ? EX_OK : EX_UNAVAILABLE;
}

static int post(struct sendmail *s, json_t *body)
{
    char key[40];
    int status = 0;
    json_t *answer = NULL, *problem = NULL;
    struct upload up = {.json = body, .idempotency_key = key};
    struct daemon *cl = daemon_new(s->c, &status);
    int64_t end = clock_boot_ms() + PATIENCE_MS;
    if (!cl)
        return status_of(status);
    snprintf(key, sizeof(key), "sendmail-%016llx", (unsigned long long)rand_secret_u64());
    do {
        json_decref(problem);
        status = daemon_try(cl, "POST", daemon_path("/v1/messages"), &up, &answer, &problem);
    } while ((status == EXIT_UNREACHABLE || status == 75) && clock_boot_ms() < end &&
             interrupt_sleep(TRY_EVERY_MS));
    if (status == 0)
        status = tell(s, answer);
    else {
        if (problem)
            output_problem(problem);
        status = status_of(status);
    }
    json_decref(answer);
    json_decref(problem);
    daemon_free(&cl);
    return status;
}

static int run(struct sendmail *s, int argc, char **argv)
{
    if (!take_line(s, argc, argv))
        return EX_USAGE;
    if (!read_mail(s))
        return refuse(EX_DATAERR, "the mail", " cannot be read, or is over 40 MB");
    if (s->from_header && (!add_field(s, "To") || !add_field(s, "Cc") || !add_field(s, "Bcc")))
        return EX_DATAERR;
    if (!json_array_size(s->to))
        return refuse(EX_USAGE, "no recipients",
                      ": name them, or use -t and have them in the mail");
    if (!s->mail.n)
        return refuse(EX_DATAERR, "the mail", " is empty");
    json_t *body = make_body(s);
    int status = post(s, body);
    json_decref(body);
    return status;
}

int cmd_sendmail(struct cmd *c)
{
    int first = 1;
    struct sendmail s = {.c = c, .to = json_array(), .tags = json_array()};
    while (first < c->argc && strcmp(c->argv[first], "sendmail") != 0)
        first++;
    buf_init(&s.mail, MAIL_MAX);
    int status = run(&s, c->argc - first - 1, c->argv + first + 1);
    buf_free(&s.mail);
    json_decref(s.to);
    json_decref(s.tags);
    return status;
}
