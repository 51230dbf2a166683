/* Parsing by the table: finds the command, checks every option and positional against it, and
 * names the nearest word for a typo. Allocates only the two arrays of struct cmd. */
#include "main/command.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/codec.h"
#include "base/str.h"

static const struct option shared_data = {
    .name = "data",
    .arg = "DIR",
    .kind = ARG_DIR,
    .help = "data directory (else $POSTFLEET_DATA, ./postfleet-data, /var/lib/postfleet)"};
static const struct option shared_url = {
    .name = "url", .arg = "URL", .kind = ARG_URL, .help = "talk to the daemon at URL instead"};
static const struct option shared_token = {.name = "token-file",
                                           .arg = "FILE",
                                           .kind = ARG_FILE,
                                           .help = "file with the API key, with --url"};
static const struct option shared_json = {
    .name = "json", .kind = ARG_FLAG, .help = "print JSON: one object, or one a line"};
static const struct option shared_quiet = {
    .name = "quiet", .kind = ARG_FLAG, .help = "no progress and no remarks on standard error"};
static const struct option shared_yes = {.name = "yes", .kind = ARG_FLAG, .help = "do not ask"};
static const struct option shared_dry = {
    .name = "dry-run", .kind = ARG_FLAG, .help = "say what would happen, change nothing"};
static const struct option shared_help = {.name = "help", .kind = ARG_FLAG, .help = "this text"};

static const struct {
    const struct option *option;
    unsigned any_of; /* flags of commands that have it; 0: all */
} shared[] = {
    {&shared_yes, CMD_ASKS},
    {&shared_dry, CMD_DRY_RUN},
    {&shared_data, CMD_CLIENT | CMD_OFFLINE},
    {&shared_url, CMD_CLIENT},
    {&shared_token, CMD_CLIENT},
    {&shared_json, CMD_CLIENT | CMD_OFFLINE | CMD_PLAIN},
    {&shared_quiet, CMD_CLIENT | CMD_OFFLINE},
    {&shared_help, 0},
};

const struct option *command_option(const struct command *c, size_t i)
{
    for (const struct option *o = c->options; o && o->name; o++)
        if (i-- == 0)
            return o;
    for (size_t k = 0; k < countof(shared); k++) {
        if (shared[k].any_of && !(shared[k].any_of & c->flags))
            continue;
        if (i-- == 0)
            return shared[k].option;
    }
    return NULL;
}

const struct option *command_find_option(const struct command *c, const char *name, size_t n)
{
    const struct option *o;
    for (size_t i = 0; (o = command_option(c, i)) != NULL; i++)
        if (strlen(o->name) == n && memcmp(o->name, name, n) == 0)
            return o;
    return NULL;
}

void command_arg_bounds(const struct command *c, size_t *least_out, size_t *most_out)
{
    size_t least = 0, most = 0;
    struct str rest = str_of(c->args), word;
    while (rest.n > 0 && str_split(&rest, ' ', &word)) {
        if (word.n == 0)
            continue;
        if (word.p[0] != '[')
            least++;
        most = str_ends(word, STR("...")) || str_ends(word, STR("...]")) ? SIZE_MAX : most + 1;
    }
    *least_out = least;
    *most_out = most;
}

/* ---- suggestions ---- */

/* Optimal string alignment distance; words longer than 40 are never near anything. */
static size_t word_distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    size_t row[3][42];
    if (n > 40 || m > 40)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t cost = ascii_lower(a[i - 1]) != ascii_lower(b[j - 1]);
            now[j] = MIN(MIN(up[j] + 1, now[j - 1] + 1), up[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = MIN(now[j], up2[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

/* Words that other software uses for ours. */
static const struct {
    const char *theirs, *ours;
} synonyms[] = {
    {"rm", "remove"},
    {"delete", "remove"},
    {"del", "remove"},
    {"ls", "list"},
    {"new", "add"},
    {"create", "add"},
    {"add", "create"},
    {"pool", "group"},
    {"pools", "group"},
    {"node", "server"},
    {"subscriber", "contact"},
    {"update", "set"},
    {"edit", "set"},
    {"get", "show"},
    {"info", "show"},
    {"stop", "pause"},
    {"cat", "show"},
    {"run", "serve"},
    {"daemon", "serve"},
    {"hostname", "host"},
    {"username", "user"},
    {"password", "password-file"},
    {"token", "token-file"},
    {"pool", "group"},
    {"max-conn", "max-connections"},
    {"block", "suppression"},
    {"unsubscribe", "suppression"},
    {"test-mail", "send-test"},
    {"datadir", "data"},
    {"dir", "data"},
    {"output", "json"},
    {"find", "search"},
    {"stats", "report"},
    {"events", "follow"},
    {"delete", "revoke"},
    {"remove", "revoke"},
};

static bool ends_alike(const char *a, const char *b)
{
    return a[0] && b[0] && a[strlen(a) - 1] == b[strlen(b) - 1];
}

const char *suggest(const char *typed, const char *(*next)(const void *ctx, size_t i),
                    const void *ctx)
{
    const char *word, *best = NULL;
    size_t best_distance = strlen(typed) / 3 + 2; /* farther is no likeness */
    for (size_t i = 0; (word = next(ctx, i)) != NULL; i++) {
        for (size_t k = 0; k < countof(synonyms); k++)
            if (!strcmp(synonyms[k].theirs, typed) && !strcmp(synonyms[k].ours, word))
                return word;
        size_t d = word_distance(typed, word);
        bool begins = strlen(typed) >= 3 && !strncmp(typed, word, strlen(typed));
        if (begins)
            d = MIN(d, 1);
        /* Of two equally near words the one that also ends alike. */
        bool alike =
            best && d == best_distance && ends_alike(typed, word) && !ends_alike(typed, best);
        if (d < best_distance || alike) {
            best = word;
            best_distance = d;
        }
    }
    return best;
}

static const char *noun_at(const void *ctx, size_t i)
{
    return i < commands_n() ? command_at(i)->noun : NULL;
}

struct verb_walk {
    const char *noun;
};

static const char *verb_at(const void *ctx, size_t i)
{
    const struct verb_walk *w = ctx;
    for (size_t k = 0; k < commands_n(); k++)
        if (!strcmp(command_at(k)->noun, w->noun) && command_at(k)->verb && i-- == 0)
            return command_at(k)->verb;
    return NULL;
}

static const char *option_at(const void *ctx, size_t i)
{
    const struct option *o;
    for (size_t k = 0; (o = command_option(ctx, k)) != NULL; k++)
        if (!(o->flags & OPT_HIDDEN) && i-- == 0)
            return o->name;
    return NULL;
}

static bool fail_unknown(struct err *e, const char *what, const char *typed, const char *near,
                         const char *prefix, const char *help)
{
    if (near)
        return err_set(e, ERR_INVALID, "unknown %s %s%.60s; did you mean %s%s?", what, prefix,
                       typed, prefix, near);
    return err_set(e, ERR_INVALID, "unknown %s %s%.60s; see postfleet %s", what, prefix, typed,
                   help);
}

/* ---- finding the command ---- */

/* Whether "--name" before the verb takes the next word as its argument: asked of every command of
 * the noun (or, before the noun, of the shared options). */
static bool takes_argument(const char *noun, const char *word)
{
    const char *name = word + 2;
    if (strchr(name, '='))
        return false;
    for (size_t i = 0; i < commands_n(); i++) {
        if (noun && strcmp(command_at(i)->noun, noun) != 0)
            continue;
        const struct option *o = command_find_option(command_at(i), name, strlen(name));
        if (o)
            return o->kind != ARG_FLAG;
    }
    return false;
}

/* Index of the next word that is no option, from `from`; argc when there is none. */
static int next_word(int argc, char **argv, int from, const char *noun)
{
    for (int i = from; i < argc; i++) {
        if (!strcmp(argv[i], "--"))
            return i + 1 < argc ? i + 1 : argc;
        if (argv[i][0] != '-' || !argv[i][1])
            return i;
        if (argv[i][1] == '-' && takes_argument(noun, argv[i]))
            i++;
    }
    return argc;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

static bool find_command(int argc, char **argv, struct cmd *c, int *noun_at_out, int *verb_at_out,
                         struct err *e)
{
    int n = next_word(argc, argv, 1, NULL);
    bool noun_known = false;
    *verb_at_out = 0;
    if (n >= argc)
        return err_set(e, ERR_INVALID, "no command given; see postfleet help");
    *noun_at_out = n;
    int v = next_word(argc, argv, n + 1, argv[n]);
    for (size_t i = 0; i < commands_n(); i++) {
        if (strcmp(command_at(i)->noun, argv[n]) != 0)
            continue;
        noun_known = true;
        if (!command_at(i)->verb || (v < argc && !strcmp(command_at(i)->verb, argv[v]))) {
            c->command = command_at(i);
            *verb_at_out = command_at(i)->verb ? v : 0;
            return true;
        }
    }
    if (!noun_known)
        return fail_unknown(e, "command", argv[n], suggest(argv[n], noun_at, NULL), "", "help");
    if (v >= argc)
        return err_set(e, ERR_INVALID, "%s what? See postfleet %s --help", argv[n], argv[n]);
    struct verb_walk w = {argv[n]};
    char typed[160], help[80];
    const char *near = suggest(argv[v], verb_at, &w);
    snprintf(typed, sizeof(typed), "%s %.60s", argv[n], argv[v]);
    snprintf(help, sizeof(help), "%.60s --help", argv[n]);
    return fail_unknown(e, "command", typed, near, "", help);
}

/* ---- checking values ---- */

#define DASHES(o) ((o)->flags & OPT_SETTING ? "" : "--")

static bool check_text(const struct option *o, const char *text, struct err *e)
{
    struct str s = str_of(text);
    if (!str_is_utf8(s))
        return err_set(e, ERR_INVALID, "%s%s is not valid UTF-8", DASHES(o), o->name);
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return err_set(e, ERR_INVALID, "%s%s has a control character at byte %zu", DASHES(o),
                           o->name, i + 1);
    return true;
}

static bool check_choice(const struct option *o, const char *text, struct err *e)
{
    struct str rest = str_of(o->choices), one;
    while (str_split(&rest, '|', &one))
        if (str_is(one, text))
            return true;
    return err_set(e, ERR_INVALID, "%s%s %.60s: must be one of %s", DASHES(o), o->name, text,
                   o->choices);
}

static bool check_bounds(const struct option *o, struct value *v, struct err *e)
{
    if (v->n >= o->min && (o->max == 0 || v->n <= o->max))
        return true;
    const char *unit = o->kind == ARG_DURATION ? " ms" : "";
    if (o->max == 0)
        return err_set(e, ERR_INVALID, "%s%s %.40s: at least %lld%s", DASHES(o), o->name, v->text,
                       (long long)o->min, unit);
    return err_set(e, ERR_INVALID, "%s%s %.40s: must lie between %lld and %lld%s", DASHES(o),
                   o->name, v->text, (long long)o->min, (long long)o->max, unit);
}

static bool check_number(const struct option *o, struct value *v, struct err *e)
{
    uint64_t n = 0;
    if (o->kind == ARG_DURATION) {
        if (!codec_duration_parse(str_of(v->text), &v->n))
            return err_set(e, ERR_INVALID, "%s%s %.40s: not a duration such as 250ms, 10s, 5m, 2h",
                           DASHES(o), o->name, v->text);
    } else {
        if (!codec_count_parse(str_of(v->text), &n) || n > INT64_MAX)
            return err_set(e, ERR_INVALID, "%s%s %.40s: not a count such as 10, 50k, 1M", DASHES(o),
                           o->name, v->text);
        v->n = (int64_t)n;
    }
    return check_bounds(o, v, e);
}

static bool check_decimal(const struct option *o, const char *text, struct err *e)
{
    size_t digits = strspn(text, "0123456789"), frac = 0;
    const char *p = text + digits;
    if (*p == '.')
        frac = strspn(++p, "0123456789");
    if (digits + frac == 0 || digits > 9 || frac > 6 || p[frac] || (p[-1] == '.' && frac == 0))
        return err_set(e, ERR_INVALID, "%s%s %.40s: not a number such as 0.10", DASHES(o), o->name,
                       text);
    return true;
}

static bool check_endpoint(const struct option *o, const char *text, struct err *e)
{
    const char *colon = strrchr(text, ':');
    uint64_t port;
    bool v6_ok = colon && (text[0] != '[' ? memchr(text, ':', (size_t)(colon - text)) == NULL
                                          : colon > text && colon[-1] == ']');
    if (!colon || colon == text || !v6_ok || !str_to_u64(str_of(colon + 1), 65535, &port))
        return err_set(e, ERR_INVALID,
                       "%s%s %.80s: not an address with port such as 127.0.0.1:8025", DASHES(o),
                       o->name, text);
    return true;
}

/* The rough form only: the daemon decides what an address is. */
static bool check_mail(const struct option *o, const char *text, struct err *e)
{
    const char *at = strrchr(text, '@');
    if (!at || at == text || !at[1] || strlen(text) > 1000)
        return err_set(e, ERR_INVALID, "%s%s %.80s: not a mail address", DASHES(o), o->name, text);
    return true;
}

static bool check_url(const struct option *o, const char *text, struct err *e)
{
    struct str s = str_of(text), rest = STR_NONE;
    if (str_starts(s, STR("http://")))
        rest = str_from_index(s, 7);
    else if (str_starts(s, STR("https://")))
        rest = str_from_index(s, 8);
    if (rest.n == 0 || rest.p[0] == '/' || strpbrk(text, " \"<>#?") || s.n > 500)
        return err_set(e, ERR_INVALID, "%s%s %.80s: not a URL such as https://mail.example.com",
                       DASHES(o), o->name, text);
    return true;
}

static bool check_joined(const struct option *o, const char *text, char sep, struct err *e)
{
    const char *at = strchr(text, sep);
    if (!at || at == text)
        return err_set(e, ERR_INVALID, "%s%s %.80s: must look like %s", DASHES(o), o->name, text,
                       o->arg);
    return true;
}

bool option_check(struct value *v, struct err *e)
{
    const struct option *o = v->option;
    if (o->kind == ARG_FLAG)
        return true;
    if ((o->flags & OPT_NONE_OK) && !strcmp(v->text, "none")) {
        v->none = true;
        return true;
    }
    if (!check_text(o, v->text, e))
        return false;
    switch (o->kind) {
    case ARG_COUNT:
    case ARG_DURATION: return check_number(o, v, e);
    case ARG_DECIMAL: return check_decimal(o, v->text, e);
    case ARG_CHOICE: return check_choice(o, v->text, e);
    case ARG_MAIL: return check_mail(o, v->text, e);
    case ARG_URL: return check_url(o, v->text, e);
    case ARG_PAIR: return check_joined(o, v->text, '=', e);
    case ARG_HEADER: return check_joined(o, v->text, ':', e);
    case ARG_ENDPOINT: return check_endpoint(o, v->text, e);
    case ARG_NAME:
    case ARG_FILE:
    case ARG_DIR:
        if (!v->text[0])
            return err_set(e, ERR_INVALID, "%s%s is empty", DASHES(o), o->name);
        return true;
    default: return true;
    }
}

static bool add_value(struct cmd *c, const struct option *o, const char *text, struct err *e)
{
    struct value v = {.option = o, .text = text};
    if (!(o->flags & OPT_REPEAT) && o->kind != ARG_FLAG && cmd_has(c, o->name))
        return err_set(e, ERR_INVALID, "--%s is given twice", o->name);
    if (!option_check(&v, e))
        return false;
    c->values[c->n_values++] = v;
    return true;
}

/* One option at argv[*i], which may take the next word too. */
static bool parse_option(struct cmd *c, int argc, char **argv, int *i, struct err *e)
{
    const char *word = argv[*i], *name = word + 2;
    if (!strcmp(word, "-h")) {
        c->help = true;
        return true;
    }
    if (word[1] != '-')
        return err_set(e, ERR_INVALID, "unknown option %.40s; options have two dashes, see --help",
                       word);
    const char *equals = strchr(name, '=');
    size_t n = equals ? (size_t)(equals - name) : strlen(name);
    const struct option *o = command_find_option(c->command, name, n);
    if (!o) {
        char typed[64], help[96];
        snprintf(typed, sizeof(typed), "%.*s", (int)MIN(n, 60), name);
        snprintf(help, sizeof(help), "%s%s%s --help", c->command->noun, c->command->verb ? " " : "",
                 c->command->verb ? c->command->verb : "");
        const char *near = suggest(typed, option_at, c->command);
        return fail_unknown(e, "option", typed, near, "--", help);
    }
    if (o->kind == ARG_FLAG) {
        if (equals)
            return err_set(e, ERR_INVALID, "--%s takes no value", o->name);
        c->help = c->help || o == &shared_help;
        return add_value(c, o, "", e);
    }
    if (equals)
        return add_value(c, o, equals + 1, e);
    /* "--list --data d" is a forgotten value, not a list of that name. */
    if (*i + 1 >= argc || (argv[*i + 1][0] == '-' && argv[*i + 1][1] == '-'))
        return err_set(e, ERR_INVALID, "--%s needs %s; one that begins with -- is written --%s=...",
                       o->name, o->arg, o->name);
    return add_value(c, o, argv[++*i], e);
}

static bool check_complete(const struct cmd *c, struct err *e)
{
    size_t least, most;
    const struct option *o;
    command_arg_bounds(c->command, &least, &most);
    const char *verb = c->command->verb ? c->command->verb : "";
    if (c->n_args < least)
        return err_set(e, ERR_INVALID, "%s %s needs %s; see --help", c->command->noun, verb,
                       c->command->args);
    if (c->n_args > most)
        return err_set(e, ERR_INVALID, "%.60s is one argument too many; see --help", c->args[most]);
    for (size_t i = 0; (o = command_option(c->command, i)) != NULL; i++)
        if ((o->flags & OPT_REQUIRED) && !cmd_has(c, o->name))
            return err_set(e, ERR_INVALID, "--%s %s is missing", o->name, o->arg);
    if ((c->command->flags & CMD_CLIENT) && cmd_has(c, "url") && cmd_has(c, "data"))
        return err_set(e, ERR_INVALID, "give --data or --url, not both");
    if ((c->command->flags & CMD_CLIENT) && cmd_has(c, "token-file") && !cmd_has(c, "url"))
        return err_set(e, ERR_INVALID, "--token-file goes with --url");
    return true;
}

bool command_parse(int argc, char **argv, struct cmd *c, struct err *e)
{
    int noun = 0, verb = 0;
    *c = (struct cmd){.argc = argc, .argv = argv, .help = wants_help(argc, argv)};
    c->values = alloc_many(struct value, (size_t)argc + 1);
    c->args = alloc_many(const char *, (size_t)argc + 1);
    if (!find_command(argc, argv, c, &noun, &verb, e))
        return false;
    if (c->command->flags & CMD_THROUGH)
        return true;
    bool words_only = false;
    for (int i = 1; i < argc; i++) {
        if (i == noun || (verb && i == verb))
            continue;
        bool is_option = !words_only && argv[i][0] == '-' && argv[i][1];
        if (is_option && !strcmp(argv[i], "--"))
            words_only = true;
        else if (!is_option)
            c->args[c->n_args++] = argv[i];
        else if (!parse_option(c, argc, argv, &i, e))
            return false;
    }
    return c->help || check_complete(c, e);
}

void cmd_free(struct cmd *c)
{
    free(c->values);
    free(c->args);
    *c = (struct cmd){0};
}

/* ---- values ---- */

const struct value *cmd_value(const struct cmd *c, const char *name, size_t i)
{
    check(command_find_option(c->command, name, strlen(name)));
    for (size_t k = 0; k < c->n_values; k++)
        if (!strcmp(c->values[k].option->name, name) && i-- == 0)
            return &c->values[k];
    return NULL;
}

bool cmd_has(const struct cmd *c, const char *name)
{
    return cmd_value(c, name, 0) != NULL;
}

const char *cmd_text(const struct cmd *c, const char *name)
{
    const struct value *v = cmd_value(c, name, 0);
    return v ? v->text : NULL;
}

int64_t cmd_number(const struct cmd *c, const char *name, int64_t otherwise)
{
    const struct value *v = cmd_value(c, name, 0);
    return v && !v->none ? v->n : otherwise;
}

const char *cmd_arg(const struct cmd *c, size_t i)
{
    return i < c->n_args ? c->args[i] : NULL;
}

static json_t *value_json(const struct value *v)
{
    switch (v->option->kind) {
    case ARG_FLAG: return json_true();
    case ARG_COUNT: return v->none ? json_null() : json_integer(v->n);
    case ARG_DECIMAL: return v->none ? json_null() : json_real(strtod(v->text, NULL));
    default: return v->none ? json_null() : json_string(v->text);
    }
}

json_t *cmd_body(const struct cmd *c)
{
    json_t *body = json_object();
    for (size_t i = 0; i < c->n_values; i++) {
        const struct value *v = &c->values[i];
        if (!v->option->field)
            continue;
        if (!(v->option->flags & OPT_REPEAT)) {
            json_object_set_new(body, v->option->field, value_json(v));
            continue;
        }
        json_t *all = json_object_get(body, v->option->field);
        if (!all) {
            all = json_array();
            json_object_set_new(body, v->option->field, all);
        }
        if (!v->none)
            json_array_append_new(all, value_json(v));
    }
    return body;
}
