/* postfleet.yaml: one table of settings (name, kind, bounds, default, help) from which checks,
 * suggestions, `config show`, `config sample` and the environment names are made. Order of belief:
 * default, file, environment, command line. Nothing unknown is ignored. */
#ifndef MAIN_CONFIG_H
#define MAIN_CONFIG_H

#include <jansson.h>

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

#define CONFIG_FILE     "postfleet.yaml"
#define CONFIG_SETTINGS 12
#define CONFIG_FILE_MAX (64u << 10) /* bytes */

enum setting_id {
    SETTING_PUBLIC_URL,
    SETTING_HTTP_LISTEN,
    SETTING_LOG_LEVEL,
    SETTING_TLS_CA_FILE,
    SETTING_TLS_CERT_FILE,
    SETTING_TLS_KEY_FILE,
    SETTING_DNS_SERVERS,
    SETTING_DESK_THREADS,
    SETTING_LEDGER_AHEAD,
    SETTING_SUBMISSION_LISTEN,
    SETTING_SUBMISSION_TLS_LISTEN,
    SETTING_SUBMISSION_PER_ADDRESS,
};

enum origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_OPTION };

struct setting_value {
    char *text; /* "" means not set */
    int64_t n;  /* counts */
    enum origin origin;
    char where[300]; /* "default", the file, the variable, "--http" */
};

struct config {
    struct setting_value values[CONFIG_SETTINGS];
};

/* Defaults, then DIR/postfleet.yaml when it is there, then the environment. false: *e says file,
 * line and key. Free in either case. */
bool config_load(const char *dir, struct config *c, struct err *e) MUST_USE;
/* The parts of it, for tests: text of a file, and one environment ("NAME=value" ..., NULL). */
void config_defaults(struct config *c);
bool config_read_text(struct config *c, struct str text, const char *file, struct err *e) MUST_USE;
bool config_read_environment(struct config *c, char *const *environment, struct err *e) MUST_USE;
/* From the command line; the text was checked by the parser. */
void config_set_option(struct config *c, enum setting_id id, const char *text, const char *option);
const char *config_text(const struct config *c, enum setting_id id); /* never NULL */
void config_free(struct config *c);

/* One object a setting: {"name","value","default","origin","where","help"}. */
json_t *config_describe(const struct config *c) MUST_USE;
/* The commented sample; malloc'd. */
char *config_sample(void) MUST_USE;

#endif
