/* What is known about mail providers (rules/presets.yaml, built in): host, port, TLS and limits
 * for `server add --preset`. Data only; a preset is a start, every option overrides it. */
#ifndef MAIN_PRESETS_H
#define MAIN_PRESETS_H

#include "base/base.h"
#include "base/err.h"
#include "base/str.h"

/* All values are text as the options of `server add` take it; NULL: the preset says nothing. */
struct preset {
    char *name, *title, *provider, *host, *port, *tls, *profile, *region;
    char *user; /* where every account has the same */
    char *per_second, *per_minute, *per_hour, *per_day, *max_connections;
    char *max_messages_per_connection, *note;
};

struct presets {
    struct preset *all;
    unsigned n;
};

/* Reads the given YAML; the text of the binary is presets_text(). */
bool presets_load(struct str yaml, struct presets **out, struct err *e) MUST_USE;
struct str presets_text(void);
const struct preset *presets_find(const struct presets *p, const char *name);
/* The nearest name to a mistyped one, or NULL. */
const char *presets_suggest(const struct presets *p, const char *typed);
/* The value for an option name, NULL: none. */
const char *preset_value(const struct preset *p, const char *option);
void presets_free(struct presets **p);

#endif
