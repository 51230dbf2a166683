/* The shape of the command line: one table of commands (commands.c) from which parsing, help, the
 * manual, completion and suggestions are made. Nothing is parsed that the table does not name, and
 * nothing that it names is ignored. Does no input or output but usage errors by output.h. */
#ifndef MAIN_COMMAND_H
#define MAIN_COMMAND_H

#include <jansson.h>

#include "base/base.h"
#include "base/err.h"

enum arg_kind {
    ARG_FLAG,     /* takes no argument */
    ARG_TEXT,     /* any UTF-8 text without line breaks */
    ARG_NAME,     /* what users call things: 1..64 of A-Z a-z 0-9 . _ - and letters beyond ASCII */
    ARG_COUNT,    /* 10, 50k, 1M; bounds apply */
    ARG_DECIMAL,  /* 0.1, 12.50 */
    ARG_DURATION, /* 250ms 10s 5m 2h 1d; bounds in ms */
    ARG_CHOICE,   /* one of `choices`, split at | */
    ARG_MAIL,     /* a mail address; only its rough form is looked at here */
    ARG_PAIR,     /* NAME=VALUE */
    ARG_HEADER,   /* Name: value */
    ARG_ENDPOINT, /* ADDR:PORT, [V6]:PORT */
    ARG_FILE,     /* a path, - is standard input where the help says so */
    ARG_DIR,
    ARG_URL,  /* http:// or https:// */
    ARG_TIME, /* RFC 3339, or a duration meaning that long from now or ago */
};

enum option_flag {
    OPT_REPEAT = 1, /* may be given several times */
    OPT_REQUIRED = 2,
    OPT_HIDDEN = 4,   /* between our own processes: in no help, no completion */
    OPT_SETTING = 16, /* of postfleet.yaml: named without dashes in errors */
    OPT_NONE_OK = 8,  /* the word "none" is accepted and means: no such value (null) */
};

struct option {
    const char *name; /* without the dashes */
    const char *arg;  /* what help calls the argument; NULL for a flag */
    const char *help;
    enum arg_kind kind;
    unsigned flags;
    int64_t min, max;    /* of counts and durations; max 0: no bound */
    const char *choices; /* ARG_CHOICE */
    const char *field;   /* name in the JSON body; NULL: not part of it */
};

enum command_flag {
    CMD_CLIENT = 1,   /* talks to the daemon: --data, --url, --token-file, --json, --quiet */
    CMD_OFFLINE = 2,  /* no daemon: --data, --json */
    CMD_ASKS = 4,     /* has a question: --yes */
    CMD_THROUGH = 8,  /* its room parses the arguments; the table serves help and completion */
    CMD_DRY_RUN = 16, /* --dry-run */
    CMD_PLAIN = 32,   /* neither daemon nor data: --json at most */
};

struct cmd;
struct command {
    const char *noun; /* "server"; or the whole name of a command without verbs */
    const char *verb; /* NULL: none */
    const char *args; /* positionals as help shows them: "NAME", "FILE|-", "[NAME]", "ID..." */
    const char *help; /* one line */
    const struct option *options; /* ended by name NULL; may be NULL */
    unsigned flags;
    int (*run)(struct cmd *c); /* gives the exit status */
    const char *more;          /* further paragraphs and examples; may be NULL */
};

/* The table (commands.c) and what all client or offline commands share. NULL behind the last. */
const struct command *command_at(size_t i);
size_t commands_n(void);
/* The i-th option that applies to a command, its own first, then the shared ones; NULL: no more. */
const struct option *command_option(const struct command *c, size_t i);
const struct option *command_find_option(const struct command *c, const char *name, size_t n);
/* Bounds of positionals, from `args`. */
void command_arg_bounds(const struct command *c, size_t *least_out, size_t *most_out);

struct value {
    const struct option *option;
    const char *text; /* as given; borrowed from argv */
    int64_t n;        /* count or ms */
    bool none;        /* the word "none" */
};

/* Checks the text of v by its option and fills n and none. */
bool option_check(struct value *v, struct err *e) MUST_USE;

/* A parsed command line. Texts are borrowed from argv. */
struct cmd {
    const struct command *command;
    struct value *values;
    size_t n_values;
    const char **args;
    size_t n_args;
    int argc; /* the line as given, for CMD_THROUGH */
    char **argv;
    bool help; /* --help was given */
};

/* false: usage error in *e (exit 2). c->command is set, when known, even then. */
bool command_parse(int argc, char **argv, struct cmd *c, struct err *e) MUST_USE;
void cmd_free(struct cmd *c);

/* Values by option name. The name must be in the command's table (a bug otherwise). */
bool cmd_has(const struct cmd *c, const char *name);
const char *cmd_text(const struct cmd *c, const char *name);                  /* NULL: not given */
int64_t cmd_number(const struct cmd *c, const char *name, int64_t otherwise); /* count or ms */
/* The i-th value of a repeatable option; NULL: no more. */
const struct value *cmd_value(const struct cmd *c, const char *name, size_t i);
const char *cmd_arg(const struct cmd *c, size_t i); /* NULL: not given */
/* All given options that have a field, as a JSON object; "none" is null, durations stay text.
 * Owned by the caller. */
json_t *cmd_body(const struct cmd *c) MUST_USE;

/* The nearest of the words to what was typed, or NULL when none is near. next gives the i-th
 * word or NULL at the end. */
const char *suggest(const char *typed, const char *(*next)(const void *ctx, size_t i),
                    const void *ctx);

/* help.c: text for people and shells, all from the table. */
void help_overview(void);
bool help_noun(const char *noun); /* false: no such noun */
void help_command(const struct command *c);
void help_man(void); /* roff, postfleet(1) */
bool completion_print(const char *shell);

#endif
