/* Settings by libcyaml. Every scalar is loaded as text and read by our own parsers, because YAML's
 * idea of 10k or 010 is not ours. The schema is built from the table, so neither can drift. */
#include "main/config.h"

#include <cyaml/cyaml.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/check.h"
#include "main/command.h"

#define ENV_PREFIX "POSTFLEET_"

static const struct setting {
    struct option option; /* its name is "section.key" */
    const char *fallback;
    const char *sample;
} settings[CONFIG_SETTINGS] = {
    [SETTING_PUBLIC_URL] = {{.name = "public_url",
                             .kind = ARG_URL,
                             .flags = OPT_SETTING,
                             .help = "Address under which recipients reach the links in mails. "
                                     "Without it links use the HTTP listener, and campaigns start "
                                     "only to servers on loopback."},
                            "",
                            "https://mail.example.com"},
    [SETTING_HTTP_LISTEN] = {{.name = "http.listen",
                              .kind = ARG_ENDPOINT,
                              .flags = OPT_SETTING,
                              .help = "Where API and public pages listen."},
                             "127.0.0.1:8025",
                             "127.0.0.1:8025"},
    [SETTING_LOG_LEVEL] = {{.name = "log.level",
                            .kind = ARG_CHOICE,
                            .flags = OPT_SETTING,
                            .choices = "debug|info|notice|warning|error",
                            .help = "Least level that is logged."},
                           "info",
                           "info"},
    [SETTING_TLS_CA_FILE] = {{.name = "tls.ca_file",
                              .kind = ARG_FILE,
                              .flags = OPT_SETTING,
                              .help = "Certificates that servers are checked against; the system's "
                                      "when not set."},
                             "",
                             "/etc/ssl/certs/ca-certificates.crt"},
    [SETTING_DNS_SERVERS] = {{.name = "dns.servers",
                              .kind = ARG_TEXT,
                              .flags = OPT_SETTING,
                              .help =
                                  "Name servers, ADDRESS or ADDRESS:PORT, parted by commas; the "
                                  "system's when not set."},
                             "",
                             "192.0.2.53, 192.0.2.54"},
    [SETTING_DESK_THREADS] = {{.name = "desk.threads",
                               .kind = ARG_COUNT,
                               .flags = OPT_SETTING,
                               .min = 0,
                               .max = 64,
                               .help = "Threads that render and sign messages; 0: by the number of "
                                       "processors."},
                              "0",
                              "0"},
    [SETTING_LEDGER_AHEAD] = {{.name = "ledger.ahead",
                               .kind = ARG_COUNT,
                               .flags = OPT_SETTING,
                               .min = 0,
                               .max = 4096,
                               .help =
                                   "Bulk messages that may be on their way before the disk knows: "
                                   "faster on slow disks, and as many more may be uncertain "
                                   "after a crash."},
                              "0",
                              "0"},
    [SETTING_SUBMISSION_LISTEN] = {{.name = "submission.listen",
                                    .kind = ARG_ENDPOINT,
                                    .flags = OPT_SETTING,
                                    .help = "Where applications submit mail by SMTP, with STARTTLS "
                                            "when there is a certificate; none when not set."},
                                   "",
                                   "0.0.0.0:587"},
    [SETTING_SUBMISSION_TLS_LISTEN] = {{.name = "submission.tls_listen",
                                        .kind = ARG_ENDPOINT,
                                        .flags = OPT_SETTING,
                                        .help = "The same with TLS from the first byte; needs a "
                                                "certificate."},
                                       "",
                                       "0.0.0.0:465"},
    [SETTING_SUBMISSION_PER_ADDRESS] = {{.name = "submission.per_address",
                                         .kind = ARG_COUNT,
                                         .flags = OPT_SETTING,
                                         .min = 0,
                                         .max = 5000,
                                         .help = "Connections to these listeners that one address "
                                                 "(IPv6: one /64) may have open at once; 0: as "
                                                 "many as there may be in all."},
                                        "100",
                                        "100"},
    [SETTING_TLS_CERT_FILE] = {{.name = "tls.cert_file",
                                .kind = ARG_FILE,
                                .flags = OPT_SETTING,
                                .help = "Certificate of the submission listeners, PEM, its own "
                                        "first, then the chain."},
                               "",
                               "/etc/postfleet/fullchain.pem"},
    [SETTING_TLS_KEY_FILE] = {{.name = "tls.key_file",
                               .kind = ARG_FILE,
                               .flags = OPT_SETTING,
                               .help = "Private key of that certificate, PEM."},
                              "",
                              "/etc/postfleet/privkey.pem"},
};

static const char *const origin_names[] = {"default", "file", "environment", "option"};

/* ---- names and suggestions ---- */

static const char *setting_at(const void *ctx, size_t i)
{
    (void)ctx;
    return i < CONFIG_SETTINGS ? settings[i].option.name : NULL;
}

/* The last part of each name, then the sections: an unknown key may stand at either place. */
static const char *key_at(const void *ctx, size_t i)
{
    static const char *const sections[] = {"http", "log",    "tls",       "dns",
                                           "desk", "ledger", "submission"};
    (void)ctx;
    if (i < CONFIG_SETTINGS) {
        const char *dot = strchr(settings[i].option.name, '.');
        return dot ? dot + 1 : settings[i].option.name;
    }
    return i - CONFIG_SETTINGS < countof(sections) ? sections[i - CONFIG_SETTINGS] : NULL;
}

/* ---- setting a value ---- */

static bool set_value(struct config *c, size_t id, const char *text, enum origin origin,
                      const char *where, struct err *e)
{
    struct value v = {.option = &settings[id].option, .text = text};
    if (text[0] && !option_check(&v, e))
        return err_prefix(e, "%s", where);
    struct setting_value *s = &c->values[id];
    char *copy = alloc_copy(text[0] ? text : settings[id].fallback);
    free(s->text);
    s->text = copy;
    s->n = v.n;
    s->origin = text[0] ? origin : ORIGIN_DEFAULT;
    str_copy(str_of(text[0] ? where : "default"), s->where, sizeof(s->where));
    return true;
}

void config_defaults(struct config *c)
{
    struct err e = {0};
    *c = (struct config){0};
    for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
        if (settings[i].fallback[0])
            check(set_value(c, i, settings[i].fallback, ORIGIN_DEFAULT, "default", &e));
        else
            check(set_value(c, i, "", ORIGIN_DEFAULT, "default", &e));
    }
}

void config_set_option(struct config *c, enum setting_id id, const char *text, const char *option)
{
    struct err e = {0};
    check(set_value(c, id, text, ORIGIN_OPTION, option, &e));
}

const char *config_text(const struct config *c, enum setting_id id)
{
    return c->values[id].text;
}

void config_free(struct config *c)
{
    for (size_t i = 0; i < CONFIG_SETTINGS; i++)
        free(c->values[i].text);
    *c = (struct config){0};
}

/* ---- the file ---- */

/* What libcyaml says while it fails: the unknown key and the first line of its backtrace. */
struct complaint {
    char key[80];
    char what[300];
    unsigned line;
};

static void on_log(cyaml_log_t level, void *ctx, const char *fmt, va_list args)
{
    struct complaint *k = ctx;
    char text[400];
    if (level < CYAML_LOG_ERROR)
        return;
    vsnprintf(text, sizeof(text), fmt, args);
    struct str s = str_trim(str_of(text));
    ptrdiff_t key = str_find(s, STR("Unexpected key: ")), line = str_find(s, STR("line: "));
    if (key >= 0 && !k->key[0])
        str_copy(str_from_index(s, (size_t)key + 16), k->key, sizeof(k->key));
    if (line >= 0 && !k->line)
        k->line = (unsigned)strtoul(s.p + line + 6, NULL, 10);
    if (line < 0 && !k->what[0]) {
        ptrdiff_t colon = str_find(s, STR(": "));
        str_copy(str_from_index(s, colon >= 0 ? (size_t)colon + 2 : 0), k->what, sizeof(k->what));
    }
}

/* Loaded texts, in the order of the settings; NULL: not in the file. */
struct loaded {
    char *text[CONFIG_SETTINGS];
};

struct schema {
    cyaml_schema_field_t fields[CONFIG_SETTINGS + 1];                  /* of the top */
    cyaml_schema_field_t nested[CONFIG_SETTINGS][CONFIG_SETTINGS + 1]; /* of each section */
    char sections[CONFIG_SETTINGS][32];
    size_t n_fields;
    cyaml_schema_value_t top;
};

static cyaml_schema_field_t text_field(const char *key, size_t id)
{
    cyaml_schema_field_t f = {.key = key,
                              .data_offset =
                                  (uint32_t)(offsetof(struct loaded, text) + id * sizeof(char *)),
                              .value = {.type = CYAML_STRING,
                                        .flags = CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                                        .data_size = sizeof(char),
                                        .string = {.min = 0, .max = 2000}}};
    return f;
}

static size_t section_of(struct schema *s, const char *name, size_t n)
{
    for (size_t i = 0; i < s->n_fields; i++)
        if (strlen(s->sections[i]) == n && !memcmp(s->sections[i], name, n))
            return i;
    size_t i = s->n_fields++;
    str_copy(str_from(name, n), s->sections[i], sizeof(s->sections[i]));
    s->fields[i] = (cyaml_schema_field_t){.key = s->sections[i],
                                          .value = {.type = CYAML_MAPPING,
                                                    .flags = CYAML_FLAG_OPTIONAL,
                                                    .data_size = sizeof(struct loaded),
                                                    .mapping = {.fields = s->nested[i]}}};
    return i;
}

static void build_schema(struct schema *s)
{
    *s = (struct schema){0};
    for (size_t id = 0; id < CONFIG_SETTINGS; id++) {
        const char *name = settings[id].option.name, *dot = strchr(name, '.');
        if (!dot) {
            str_copy(STR(" "), s->sections[s->n_fields], 2);
            s->fields[s->n_fields++] = text_field(name, id);
            continue;
        }
        cyaml_schema_field_t *in = s->nested[section_of(s, name, (size_t)(dot - name))];
        while (in->key)
            in++;
        *in = text_field(dot + 1, id);
    }
    s->top = (cyaml_schema_value_t){.type = CYAML_MAPPING,
                                    .flags = CYAML_FLAG_POINTER,
                                    .data_size = sizeof(struct loaded),
                                    .mapping = {.fields = s->fields}};
}

/* Where the text stops being YAML, which libcyaml does not tell: libyaml says it. 0: nowhere. */
static unsigned broken_line(struct str text)
{
    yaml_parser_t parser;
    yaml_event_t event;
    unsigned line = 0;
    bool over = false;
    if (!yaml_parser_initialize(&parser))
        return 0;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.n);
    while (!over) {
        if (!yaml_parser_parse(&parser, &event)) {
            line = (unsigned)parser.problem_mark.line + 1;
            break;
        }
        over = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return line;
}

static bool fail_yaml(cyaml_err_t rc, const struct complaint *k, const char *file, struct err *e)
{
    char place[400];
    if (k->line)
        snprintf(place, sizeof(place), "%.300s, line %u", file, k->line);
    else
        snprintf(place, sizeof(place), "%.300s", file);
    if (k->key[0]) {
        const char *near = suggest(k->key, key_at, NULL);
        return err_set(e, ERR_INVALID, "%s: unknown key %s%s%s; postfleet config sample lists all",
                       place, k->key, near ? ", did you mean " : "", near ? near : "");
    }
    if (rc == CYAML_ERR_INVALID_VALUE)
        return err_set(e, ERR_INVALID, "%s: a section or a value stands where the other belongs",
                       place);
    struct str what = str_of(k->what[0] ? k->what : cyaml_strerror(rc));
    if (str_starts(what, STR("libyaml: ")))
        what = str_from_index(what, 9);
    return err_set(e, ERR_INVALID, "%s: " STR_F, place, STR_A(what));
}

/* Blank or nothing but comments: a document without a node, which libcyaml refuses. */
static bool is_blank(struct str text)
{
    struct str line;
    while (str_split(&text, '\n', &line)) {
        line = str_trim(line);
        if (line.n > 0 && line.p[0] != '#')
            return false;
    }
    return true;
}

bool config_read_text(struct config *c, struct str text, const char *file, struct err *e)
{
    struct schema schema;
    struct complaint k = {0};
    struct loaded *data = NULL;
    bool ok = true;
    if (text.n > CONFIG_FILE_MAX)
        return err_set(e, ERR_TOO_BIG, "%s: over %u bytes", file, CONFIG_FILE_MAX);
    if (!str_is_utf8(text) || (text.n && memchr(text.p, 0, text.n)))
        return err_set(e, ERR_INVALID, "%s: is not UTF-8 text", file);
    if (is_blank(text))
        return true;
    build_schema(&schema);
    const cyaml_config_t how = {.log_fn = on_log,
                                .log_ctx = &k,
                                .mem_fn = cyaml_mem,
                                .log_level = CYAML_LOG_ERROR,
                                .flags = CYAML_CFG_NO_ALIAS};
    cyaml_err_t rc = cyaml_load_data((const uint8_t *)text.p, text.n, &how, &schema.top,
                                     (cyaml_data_t **)&data, NULL);
    if (rc == CYAML_ERR_LIBYAML_PARSER)
        k.line = broken_line(text);
    if (rc != CYAML_OK)
        return fail_yaml(rc, &k, file, e);
    if (!data) /* nothing but line breaks that only YAML knows */
        return true;
    for (size_t id = 0; ok && id < CONFIG_SETTINGS; id++)
        if (data->text[id])
            ok = set_value(c, id, data->text[id], ORIGIN_FILE, file, e);
    cyaml_free(&how, &schema.top, data, 0);
    return ok;
}

static bool read_file(const char *path, struct buf *b, bool *missing_out, struct err *e)
{
    char piece[8192];
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *missing_out = fd < 0 && errno == ENOENT;
    if (fd < 0)
        return *missing_out || err_set(e, ERR_FAILED, "%s: %s", path, strerror(errno));
    while ((n = read(fd, piece, sizeof(piece))) > 0 && buf_add(b, piece, (size_t)n))
        ;
    int why = errno;
    close(fd);
    if (n < 0)
        return err_set(e, ERR_FAILED, "%s: %s", path, strerror(why));
    return n == 0 || err_set(e, ERR_TOO_BIG, "%s: over %zu bytes", path, b->max);
}

/* ---- the environment ---- */

/* POSTFLEET_HTTP__LISTEN for http.listen. */
static void env_name(const char *name, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%s", ENV_PREFIX);
    for (; *name && at + 3 < size; name++) {
        if (*name == '.')
            out[at++] = '_';
        out[at++] = *name == '.' ? '_' : (char)(*name >= 'a' && *name <= 'z' ? *name - 32 : *name);
    }
    out[at] = '\0';
}

static bool set_from_file(struct config *c, size_t id, const char *path, const char *where,
                          struct err *e)
{
    struct buf b;
    bool missing = false;
    buf_init(&b, 4096);
    bool ok = read_file(path, &b, &missing, e);
    if (ok && missing)
        ok = err_set(e, ERR_FAILED, "%s: there is no file %s", where, path);
    while (ok && b.n && (b.p[b.n - 1] == '\n' || b.p[b.n - 1] == '\r'))
        b.n--;
    ok = ok && set_value(c, id, buf_cstr(&b), ORIGIN_ENVIRONMENT, where, e);
    buf_free(&b);
    return ok;
}

static bool fail_variable(struct str name, struct err *e)
{
    char typed[80] = "";
    size_t at = 0;
    for (size_t i = sizeof(ENV_PREFIX) - 1; i < name.n && at + 1 < sizeof(typed); i++) {
        bool dot = name.p[i] == '_' && i + 1 < name.n && name.p[i + 1] == '_';
        typed[at++] = dot ? '.' : ascii_lower(name.p[i]);
        i += dot;
    }
    typed[at] = '\0';
    const char *near = suggest(typed, setting_at, NULL);
    return err_set(e, ERR_INVALID, "environment: unknown setting " STR_F "%s%s",
                   STR_A(str_cut(name, 0, 80)), near ? ", did you mean " : "", near ? near : "");
}

static bool read_variable(struct config *c, const char *text, struct err *e)
{
    char want[80];
    struct str rest = str_of(text), name;
    if (!str_starts(rest, STR(ENV_PREFIX)) || !str_split(&rest, '=', &name) || !rest.p)
        return true;
    for (size_t id = 0; id < CONFIG_SETTINGS; id++) {
        env_name(settings[id].option.name, want, sizeof(want));
        if (str_is(name, want))
            return set_value(c, id, rest.p, ORIGIN_ENVIRONMENT, want, e);
        str_copy(STR("_FILE"), want + strlen(want), 6);
        if (str_is(name, want))
            return set_from_file(c, id, rest.p, want, e);
    }
    /* Others of the prefix belong to the command line and to tests; two underscores make it ours.
     */
    return str_find(name, STR("__")) < 0 || fail_variable(name, e);
}

bool config_read_environment(struct config *c, char *const *environment, struct err *e)
{
    for (; environment && *environment; environment++)
        if (!read_variable(c, *environment, e))
            return false;
    return true;
}

bool config_load(const char *dir, struct config *c, struct err *e)
{
    struct buf b, path;
    bool missing = false;
    config_defaults(c);
    buf_init(&b, CONFIG_FILE_MAX);
    buf_init(&path, 1 << 16);
    buf_addf(&path, "%s/" CONFIG_FILE, dir);
    bool ok = read_file(buf_cstr(&path), &b, &missing, e) &&
              (missing || config_read_text(c, buf_str(&b), buf_cstr(&path), e)) &&
              config_read_environment(c, environ, e);
    buf_free(&b);
    buf_free(&path);
    return ok;
}

/* ---- showing ---- */

json_t *config_describe(const struct config *c)
{
    json_t *all = json_array();
    for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
        const struct setting_value *v = &c->values[i];
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "name",
                                        settings[i].option.name, "value", v->text, "default",
                                        settings[i].fallback, "origin", origin_names[v->origin],
                                        "where", v->where, "help", settings[i].option.help));
    }
    return all;
}

char *config_sample(void)
{
    struct buf b;
    const char *section = "";
    size_t section_n = 0;
    char env[80];
    buf_init(&b, 1 << 16);
    buf_adds(&b, "# postfleet.yaml: every line is optional and stands here with its default.\n"
                 "# An environment variable goes before this file; with _FILE behind its name the\n"
                 "# value is read from that file.\n");
    for (size_t i = 0; i < CONFIG_SETTINGS; i++) {
        const char *name = settings[i].option.name, *dot = strchr(name, '.');
        size_t n = dot ? (size_t)(dot - name) : 0;
        env_name(name, env, sizeof(env));
        buf_addc(&b, '\n');
        if (n && (n != section_n || memcmp(section, name, n) != 0))
            buf_addf(&b, "#%.*s:\n", (int)n, name);
        section = name;
        section_n = n;
        buf_addf(&b, "%s# %s (%s)\n", n ? "  " : "", settings[i].option.help, env);
        buf_addf(&b, "#%s%s: %s\n", n ? "  " : "", dot ? dot + 1 : name, settings[i].sample);
    }
    return buf_steal(&b, NULL);
}
